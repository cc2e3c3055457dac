"""Tiers: what is told apart, what is not, and what must not decide about others."""

import math

import numpy as np
import pytest
from scipy.stats import wilcoxon

from codonbench.ranking.tiers import tiers, told_apart

NEVER = math.inf


def row(*values, first=0):
    return dict(enumerate(map(float, values), first))


def test_what_differs_on_all_seeds_is_told_apart_and_what_differs_on_half_is_not():
    """p is 2/1024 for the third row; for the second, with five up and five down, 1."""
    even = row(*[1, -1] * 5)
    assert tiers([row(*[0] * 10), even, row(*range(1, 11)), row(*range(1, 11))]) == (1, 1, 2, 2)


def test_each_tier_is_held_against_the_row_that_opened_it():
    steps = [row(*[64 * i] * 10) for i in range(4)]
    assert tiers(steps) == (1, 2, 3, 4)


def test_never_is_worse_than_any_number_and_no_worse_than_never():
    some = row(*[10**7] * 10)
    assert tiers([some, row(*[NEVER] * 10), row(*[NEVER] * 10)]) == (1, 2, 2)


def test_no_row_and_one_row():
    assert tiers([]) == ()
    assert tiers([row(*range(10))]) == (1,)
    assert tiers([{}]) == (None,)


def test_with_five_seeds_nothing_is_told_apart_and_with_six_it_may_be():
    assert tiers([row(*[0] * 5), row(*[NEVER] * 5)]) == (None, None)
    assert tiers([row(*[0] * 6), row(*[NEVER] * 6)]) == (1, 2)


def test_a_lucky_seed_at_the_top_does_not_keep_the_others_in_one_tier():
    good, bad = row(*[64] * 10), row(*[6400] * 10)
    assert tiers([row(0), good, bad]) == (None, 1, 2)


def test_seeds_that_nobody_else_has_run_do_not_keep_the_others_in_one_tier():
    elsewhere = row(*[0] * 10, first=100)
    good, bad = row(*[64] * 10), row(*[6400] * 10)
    assert tiers([elsewhere, good, bad]) == (None, 1, 2)
    assert tiers([good, row(*[640] * 10, first=100)]) == (1, None)


def test_a_row_with_few_seeds_has_no_tier_and_changes_none():
    assert tiers([row(*[0] * 10), row(*[64] * 10), row(65), row(*[640] * 10)]) == (1, 2, None, 3)


def test_a_row_ahead_by_its_median_but_worse_seed_by_seed_opens_no_gap():
    """Six seeds at 0 put it in front; the row below is 1 on the seeds at which it is far worse."""
    leader = row(*[0] * 6, *[NEVER] * 14)
    assert tiers([leader, row(*[1] * 20)]) == (1, 1)


def with_better_seeds(*ranks):
    """Ten seeds worse than 0 by 1 to 10, but for some that are better by as much."""
    return row(*(-size if size in ranks else size for size in range(1, 11)))


@pytest.mark.parametrize(
    ("better", "ways"), [((), 2), ((5,), 20), ((6,), 28), ((8,), 50), ((2, 10), 134)]
)
def test_the_rows_of_these_tests_have_the_p_values_they_are_said_to_have(better, ways):
    gaps = list(with_better_seeds(*better).values())
    assert wilcoxon(gaps, method="exact").pvalue == pytest.approx(ways / 1024)


def test_more_rows_make_it_harder_and_bad_rows_do_not_make_good_ones_equal():
    """p is 20/1024: below 5 % alone, not beside nine that equal the leader (times 10), but beside
    forty that never get there (times 41 / 41)."""
    leader, worse = row(*[0] * 10), with_better_seeds(5)
    assert tiers([leader, worse]) == (1, 2)
    assert tiers([leader, *[leader] * 9, worse]) == (1,) * 11
    hopeless = [row(*[NEVER] * 10)] * 40
    assert tiers([leader, worse, *hopeless])[:2] == (1, 2)


def test_p_values_are_adjusted_as_benjamini_and_hochberg_do():
    """2, 28 and 50 of 1024, times 3/1, 3/2 and 3/3, are all below 5 %, that is, below 51.2. With
    134 beside them, times 4/1, 4/2 and 4/3, only the first is."""
    opener = np.zeros(10)
    below = np.array(
        [list(with_better_seeds(*ranks).values()) for ranks in ((), (6,), (8,), (2, 10))]
    )
    assert told_apart(opener, below[:3]).tolist() == [True, True, True]
    assert told_apart(opener, below).tolist() == [True, False, False, False]


def test_a_row_that_is_better_seed_by_seed_is_not_told_apart_as_worse():
    assert told_apart(np.zeros(10), -np.arange(1.0, 11)[None]).tolist() == [False]


@pytest.mark.parametrize("rows", [5, 22, 60])
def test_equal_rows_are_hardly_ever_split_though_the_luckiest_leads(rows):
    chance = np.random.default_rng(1)
    split = 0
    for _ in range(200):
        values = chance.lognormal(size=(rows, 10)) * 64 // 16
        values = values[np.argsort(np.median(values, axis=1), kind="stable")]
        split += max(tiers([row(*v) for v in values])) > 1
    assert split <= 20  # one table in ten; without an adjustment half or more of the larger ones


def test_the_order_of_seeds_does_not_matter():
    chance = np.random.default_rng(0)
    rows = [row(*chance.normal(i, 1, size=10)) for i in range(8)]
    assert tiers(rows) == tiers([dict(reversed(r.items())) for r in rows])


def test_two_thousand_steps_are_two_thousand_tiers():
    assert tiers([row(*[i] * 10) for i in range(2000)]) == tuple(range(1, 2001))
