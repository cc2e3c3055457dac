"""Area under the receiver operating characteristic."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray, one_against_rest


class Auroc(ClassScore):
    """The chance that an item of a class is ranked above one of the rest, ties counting half."""

    name = "auroc"
    unit = "area"
    summary = "Area under the ROC curve on the test items; of several classes, mean of one-vs-rest"

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the area; None where all items are of one class."""
        from sklearn.metrics import roc_auc_score

        asked = one_against_rest(targets, outputs)
        return float(np.mean([roc_auc_score(*pair) for pair in asked])) if asked else None


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Auroc())
