"""What chance gives an untrained model, by hand and by closed form."""

import numpy as np
import pytest

from codonbench.testing.outputs import _answers, _chance, _grouping

TRUTH = np.array([0, 0, 0, 1, 1, 2])


def test_a_tie_is_no_answer():
    logits = np.array([[1.0, 3.0, 2.0], [3.0, 3.0, 0.0], [0.0, 0.0, 0.0]])
    assert _answers(logits).tolist() == [1, -1, -1]


def test_chance_is_one_in_the_number_of_classes_whatever_is_answered():
    mean, _ = _chance([np.array([0, 1, 2, 0, 1, 2]), np.array([2, 2, 2, 2, 2, 2])], TRUTH, 3)
    assert mean == pytest.approx(12 / 3, abs=0.2)


def test_the_spread_of_a_constant_answer_is_that_of_the_class_sizes():
    """Under random ids the constant is right for 3, 2 or 1 inputs: variance 2/3."""
    mean, spread = _chance([np.zeros(6, dtype=int)], TRUTH, 3)
    assert mean == pytest.approx(2, abs=0.1)
    assert spread == pytest.approx(np.sqrt(2 / 3), rel=0.05)


def test_no_answer_is_never_right():
    assert _chance([np.full(6, -1)], TRUTH, 3) == (0.0, 0.0)


def test_pairs_treated_alike_are_counted_by_hand():
    """Inputs 0 and 1 share a row, and 2 and 3: of two pairs one is of one class; 3 + 1 are."""
    rows = np.array([[1.0, 0], [1.0, 0], [0, 2.0], [0, 2.0], [5.0, 5], [7.0, 1]])
    assert _grouping(rows, TRUTH) == (2, 1, 4)


def test_a_row_of_zeros_for_all_is_no_knowledge():
    assert _grouping(np.zeros((6, 3)), TRUTH) == (15, 4, 4)
