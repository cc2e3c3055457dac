"""The closed-form bound: hand-worked cases, the coupon collector, brute force and simulation."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import numpy.typing as npt
import pytest

from codonbench.contracts import EvaluationSet, Input, Target, TaskSpec
from codonbench.errors import DataError
from codonbench_models.bound import Bound, expected_pairs, quantile_pairs

UNEQUAL = np.array([0.4, 0.3, 0.15, 0.1, 0.05])


def toy_spec(enumerable: bool = True) -> TaskSpec:
    return TaskSpec(
        name="toy",
        version="1",
        title="Four letters, two classes",
        input=Input.of_length(
            1, unit="word", symbol="letter", alphabet="ABCD", enumerable=enumerable
        ),
        target=Target(names=("x", "y")),
        protocol="decipher",
        evaluation=EvaluationSet(inputs=("A", "B", "C", "D"), targets=(0, 1, 1, 0)),
        train_size=100,
        test_size=10,
    )


def by_inclusion_and_exclusion(p: npt.NDArray[np.float64]) -> float:
    """Mean draws as a sum over the subsets that may be missing (exact for few inputs)."""
    return sum(
        (-1.0 if size % 2 == 0 else 1.0) / sum(subset)
        for size in range(1, len(p) + 1)
        for subset in combinations(p.tolist(), size)
    )


def draws_until_all_seen(
    p: npt.NDArray[np.float64], repeats: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    """Draw one by one until every input has come, `repeats` times."""
    counts = np.empty(repeats, dtype=np.int64)
    for repeat in range(repeats):
        missing, drawn = set(range(len(p))), 0
        while missing:
            for value in rng.choice(len(p), size=32, p=p).tolist():
                drawn += 1
                missing.discard(value)
                if not missing:
                    break
        counts[repeat] = drawn
    return counts


def test_two_equal_inputs_need_three_draws() -> None:
    assert expected_pairs(np.array([0.5, 0.5])) == pytest.approx(3, rel=1e-9)


def test_a_certain_input_needs_one_draw() -> None:
    assert expected_pairs(np.array([1.0])) == pytest.approx(1, rel=1e-9)


def test_one_input_among_others_waits_as_long_as_it_is_rare() -> None:
    assert expected_pairs(np.array([0.25])) == pytest.approx(4, rel=1e-9)


@pytest.mark.parametrize("n", [2, 21, 64, 400])
def test_equal_frequencies_give_the_coupon_collector(n: int) -> None:
    harmonic = sum(1 / k for k in range(1, n + 1))
    assert expected_pairs(np.full(n, 1 / n)) == pytest.approx(n * harmonic, rel=1e-9)


def test_sixty_four_equal_codons_need_304_pairs() -> None:
    assert expected_pairs(np.full(64, 1 / 64)) == pytest.approx(303.6, abs=0.05)


def test_unequal_frequencies_agree_with_inclusion_and_exclusion() -> None:
    assert expected_pairs(UNEQUAL) == pytest.approx(by_inclusion_and_exclusion(UNEQUAL), rel=1e-9)


@pytest.mark.parametrize("rarest", [1e-3, 1e-6, 1e-9])
def test_very_unequal_frequencies_stay_exact(rarest: float) -> None:
    p = np.array([rarest, 3 * rarest, 0.01, 0.2, 0.5])
    assert expected_pairs(p) == pytest.approx(by_inclusion_and_exclusion(p), rel=1e-9)


def test_mean_agrees_with_drawing_one_by_one() -> None:
    drawn = draws_until_all_seen(UNEQUAL, 4000, np.random.default_rng(0))
    standard_error = drawn.std() / math.sqrt(len(drawn))
    assert abs(drawn.mean() - expected_pairs(UNEQUAL)) < 4 * standard_error


@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_quantiles_agree_with_simulated_arrival_times(q: float) -> None:
    rng = np.random.default_rng(1)
    last = rng.exponential(1 / UNEQUAL, size=(200_000, len(UNEQUAL))).max(axis=1)
    below = (last <= quantile_pairs(UNEQUAL, q)).mean()
    assert abs(below - q) < 4 * math.sqrt(q * (1 - q) / len(last))


def test_quantiles_of_many_inputs_agree_with_drawing_one_by_one() -> None:
    p = np.linspace(1, 8, 64)
    p /= p.sum()
    drawn = draws_until_all_seen(p, 2000, np.random.default_rng(2))
    for q in (0.05, 0.5, 0.95):
        below = (drawn <= quantile_pairs(p, q)).mean()
        assert abs(below - q) < 4 * math.sqrt(q * (1 - q) / len(drawn)) + 0.01


def test_variance_of_the_poissonised_time_is_that_of_the_draws_and_the_mean() -> None:
    rng = np.random.default_rng(3)
    last = rng.exponential(1 / UNEQUAL, size=(200_000, len(UNEQUAL))).max(axis=1)
    drawn = draws_until_all_seen(UNEQUAL, 4000, rng)
    assert last.var() == pytest.approx(drawn.var() + drawn.mean(), rel=0.1)


@pytest.mark.parametrize("q", [1e-6, 0.05, 0.5, 0.95, 1 - 1e-9])
def test_quantile_of_one_input_is_exponential(q: float) -> None:
    assert quantile_pairs(np.array([0.2]), q) == pytest.approx(-math.log1p(-q) / 0.2, rel=1e-6)


@pytest.mark.parametrize("q", [0.05, 0.5, 0.95])
def test_quantile_of_equal_inputs_inverts_by_hand(q: float) -> None:
    by_hand = -64 * math.log1p(-(q ** (1 / 64)))
    assert quantile_pairs(np.full(64, 1 / 64), q) == pytest.approx(by_hand, rel=1e-9)


def test_an_input_that_never_comes_takes_for_ever() -> None:
    p = np.array([0.5, 0.5, 0.0])
    assert expected_pairs(p) == math.inf
    assert quantile_pairs(p, 0.5) == math.inf


@pytest.mark.parametrize("bad", [[], [[0.5, 0.5]], [-0.1, 1.1], [math.nan, 0.5], [0.9, 0.9]])
def test_what_is_not_a_probability_is_refused(bad: list[float]) -> None:
    with pytest.raises(DataError, match="frequencies must"):
        expected_pairs(np.array(bad))


@pytest.mark.parametrize("q", [0.0, 1.0, -1.0, math.nan])
def test_a_quantile_outside_0_to_1_is_refused(q: float) -> None:
    with pytest.raises(DataError, match="strictly between 0 and 1"):
        quantile_pairs(UNEQUAL, q)


def test_reference_row_carries_mean_and_quantiles() -> None:
    p = np.array([0.4, 0.3, 0.2, 0.1])
    values = Bound(Bound.Config()).values(toy_spec(), p)
    assert values["bound_mean"] == expected_pairs(p)
    assert values["pairs_consumed"] == values["bound_q50"]
    assert values["bound_q50"] == quantile_pairs(p, 0.5)
    low, middle, high = (values[f"bound_q{q}"] for q in ("05", "50", "95"))
    assert low is not None
    assert middle is not None
    assert high is not None
    assert low < middle < high


@pytest.mark.parametrize("frequencies", [None, np.array([0.5, 0.3, 0.2, 0.0])])
def test_reference_row_is_empty_where_there_is_no_bound(
    frequencies: npt.NDArray[np.float64] | None,
) -> None:
    values = Bound(Bound.Config()).values(toy_spec(), frequencies)
    assert set(values) == {"pairs_consumed", "bound_mean", "bound_q05", "bound_q50", "bound_q95"}
    assert set(values.values()) == {None}


def test_a_sampled_evaluation_set_has_no_bound() -> None:
    values = Bound(Bound.Config()).values(toy_spec(enumerable=False), np.full(4, 0.25))
    assert set(values.values()) == {None}


def test_the_bound_offers_no_logits() -> None:
    assert Bound(Bound.Config()).logits(toy_spec()) is None
