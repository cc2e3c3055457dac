"""Zero shot: nothing is trained. A model as it is built is asked about the test split.

It is how a task without training items is run, and how a model is asked that learned elsewhere. A
variant is answered with a number, its effect: see `training.zero_shot`.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from codonbench.contracts import Outputs
from codonbench.protocols.referee import Evaluation, Protocol, RunSetup, Schedule


class ZeroShot(Protocol):
    """Asked once about validation, where there is such a split, and once about test."""

    name: ClassVar[str] = "zero_shot"
    summary: ClassVar[str] = "asked about the test split as it is built; nothing is trained"
    split: ClassVar[str] = "validation"
    tells_targets: ClassVar[bool] = True
    passes: ClassVar[int | None] = 0

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""
        return ZeroShotSchedule()


class ZeroShotSchedule(Schedule):
    """The two looks at a model that stays as it is."""

    selected = 0

    def first(self) -> Evaluation:
        """Return the look at validation."""
        return Evaluation(0, "validation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the look at test, after which there is none."""
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        return None if evaluation.split == "test" else Evaluation(0, "test", of_selected=True)

    def progress(self) -> str:
        """Return that it is being asked."""
        return "asked, not trained"
