import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from scipy.stats import CensoredData, bootstrap, ecdf, norm, rankdata

from codonbench.ranking.statistics import (
    average_ranks,
    censored_median,
    censored_quantile,
    mean,
    paired_ratio,
    restricted_mean,
    wilson_interval,
)

TIMES = st.lists(st.none() | st.integers(0, 10**7), min_size=1, max_size=30)


def kaplan_meier_median(values, budget):
    """The first time at which the survival function is one half or less, by scipy."""
    reached = [value for value in values if value is not None]
    never = [budget] * values.count(None)
    survival = ecdf(CensoredData(uncensored=reached, right=never)).sf
    below = np.flatnonzero(survival.probabilities <= 0.5 + 1e-12)
    return float(survival.quantiles[below[0]]) if len(below) else None


@pytest.mark.parametrize(
    ("values", "median"),
    [
        ([5], 5),
        ([None], None),
        ([1, 2, 3], 2),
        ([1, 2, 3, 4], 2),  # half are there by 2
        ([1, None], 1),
        ([1, None, None], None),
        ([None, 1, None, 2, 3], 3),
        ([None] * 4 + [7] * 5, 7),
        ([0.5, 0.25, None], 0.5),
        ([-64, 0, 64], 0),
    ],
)
def test_the_median_of_a_few_seeds(values, median):
    assert censored_median(values).value == median


@settings(deadline=None)
@given(TIMES)
def test_the_median_is_that_of_kaplan_and_meier(values):
    assert censored_median(values).value == kaplan_meier_median(values, 10**7 + 1)


@given(TIMES)
def test_the_interval_holds_the_median_and_lies_among_the_values(values):
    median = censored_median(values)
    low, value, high = (
        math.inf if x is None else x for x in (median.low, median.value, median.high)
    )
    assert low <= value <= high
    assert {median.low, median.value, median.high} <= set(values)
    assert (median.n, median.never) == (len(values), values.count(None))


def test_one_value_is_its_own_interval():
    median = censored_median([64])
    assert (median.low, median.value, median.high) == (64, 64, 64)


def test_seeds_that_never_got_there_have_no_finite_median():
    median = censored_median([None] * 10)
    assert (median.low, median.value, median.high) == (None, None, None)
    assert (median.n, median.never) == (10, 10)


def test_no_seeds_have_no_median():
    assert censored_median([]) is None


def test_half_or_more_decide_whether_a_median_is_beyond_the_budget():
    assert censored_median([1] * 5 + [None] * 5).value == 1
    assert censored_median([1] * 4 + [None] * 6).value is None


def test_the_same_values_give_the_same_interval_in_any_call():
    values = [*range(0, 1000, 37), None, None]
    assert censored_median(values) == censored_median(values)


def test_the_bootstrap_interval_agrees_with_order_statistics():
    """25 values: the exact 95 % interval of a resampled median, from the binomial, by hand.

    The median of a resample is at most the k-th value where at least 13 of 25 draws are: a
    binomial tail. Its 2.5 % and 97.5 % points are the 8th and the 18th value.
    """
    from scipy.stats import binom

    p_at_most = [binom.sf(12, 25, k / 25) for k in range(1, 26)]
    low = 1 + next(i for i, p in enumerate(p_at_most) if p >= 0.025)
    high = 1 + next(i for i, p in enumerate(p_at_most) if p >= 0.975)
    assert (low, high) == (8, 18)
    median = censored_median(list(range(1, 26)))
    assert abs(median.low - low) <= 1
    assert abs(median.high - high) <= 1


def test_a_run_that_was_not_followed_to_the_end_counts_while_it_was():
    """Of four runs one ends at 20: 3/4 wait at 10, 3/8 at 30. Were it known to come later than 30
    the median would be 30 as well; were it left out, 10 * 2/3 and 30 * 1/3; at 5 it tells nothing.
    """
    assert censored_quantile([10, None, 30, 40], 0.5, [99, 20, 99, 99]).value == 30
    five = [10, 20, 30, None, None]
    assert censored_median(five).value == 30  # 2/5 wait
    assert censored_quantile(five, 0.5, [99, 99, 99, 25, 99]).value == 30  # 3/5, then 3/5 * 1/2
    assert censored_quantile(five, 0.5, [99, 99, 99, 5, 99]).value == 20  # 4/4, then 3/4, then 2/4
    assert censored_quantile(five, 0.5, [99, 99, 99, 5, 5]).value == 20  # 3/3, then 2/3, then 1/3


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=20))
def test_the_median_of_runs_followed_for_different_times_is_that_of_lifelines(sample):
    times, reached = zip(*sample, strict=True)
    theirs = KaplanMeierFitter().fit(times, reached)
    if np.isclose(theirs.survival_function_.to_numpy(), 0.5, atol=1e-9).any():
        return  # there lifelines' rounding decides on which side of one half a share lies
    median = censored_quantile([t if r else None for t, r in sample], 0.5, times)
    value = math.inf if median.value is None else median.value
    assert value == theirs.median_survival_time_
    assert median.never == reached.count(False)


