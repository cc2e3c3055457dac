"""Two models held against each other seed by seed: can chance have put one before the other?

The test is Wilcoxon's signed-rank test in its exact conditional form. If two models do equally
well on a stream, which of the two is the quicker on a seed is a coin's toss; so all 2^n ways of
giving the n observed differences a sign are equally likely, and p is the share of them that are
at least as lopsided as what was seen. Nothing is assumed of how the differences are spread.
Ties and infinities are exact: two equal values say nothing and are left out, "never" against a
number is a difference above all others, equal differences share their rank.

Why not the sign test, which is as exact: of ten seeds it needs nine on one side, whatever the
sizes. Why our own sum: scipy's exact distribution knows no ties, its asymptotic one is wrong for
ten seeds, and its permutations take 0.1 s a pair, of which a board has thousands.

What ten seeds can show is little. The smallest p is 2/1024, with all ten on one side; of
normal differences that lie one standard deviation from 0, 78 % of samples come below 5 %, and
28 % where it is half of one (simulated). With five seeds the smallest p is 2/32, so nothing is
ever shown at 5 %.

Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; the conditional form: Lehmann, Nonparametrics (1975).
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

_Floats = npt.NDArray[np.float64]


class SignedRank(NamedTuple):
    """The test for each of M pairs of models.

    Attributes:
        balance: Ranks of the positive differences less those of the negative, shape (M,).
        p: Two-sided p-value, shape (M,); 1 where nothing differs.
    """

    balance: _Floats
    p: _Floats


def differences(first: _Floats, second: _Floats) -> _Floats:
    """Return second - first, 0 where both are infinite or either is missing.

    Args:
        first: One value a seed, NaN where there is none.
        second: Likewise, of a shape that broadcasts with the first's.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = second - first
    return np.where((first == second) | np.isnan(first) | np.isnan(second), 0.0, gaps)


def signed_rank(gaps: _Floats) -> SignedRank:
    """Return the exact signed-rank test of differences.

    Five seeds with 3, -1, 2, infinity, 0: the zero is left out, the ranks are 3, 1, 2 and 4, of
    which 9 are positive and 1 negative. Of 16 ways to sign them, 2 have 9 or more on the positive
    side (none negative, or rank 1), and 2 on the negative: p is 4/16.

    Args:
        gaps: One difference a seed, shape (M, N); infinities allowed, no NaN.
    """
    # Ranks in halves, so that those shared by two are whole numbers. Zeros rank lowest; taking
    # their number off gives the rest the ranks they have without them.
    zeros = (gaps == 0).sum(axis=1, keepdims=True)
    ranks = np.rint(2 * (rankdata(np.abs(gaps), axis=1) - zeros)).astype(np.int64)
    ranks[gaps == 0] = 0
    above = np.where(gaps > 0, ranks, 0).sum(axis=1)
    total = ranks.sum(axis=1)
    larger = np.maximum(above, total - above)
    patterns = map(tuple, np.sort(ranks, axis=1).tolist())
    tails = [_tails(pattern)[w] for pattern, w in zip(patterns, larger.tolist(), strict=True)]
    return SignedRank(balance=(2 * above - total) / 2, p=np.minimum(2 * np.asarray(tails), 1.0))


@lru_cache(maxsize=4096)
def _tails(ranks: tuple[int, ...]) -> tuple[float, ...]:
    """Return P(sum of the positive ranks >= w) for w = 0, 1, ..., all signs equally likely."""
    chance = np.ones(1)
    for rank in ranks:
        grown = np.zeros(len(chance) + rank)
        grown[: len(chance)] += chance / 2
        grown[rank:] += chance / 2
        chance = grown
    return tuple(chance[::-1].cumsum()[::-1].tolist())
