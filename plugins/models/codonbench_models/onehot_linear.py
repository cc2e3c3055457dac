"""A linear model of which letter stands where, for sequences of one length.

Logistic regression or ridge, as `linear.py` fits them: beside `KmerLinear`, which knows what an
item holds and not where, it shows what positions alone tell.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from codonbench.contracts import ModelInfo, Sequences, TaskView
from codonbench_models.linear import FloatArray, LinearModel
from codonbench_models.presets import one_sequence, ours


class OnehotLinear(LinearModel):
    """Logistic or ridge regression on the one-hot letters of an item, end to end."""

    info: ClassVar[ModelInfo] = ours(
        "onehot-linear",
        "Logistic regression, ridge for quantities, on one-hot letters, each position by itself",
    )

    encoding = "items"
    """One sequence an item, all of one length."""

    def check_task(self, task: TaskView) -> None:
        """Refuse items that are no single sequences of one length."""
        one_sequence(task, self.info.name)

    def columns(self, items: Sequences) -> FloatArray:
        """Return the one-hot letters, shape (N, length x letters), zeros where one is unknown."""
        letters = np.arange(len(self.task.sequences[0].alphabet))
        hot = np.equal(items.rows()[..., None], letters)
        return np.asarray(hot.reshape(len(items), -1), dtype=np.float32)
