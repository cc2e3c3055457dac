"""Ranks that a test paired by seed cannot tell apart share a tier.

Where test outputs are at hand, `codonbench.ranking.items` compares rows by items as well.

The first row opens tier 1. Each row below it is held against it, seed by seed; the first row that
is told apart opens the next tier, and the rows from there on are held against that one. So a tier
says how its rows stand to the row that opened it, and no more: within a tier, and between rows
that opened none, nothing was compared, for "not told apart" does not carry over from row to row.

The rows below an opener are tested together, and p-values are adjusted for their number by
Benjamini and Hochberg: of the rows told apart, at most one in twenty is expected to be no worse.
Holm's adjustment would bound the chance of a single error instead, but with ten seeds p is never
below 2/1024, so of 26 rows or more it could tell none apart, and a table full of bad rows would
make its good ones equal. Here bad rows make it easier for those before them, to at most `LEVEL` a
comparison. The opener leads because it did well on these very
seeds, which is not independent of the test. In 2,000 simulated tables of equal rows, ten seeds
each, the luckiest row in front, a second tier opened in 6 % of those of 5 rows, 7 % of 22 and 5 %
of 60; without an adjustment in 19, 59 and 79 %. `tests/test_tiers.py` repeats it on fewer.

Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289-300.

Two models held against each other seed by seed: can chance have put one before the other?

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

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control, rankdata

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


# Tiers

LEVEL = 0.05

FEWEST_SEEDS = 6
"""Seeds that two rows must share: with five, p is 2/32 at the least, and above `LEVEL`."""

_Values = npt.NDArray[np.float64]
"""One row a model, one column a seed; NaN where a model has not run a seed."""


def tiers(costs: Sequence[Mapping[int, float]]) -> tuple[int | None, ...]:
    """Return the tier of each row, from 1, ascending; None for a row that was not tested.

    Rows are compared over the seeds that at least half of the rows have run. A row that has not
    run six of these has no tier and opens none, so that neither a lucky seed at the top nor ten
    seeds that nobody else has run can keep the others in one tier. Nor has a row a tier that
    shares fewer than six with the row that opened the one it stands in.

    Args:
        costs: For each row, in the order of ranks, what it is ranked by: a value for each seed,
            lower is better (so the negative of what is better higher), infinity for "never".
    """
    values = _values(costs)
    waiting = np.flatnonzero((~np.isnan(values)).sum(axis=1) >= FEWEST_SEEDS)
    found: list[int | None] = [None] * len(costs)
    tier = 0
    while len(waiting):
        tier += 1
        opener, below = waiting[0], waiting[1:]
        worse = told_apart(values[opener], values[below])
        members = below[: int(worse.argmax()) if worse.any() else len(below)]
        for row in (opener, *members[_shared(values[opener], values[members])]):
            found[row] = tier
        waiting = below[len(members) :]
    return tuple(found)


def _values(costs: Sequence[Mapping[int, float]]) -> _Values:
    """Return the rows' values for the seeds that at least half of them have.

    Half of those rows that have as many seeds as a comparison takes.
    """
    enough = [row for row in costs if len(row) >= FEWEST_SEEDS]
    ran = Counter(seed for row in enough for seed in row)
    seeds = sorted(seed for seed, rows in ran.items() if 2 * rows >= len(enough))
    values = np.full((len(costs), len(seeds)), np.nan)
    for i, row in enumerate(costs):
        values[i] = [row.get(seed, np.nan) for seed in seeds]
    return values


def told_apart(opener: _Values, below: _Values) -> npt.NDArray[np.bool_]:
    """Return which rows are worse than `opener` beyond what chance explains, shape (M,).

    Args:
        opener: Its values, shape (S,).
        below: Those of the rows it is held against, shape (M, S).
    """
    shared = _shared(opener, below)
    worse = np.zeros(len(below), dtype=np.bool_)
    if shared.any():
        test = signed_rank(differences(opener, below[shared]))
        worse[shared] = (false_discovery_control(test.p) <= LEVEL) & (test.balance > 0)
    return worse


def _shared(opener: _Values, below: _Values) -> npt.NDArray[np.bool_]:
    """Return which rows share enough seeds with `opener` to be held against it, shape (M,)."""
    return np.asarray((~np.isnan(opener) & ~np.isnan(below)).sum(axis=1) >= FEWEST_SEEDS)
