"""Root mean squared error, in units of the quantity."""

from __future__ import annotations

from collections.abc import Callable

from codonbench import Metric, hookimpl
from codonbench_metrics._split_scores import FloatArray, QuantityScore


class Rmse(QuantityScore):
    """The root of the mean squared error; of several quantities the mean, whatever their units."""

    name = "rmse"
    unit = "the quantity's own"
    direction = "lower"
    summary = "Root mean squared error on the test items, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float:
        """Return the score of one quantity."""
        from sklearn.metrics import root_mean_squared_error

        return float(root_mean_squared_error(targets, outputs))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Rmse())
