"""What scores of one split share: one value, null where it is undefined."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from codonbench import Output, SplitMetric, TaskSpec
from codonbench.contracts import MetricValue, Outputs, Targets
from codonbench.contracts.task import TargetKind

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class OneScore(SplitMetric):
    """A score of one value. None: no items, outputs that are not finite, or it is undefined.

    Class attributes:
        unit, direction: Of the value.
    """

    version: ClassVar[str] = "1"
    unit: ClassVar[str] = "share"
    direction: ClassVar[Literal["lower", "higher"]] = "higher"

    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the one output, under the metric's name."""
        return {self.name: Output(unit=self.unit, direction=self.direction, summary=self.summary)}

    def score(
        self, targets: Targets, outputs: Outputs, task: TaskSpec
    ) -> Mapping[str, MetricValue]:
        """Return the value, or None where it is undefined."""
        value = None
        if len(outputs) and np.isfinite(outputs).all():
            with warnings.catch_warnings():  # of what is undefined, which null says
                warnings.simplefilter("ignore")
                value = self.value(targets, outputs.astype(np.float64))
        return {self.name: None if value is None or not math.isfinite(value) else float(value)}

    @abstractmethod
    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the value; None or NaN where it is undefined.

        Args:
            targets: Class ids (N,), or quantities (N, K), NaN where one is missing; N >= 1.
            outputs: Logits (N, C), or quantities (N, K); all finite.
        """


class ClassScore(OneScore):
    """A score of one class an item. The class that is answered has the largest logit.

    Where several are largest it is the first of them, as `numpy.argmax` has it.
    """

    serves_targets: ClassVar[frozenset[TargetKind]] = frozenset({"classes"})


class QuantityScore(OneScore):
    """A score of quantities: the mean of each quantity's own, over its items that are known.

    None where that of any quantity is undefined: a mean of the others would flatter.
    """

    serves_targets: ClassVar[frozenset[TargetKind]] = frozenset({"quantities"})

    def value(self, targets: Targets, outputs: FloatArray) -> float | None:
        """Return the mean over quantities."""
        values = []
        for known, given in zip(targets.astype(np.float64).T, outputs.T, strict=True):
            there = ~np.isnan(known)
            value = self.of_one(known[there], given[there]) if there.any() else None
            if value is None:
                return None
            values.append(value)
        return float(np.mean(values))

    @abstractmethod
    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float | None:
        """Return the score of one quantity, targets and outputs (n,), n >= 1; or None."""


def log_probabilities(logits: FloatArray) -> FloatArray:
    """Return the logarithm of the softmax over classes (N, C)."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True)))


def one_against_rest(targets: Targets, logits: FloatArray) -> list[tuple[IntArray, FloatArray]]:
    """Return whether each item is of a class and how much it looks so, for each class to rank.

    Two classes are one question: how far the second's logit leads. Of more, each class that some
    item is of is asked for by its log-probability. Nothing where all items are of one class.
    """
    present = np.unique(targets)
    if len(present) < 2:
        return []
    if logits.shape[1] == 2:
        return [((targets == 1).astype(np.int64), logits[:, 1] - logits[:, 0])]
    scores = log_probabilities(logits)
    return [((targets == c).astype(np.int64), scores[:, c]) for c in present]
