"""Tiers: what is told apart, what is not, and what must not decide about others."""

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy.stats import wilcoxon

from codonbench.ranking.tiers import p_by_seed, tiers

NEVER = math.inf


def tiers_of(rows):
    return tiers(p_by_seed(rows))


def matrix(*above):
    """P-values of rows in the order of ranks, row by row those against the rows below."""
    p = np.eye(len(above) + 1)
    for i, row in enumerate(above):
        p[i, i + 1 :] = row
    return p


def row(*values, first=0):
    return dict(enumerate(map(float, values), first))


def test_what_differs_on_all_seeds_is_told_apart_and_what_differs_on_half_is_not():
    """p is 2/1024 for the third row; for the second, with five up and five down, 1."""
    even = row(*[1, -1] * 5)
    assert tiers_of([row(*[0] * 10), even, row(*range(1, 11)), row(*range(1, 11))]) == (1, 1, 2, 2)


def test_a_tier_ends_where_each_row_above_is_told_apart_from_each_below():
    """Of three rows, 2 x 5 % / 3 or less is needed: 0.033. The first two are not told apart."""
    assert tiers(matrix([0.06, 0.001], [0.03])) == (1, 1, 2)
    assert tiers(matrix([0.001, 0.001], [0.06])) == (1, 2, 2)
    assert tiers(matrix([0.001, 0.04], [0.001])) == (1, 1, 1)  # the ends are not


def test_rows_that_stand_alone_count_no_more():
    """Of four, 0.025 is needed; the first two stand alone then, and of the others 0.05 is."""
    assert tiers(matrix([0.01, 0.01, 0.01], [0.01, 0.01], [0.045])) == (1, 2, 3, 4)
    assert tiers(matrix([0.01, 0.01, 0.01], [0.04, 0.01], [0.045])) == (1, 2, 2, 2)


def test_what_cannot_be_tested_has_no_tier_and_keeps_nobody_together():
    nan = np.nan
    p = matrix([0.001, nan], [0.001])
    assert tiers(p) == (1, 2, None)
    p = matrix([nan, 0.001], [nan])
    p[1, 1] = nan
    assert tiers(p) == (1, None, 2)


def test_never_is_worse_than_any_number_and_no_worse_than_never():
    some = row(*[10**7] * 10)
    assert tiers_of([some, row(*[NEVER] * 10), row(*[NEVER] * 10)]) == (1, 2, 2)


def test_no_row_and_one_row():
    assert tiers_of([]) == ()
    assert tiers_of([row(*range(10))]) == (1,)
    assert tiers_of([{}]) == (None,)


def test_with_five_seeds_nothing_is_told_apart_and_with_six_it_may_be():
    assert tiers_of([row(*[0] * 5), row(*[NEVER] * 5)]) == (None, None)
    assert tiers_of([row(*[0] * 6), row(*[NEVER] * 6)]) == (1, 2)


def test_a_lucky_seed_at_the_top_does_not_keep_the_others_in_one_tier():
    good, bad = row(*[64] * 10), row(*[6400] * 10)
    assert tiers_of([row(0), good, bad]) == (None, 1, 2)


def test_seeds_that_nobody_else_has_run_do_not_keep_the_others_in_one_tier():
    elsewhere = row(*[0] * 10, first=100)
    good, bad = row(*[64] * 10), row(*[6400] * 10)
    assert tiers_of([elsewhere, good, bad]) == (None, 1, 2)
    assert tiers_of([good, row(*[640] * 10, first=100)]) == (1, None)


def test_a_row_with_few_seeds_has_no_tier_and_changes_none():
    assert tiers_of([row(*[0] * 10), row(*[64] * 10), row(65), row(*[640] * 10)]) == (1, 2, None, 3)


def test_a_row_ahead_by_its_median_but_worse_seed_by_seed_opens_no_gap():
    """Six seeds at 0 put it in front; the row below is 1 on the seeds at which it is far worse."""
    leader = row(*[0] * 6, *[NEVER] * 14)
    assert tiers_of([leader, row(*[1] * 20)]) == (1, 1)


def with_better_seeds(*ranks):
    """Ten seeds worse than 0 by 1 to 10, but for some that are better by as much."""
    return row(*(-size if size in ranks else size for size in range(1, 11)))


@pytest.mark.parametrize(
    ("better", "ways"), [((), 2), ((5,), 20), ((6,), 28), ((8,), 50), ((2, 10), 134)]
)
def test_the_rows_of_these_tests_have_the_p_values_they_are_said_to_have(better, ways):
    gaps = list(with_better_seeds(*better).values())
    assert wilcoxon(gaps, method="exact").pvalue == pytest.approx(ways / 1024)


def test_more_rows_make_it_harder_and_hopeless_ones_do_not_make_it_easier():
    """p is 20/1024: less than 0.1/2, but not than 0.1/11; and forty that never get there count."""
    leader, worse = row(*[0] * 10), with_better_seeds(5)
    assert tiers_of([leader, worse]) == (1, 2)
    assert tiers_of([leader, *[leader] * 9, worse]) == (1,) * 11
    hopeless = [row(*[NEVER] * 10)] * 40
    assert tiers_of([leader, worse, *hopeless]) == (1, 1, *[2] * 40)


def test_a_row_that_is_better_seed_by_seed_is_not_told_apart_as_worse():
    assert p_by_seed([row(*range(1, 11)), row(*[0] * 10)])[0, 1] == 1
    assert p_by_seed([row(*[0] * 10), row(*range(1, 11))])[0, 1] == 2 / 1024


def equal(rng, n):
    """Equal rows, the one with the lowest upper quartile first."""
    values = rng.lognormal(size=(n, 10)) * 64 // 16
    return values[np.argsort(np.quantile(values, 0.75, axis=1), kind="stable")]


@pytest.mark.parametrize(
    ("groups", "beside"), [([22], 0), ([8], 0), ([8], 14), ([2] * 11, 0)], ids=str
)
def test_equal_rows_are_seldom_split_whatever_else_is_there(groups, beside):
    """Groups of equal rows, each far behind the last, and rows that never get there.

    At most one table in twenty; of 100 more than 13 would be a chance of one in 2,000."""
    rng = np.random.default_rng(1)
    split = 0
    for _ in range(100):
        rows = np.concatenate([equal(rng, n) + 1e4 * i for i, n in enumerate(groups)])
        found = tiers_of([row(*v) for v in [*rows, *[[NEVER] * 10] * beside]])
        ends = np.cumsum([0, *groups])
        split += any(found[a] != found[b - 1] for a, b in pairwise(ends))
    assert split <= 13


def test_the_order_of_seeds_does_not_matter():
    chance = np.random.default_rng(0)
    rows = [row(*chance.normal(i, 1, size=10)) for i in range(8)]
    assert tiers_of(rows) == tiers_of([dict(reversed(r.items())) for r in rows])


def test_ten_seeds_tell_fifty_one_rows_apart_and_no_more():
    """The smallest p is 2/1024, and 0.1/51 is just as much."""
    assert tiers_of([row(*[i] * 10) for i in range(51)]) == tuple(range(1, 52))
    assert set(tiers_of([row(*[i] * 10) for i in range(52)])) == {1}
