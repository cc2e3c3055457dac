"""Accuracy: the share of items that are answered with their class."""

from __future__ import annotations

from collections.abc import Callable

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray


class Accuracy(ClassScore):
    """The share of items whose largest logit is their class's; of equal ones the first counts."""

    name = "accuracy"
    summary = "Share of the test items that are answered with their class"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import accuracy_score

        return float(accuracy_score(targets, outputs.argmax(axis=1)))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Accuracy())
