"""Spearman's rank correlation of what is given and what is measured."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench_metrics._split_scores import FloatArray, QuantityScore


class Spearman(QuantityScore):
    """Pearson's r of ranks, ties sharing their mean rank; None where either does not vary."""

    name = "spearman"
    unit = "correlation"
    summary = "Spearman rank correlation with the test items' quantities, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float | None:
        """Return the score of one quantity."""
        from scipy.stats import spearmanr

        if np.ptp(targets) == 0 or np.ptp(outputs) == 0:
            return None
        return float(spearmanr(targets, outputs).statistic)


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Spearman())
