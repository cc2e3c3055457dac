"""Kaplan and Meier's curve: by hand, by lifelines, and for bootstrap samples at once."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lifelines import KaplanMeierFitter
from lifelines.utils import restricted_mean_survival_time

from codonbench.ranking.statistics import (
    RESAMPLES,
    area_until,
    kaplan_meier,
    quantile_time,
    resampled_curves,
    upper_median_time,
)

SAMPLES = st.lists(st.tuples(st.integers(1, 60), st.booleans()), min_size=1, max_size=30)


def arrays(sample):
    times, reached = zip(*sample, strict=True)
    return np.asarray(times, dtype=float), np.asarray(reached, dtype=bool)


BY_HAND = arrays([(10, True), (20, False), (30, True), (30, False), (40, True), (50, False)])
"""Six runs. At 10 one of six: 5/6 wait. At 20 one ends. At 30 one of four: 5/6 * 3/4 = 15/24 wait,
and one ends. At 40 one of two: 15/48 wait. At 50 the last one ends."""


def test_six_runs_by_hand():
    curve = kaplan_meier(*BY_HAND)
    assert curve.times.tolist() == [10, 20, 30, 40, 50]
    assert curve.waiting == pytest.approx([5 / 6, 5 / 6, 15 / 24, 15 / 48, 15 / 48])
    assert quantile_time(curve, 0.5) == 40  # without what the censored runs say it would be 30
    # 10 * 1 + 20 * 5/6 + 10 * 15/24 + 20 * 15/48, up to 60
    assert area_until(curve, 60) == pytest.approx(10 + 100 / 6 + 150 / 24 + 300 / 48)


def lifelines_curve(times, reached):
    return KaplanMeierFitter().fit(times, reached)


@settings(deadline=None)
@given(SAMPLES)
def test_the_curve_is_that_of_lifelines(sample):
    times, reached = arrays(sample)
    curve = kaplan_meier(times, reached)
    theirs = lifelines_curve(times, reached).survival_function_at_times(curve.times)
    assert curve.waiting == pytest.approx(theirs.to_numpy())


@settings(deadline=None)
@given(SAMPLES)
def test_the_median_is_that_of_lifelines(sample):
    times, reached = arrays(sample)
    theirs = lifelines_curve(times, reached)
    waiting = theirs.survival_function_.to_numpy()
    if np.isclose(waiting, 0.5, atol=1e-9).any():
        return  # there lifelines' rounding decides on which side of one half a share lies
    assert quantile_time(kaplan_meier(times, reached), 0.5) == theirs.median_survival_time_


@settings(deadline=None)
@given(SAMPLES, st.integers(1, 100))
def test_the_restricted_mean_is_that_of_lifelines(sample, end):
    times, reached = arrays(sample)
    theirs = restricted_mean_survival_time(lifelines_curve(times, reached), t=end)
    assert area_until(kaplan_meier(times, reached), end) == pytest.approx(theirs)


def test_a_run_that_will_never_get_there_waits_beyond_all_others():
    times, reached = arrays([(-64, True), (0, True), (math.inf, False)])
    curve = kaplan_meier(times, reached)
    assert curve.waiting[:2] == pytest.approx([2 / 3, 1 / 3])
    assert quantile_time(curve, 0.5) == 0
    assert quantile_time(kaplan_meier(np.array([math.inf]), np.array([False])), 0.5) == math.inf


@pytest.mark.parametrize("n", range(2, 41, 2))
def test_half_of_the_runs_is_one_half_whatever_the_rounding(n):
    """9/10 * 8/9 * ... * 5/6 is one half on paper, and in floating point but nearly."""
    times, reached = np.arange(1.0, n + 1), np.arange(n) < n // 2
    for curve in (kaplan_meier(times, reached), resampled_curves(times, reached)):
        assert set(np.unique(quantile_time(curve, 0.5))) <= {*range(1, n + 1), math.inf}
    assert quantile_time(kaplan_meier(times, reached), 0.5) == n // 2
    assert upper_median_time(kaplan_meier(times, reached)) == math.inf


@settings(deadline=None, max_examples=25)
@given(SAMPLES)
def test_each_bootstrap_curve_is_that_of_its_own_sample(sample):
    times, reached = arrays(sample)
    curves = resampled_curves(times, reached)
    picks = np.random.default_rng(0).integers(0, len(times), size=(RESAMPLES, len(times)))
    medians, upper = quantile_time(curves, 0.5), upper_median_time(curves)
    areas = area_until(curves, 50)
    for i in range(0, RESAMPLES, 97):
        own = kaplan_meier(times[picks[i]], reached[picks[i]])
        assert medians[i] == quantile_time(own, 0.5)
        assert upper[i] == upper_median_time(own)
        assert areas[i] == pytest.approx(area_until(own, 50))
