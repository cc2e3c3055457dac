"""The plain eager loop: the reference for every other engine."""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import BatchLearner, ClassWeights
from codonbench.errors import PluginError
from codonbench.training.checkpoint import Keeper, whole_state
from codonbench.training.feed import Course, ask
from codonbench.training.state import Lesson

ENGINE = "eager"
ENGINE_VERSION = "2"


def train(course: Course, keeper: Keeper) -> None:
    """Train until the leader says stop.

    Raises:
        Whatever the plugin's module or optimiser raises; the leader keeps what came before.
    """
    lesson, probes = course.lesson, course.probes
    step = make_step(lesson)
    ask([course])
    while not probes.over:
        if course.is_due:
            started = time.perf_counter()
            ask([course], [probe_logits(lesson)])
            probes.seconds += time.perf_counter() - started
        elif not course.ahead:
            ask([course])
        else:
            keeper.offer([course], lambda _: whole_state(lesson))
            step(torch.as_tensor(course.ahead[0].index, device=lesson.labels.device))
            course.learned()


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
