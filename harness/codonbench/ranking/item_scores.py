"""Rows compared over seeds and test items together, from what each run answered for each item.

A score has two sources of chance: which seed a model was trained with, and which items it was
tested on. Its interval is a bootstrap over both: seeds and items are drawn with replacement, the
same items for every seed and every row, and the score is the mean over the seeds drawn of the
metric on the items drawn. Items that belong together (`Dataset.groups`) are drawn together. A row
that is the same for each seed has no variance over seeds, but that over items stays.

A gain is the difference from a reference row, and two rows are told apart, by the differences of
their scores on the same seeds and items. Of a difference d, the variance over seeds is that of the
mean of S differences, and the variance over items is that of the bootstrap over items; t is d over
the root of their sum, held against a mean of Student's quantiles for S seeds and for the items,
weighted by these variances, so that five seeds count as five (Cochran and Cox). What varies with
seed and item together is in both, which makes the test a little too careful.

`codonbench.ranking.tiers` makes tiers of these p-values. Satterthwaite's degrees of freedom, which
are usual, follow from a variance of few seeds that chance may have made small, and would tell too
many rows apart.

Owen, Ann. Appl. Stat. 1 (2007) 386-411 (bootstrap over crossed factors); Cochran & Cox,
Experimental Designs (1957) section 4.14.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from codonbench.contracts import Frozen, SplitMetric
from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.ranking.statistics import RESAMPLES, Mean, draws, interval, mean, six_digits
from codonbench.records.recorded_outputs import ItemOutputs

FEWEST_SEEDS = 3
"""Seeds that two rows must share to be told apart: the variance of two says next to nothing."""

_CHUNK = 1 << 21  # numbers of a table of counts at a time


class Gain(Frozen):
    """How much better a row is than a reference row or a rule, over the seeds that both have.

    Attributes:
        over: The reference row's model, or the rule.
        value: Difference of means, positive where the row is better, to six digits.
        low, high: Its 95 % bootstrap interval, seeds and items resampled.
        n: How many seeds it rests on.
    """

    over: str
    value: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, eq=False)
class RowScores:
    """A row's primary metric, by seed and by sample of the items.

    Attributes:
        seeds: Shape (S,).
        values: By seed on all items, (S,).
        resampled: By sample and seed, (RESAMPLES, S).
        n_units: How many items, or groups of items, were drawn from.
    """

    seeds: tuple[int, ...]
    values: FloatArray
    resampled: FloatArray
    n_units: int

    def over(self, seeds: Sequence[int]) -> RowScores:
        """Return the scores of some of the seeds."""
        at = [self.seeds.index(seed) for seed in seeds]
        return RowScores(tuple(seeds), self.values[at], self.resampled[:, at], self.n_units)


def score_rows(
    rows: Mapping[str, Mapping[int, ItemOutputs]], metric: SplitMetric, name: str
) -> dict[str, RowScores | None]:
    """Return the scores of some rows; None where nothing is known of what is right.

    Args:
        rows: By row, the outputs by seed.
        metric: The primary one.
        name: Name of the metric's value.
    """
    there = {
        row: {seed: item for seed, item in sorted(outputs.items()) if item.targets is not None}
        for row, outputs in rows.items()
    }
    columns = _score_runs([item for own in there.values() for item in own.values()], metric, name)
    found: dict[str, RowScores | None] = {}
    begin = 0
    for row, own in there.items():
        mine = columns[:, begin : begin + len(own)]
        begin += len(own)
        n_units = min((len(np.unique(_groups(item))) for item in own.values()), default=0)
        found[row] = RowScores(tuple(own), mine[0], mine[1:], n_units) if own else None
    return found


def score_row(
    outputs: Mapping[int, ItemOutputs], metric: SplitMetric, name: str
) -> RowScores | None:
    """Return one row's scores; the arguments are those of `score_rows`."""
    return score_rows({"": outputs}, metric, name)[""]


def _groups(item: ItemOutputs) -> IntArray:
    return np.arange(len(item.outputs)) if item.groups is None else item.groups


