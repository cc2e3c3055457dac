"""The exact signed-rank test: by hand, against every way to sign, and against scipy."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import PermutationMethod, rankdata, wilcoxon

from codonbench.ranking.tiers import differences, signed_rank

VALUES = st.integers(-4, 4).map(float) | st.sampled_from([math.inf, -math.inf])


def test_five_seeds_by_hand():
    """Ranks 3, 1, 2, 4, of which 1 is negative; 4 of 16 ways to sign are as lopsided."""
    test = signed_rank(np.array([[3, -1, 2, math.inf, 0]]))
    assert test.balance.tolist() == [8]
    assert test.p.tolist() == [4 / 16]


@pytest.mark.parametrize(("n", "p"), [(5, 2 / 32), (6, 2 / 64), (10, 2 / 1024)])
def test_all_seeds_on_one_side_are_two_of_all_ways_to_sign(n, p):
    assert signed_rank(np.arange(1.0, n + 1)[None]).p.tolist() == [p]
    assert signed_rank(np.full((1, n), -math.inf)).p.tolist() == [p]


def test_what_does_not_differ_is_told_apart_by_nothing():
    test = signed_rank(np.zeros((2, 10)))
    assert test.p.tolist() == [1, 1]
    assert test.balance.tolist() == [0, 0]


def share_as_lopsided(gaps):
    """All ways to sign, one by one."""
    gaps = gaps[gaps != 0]
    ranks = rankdata(np.abs(gaps))
    seen = abs(float(np.sign(gaps) @ ranks))
    ways = [abs(float(np.array(signs) @ ranks)) for signs in product((-1, 1), repeat=len(gaps))]
    return sum(way >= seen for way in ways) / len(ways)


@settings(deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=9))
def test_p_is_the_share_of_ways_to_sign_that_are_as_lopsided(gaps):
    gaps = np.asarray(gaps)
    expected = share_as_lopsided(gaps) if gaps.any() else 1
    assert signed_rank(gaps[None]).p[0] == pytest.approx(expected)


@pytest.mark.parametrize("seed", range(10))
def test_without_ties_it_is_scipys_exact_test(seed):
    gaps = np.random.default_rng(seed).normal(0.4, 1, size=20)
    theirs = wilcoxon(gaps, method="exact")
    assert signed_rank(gaps[None]).p[0] == pytest.approx(theirs.pvalue)


@pytest.mark.parametrize("seed", range(4))
def test_with_ties_and_infinities_it_is_scipys_permutation_test(seed):
    chance = np.random.default_rng(seed)
    gaps = chance.choice([-math.inf, -2.0, -1, 0, 1, 1, 2, 3, math.inf], size=10)
    theirs = wilcoxon(gaps, method=PermutationMethod())  # enumerates all 2^10
    assert signed_rank(gaps[None]).p[0] == pytest.approx(theirs.pvalue)


def test_many_pairs_at_once_are_each_their_own():
    gaps = np.random.default_rng(0).integers(-3, 4, size=(50, 10)).astype(float)
    together = signed_rank(gaps)
    for i, row in enumerate(gaps):
        alone = signed_rank(row[None])
        assert (together.p[i], together.balance[i]) == (alone.p[0], alone.balance[0])


def test_two_nevers_and_a_missing_seed_do_not_differ():
    first = np.array([1, math.inf, math.inf, math.nan, -64])
    second = np.array([3, math.inf, 0, 5, math.inf])
    assert differences(first, second).tolist() == [2, 0, -math.inf, 0, math.inf]


def test_one_in_twenty_equal_models_is_told_apart_at_most():
    gaps = np.random.default_rng(0).normal(size=(20_000, 10))
    assert (signed_rank(gaps).p <= 0.05).mean() == pytest.approx(50 / 1024, abs=0.005)


@pytest.mark.parametrize(("shift", "power"), [(0.5, 0.28), (1.0, 0.78)])
def test_what_ten_seeds_can_show_is_as_the_module_says(shift, power):
    gaps = np.random.default_rng(0).normal(shift, 1, size=(20_000, 10))
    assert (signed_rank(gaps).p <= 0.05).mean() == pytest.approx(power, abs=0.01)
