"""Module and stream to probes: the plain eager loop, the reference for every other engine."""

from __future__ import annotations

import time
from collections.abc import Callable
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
from codonbench.streams import Stream

ENGINE = "eager"
ENGINE_VERSION = "1"

OnProbe = Callable[[int, npt.NDArray[np.bool_]], None]
"""Called with pairs so far and which probe inputs are right, shape (P,)."""


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
        class_weights: Loss weight of each class id (C,), or None.
        weighting: How the weighted loss is averaged.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer | None
    encode: Encoder
    labels: Tensor
    n_classes: int
    probe: Tensor
    class_weights: Tensor | None
    weighting: ClassWeights


@dataclass
class Probes:
    """What a run leaves behind, filled as it goes, so that an interrupted one leaves its part.

    Attributes:
        pairs: Position of each probe.
        logits: Logits (P, C) of each probe, in the learner's own labels.
        frame_pairs, frame_inputs: The frames of the paper's instrument.
        position: Pairs presented so far.
        seconds: Time spent probing.
    """

    pairs: list[int] = field(default_factory=list)
    logits: list[npt.NDArray[np.float32]] = field(default_factory=list)
    frame_pairs: list[int] = field(default_factory=list)
    frame_inputs: list[npt.NDArray[np.int64]] = field(default_factory=list)
    position: int = 0
    seconds: float = 0.0


def train(
    lesson: Lesson,
    stream: Stream,
    clock: BatchClock,
    schedule: ProbeSchedule,
    watcher: Watcher,
    probes: Probes,
    on_probe: OnProbe,
    frames: frozenset[int] = frozenset(),
) -> None:
    """Train until the watcher says stop or the budget is spent; fill `probes`.

    Raises:
        Whatever the plugin's module or optimiser raises; `probes` keeps what came before.
    """
    step = make_step(lesson)
    device = lesson.labels.device

    def look() -> int | None:
        """Probe here; return where to probe next, None where the run ends here."""
        started = time.perf_counter()
        logits = probe_logits(lesson)
        watcher.see(probes.position, logits)
        probes.pairs.append(probes.position)
        probes.logits.append(logits)
        on_probe(probes.position, watcher.right)
        probes.seconds += time.perf_counter() - started
        if watcher.finished or probes.position >= clock.budget_pairs:
            return None
        return schedule.next_after(probes.position, watcher.window_start)

    next_probe = look()
    for batch in stream.batches(clock.batch_size, clock.budget_pairs):
        if next_probe is None:
            break
        step(torch.as_tensor(batch.index, device=device))
        probes.position = batch.pairs
        if batch.pairs in frames:
            probes.frame_pairs.append(batch.pairs)
            probes.frame_inputs.append(batch.index.copy())
        if batch.pairs == next_probe:
            next_probe = look()


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

    Raises:
        PluginError: The module gives something else.
    """
    was_training = lesson.module.training
    lesson.module.eval()
    logits = lesson.module(lesson.encode(lesson.probe))
    lesson.module.train(was_training)
    # A column too many would go unnoticed otherwise, and with it a rival of the true class.
    given = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
    expected = (len(lesson.probe), lesson.n_classes)
    if given != expected:
        raise PluginError(f"the module gives logits {given}, expected {expected}")
    return np.asarray(logits.detach().to("cpu", torch.float32).numpy(), dtype=np.float32).copy()
