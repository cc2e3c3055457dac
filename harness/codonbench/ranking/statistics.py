"""Figures over seeds, with their intervals: medians, means, shares, ranks.

A run that ends before an event, such as reaching a score within its budget, is right-censored: the
event came later than the run was followed, and how much later is not known. Such a run is never
dropped and never replaced by a number. Kaplan and Meier's curve gives the share of runs that still
wait at each time, from all of them; its median and the area under it follow.

Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457-481. Restricted mean: Royston & Parmar, BMC Med.
Res. Methodol. 13 (2013) 152.

The bootstrap of a mean, Wilson's interval and ranks are a few lines here: `scipy.stats`, to which
the tests hold them, takes longer to import than a board of few rows to make.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Frozen
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray

RESAMPLES = 2_000
"""Bootstrap samples: the ends of an interval are good to a few per cent of its width."""

DRAWS = 200
"""How many of the samples say how rows would stand in others, for summaries over tasks."""

_ROUNDING = 1e-9
"""How far a product of shares may miss one half: 9/10 of 8/9 of ... of 5/6 must be one half."""


class SurvivalCurve(NamedTuple):
    """One or more survival curves that step at the same times; before the first, all wait.

    Attributes:
        times: Ascending, shape (K,). A curve need not step at each.
        waiting: The share still waiting from each time on, shape (..., K).
    """

    times: FloatArray
    waiting: FloatArray


def kaplan_meier(times: FloatArray, reached: BoolArray) -> SurvivalCurve:
    """Return the curve of a sample.

    Args:
        times: When the event came, or until when a run was followed; infinity for a run that
            will never see it. Shape (N,), N >= 1, in any order.
        reached: Whether the event came, shape (N,). A run followed to the very time of
            another's event was still waiting then.
    """
    times, waiting = _curves(times, reached, np.ones((1, len(times)), dtype=np.int64))
    at_last = np.append(times[1:] > times[:-1], True)  # of events and ends at one time
    return SurvivalCurve(times[at_last], waiting[0, at_last])


def resampled_curves(times: FloatArray, reached: BoolArray) -> SurvivalCurve:
    """Return the curves of `RESAMPLES` bootstrap samples: runs drawn with replacement.

    The draws depend on N alone: the same records must give the same leaderboard, to the byte.

    Args:
        times: As for `kaplan_meier`.
        reached: Likewise.

    Returns:
        Curves of shape (RESAMPLES, K), a step for each kind of runs that are alike.
    """
    if (times == times[0]).all() and (reached == reached[0]).all():  # so is every sample
        return SurvivalCurve(
            times[:1], np.broadcast_to(np.where(reached[:1], 0.0, 1.0), (RESAMPLES, 1))
        )
    return _curves(times, reached, _draws(len(times)))


def _curves(times: FloatArray, reached: BoolArray, drawn: IntArray) -> SurvivalCurve:
    """Return Kaplan and Meier's product for each of S samples, drawn (S, N) times from N runs.

    Not scipy's, which is for one sample at a time, where a board needs thousands.
    """
    order = np.lexsort((~reached, times))  # at one time, events come before ends
    times, reached = times[order], reached[order]
    new = np.append(True, (times[1:] > times[:-1]) | (reached[1:] != reached[:-1]))
    drawn = np.add.reduceat(drawn[:, order], new.nonzero()[0], axis=1)  # those alike are one step
    at_risk = drawn[:, ::-1].cumsum(axis=1)[:, ::-1]
    remain = at_risk - drawn * reached[new]
    steps = np.divide(remain, at_risk, out=np.ones(drawn.shape), where=at_risk > 0)
    return SurvivalCurve(times[new], steps.cumprod(axis=1))


@lru_cache(maxsize=8)
def _draws(n: int) -> IntArray:
    """Return how often each of n runs is in each bootstrap sample, shape (RESAMPLES, n)."""
    drawn = resamples(np.random.default_rng(0), RESAMPLES, n)
    drawn.setflags(write=False)  # every caller gets the same array
    return drawn


def quantile_time(curve: SurvivalCurve, q: float) -> FloatArray:
    """Return the first time from which no more than 1 - `q` still wait; infinity for none.

    Returns:
        Shape (...), that of the curve without its last axis.
    """
    return _first(curve, curve.waiting <= 1 - q + _ROUNDING)


def upper_median_time(curve: SurvivalCurve) -> FloatArray:
    """Return the first time from which fewer than half wait, the upper of two middles."""
    return _first(curve, curve.waiting < 0.5 - _ROUNDING)


def _first(curve: SurvivalCurve, holds: BoolArray) -> FloatArray:
    """Return the first time at which `holds`, of shape (..., K), does."""
    time = curve.times[holds.argmax(axis=-1)]
    return np.where(holds.any(axis=-1), time, np.inf)


def area_until(curve: SurvivalCurve, end: float) -> FloatArray:
    """Return the area under a curve from 0 to `end`: the mean time, counted up to `end`.

    Where the last run is censored before `end`, the curve goes on flat, which can only make the
    mean too large.

    Returns:
        In the unit of `end`, shape (...).
    """
    edges = np.concatenate(([0.0], np.clip(curve.times, 0.0, end), [end]))
    widths = np.diff(edges)
    # One after the other: the order of a sum must not depend on the processor.
    later = (curve.waiting * widths[1:]).cumsum(axis=-1)[..., -1]
    return np.asarray(widths[0] + later)


# Figures with intervals

CONFIDENCE = 0.95

_NORMAL_975 = 1.959963984540054
"""The quantile of the normal distribution at (1 + `CONFIDENCE`) / 2."""


class Median(Frozen):
    """A median, or another quantile, over seeds; None stands for "beyond the budget".

    Attributes:
        value: Kaplan and Meier's.
        low, high: Its 95 % bootstrap interval (percentile, seeds resampled).
        n: How many seeds it rests on.
        never: How many of them never got there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    never: int


