"""Brier score: the squared error of probabilities."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray, log_probabilities


class Brier(ClassScore):
    """The mean of (p - y)^2: of two classes for the second, 0 to 1; of more in sum, 0 to 2."""

    name = "brier"
    unit = "squared probability"
    direction = "lower"
    summary = "Mean squared error of the probabilities given to the test items' classes"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import brier_score_loss

        n_classes = outputs.shape[1]
        p = np.exp(log_probabilities(outputs))
        if n_classes == 2:
            return float(brier_score_loss(targets, p[:, 1], labels=[0, 1]))
        return float(brier_score_loss(targets, p, labels=list(range(n_classes))))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Brier())
