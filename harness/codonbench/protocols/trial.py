"""The protocol of a trial: as ``supervised``, but there is no test split that could be asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from codonbench.contracts import Dataset, Outputs, Split
from codonbench.contracts.run_spec import RunSpec
from codonbench.protocols.referee import Evaluation, RunSetup, Schedule, share_spent
from codonbench.protocols.supervised import Supervised, SupervisedSchedule

Look = Callable[[int, float, float], bool]
"""Given the number of a look at validation, the score of what was selected so far and the share of
the budget that is spent; whether the run is to end there."""


class Trial(Supervised):
    """Trained and selected as under ``supervised``; the test items are left out of the split.

    Args:
        look: Told of each look.

    Attributes:
        score: Of the state that was selected: the primary metric on validation; or, where the task
            has none that can be told of a split, less the loss. None before the first look, and
            where the metric has no value, as a correlation with one answer for all items.
    """

    name: ClassVar[str] = "trial"

    def __init__(self, look: Look) -> None:
        self.look = look
        self.score: float | None = None

    def narrowed(self, dataset: Dataset, run_spec: RunSpec, whole: Split) -> Split:
        """Return the seed's training and validation items, and no test item."""
        return replace(whole, test=whole.test[:0])

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of the run."""
        return _TrialSchedule(setup, self)


class _TrialSchedule(SupervisedSchedule):
    """Ends where that of ``supervised`` would ask for test outputs, or where the study says so."""

    def __init__(self, setup: RunSetup, trial: Trial) -> None:
        super().__init__(setup)
        self._trial, self._looks, self._run_spec = trial, 0, setup.run_spec

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        known = len(self.figures)
        following = super().next(evaluation, outputs)
        trial = self._trial
        if self.keep and self._primary is None:
            trial.score = -self._loss
        elif self.keep:
            trial.score = next(iter(self.figures[known:]), None)
        self._looks += 1
        spent = share_spent(self._run_spec, evaluation.position)
        pruned = trial.score is not None and trial.look(self._looks, trial.score, spent)
        over = pruned or following is None or following.split == "test"
        return None if over else following
