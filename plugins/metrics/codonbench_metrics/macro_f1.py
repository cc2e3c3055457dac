"""Macro F1: the mean over classes of the harmonic mean of precision and recall."""

from __future__ import annotations

from collections.abc import Callable

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray


class MacroF1(ClassScore):
    """The mean F1 of the classes that some item or some answer is of; 0 for one never right."""

    name = "macro_f1"
    unit = "F1"
    summary = "Mean over classes of the F1 score on the test items"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        from sklearn.metrics import f1_score

        return float(f1_score(targets, outputs.argmax(axis=1), average="macro", zero_division=0))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(MacroF1())
