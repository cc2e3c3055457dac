"""Balanced accuracy: the mean over classes of the share that is found."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray


class BalancedAccuracy(ClassScore):
    """The mean recall of the classes that some item is of."""

    name = "balanced_accuracy"
    summary = "Mean over classes of the share of their test items that are answered right"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import recall_score

        return float(
            recall_score(
                targets,
                outputs.argmax(axis=1),
                labels=np.unique(targets),
                average="macro",
                zero_division=0,
            )
        )


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(BalancedAccuracy())
