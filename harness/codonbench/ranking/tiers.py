"""Ranks without a significant difference share a tier; the test for positions, paired by seed.

A tier ends where each row above is told apart from each row below, so that any two rows of
different tiers were told apart, and two of one tier may have been or not.

Two rows are told apart where the p-value of their difference is 2 `LEVEL` / K or less, K being the
number of rows that share a tier with another. That keeps the chance that a tier's end falls between
any two rows that are equal at `LEVEL` or less, whatever other rows there are and however the tests
depend on one another. For if k rows are equal and t of them come to stand above the end of a tier
and the rest below, t (k - t) >= k - 1 of their k (k - 1) / 2 comparisons are wrong; where each is
wrong with probability a, a k (k - 1) / 2 are on average, so that the chance of k - 1 or more is
a k / 2 at most (Markov). Summed over all groups of equal rows that is a K / 2. A row that stands
alone in its tier is equal to none, or the error was made before, so that K need not count it
(as in Holm's method; Scand. J. Stat. 6 (1979) 65-70). `benchmarks/tiers.md` has simulations.

For positions in the stream the test is Wilcoxon's signed-rank test in its exact conditional form.
If two models do equally well on a stream, which of the two is the quicker on a seed is a coin's
toss; so all 2^n ways of giving the n observed differences a sign are equally likely, and p is the
share of them that are at least as lopsided as what was seen. Nothing is assumed of how the
differences are spread. Ties and infinities are exact: two equal values say nothing and are left
out, "never" against a number is a difference above all others, equal differences share their rank.

Why not the sign test, which is as exact: of ten seeds it needs nine on one side, whatever the
sizes. Why our own sum: scipy's exact distribution knows no ties, its asymptotic one is wrong for
ten seeds, and its permutations take 0.1 s a pair, of which a board has thousands.

What ten seeds can show is little: the smallest p is 2/1024, with all ten on one side, so that of
52 rows or more that share a tier none is told apart.

Wilcoxon, Biometrics Bulletin 1 (1945) 80-83; the conditional form: Lehmann, Nonparametrics (1975).
Where test outputs are at hand, `codonbench.ranking.item_scores` has the p-values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.ranking.statistics import average_ranks

LEVEL = 0.05

FEWEST_SEEDS = 6
"""Seeds that two rows must share: with five, p is 2/32 at the least, and above `LEVEL`."""


def tiers(p: FloatArray) -> tuple[int | None, ...]:
    """Return the tier of each row, from 1, ascending; None for a row that was not tested.

    A row is left out that cannot be tested, or not against all rows before it that are not.

    Args:
        p: Of rows in the order of ranks, shape (K, K). ``p[i, j]`` with i < j: how likely a
            difference like theirs is between equal rows, 1 where row j is not the worse one, NaN
            where that cannot be tested. ``p[i, i]``: NaN where row i cannot be tested at all. What
            is below the diagonal is not looked at.

    >>> tiers(np.array([[1, 0.5, 0.001], [0, 1, 0.02], [0, 0, 1]]))
    (1, 1, 2)
    """
    tested: list[int] = []
    for row in range(len(p)):
        if not np.isnan(p[[*tested, row], row]).any():
            tested.append(row)
    found: list[int | None] = [None] * len(p)
    for row, tier in zip(tested, _tiers(p[np.ix_(tested, tested)]), strict=True):
        found[row] = int(tier)
    return tuple(found)


def _tiers(p: FloatArray) -> IntArray:
    """Return the tiers of rows that were all tested against one another, shape (K,)."""
    rows = len(p)
    # The largest p of a row above each end against one below it, shape (K - 1,).
    weakest = np.array([p[:end, end:].max() for end in range(1, rows)])
    contested = rows
    while True:
        ends = weakest <= 2 * LEVEL / max(contested, 1)
        tier = np.concatenate(([0], ends.cumsum()))[:rows]
        sizes = np.bincount(tier, minlength=1)
        left = int(sizes[sizes > 1].sum())
        if left == contested or not left:
            return 1 + tier
        contested = left


class SignedRank(NamedTuple):
    """The test for each of M pairs of models.

    Attributes:
        balance: Ranks of the positive differences less those of the negative, shape (M,).
        p: Two-sided p-value, shape (M,); 1 where nothing differs.
    """

    balance: FloatArray
    p: FloatArray


def differences(first: FloatArray, second: FloatArray) -> FloatArray:
    """Return second - first, 0 where both are infinite or either is missing.

    Args:
        first: One value a seed, NaN where there is none.
        second: Likewise, of a shape that broadcasts with the first's.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        gaps = second - first
    return np.where((first == second) | np.isnan(first) | np.isnan(second), 0.0, gaps)


def signed_rank(gaps: FloatArray) -> SignedRank:
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
    ranks = np.rint(2 * (average_ranks(np.abs(gaps)) - zeros)).astype(np.int64)
    ranks[gaps == 0] = 0
    above = np.where(gaps > 0, ranks, 0).sum(axis=1)
    total = ranks.sum(axis=1)
    larger = np.maximum(above, total - above)
    patterns = map(tuple, np.sort(ranks, axis=1).tolist())
    tails = [_tails(pattern)[-1 - w] for pattern, w in zip(patterns, larger.tolist(), strict=True)]
    return SignedRank((2 * above - total) / 2, np.minimum(2 * np.asarray(tails, np.float64), 1.0))


@lru_cache(maxsize=4096)
def _tails(ranks: tuple[int, ...]) -> FloatArray:
    """Return P(sum of the positive ranks >= w) for w = 0, 1, ..., all signs equally likely.

    An array, for with hundreds of seeds there are tens of thousands of w.
    """
    chance = np.ones(1)
    for rank in ranks:
        extended = np.zeros(len(chance) + rank)
        extended[: len(chance)] += chance / 2
        extended[rank:] += chance / 2
        chance = extended
    return chance[::-1].cumsum()  # of which the last is that of w = 0


def p_by_seed(costs: Sequence[Mapping[int, float]]) -> FloatArray:
    """Return the p-values that `tiers` takes, of rows compared seed by seed, shape (K, K).

    Rows are compared over the seeds that at least half of the rows have run, so that seeds that
    nobody else has run keep nobody in one tier. A row that has not run `FEWEST_SEEDS` of these
    cannot be tested.

    Args:
        costs: For each row, in the order of ranks, what it is ranked by: a value for each seed,
            lower is better (so the negative of what is better higher), infinity for "never".
    """
    values = _values(costs)
    there = ~np.isnan(values)
    p = np.full((len(costs), len(costs)), np.nan)
    for i in np.flatnonzero(there.sum(axis=1) >= FEWEST_SEEDS):
        shared = np.flatnonzero((there[i:] & there[i]).sum(axis=1) >= FEWEST_SEEDS)
        test = signed_rank(differences(values[i], values[i + shared]))
        p[i, i + shared] = np.where(test.balance > 0, test.p, 1.0)
    return p


def _values(costs: Sequence[Mapping[int, float]]) -> FloatArray:
    """Return the rows' values for the seeds that at least half of them have, NaN for none, (K, S).

    Half of those rows that have as many seeds as a comparison takes.
    """
    enough = [row for row in costs if len(row) >= FEWEST_SEEDS]
    ran = Counter(seed for row in enough for seed in row)
    seeds = sorted(seed for seed, rows in ran.items() if 2 * rows >= len(enough))
    return np.array([[row.get(seed, np.nan) for seed in seeds] for row in costs]).reshape(
        len(costs), len(seeds)
    )