def test_the_restricted_mean_counts_never_with_the_whole_budget():
    mean = restricted_mean([100, 200, 300, None], budget=1000)
    assert mean.value == (100 + 200 + 300 + 1000) / 4
    assert (mean.n, mean.never) == (4, 1)


def test_one_censored_seed_in_ten_adds_a_tenth_of_the_budget():
    assert restricted_mean([0] * 9 + [None], budget=23_040_000).value == 2_304_000


def test_the_restricted_mean_of_no_seeds_one_seed_and_nothing_but_nevers():
    assert restricted_mean([], budget=10) is None
    one, never = restricted_mean([7], budget=10), restricted_mean([None] * 3, budget=10)
    assert (one.low, one.value, one.high) == (7, 7, 7)
    assert (never.low, never.value, never.high) == (10, 10, 10)


@given(TIMES)
def test_under_one_budget_the_restricted_mean_is_the_mean_up_to_it(values):
    budget = 10**7
    mean = restricted_mean(values, budget)
    assert mean.value == pytest.approx(
        np.mean([budget if v is None else v for v in values]), abs=0.001
    )
    assert mean.low <= mean.value <= mean.high


def test_the_interval_of_a_restricted_mean_is_scipys_percentile_bootstrap():
    values = [*range(100, 2100, 100), None]
    ours = restricted_mean(values, budget=5000)
    capped = [5000 if v is None else v for v in values]
    theirs = bootstrap(
        (capped,), np.mean, n_resamples=100_000, method="percentile", rng=np.random.default_rng(1)
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, rel=0.03)
    assert ours.high == pytest.approx(theirs.high, rel=0.03)


@pytest.mark.parametrize(
    ("spread", "failing", "of_median", "of_mean"),
    [(0.5, 0, 0.93, 0.89), (1.0, 0, 0.93, 0.80), (1.0, 0.05, 0.93, 0.38)],
)
def test_the_intervals_hold_the_truth_as_often_as_the_documentation_says(
    spread, failing, of_median, of_mean
):
    chance, budget = np.random.default_rng(0), 7000
    held = np.zeros((400, 2))
    truth = failing * budget + (1 - failing) * math.exp(spread**2 / 2)
    middle = math.exp(spread * norm.ppf(0.5 / (1 - failing)))
    for i in range(len(held)):
        got_there = chance.random(10) >= failing
        times = chance.lognormal(sigma=spread, size=10)
        values = [float(t) if got else None for t, got in zip(times, got_there, strict=True)]
        median, mean = censored_median(values), restricted_mean(values, budget)
        held[i] = (
            median.low <= middle <= (math.inf if median.high is None else median.high),
            mean.low <= truth <= mean.high,
        )
    assert held.mean(axis=0) == pytest.approx([of_median, of_mean], abs=0.05)


def wilson_by_hand(successes, n):
    """Wilson 1927: (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)."""
    z, p = norm.ppf(0.975), successes / n
    centre = p + z * z / (2 * n)
    spread = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_success_interval_is_wilsons(case):
    assert wilson_interval(*case) == pytest.approx(wilson_by_hand(*case), abs=1e-9)


def test_ten_of_ten_is_not_certainty():
    low, high = wilson_interval(10, 10)
    assert low == pytest.approx(0.7225, abs=1e-4)  # 1 / (1 + 1.96^2 / 10)
    assert high == 1


def test_no_trials_say_nothing():
    assert wilson_interval(0, 0) == (0, 1)