class RestrictedMean(Frozen):
    """A mean over seeds in which nothing counts for more than the budget.

    With ten seeds its interval is too narrow where failures are rare: what no seed shows, no
    resampling can (docs/scores.md has figures).

    Attributes:
        value: The area under Kaplan and Meier's curve from 0 to the budget.
        low, high: Its 95 % bootstrap interval (percentile, seeds resampled).
        n: How many seeds it rests on.
        never: How many of them never got there, and so count with the whole budget.
    """

    value: float
    low: float
    high: float
    n: int
    never: int


class Mean(Frozen):
    """A mean over seeds.

    Attributes:
        value: The mean, to six digits: what lies below depends on the order of a sum.
        low, high: Its 95 % bootstrap interval (percentile, seeds resampled).
        n: How many seeds it rests on.
    """

    value: float
    low: float
    high: float
    n: int


def censored_median(values: Sequence[float | None]) -> Median | None:
    """Return the median of `values`, where None is "never"; None where there are no values.

    >>> censored_median([64, 128, None]).value
    128.0
    >>> censored_median([64, None, None]).value is None
    True
    """
    return censored_quantile(values, 0.5)


def censored_quantile(
    values: Sequence[float | None], q: float, followed: Sequence[float] | None = None
) -> Median | None:
    """Return a quantile of `values`, where None is "never"; None where there are no values.

    Of ten seeds the upper quartile is the eighth: as many as 3/4, rounded up, are no greater.

    Args:
        values: One a seed.
        q: Between 0 and 1; the median's is one half.
        followed: Until when each seed was followed: a None is known to lie beyond that, and no
            more is known of it. Left out, a None lies beyond every value, which holds of runs
            that share a budget; then this is the inverse of the empirical distribution at `q`.

    >>> censored_quantile([64, 128, 256, None], 0.75).value
    256.0
    """
    if not values:
        return None
    times, reached = _sample(values, followed)
    low, high = interval(quantile_time(resampled_curves(times, reached), q))
    return Median(
        value=_finite(quantile_time(kaplan_meier(times, reached), q).item()),
        low=_finite(low),
        high=_finite(high),
        n=len(values),
        never=int((~reached).sum()),
    )


def mean(values: Sequence[float]) -> Mean | None:
    """Return the mean of `values`, one a seed; None where there are none.

    The resampling is seeded, so the same values in the same order give the same interval.

    >>> mean([0.5, 0.7]).value
    0.6
    """
    if not values:
        return None
    value = low = high = float(np.mean(values))
    if len(values) > 1:
        drawn = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
        means = np.sort(np.mean(np.asarray(values)[drawn], axis=1))
        tails = np.array([(1 - CONFIDENCE) / 2, 1 - (1 - CONFIDENCE) / 2])
        place, share = np.divmod(tails * RESAMPLES + (1 - tails), 1)
        above = place.astype(np.int64)  # scipy's quantiles, to the bit: `np.quantile` rounds others
        low, high = (1 - share) * means[above - 1] + share * means[above]
    return Mean(value=six_digits(value), low=six_digits(low), high=six_digits(high), n=len(values))


def restricted_mean(values: Sequence[float | None], budget: float) -> RestrictedMean | None:
    """Return the mean of `values` within a budget; None where there are no values.

    Args:
        values: One a seed, not negative. None is "not within the budget".
        budget: Until when every seed was followed. It is part of the figure: one seed in ten
            that never got there adds a tenth of it.

    >>> restricted_mean([64, 128, None], budget=1000).value
    397.333
    """
    if not values:
        return None
    times, reached = _sample(values, [budget] * len(values))
    low, high = interval(area_until(resampled_curves(times, reached), budget))
    return RestrictedMean(
        value=_rounded(area_until(kaplan_meier(times, reached), budget).item()),
        low=_rounded(low),
        high=_rounded(high),
        n=len(values),
        never=int((~reached).sum()),
    )


def _sample(
    values: Sequence[float | None], followed: Sequence[float] | None
) -> tuple[FloatArray, BoolArray]:
    """Return the time of each value, or until when it was followed, and which are values."""
    ends = [math.inf] * len(values) if followed is None else followed
    times = [end if v is None else float(v) for v, end in zip(values, ends, strict=True)]
    return np.asarray(times), np.asarray([v is not None for v in values])


