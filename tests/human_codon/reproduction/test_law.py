"""The instrument's exact law, against every subset, a closed form and the median of `bound`."""

from itertools import combinations

import numpy as np
import pytest

from codonbench_datasets.human_codon.orfs import expected_frequencies, human_usage, orf_lengths
from codonbench_datasets.human_codon.reproduction.law import all_drawn
from codonbench_models.bound import quantile_pairs


def by_inclusion_and_exclusion(p, n):
    subsets = (s for k in range(len(p) + 1) for s in combinations(p, k))
    return sum((-1) ** len(s) * (1 - sum(s)) ** n for s in subsets)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 40])
def test_two_equal_items_are_a_coin_and_others_every_subset(n):
    assert all_drawn(np.array([0.5, 0.5]), n) == pytest.approx(1 - 2 * 0.5**n, abs=1e-12)
    p = np.array([0.5, 0.3, 0.15, 0.05])
    assert all_drawn(p, n) == pytest.approx(by_inclusion_and_exclusion(p, n), abs=1e-12)


def test_the_bound_s_median_is_that_of_the_law():
    """Its time is continuous, which makes next to no difference in thousands of draws."""
    usage = human_usage()
    p = expected_frequencies(usage, orf_lengths(usage))
    assert all_drawn(p, round(quantile_pairs(p, 0.5))) == pytest.approx(0.5, abs=1e-3)
    assert all_drawn(p, 7_680) == pytest.approx(0.933, abs=0.002)  # after 120 looks
