"""Area under the precision-recall curve, as average precision: no interpolation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray, one_against_rest


class Auprc(ClassScore):
    """The mean precision over the ranks at which an item of the class is found."""

    name = "auprc"
    unit = "area"
    summary = (
        "Average precision on the test items; of several classes the mean, each against the rest"
    )

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the area; None where all items are of one class."""
        from sklearn.metrics import average_precision_score

        asked = one_against_rest(targets, outputs)
        return float(np.mean([average_precision_score(*pair) for pair in asked])) if asked else None


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Auprc())
