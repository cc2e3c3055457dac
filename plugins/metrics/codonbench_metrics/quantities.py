"""Scores of quantities, each over the items of one split whose value is known."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from codonbench import TaskSpec
from codonbench.contracts import MetricValue, Outputs, Targets
from codonbench.contracts.task import TargetKind
from codonbench_metrics import _counts
from codonbench_metrics.classification import FloatArray, OneScore


class QuantityScore(OneScore):
    """A score of quantities: the mean of each quantity's own, over its items that are known.

    None where that of any quantity is undefined: a mean of the others would flatter.
    """

    serves_targets: ClassVar[frozenset[TargetKind]] = frozenset({"quantities"})

    def score(
        self, targets: Targets, outputs: Outputs, task: TaskSpec
    ) -> Mapping[str, MetricValue]:
        """Return the mean over quantities, and each one's own where there are several."""
        found = dict(super().score(targets, outputs, task))
        for k, name in enumerate(self.names(task)):
            own = super().score(targets[:, [k]], outputs[:, [k]], task)
            found[name] = own[self.name]
        return found

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


class Correlation(QuantityScore):
    """A correlation, of which samples of the items are scored from counts."""

    unit = "correlation"
    least = -1

    def resampled(
        self, name: str, targets: Targets, outputs: Outputs, counts: FloatArray, task: TaskSpec
    ) -> FloatArray:
        """Return the mean over quantities in each sample, from counts, or that of one."""
        own = self.names(task)
        if name in own:
            k = [own.index(name)]
            targets, outputs = targets[:, k], outputs[:, k]
        found = np.zeros(len(counts))
        for known, given in zip(targets.astype(np.float64).T, outputs.T, strict=True):
            there = ~np.isnan(known)
            if not there.any():
                return np.full(len(counts), np.nan)
            wide = given[there].astype(np.float64)
            found += self.of_samples(known[there], wide, _counts.of_items(counts, there))
        return np.asarray(found / targets.shape[1])

    @abstractmethod
    def of_samples(
        self, targets: FloatArray, outputs: FloatArray, counts: FloatArray
    ) -> FloatArray:
        """Return the score of one quantity in each sample, (n,) and (n,) and (B, n) to (B,)."""


class Pearson(Correlation):
    """Pearson's r; None where targets or outputs do not vary."""

    name = "pearson"
    default_for: ClassVar[frozenset[TargetKind]] = frozenset({"quantities"})
    summary = "Pearson correlation with the test items' quantities, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float | None:
        """Return the score of one quantity."""
        from scipy.stats import pearsonr

        if np.ptp(targets) == 0 or np.ptp(outputs) == 0:
            return None
        return float(pearsonr(targets, outputs).statistic)

    def of_samples(
        self, targets: FloatArray, outputs: FloatArray, counts: FloatArray
    ) -> FloatArray:
        """Return the score of one quantity in each sample."""
        return _counts.pearson(targets, outputs, counts)


class Spearman(Correlation):
    """Pearson's r of ranks, ties sharing their mean rank; None where either does not vary."""

    name = "spearman"
    summary = "Spearman rank correlation with the test items' quantities, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float | None:
        """Return the score of one quantity."""
        from scipy.stats import spearmanr

        if np.ptp(targets) == 0 or np.ptp(outputs) == 0:
            return None
        return float(spearmanr(targets, outputs).statistic)

    def of_samples(
        self, targets: FloatArray, outputs: FloatArray, counts: FloatArray
    ) -> FloatArray:
        """Return the score of one quantity in each sample."""
        both = (_counts.ranks(targets, counts), _counts.ranks(outputs, counts))
        return _counts.pearson(*both, counts)


class R2(QuantityScore):
    """1 - squared error / squared deviation of the targets from their mean.

    Negative where it is worse than their mean; None where they do not vary.
    """

    name = "r2"
    title = "R2"
    unit = "share"
    least = None
    summary = "Coefficient of determination on the test items, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float | None:
        """Return the score of one quantity."""
        from sklearn.metrics import r2_score

        return None if np.ptp(targets) == 0 else float(r2_score(targets, outputs))


class Rmse(QuantityScore):
    """The root of the mean squared error; of several quantities the mean, whatever their units."""

    name = "rmse"
    title = "RMSE"
    unit = "the quantity's own"
    direction = "lower"
    most = None
    summary = "Root mean squared error on the test items, mean over quantities"

    def of_one(self, targets: FloatArray, outputs: FloatArray) -> float:
        """Return the score of one quantity."""
        from sklearn.metrics import root_mean_squared_error

        return float(root_mean_squared_error(targets, outputs))
