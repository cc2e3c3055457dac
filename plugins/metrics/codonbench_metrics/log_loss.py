"""Log loss: what the class of an item came as a surprise of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray, log_probabilities


class LogLoss(ClassScore):
    """The mean of -log p(class of the item), in nats; no probability is clipped."""

    name = "log_loss"
    unit = "nats"
    direction = "lower"
    summary = "Mean negative log-probability of the test items' classes"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        return float(-log_probabilities(outputs)[np.arange(len(targets)), targets].mean())


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(LogLoss())
