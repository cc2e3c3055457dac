"""Ranks that a paired test cannot tell apart share a tier.

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
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import false_discovery_control

from codonbench.ranking.pairing import differences, signed_rank

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
