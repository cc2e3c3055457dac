"""Supervised learning: trained on one split, selected by another, and asked once about a third.

No figure of the test split can steer a run: it is asked when all else is decided.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Outputs, TaskSpec
from codonbench.contracts.run_spec import MOST_PAIRS
from codonbench.data.stream import BatchClock
from codonbench.protocols.controls import COMPOSITION, LABELS, STRAND, UNTRAINED
from codonbench.protocols.referee import Evaluation, Protocol, RunSetup, Schedule

LEAST = 0.5
"""Between two looks at the validation split in the long run: epochs, at least, ..."""

MOST_LOOKS = 50
"""... a share of the budget, at least one in so many, ..."""

COST = 6
"""... and times as many pairs as it has items. A pair costs about three times as much to train on
as an item to look at, so looks and test take less than a tenth of a run's time."""

FIRST = 1 / 8
"""The first look after the beginning, in such distances; each next one comes twice as late until
they are one apart. So a run is looked at often early and seldom later."""

PATIENCE = 8
"""Such distances without an improvement after which a run is stopped early. In pairs and not in
looks, for early looks are close and a loss may stand still at first."""


class Supervised(Protocol):
    """Train, validation and test."""

    name: ClassVar[str] = "supervised"
    summary: ClassVar[str] = "trained on one split, selected by a second, tested once on a third"
    stop_rules: ClassVar[tuple[str, ...]] = ("patience", "budget")
    split: ClassVar[str] = "validation"
    tells_targets: ClassVar[bool] = True
    timed: ClassVar[bool] = True
    controls: ClassVar[tuple[str, ...]] = (LABELS, COMPOSITION, UNTRAINED, STRAND)

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
        self._at_once = setup.at_once
        self._untrained = setup.run_spec.control == UNTRAINED
        self._patient = setup.run_spec.stop == "patience"
        self._distance = distance(self._clock, len(self._targets))
        self._best = np.inf
        self._loss = np.inf
        self._primary = setup.primary
        self._figures: list[float] = []
        self._unscored: list[Outputs] = []

    @property
    def figures(self) -> list[float]:
        """The primary metric on validation, at each look where it has a value.

        Computed when it is asked for, since no decision rests on it.
        """
        while self._unscored and self._primary is not None:
            figure = self._primary.of(self._targets, self._unscored.pop(0), self._task)
            self._figures += [figure] if np.isfinite(figure) else []
        return self._figures

    def first(self) -> Evaluation:
        """Return the look at the state before the first pair; at the only one of an estimator."""
        return Evaluation(self._clock.budget_pairs if self._at_once else 0, "validation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the next look at validation, or the one at test, after which there is none."""
        self.keep = False
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        if evaluation.split == "test":
            return None
        position = evaluation.position
        if self.finite:
            self._loss = loss(outputs, self._targets, self._task)
            self._unscored += [outputs] if self._primary is not None else []
            self.keep = self._loss < self._best
            if self.keep:
                self._best, self.selected = self._loss, position
        spent = position >= self._clock.budget_pairs or self.out_of_time or self._untrained
        waited = position - (self.selected or 0)
        stopped = self._patient and waited >= PATIENCE * self._distance
        if spent or stopped or not self.finite:
            if self.selected is None:
                return None
            return Evaluation(position, "test", of_selected=True)
        return Evaluation(self._after(position), "validation")

    def _after(self, position: int) -> int:
        step = min(max(FIRST * self._distance, position), self._distance)
        step = max(step, position / MOST_LOOKS)  # where no budget says how long it will be
        return max(self._clock.end_of(position + int(step)), self._clock.step(position))

    def progress(self) -> str:
        """Return the primary metric on the validation split, now and at best, or else the loss."""
        if self._primary is not None and (figures := self.figures):
            best = min(figures) if self._primary.lower else max(figures)
            return f"validation {self._primary.name} {figures[-1]:.4f}, best {best:.4f}"
        return f"validation loss {self._loss:.4f}, best {self._best:.4f}"


def distance(clock: BatchClock, n_validation: int) -> float:
    """Return how many pairs lie between two looks in the long run."""
    rare = LEAST * clock.epoch_pairs
    if clock.budget_pairs < MOST_PAIRS:
        rare = max(rare, clock.budget_pairs / MOST_LOOKS)
    return max(rare, COST * n_validation)


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
