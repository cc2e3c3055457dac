"""What the codon task says of records and rows."""

import math

import pytest

from codonbench_datasets.decipher import RANKING, is_chance
from codonbench_datasets.human_codon.task import HumanCodon

TASK = HumanCodon()


@pytest.mark.parametrize("values", [{}, {"excess_pairs": None}, {"excess_pairs": 0}])
def test_a_run_at_or_above_the_bound_has_no_flag(values):
    assert TASK.flags(values) == ()


def test_a_run_below_the_bound_is_flagged():
    (flag,) = TASK.flags({"excess_pairs": -64})
    assert flag.startswith("below the bound")


def test_a_table_is_keyed_by_the_metrics_that_it_always_was():
    assert set(RANKING.key_metrics) == {
        *("pairs_consumed", "excess_pairs", "sustained_pairs", "confident_pairs"),
        *("rare_stop_ambiguity", "decipher_epoch"),
    }


@pytest.mark.parametrize("n", [6, 10])
def test_chance_is_a_binomial_tail(n):
    for successes in range(n + 1):
        tail = sum(math.comb(n, k) * 0.25**k * 0.75 ** (n - k) for k in range(successes, n + 1))
        assert is_chance(successes, n, 0.25) == (tail >= 0.01)