@pytest.mark.parametrize(
    ("first", "second", "ratio"),
    [
        ([64, 64, 64], [64, 128, 256], 0.5),
        ([0, 0, 0], [0, 0, 0], 1),  # equal, though 0 / 0 is nothing
        ([64, 64, 64], [None, None, 64], 0),
        ([None, None, 64], [64, 64, 64], None),
        ([None, None, 64], [None, None, 128], 1),  # two nevers tell nothing apart
        ([64], [0], None),
    ],
)
def test_the_ratio_of_a_few_seeds(first, second, ratio):
    assert paired_ratio(first, second).value == ratio


def test_nothing_but_nevers_has_no_ratio():
    assert paired_ratio([None, None], [None, None]) is None
    assert paired_ratio([], []) is None


@given(TIMES)
def test_the_ratio_of_a_row_with_itself_is_one(values):
    ratio = paired_ratio(values, values)
    assert ratio is None or (ratio.low, ratio.value, ratio.high) == (1, 1, 1)


def test_the_ratio_is_paired_by_seed():
    """The medians are equal, and so is their ratio; seed by seed two in three are the faster."""
    assert paired_ratio([1, 2, 30], [2, 30, 3]).value == 0.5


@given(st.lists(st.tuples(*[st.none() | st.integers(1, 10**6)] * 2), min_size=1, max_size=20))
def test_the_interval_of_a_ratio_holds_the_middle_whichever_way_it_is_read(pairs):
    first, second = zip(*pairs, strict=True)
    ratio, inverse = paired_ratio(first, second), paired_ratio(second, first)
    if ratio is None:
        assert inverse is None
        return

    def number(value):
        return math.inf if value is None else value

    assert number(ratio.low) <= number(ratio.value) <= number(ratio.high)
    upper = 1 / number(inverse.value) if inverse.value != 0 else math.inf
    assert number(ratio.low) <= upper * (1 + 1e-12)
    assert upper <= number(ratio.high) * (1 + 1e-12)


def test_of_two_middles_the_interval_reaches_to_the_upper():
    ratio = paired_ratio([1, 1, 1, 1], [4, 4, 1, 1])
    assert (ratio.value, ratio.low, ratio.high) == (0.25, 0.25, 1)


def test_noise_is_hardly_ever_taken_for_a_gain():
    """Ratios as scattered as those of `embedding2-tanh`, the most erratic row, around 1."""
    chance = np.random.default_rng(0)
    ratios = np.exp(chance.normal(scale=0.8, size=(400, 10)))
    false = [paired_ratio(list(row), [1.0] * 10).high < 0.8 for row in ratios]
    assert sum(false) < 12


# Means


def test_a_mean_of_four_by_hand_and_of_none_and_one():
    found = mean([0.5, 0.75, 0.25, 1.0])
    assert (found.value, found.n) == (0.625, 4)
    assert 0.25 <= found.low < 0.625 < found.high <= 1
    assert mean([]) is None
    assert mean([0.3]).model_dump() == {"value": 0.3, "low": 0.3, "high": 0.3, "n": 1}
    assert (mean([0.5] * 6).low, mean([0.5] * 6).high) == (0.5, 0.5)


def test_the_interval_of_a_mean_is_the_percentiles_of_all_resamples():
    """Five values have 3,125 resamples; the witness draws each of them."""
    values = [0.1, 0.4, 0.45, 0.7, 0.9]
    every = np.sort([np.mean(drawn) for drawn in itertools.product(values, repeat=5)])
    low, high = np.quantile(every, [0.025, 0.975])
    assert mean(values).low == pytest.approx(low, abs=0.025)
    assert mean(values).high == pytest.approx(high, abs=0.025)
    assert mean(values) == mean(values)


@given(st.lists(st.floats(0, 1), min_size=2, max_size=12))
def test_the_interval_of_a_mean_is_scipys_percentile_bootstrap(values):
    drawn = {"rng": np.random.default_rng(0), "n_resamples": 2_000, "method": "percentile"}
    expected = bootstrap((values,), np.mean, **drawn).confidence_interval
    assert (mean(values).low, mean(values).high) == tuple(float(f"{x:.6g}") for x in expected)


@given(st.lists(st.lists(st.sampled_from([-1.0, 0.0, 0.5, 2.0, np.inf]), min_size=7, max_size=7)))
def test_ranks_are_scipys(rows):
    values = np.array(rows).reshape(-1, 7)
    assert np.array_equal(average_ranks(values), rankdata(values, axis=1).reshape(-1, 7))
