"""Shapley values over positions: by hand, in closed form, and against the definition by orders."""

from itertools import permutations, product

import numpy as np
import pytest

from codonbench.errors import UsageError
from codonbench_datasets.human_codon.explanation import advantage, shapley

CODONS = np.array(list(product(range(4), repeat=3)))


def test_two_letters_at_two_positions_by_hand():
    # Worth is 4 where both letters are 1, else 0; asked about input (1, 1). Knowing nothing it
    # is 1 on average, knowing one letter 2, knowing both 4: each letter is worth
    # ((2 - 1) + (4 - 2)) / 2 = 1.5. About (0, 1): 1, then 0 or 2, then 0: the first letter is
    # worth ((0 - 1) + (0 - 2)) / 2 = -1.5, the second ((2 - 1) + (0 - 0)) / 2 = 0.5.
    letters = np.array([(0, 0), (0, 1), (1, 0), (1, 1)])
    worth = np.tile([0.0, 0.0, 0.0, 4.0], (4, 1))
    values = shapley(letters, worth)
    assert np.allclose(values[3], [1.5, 1.5])
    assert np.allclose(values[1], [-1.5, 0.5])


def test_a_sum_over_letters_falls_apart_into_its_terms():
    terms = np.random.default_rng(1).normal(size=(3, 4))
    total = terms[np.arange(3), CODONS].sum(axis=1)
    values = shapley(CODONS, np.tile(total, (64, 1)))
    centred = terms - terms.mean(axis=1, keepdims=True)
    assert np.allclose(values, centred[np.arange(3), CODONS])


def test_values_are_the_mean_over_all_orders_of_what_a_letter_adds():
    worth = np.random.default_rng(2).normal(size=(64, 64))
    values = shapley(CODONS, worth)

    def mean_worth(i, known):
        agree = [j for j in range(64) if all(CODONS[j][p] == CODONS[i][p] for p in known)]
        return np.mean([worth[i, j] for j in agree])

    for i in (0, 35, 63):
        by_order = np.zeros(3)
        for order in permutations(range(3)):
            for place, position in enumerate(order):
                known = order[:place]
                by_order[position] += mean_worth(i, (*known, position)) - mean_worth(i, known)
        assert np.allclose(values[i], by_order / 6)
    assert np.allclose(values.sum(axis=1), worth.diagonal() - worth.mean(axis=1))


def test_the_advantage_is_a_logit_less_its_rivals_mean_whatever_is_added_to_all():
    assert np.allclose(advantage(np.array([3.0, 1.0, 2.0])), [1.5, -1.5, 0.0])
    logits = np.random.default_rng(3).normal(size=(64, 21))
    shifted = logits + np.arange(64)[:, None]
    assert np.allclose(advantage(shifted), advantage(logits))


@pytest.mark.parametrize("letters", [CODONS[:63], np.zeros((4, 1), dtype=int)])
def test_inputs_that_are_not_all_words_are_refused(letters):
    with pytest.raises(UsageError, match="all words of one length"):
        shapley(letters, np.zeros((len(letters), len(letters))))