def interval(estimates: FloatArray) -> tuple[float, float]:
    """Return the ends of the 95 % interval of bootstrap estimates, (n,); each is one of them."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(estimates, [tail, 1 - tail], method="inverted_cdf")
    return float(low), float(high)


def paired_ratio(first: Sequence[float | None], second: Sequence[float | None]) -> Median | None:
    """Return the median over seeds of first / second, where None is "never".

    Never over a number is beyond all bounds, a number over never is 0. Two nevers, like any two
    that are equal, tell nothing apart and count as 1; None where there is nothing but nevers.

    Args:
        first: One value a seed, not negative.
        second: Likewise, in the same order of seeds.

    >>> paired_ratio([64, 64, 64], [64, 128, 256]).value
    0.5
    """
    pairs = list(zip(first, second, strict=True))
    if all(one is None and other is None for one, other in pairs):
        return None
    ratios = [_ratio(one, other) for one, other in pairs]
    median = censored_median(ratios)
    # Of an even number our median is the lower of the two in the middle, which for a ratio upside
    # down is the upper one. The interval holds both, whichever way the ratio is read.
    _, high = interval(upper_median_time(resampled_curves(*_sample(ratios, None))))
    return median and median.model_copy(update={"high": _finite(high)})


def _ratio(one: float | None, other: float | None) -> float | None:
    """Return one / other; None for infinity."""
    if one == other:
        return 1.0
    if one is None or other == 0:
        return None
    return 0.0 if other is None else one / other


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a success fraction; (0, 1) for no trials.

    Newcombe, Stat. Med. 17 (1998) 857-872, method 3.

    >>> [round(end, 3) for end in wilson_interval(9, 10)]
    [0.596, 0.982]
    """
    if n == 0:
        return 0.0, 1.0
    share, z = successes / n, _NORMAL_975
    centre = (2 * n * share + z**2) / (2 * (n + z**2))
    half = z / (2 * (n + z**2)) * math.sqrt(4 * n * share * (1 - share) + z**2)
    return centre - half if successes else 0.0, centre + half if successes < n else 1.0


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _rounded(value: float) -> float:
    """Return a mean to three decimals: what lies below is the rounding of a product of shares."""
    return round(value, 3)


@lru_cache(maxsize=32)
def draws(n: int, purpose: str) -> npt.NDArray[np.uint16]:
    """Return how often each of n is in each sample, shape (RESAMPLES, n).

    Args:
        n: How many are drawn, of as many, with replacement.
        purpose: The same draws for the same purpose, on any machine, and others for another.
    """
    rng = np.random.default_rng([n, *purpose.encode()])
    found = np.empty((RESAMPLES, n), dtype=np.uint16)
    for part in np.array_split(found, 1 + found.size // (1 << 17)):  # what a cache holds
        part[:] = resamples(rng, *part.shape)
    found.setflags(write=False)  # every caller gets the same array
    return found


def resamples(rng: np.random.Generator, samples: int, n: int) -> IntArray:
    """Return how often each of n, drawn n times with replacement, is in each sample; (samples, n).

    The numbers that it takes of `rng` are those of one sample after another.
    """
    picks = rng.integers(0, n, (samples, n)) + n * np.arange(samples)[:, None]
    return np.bincount(picks.ravel(), minlength=picks.size).reshape(picks.shape)


def drawn_ranks(merits: Mapping[str, FloatArray]) -> dict[str, tuple[float, ...]]:
    """Return the place of each row in each of `DRAWS` samples.

    Args:
        merits: By row, in each sample, (DRAWS or more,); higher is better, NaN the worst.
    """
    if not merits:
        return {}
    costs = -np.stack([merit[:DRAWS] for merit in merits.values()])
    costs = np.array(
        [[six_digits(cost) for cost in row] for row in np.nan_to_num(costs, nan=np.inf)]
    )
    places = average_ranks(costs.T).T
    return {name: tuple(map(float, row)) for name, row in zip(merits, places, strict=True)}


def average_ranks(values: FloatArray) -> FloatArray:
    """Return the rank of each value among those of its row, from 1; ties share their mean.

    Args:
        values: Shape (M, N), no NaN.

    >>> average_ranks(np.array([[7.0, 3.0, 7.0, np.inf]])).tolist()
    [[2.5, 1.0, 2.5, 4.0]]
    """
    order = values.argsort(axis=1)
    ascending = np.take_along_axis(values, order, axis=1)
    place = np.arange(values.shape[1])
    new = np.ones(values.shape, dtype=bool)
    new[:, 1:] = ascending[:, 1:] != ascending[:, :-1]
    last = np.ones(values.shape, dtype=bool)
    last[:, :-1] = new[:, 1:]
    begin = np.maximum.accumulate(np.where(new, place, 0), axis=1)
    end = np.minimum.accumulate(np.where(last, place, len(place))[:, ::-1], axis=1)[:, ::-1]
    found = np.empty(values.shape)
    np.put_along_axis(found, order, (begin + end) / 2 + 1, axis=1)
    return found


def six_digits(value: float) -> float:
    """Return a number to six digits: what lies below depends on the order of a sum."""
    return float(f"{value:.6g}")
