"""Zero shot: a model is evaluated on the test split as built, without training.

This is the protocol of tasks without training items, and of pretrained models. For a variant the
output is its effect as a number: see `training.zero_shot`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from codonbench.contracts import Outputs
from codonbench.protocols.referee import Evaluation, Protocol, RunSetup, Schedule


class ZeroShot(Protocol):
    """Evaluate the validation split, if there is one, and the test split."""

    name: ClassVar[str] = "zero_shot"
    summary: ClassVar[str] = "tested as built; nothing is trained"
    split: ClassVar[str] = "validation"
    tells_targets: ClassVar[bool] = True
    passes: ClassVar[int | None] = 0

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""
        return ZeroShotSchedule()


class ZeroShotSchedule(Schedule):
    """Evaluates validation, then test."""

    selected = 0

    def first(self) -> Evaluation:
        """Return the evaluation of validation."""
        return Evaluation(0, "validation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the evaluation of test, then None."""
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        return None if evaluation.split == "test" else Evaluation(0, "test", of_selected=True)

    def progress(self) -> str:
        """Return that nothing is trained."""
        return "asked, not trained"
