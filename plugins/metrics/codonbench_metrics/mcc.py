"""Matthews correlation coefficient, for two classes or more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray


class Mcc(ClassScore):
    """Correlation of answers and classes, -1 to 1; 0 where all answers are one class.

    That is scikit-learn's convention. A null would drop a failed seed from a row's mean.
    """

    name = "mcc"
    unit = "correlation"
    summary = "Matthews correlation coefficient of answers and classes of the test items"

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the coefficient; None where all items are of one class."""
        from sklearn.metrics import matthews_corrcoef

        if len(np.unique(targets)) < 2:
            return None
        return float(matthews_corrcoef(targets, outputs.argmax(axis=1)))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Mcc())
