"""Supervised learning: trained on one split, selected by another, and asked once about a third.

No figure of the test split can steer a run: it is asked when all else is decided.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Outputs, TaskSpec
from codonbench.protocols.base import Evaluation, Protocol, Schedule
from codonbench.protocols.setup import RunSetup

PATIENCE = 8
"""Evaluations without an improvement after which a run is stopped early."""

FIRST = 0.05
"""The first evaluation, in epochs; each next one comes `GROWTH` times as late, until they are
half an epoch apart. So a run is looked at often early and seldom later."""

GROWTH = 1.5


class Supervised(Protocol):
    """Train, validation and test."""

    name: ClassVar[str] = "supervised"
    summary: ClassVar[str] = "trained on one split, selected by a second, tested once on a third"
    stop_rules: ClassVar[tuple[str, ...]] = ("patience", "budget")
    split: ClassVar[str] = "validation"
    tells_targets: ClassVar[bool] = True

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""
        return SupervisedSchedule(setup)

    def constant(self, setup: RunSetup) -> tuple[Evaluation, ...]:
        """Return one look at the validation split and one at the test split."""
        return (Evaluation(0, "validation"), Evaluation(0, "test", of_selected=True))


class SupervisedSchedule(Schedule):
    """Looks at the validation loss, keeps the best state, and stops when it gets no better.

    Args:
        setup: The run's.
    """

    def __init__(self, setup: RunSetup) -> None:
        self._clock = setup.clock
        self._task = setup.dataset.spec
        self._targets = setup.dataset.targets[setup.stream.split.validation]
        self._patient = setup.run_spec.stop == "patience"
        self._best = np.inf
        self._since = 0
        self._loss = np.inf

    def first(self) -> Evaluation:
        """Return the look at the state before the first pair."""
        return Evaluation(0, "validation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the next look at validation, or the one at test, after which there is none."""
        self.keep = False
        if evaluation.split == "test":
            self.finite = self.finite and bool(np.isfinite(outputs).all())
            return None
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        position = evaluation.position
        if self.finite:
            self._loss = loss(outputs, self._targets, self._task)
            self.keep = self._loss < self._best
            if self.keep:
                self._best, self._since, self.selected = self._loss, 0, position
            else:
                self._since += 1
        spent = position >= self._clock.budget_pairs
        stopped = self._patient and self._since >= PATIENCE
        if spent or stopped or not self.finite:
            if self.selected is None:
                return None
            return Evaluation(position, "test", of_selected=True)
        return Evaluation(self._after(position), "validation")

    def _after(self, position: int) -> int:
        epoch = self._clock.epoch_pairs
        step = min(max(FIRST * epoch, (GROWTH - 1) * position), epoch / 2)
        return max(self._clock.end_of(position + int(step)), self._clock.step(position))

    def progress(self) -> str:
        """Return the validation loss and the best so far."""
        return f"validation loss {self._loss:.4f}, best {self._best:.4f}"


def loss(outputs: Outputs, targets: npt.NDArray[np.generic], task: TaskSpec) -> float:
    """Return the mean loss of outputs (N, K) against targets, in float64.

    Cross-entropy for classes, binary cross-entropy for labels, and the squared error in units of
    each quantity's own variance for quantities; what is missing (NaN) does not count.
    """
    wide = outputs.astype(np.float64)
    if task.target.kind == "classes":
        shifted = wide - wide.max(axis=1, keepdims=True)
        true = shifted[np.arange(len(wide)), targets.astype(np.int64)]
        return float(np.mean(np.log(np.exp(shifted).sum(axis=1)) - true))
    known = targets.astype(np.float64)
    if task.target.kind == "labels":
        return float(np.nanmean(np.logaddexp(0, wide) - known * wide))
    variance = np.maximum(np.nanvar(known, axis=0), np.finfo(np.float64).tiny)
    return float(np.nanmean((wide - known) ** 2 / variance))
