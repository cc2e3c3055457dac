"""Linear probe: a linear head fitted to convergence on the embeddings of a frozen trunk.

The trunk is run once on all items. The head is logistic regression for classes, one for each
label, and ridge regression for quantities. Each pass over the training items fits the head with
one of `PENALTIES`; the one with the lowest validation loss is selected.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import JsonValue

from codonbench.contracts import Outputs
from codonbench.protocols.referee import Evaluation, Protocol, RunSetup, Schedule
from codonbench.protocols.supervised import loss

PENALTIES = (1e4, 1e3, 1e2, 1e1, 1e0, 1e-1, 1e-2)
"""Factors of the squared weights (half of them for classes) added to the summed loss; features are
standardised."""


class LinearProbe(Protocol):
    """Like supervised, but only a linear head is fitted."""

    name: ClassVar[str] = "linear_probe"
    summary: ClassVar[str] = (
        "one layer fitted on the embedding of the frozen model, its penalty selected"
    )
    split: ClassVar[str] = "validation"
    tells_targets: ClassVar[bool] = True
    passes: ClassVar[int | None] = len(PENALTIES)

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""
        return LinearProbeSchedule(setup)


class LinearProbeSchedule(Schedule):
    """Evaluates validation for each penalty, then test for the best.

    Args:
        setup: Setup of the run.
    """

    def __init__(self, setup: RunSetup) -> None:
        self._epoch_pairs = setup.clock.epoch_pairs
        self._task = setup.dataset.spec
        self._targets = setup.dataset.targets[setup.stream.split.validation]
        self._best = np.inf
        self._done = 0

    def first(self) -> Evaluation:
        """Return the validation of the head with the first penalty."""
        return Evaluation(self._epoch_pairs, "validation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the validation with the next penalty, then the test, then None."""
        self.keep = False
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        if evaluation.split == "test":
            return None
        self._done += 1
        found = loss(outputs, self._targets, self._task)
        if found < self._best:
            self.keep, self._best, self.selected = True, found, evaluation.position
        if self._done < len(PENALTIES):
            return Evaluation(evaluation.position + self._epoch_pairs, "validation")
        if self.selected is None:
            return None
        return Evaluation(evaluation.position, "test", of_selected=True)

    def progress(self) -> str:
        """Return the lowest validation loss so far."""
        return f"{self._done} of {len(PENALTIES)} penalties, validation loss {self._best:.4f}"

    def facts(self) -> dict[str, JsonValue]:
        """Return the penalties, in the order of passes."""
        return {"penalties": list(PENALTIES)}
