"""Expected calibration error: how far confidence is from being right."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from codonbench import Metric, hookimpl
from codonbench.contracts import Targets
from codonbench_metrics._split_scores import ClassScore, FloatArray, log_probabilities

BINS = 15
"""Of equal width, each with its upper edge, as in Guo et al., ICML 2017."""


class Ece(ClassScore):
    """The mean over items of the gap, in their bin, between accuracy and mean probability.

    Items lie in 15 bins of equal width, by the probability of their answer.
    """

    name = "ece"
    unit = "probability"
    direction = "lower"
    summary = "Expected calibration error of the answers on the test items, 15 bins"

    def value(self, targets: Targets, outputs: FloatArray) -> float:
        """Return the score."""
        answers, confidence = outputs.argmax(axis=1), np.exp(log_probabilities(outputs).max(axis=1))
        bins = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
        gap = np.bincount(bins, weights=(answers == targets) - confidence, minlength=BINS)
        return float(np.abs(gap).sum() / len(targets))


@hookimpl
def register_metrics(register: Callable[[Metric], None]) -> None:
    """Register the metric."""
    register(Ece())
