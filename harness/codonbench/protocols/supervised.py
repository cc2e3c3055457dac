"""Supervised learning: train on one split, select on a second, test once on a third.

The test split cannot influence a run: it is evaluated last, when all else is decided.
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
"""Minimum distance between two validations, in epochs."""

MOST_LOOKS = 50
"""The minimum distance is the budget divided by this number."""

COST = 6
"""Minimum distance in pairs, per item of the validation split. Training on a pair costs about three
times as much as evaluating an item, so evaluation takes less than a tenth of a run's time."""

FIRST = 1 / 8
"""Position of the first validation after the start, as a share of the distance; positions double
until validations are one distance apart, so that a run is validated often early on."""

PATIENCE = 8
"""Distances without improvement after which a run is stopped early. Not counted in validations,
because early ones are close together and a loss may be flat at first."""


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
        """Return one evaluation of the validation split and one of the test split."""
        return (Evaluation(0, "validation"), Evaluation(0, "test", of_selected=True))


class SupervisedSchedule(Schedule):
    """Validates, keeps the state with the lowest loss, and stops early without improvement.

    Args:
        setup: Setup of the run.
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
        """The primary metric at each validation, unless undefined.

        Computed when requested, since no decision depends on it.
        """
        while self._unscored and self._primary is not None:
            figure = self._primary.of(self._targets, self._unscored.pop(0), self._task)
            self._figures += [figure] if np.isfinite(figure) else []
        return self._figures

    def first(self) -> Evaluation:
        """Return the validation before the first pair or, for an estimator, after the fit."""
        return Evaluation(self._clock.budget_pairs if self._at_once else 0, "validation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the next validation, then the test, then None."""
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
        step = max(step, position / MOST_LOOKS)  # for budgets without a number of pairs
        return max(self._clock.end_of(position + int(step)), self._clock.step(position))

    def progress(self) -> str:
        """Return the last and the best primary metric on validation, or else the loss."""
        if self._primary is not None and (figures := self.figures):
            best = min(figures) if self._primary.lower else max(figures)
            return f"validation {self._primary.name} {figures[-1]:.4f}, best {best:.4f}"
        return f"validation loss {self._loss:.4f}, best {self._best:.4f}"


def distance(clock: BatchClock, n_validation: int) -> float:
    """Return the distance between two validations, in pairs; early ones are closer."""
    rare = LEAST * clock.epoch_pairs
    if clock.budget_pairs < MOST_PAIRS:
        rare = max(rare, clock.budget_pairs / MOST_LOOKS)
    return max(rare, COST * n_validation)


def loss(outputs: Outputs, targets: npt.NDArray[np.generic], task: TaskSpec) -> float:
    """Return the mean loss of outputs (N, K) against targets, in float64.

    Cross-entropy for classes, binary cross-entropy for labels, and squared error divided by each
    quantity's variance for quantities; missing targets (NaN) are ignored.
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
