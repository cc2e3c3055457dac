"""Module and stream to probes: the plain eager loop, the reference for every other engine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import BatchLearner, ClassWeights
from codonbench.encodings import Encoder
from codonbench.errors import PluginError
from codonbench.probes import BatchClock, ProbeSchedule
from codonbench.stopping import Watcher
from codonbench.streams import Batch, Stream

ENGINE = "eager"
ENGINE_VERSION = "1"

OnProbe = Callable[[int, npt.NDArray[np.bool_], npt.NDArray[np.float32]], None]
"""Called with pairs so far, which probe inputs are right (P,), and the logits (P, C) in the
learner's own labels."""


@dataclass(frozen=True)
class Lesson:
    """Everything the loop needs. Labels are the learner's, relabelled: never the true ones.

    Attributes:
        module: What learns.
        optimizer: Its optimiser; None for a `BatchLearner`.
        encode: From input indices to what the module is handed.
        labels: Class id of every input, shape (N,).
        n_classes: How many class ids there are.
        probe: The probe set, as input indices, shape (P,).
        fan: How many letters there are, where the inputs are every word of one length in
            lexicographic order; None where they are not.
        class_weights: Loss weight of each class id (C,), or None.
        weighting: How the weighted loss is averaged.
        batch_size: Pairs in a full batch.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer | None
    encode: Encoder
    labels: Tensor
    n_classes: int
    probe: Tensor
    fan: int | None
    class_weights: Tensor | None
    weighting: ClassWeights
    batch_size: int


@dataclass
class Probes:
    """What a run leaves behind, filled as it goes, so that an interrupted one leaves its part.

    Attributes:
        pairs: Position of each probe.
        logits: Logits (P, C) of each probe, in the learner's own labels.
        frame_pairs, frame_inputs: The frames of the paper's instrument.
        position: Pairs presented so far.
        over: Whether the run came to its end.
        seconds: Time spent probing.
    """

    pairs: list[int] = field(default_factory=list)
    logits: list[npt.NDArray[np.float32]] = field(default_factory=list)
    frame_pairs: list[int] = field(default_factory=list)
    frame_inputs: list[npt.NDArray[np.int64]] = field(default_factory=list)
    position: int = 0
    over: bool = False
    seconds: float = 0.0


class Course:
    """One seed's way through a lesson: its stream, and the probes along it.

    Attributes:
        lesson: What is learned.
        stream, clock: The pairs, and where their batches end.
        probes: What has been seen so far.
        next_probe: Where to probe next; None once the run is over.
    """

    def __init__(
        self,
        lesson: Lesson,
        stream: Stream,
        clock: BatchClock,
        schedule: ProbeSchedule,
        watcher: Watcher,
        probes: Probes,
        on_probe: OnProbe,
        frames: frozenset[int] = frozenset(),
    ) -> None:
        self.lesson = lesson
        self.stream = stream
        self.clock = clock
        self.probes = probes
        self.next_probe: int | None = 0
        self._schedule = schedule
        self._watcher = watcher
        self._on_probe = on_probe
        self._frames = frames

    def batches(self) -> Iterator[Batch]:
        """Yield the whole budget's batches."""
        return self.stream.batches(self.clock.batch_size, self.clock.budget_pairs)

    @property
    def is_due(self) -> bool:
        """Whether the state as it is now is to be probed."""
        return self.probes.position == self.next_probe

    def learned(self, batch: Batch) -> None:
        """Note that a batch has been learned from."""
        self.probes.position = batch.pairs
        if batch.pairs in self._frames:
            self.probes.frame_pairs.append(batch.pairs)
            self.probes.frame_inputs.append(batch.index.copy())

    def probed(self, logits: npt.NDArray[np.float32]) -> None:
        """Note the logits (P, C) of a probe here, and when the next one is due."""
        probes, watcher = self.probes, self._watcher
        watcher.see(probes.position, logits)
        probes.pairs.append(probes.position)
        probes.logits.append(logits)
        self._on_probe(probes.position, watcher.right, logits)
        if watcher.finished or probes.position >= self.clock.budget_pairs:
            self.next_probe = None
            probes.over = True
        else:
            self.next_probe = self._schedule.next_after(probes.position, watcher.window_start)


def train(course: Course) -> None:
    """Train until the watcher says stop or the budget is spent; fill the course's probes.

    Raises:
        Whatever the plugin's module or optimiser raises; the probes keep what came before.
    """
    lesson = course.lesson
    step = make_step(lesson)

    def look() -> None:
        started = time.perf_counter()
        course.probed(probe_logits(lesson))
        course.probes.seconds += time.perf_counter() - started

    look()
    for batch in course.batches():
        step(torch.as_tensor(batch.index, device=lesson.labels.device))
        course.learned(batch)
        if course.is_due:
            look()
            if course.next_probe is None:
                break


def make_step(lesson: Lesson) -> Callable[[Tensor], None]:
    """Return the function that learns from one batch of input indices (B,)."""
    module, encode, labels = lesson.module, lesson.encode, lesson.labels
    module.train()
    if lesson.optimizer is None:
        assert isinstance(module, BatchLearner)
        learner: BatchLearner = module

        def update(index: Tensor) -> None:
            with torch.no_grad():
                learner.update(encode(index), labels[index])

        return update

    optimizer = lesson.optimizer

    def descend(index: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = cross_entropy(
            module(encode(index)), labels[index], lesson.class_weights, lesson.weighting
        )
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return descend


def cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, weighting: ClassWeights
) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        logits: Shape (B, C).
        labels: Class ids, shape (B,).
        weights: Per class, shape (C,); None for no weighting.
        weighting: ``sum`` divides by the summed weights of the batch (PyTorch's default for
            index targets); ``n`` by B (what the paper's one-hot float targets do).
    """
    if weighting == "none" or weights is None:
        return F.cross_entropy(logits, labels)
    if weighting == "sum":
        return F.cross_entropy(logits, labels, weight=weights)
    return F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)


@torch.no_grad()
def probe_logits(lesson: Lesson) -> npt.NDArray[np.float32]:
    """Return the logits of the whole probe set (P, C), in evaluation mode, float32.

    Random numbers that a module draws from PyTorch here are given back, so that probing more
    or less often does not change training.

    Raises:
        PluginError: The module gives something else.
    """
    was_training = lesson.module.training
    lesson.module.eval()
    with torch.random.fork_rng(devices=_cuda_devices(lesson.probe.device)):
        logits = lesson.module(lesson.encode(lesson.probe))
    lesson.module.train(was_training)
    # A column too many would go unnoticed otherwise, and with it a rival of the true class.
    given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    expected = (len(lesson.probe), lesson.n_classes)
    if given != expected:
        raise PluginError(f"the module gives logits {given}, expected {expected}")
    return np.asarray(logits.detach().to("cpu", torch.float32).numpy(), dtype=np.float32).copy()


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
