"""Times to an event of which some are cut short: the curves, and what is read from them.

A run that ends before the event is right-censored: the event came later than the run was
followed, and how much later is not known. Kaplan and Meier's curve gives the share of runs that
still wait at each time, from all of them; its median and the area under it follow.

Kaplan & Meier, J. Am. Stat. Assoc. 53 (1958) 457-481. Restricted mean: Royston & Parmar, BMC Med.
Res. Methodol. 13 (2013) 152.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import CensoredData, ecdf

RESAMPLES = 2_000

_ROUNDING = 1e-9
"""How far a product of shares may miss one half: 9/10 of 8/9 of ... of 5/6 must be one half."""

_Floats = npt.NDArray[np.float64]
_Bools = npt.NDArray[np.bool_]


class Curve(NamedTuple):
    """One or more survival curves that step at the same times; before the first, all wait.

    Attributes:
        times: Ascending, shape (K,). A curve need not step at each.
        waiting: The share still waiting from each time on, shape (..., K).
    """

    times: _Floats
    waiting: _Floats


def kaplan_meier(times: _Floats, reached: _Bools) -> Curve:
    """Return the curve of a sample, by scipy.

    Args:
        times: When the event came, or until when a run was followed; infinity for a run that
            will never see it. Shape (N,), N >= 1, in any order.
        reached: Whether the event came, shape (N,). A run followed to the very time of
            another's event was still waiting then.
    """
    # scipy knows no infinity. The last finite time serves: the curve has no step beyond it.
    last = times.max(where=np.isfinite(times), initial=0.0)
    found = ecdf(CensoredData.right_censored(np.minimum(times, last), ~reached)).sf
    return Curve(found.quantiles, found.probabilities)


def resampled_curves(times: _Floats, reached: _Bools) -> Curve:
    """Return the curves of `RESAMPLES` bootstrap samples: runs drawn with replacement.

    The same product as `kaplan_meier`'s, written for all samples at once, because scipy's is
    for one at a time and a board needs thousands. The draws depend on N alone: the same records
    must give the same leaderboard, to the byte.

    Args:
        times: As for `kaplan_meier`.
        reached: Likewise.

    Returns:
        Curves of shape (RESAMPLES, N), or (RESAMPLES, 1) where all runs are alike.
    """
    if (times == times[0]).all() and (reached == reached[0]).all():  # so is every sample
        return Curve(times[:1], np.broadcast_to(np.where(reached[:1], 0.0, 1.0), (RESAMPLES, 1)))
    order = np.lexsort((~reached, times))  # at one time, events come before ends
    drawn = _draws(len(times))[:, order]
    at_risk = drawn[:, ::-1].cumsum(axis=1)[:, ::-1]
    remain = at_risk - drawn * reached[order]
    steps = np.divide(remain, at_risk, out=np.ones(drawn.shape), where=at_risk > 0)
    return Curve(times[order], steps.cumprod(axis=1))


@lru_cache(maxsize=8)
def _draws(n: int) -> npt.NDArray[np.int64]:
    """Return how often each of n runs is in each bootstrap sample, shape (RESAMPLES, n)."""
    picks = np.random.default_rng(0).integers(0, n, size=(RESAMPLES, n))
    picks += n * np.arange(RESAMPLES)[:, None]
    drawn = np.bincount(picks.ravel(), minlength=RESAMPLES * n).reshape(RESAMPLES, n)
    drawn.setflags(write=False)  # every caller gets the same array
    return drawn


def median_time(curve: Curve) -> _Floats:
    """Return the first time from which no more than half still wait; infinity for none.

    Returns:
        Shape (...), that of the curve without its last axis.
    """
    return _first(curve, curve.waiting <= 0.5 + _ROUNDING)


def upper_median_time(curve: Curve) -> _Floats:
    """Return the first time from which fewer than half wait, the upper of two middles."""
    return _first(curve, curve.waiting < 0.5 - _ROUNDING)


def _first(curve: Curve, holds: _Bools) -> _Floats:
    """Return the first time at which `holds`, of shape (..., K), does."""
    time = curve.times[holds.argmax(axis=-1)]
    return np.where(holds.any(axis=-1), time, np.inf)


def area_until(curve: Curve, end: float) -> _Floats:
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
