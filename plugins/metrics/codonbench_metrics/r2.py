"""Coefficient of determination: the share of variance that is accounted for."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench_metrics._split_scores import FloatArray, QuantityScore


class R2(QuantityScore):
    """1 - squared error / squared deviation of the targets from their mean.

    Negative where it is worse than their mean; None where they do not vary.
    """

    name = "r2"
    unit = "share"
    summary = "Coefficient of determination on the test items, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float | None:
        """Return the score of one quantity."""
        from sklearn.metrics import r2_score

        return None if np.ptp(targets) == 0 else float(r2_score(targets, outputs))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(R2())