def _score_runs(runs: Sequence[ItemOutputs], metric: SplitMetric, name: str) -> FloatArray:
    """Return the metric of runs on all items, then on each sample: shape (1 + RESAMPLES, S).

    Runs with the same test items are scored by turns: what a sample holds is laid out once. Those
    that answered the same too, as the seeds of a model without chance do, are scored once.
    """
    found = np.empty((1 + RESAMPLES, len(runs)))
    for item_ids in sorted({run.items for run in runs}):
        alike: dict[bytes, list[int]] = {}
        for i, run in enumerate(runs):
            if run.items == item_ids:
                alike.setdefault(run.outputs.tobytes(), []).append(i)
        units = np.unique(_groups(runs[next(iter(alike.values()))[0]]), return_inverse=True)[1]
        drawn = draws(int(units.max()) + 1, item_ids)
        rows = max(1, _CHUNK // len(units))
        for begin in (-1, *range(0, RESAMPLES, rows)):
            part = np.ones_like(drawn[:1]) if begin < 0 else drawn[begin : begin + rows]
            counts = part.astype(np.float64)
            if counts.shape[1] < len(units):  # else each item is a unit of its own, in this order
                counts = counts.take(units, axis=1)
            counts.setflags(write=False)  # so that what is added up of them may be kept
            for same in alike.values():
                run = runs[same[0]]
                assert run.targets is not None
                scores = metric.resampled(name, run.targets, run.outputs, counts, run.task)
                found[begin + 1 : begin + 1 + len(part), same] = scores[:, None]
    return found


def mean_of(scores: RowScores) -> Mean:
    """Return the mean over seeds, with the interval over seeds and items."""
    value = mean(scores.values.tolist())
    assert value is not None
    return mean_over_both(value, scores)


def bootstrapped(scores: RowScores) -> FloatArray:
    """Return the mean over seeds in each sample of seeds and items, shape (RESAMPLES,)."""
    counts = draws(len(scores.seeds), "seeds").astype(np.float64)
    there = np.isfinite(scores.resampled)
    total = (counts * np.where(there, scores.resampled, 0)).sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray(total / (counts * there).sum(axis=1))


def _interval(samples: FloatArray) -> tuple[float, float]:
    low, high = interval(samples[np.isfinite(samples)])
    return six_digits(low), six_digits(high)


def mean_over_both(value: Mean, scores: RowScores) -> Mean:
    """Return a row's mean with the interval over seeds and items in place of that over seeds."""
    samples = bootstrapped(scores)
    if not np.isfinite(samples).any():
        return value
    low, high = _interval(samples)
    return value.model_copy(update={"low": low, "high": high})


def gain(row: RowScores, reference: RowScores, over: str, sign: int) -> Gain | None:
    """Return what a row gains over a reference row; None where they share no seed.

    Args:
        row: The row's scores.
        reference: The reference row's.
        over: The reference row's model, or the rule.
        sign: 1 where higher is better, else -1.
    """
    gaps = differences(row, reference)
    if gaps is None or not np.isfinite(gaps.values).all():
        return None
    low, high = _interval(sign * bootstrapped(gaps))
    value = six_digits(sign * float(np.mean(gaps.values)))
    return Gain(over=over, value=value, low=low, high=high, n=len(gaps.seeds))


def differences(first: RowScores, second: RowScores) -> RowScores | None:
    """Return first - second, over the seeds that both have; None where there are none."""
    shared = sorted(set(first.seeds) & set(second.seeds))
    if not shared:
        return None
    one, other = first.over(shared), second.over(shared)
    return RowScores(
        one.seeds,
        one.values - other.values,
        one.resampled - other.resampled,
        min(one.n_units, other.n_units),
    )


_LEAST = -600.0
"""The logarithm of the least p-value that is told: rows that are the same for each seed, over
thousands of items, are further apart."""


def p_value(first: RowScores, second: RowScores) -> float:
    """Return the two-sided p-value of two rows' difference; NaN where it cannot be tested."""
    gaps = differences(first, second)
    if gaps is None or len(gaps.seeds) < FEWEST_SEEDS or not np.isfinite(gaps.values).all():
        return float("nan")
    n_seeds = len(gaps.seeds)
    over_seeds = float(np.var(gaps.values, ddof=1)) / n_seeds
    over_items = float(np.nanvar(gaps.resampled.mean(axis=1)))
    variance = over_seeds + over_items
    if variance < 1e-20:  # the same answers, but for the rounding of their scores
        return 1.0
    t = abs(float(np.mean(gaps.values))) / np.sqrt(variance)
    weights = np.array([over_seeds, over_items]) / variance
    freedom = np.array([n_seeds - 1, max(gaps.n_units - 1, 1)])

    from scipy.optimize import brentq  # here, because both take half a second to import
    from scipy.special import stdtrit

    def beyond(log_p: float) -> float:
        """Return by how much the quantile of a p-value exceeds t."""
        return float(-weights @ stdtrit(freedom, np.exp(log_p) / 2) - t)

    if t == 0:
        return 1.0
    return float(np.exp(_LEAST if beyond(_LEAST) < 0 else brentq(beyond, _LEAST, 0.0)))


def p_by_item(rows: Sequence[RowScores | None], sign: int) -> FloatArray:
    """Return the p-values that `tiers` takes, of rows compared over seeds and items, shape (K, K).

    Args:
        rows: In the order of ranks.
        sign: 1 where higher is better, else -1.
    """
    p = np.full((len(rows), len(rows)), np.nan)
    able = [
        (i, row)
        for i, row in enumerate(rows)
        if row is not None and len(row.seeds) >= FEWEST_SEEDS and np.isfinite(row.values).all()
    ]
    for i, first in able:
        p[i, i] = 1
        for j, second in able:
            if i < j:
                found = p_value(first, second)
                worse = sign * (second.values.mean() - first.values.mean()) < 0
                p[i, j] = found if worse or np.isnan(found) else 1
    return p
