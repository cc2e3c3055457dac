"""The protocol of tuning trials: ``supervised`` without a test split."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import ClassVar

from codonbench.contracts import Dataset, Outputs, Split
from codonbench.contracts.run_spec import RunSpec
from codonbench.protocols.referee import Evaluation, RunSetup, Schedule, share_spent
from codonbench.protocols.supervised import Supervised, SupervisedSchedule

Look = Callable[[int, float, float], bool]
"""Called with the number of a validation, the score of the selected state and the share of the
budget spent; returns whether to end the run."""


class Trial(Supervised):
    """Trained and selected as under ``supervised``, without test items.

    Args:
        look: Called at each validation.

    Attributes:
        score: Validation score of the selected state: the primary metric or, for tasks without one
            for single splits, the negative loss. None before the first validation, and if the
            metric is undefined, such as a correlation with constant outputs.
    """

    name: ClassVar[str] = "trial"

    def __init__(self, look: Look) -> None:
        self.look = look
        self.score: float | None = None

    def narrowed(self, dataset: Dataset, run_spec: RunSpec, whole: Split) -> Split:
        """Return the seed's split without test items."""
        return replace(whole, test=whole.test[:0])

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of the run."""
        return _TrialSchedule(setup, self)


class _TrialSchedule(SupervisedSchedule):
    """Ends before the test of ``supervised``, or when the study prunes the trial."""

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
