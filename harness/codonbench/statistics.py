"""Many seeds to one figure with an honest interval.

A run that never got there within its budget is right-censored: it counts as longer than
anything measured, is never dropped and never replaced by a number. All runs of a table share
one budget, so the Kaplan-Meier median is the inverse of the empirical distribution at one half
with "never" as infinity.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

from codonbench.contracts import Frozen

CONFIDENCE = 0.95
RESAMPLES = 2_000


class Median(Frozen):
    """A median over seeds; None stands for "beyond the budget".

    Attributes:
        value: The median.
        low, high: Its 95 % bootstrap interval (percentile, seeds resampled).
        n: How many seeds it rests on.
        never: How many of them never got there.
    """

    value: float | None
    low: float | None
    high: float | None
    n: int
    never: int


def censored_median(values: Sequence[float | None]) -> Median | None:
    """Return the median of `values`, where None is "never"; None where there are no values.

    >>> censored_median([64, 128, None]).value
    128.0
    >>> censored_median([64, None, None]).value is None
    True
    """
    if not values:
        return None
    times = _times(values)
    low, high = _interval(times, "inverted_cdf")
    middle = np.quantile(times, 0.5, method="inverted_cdf")
    return Median(
        value=_finite(middle),
        low=low,
        high=high,
        n=len(times),
        never=int(np.isinf(times).sum()),
    )


def _times(values: Sequence[float | None]) -> npt.NDArray[np.float64]:
    """Return values with infinity for "never"."""
    return np.asarray([math.inf if v is None else float(v) for v in values])


def _interval(
    times: npt.NDArray[np.float64], middle: Literal["inverted_cdf", "higher"]
) -> tuple[float | None, float | None]:
    """Return the 95 % bootstrap interval of a median: the lower or the higher of two middles."""
    # A fixed generator: the same records must give the same leaderboard, to the byte.
    draws = np.random.default_rng(0).choice(times, size=(RESAMPLES, len(times)))
    medians = np.quantile(draws, 0.5, axis=1, method=middle)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(medians, [tail, 1 - tail], method="inverted_cdf")
    return _finite(low), _finite(high)


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
    _, high = _interval(_times(ratios), "higher")
    return median and median.model_copy(update={"high": high})


def _ratio(one: float | None, other: float | None) -> float | None:
    """Return one / other; None for infinity."""
    if one == other:
        return 1.0
    if one is None or other == 0:
        return None
    return 0.0 if other is None else one / other


def is_chance(successes: int, n: int, chance: float, level: float = 0.01) -> bool:
    """Return whether so many successes in n trials, or more, are not rarer than `level`.

    >>> is_chance(2, 10, chance=0.25), is_chance(8, 10, chance=0.25)
    (True, False)
    """
    return bool(binomtest(successes, n, chance, alternative="greater").pvalue >= level)


def wilson_interval(successes: int, n: int) -> tuple[float, float]:
    """Return the 95 % Wilson interval of a success fraction; (0, 1) for no trials."""
    if n == 0:
        return 0.0, 1.0
    interval = binomtest(successes, n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
