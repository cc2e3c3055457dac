import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codonbench.contracts.run_spec import PUBLIC_SALT
from codonbench.data.relabelling import Relabelling, relabelling

CYCLE = Relabelling(np.array([1, 2, 0]))  # a model sees class 0 as 1, 1 as 2, 2 as 0

PERMUTATIONS = st.integers(2, 30).flatmap(lambda n: st.permutations(range(n)))


def test_labels_are_hidden_by_looking_them_up():
    assert CYCLE.hide(np.array([0, 1, 2, 0])).tolist() == [1, 2, 0, 1]


def test_columns_are_hidden_where_the_model_looks_for_them():
    """True class 0 of weight 10 is the model's class 1, and so on round the cycle."""
    assert CYCLE.hide_columns(np.array([10.0, 20.0, 30.0])).tolist() == [30.0, 10.0, 20.0]


def test_columns_are_revealed_in_true_order():
    logits = np.array([[[0.3, 0.1, 0.2]]], dtype=np.float32)  # model's classes 0, 1, 2
    assert CYCLE.reveal_columns(logits).tolist() == np.float32([[[0.1, 0.2, 0.3]]]).tolist()


@given(PERMUTATIONS, st.integers(0, 2**32 - 1))
def test_hiding_and_revealing_undo_each_other(forward, chance):
    permutation = Relabelling(np.array(forward))
    table = np.random.default_rng(chance).normal(size=(2, 5, len(forward)))
    assert np.array_equal(permutation.reveal_columns(permutation.hide_columns(table)), table)
    assert np.array_equal(permutation.hide_columns(permutation.reveal_columns(table)), table)


@given(PERMUTATIONS, st.integers(0, 2**32 - 1))
def test_the_right_column_stays_right(forward, chance):
    """A model that is right about a hidden label is right about the true one once revealed."""
    permutation = Relabelling(np.array(forward))
    labels = np.random.default_rng(chance).integers(len(forward), size=9)
    logits = np.eye(len(forward), dtype=np.float32)[permutation.hide(labels)]
    assert np.array_equal(permutation.reveal_columns(logits).argmax(axis=1), labels)


@given(PERMUTATIONS)
def test_a_class_keeps_its_weight(forward):
    permutation = Relabelling(np.array(forward))
    weights = np.arange(len(forward)) + 0.5
    hidden = permutation.hide_columns(weights)
    for label, weight in enumerate(weights):
        assert hidden[permutation.hide(np.array(label))] == weight


@pytest.mark.parametrize("n_classes", [2, 21, 1000])
def test_every_class_gets_an_id_of_its_own(n_classes):
    for seed in range(5):
        forward = relabelling(n_classes, PUBLIC_SALT, seed).forward
        assert sorted(forward.tolist()) == list(range(n_classes))


def test_the_public_relabelling_of_seed_zero_never_changes():
    forward = relabelling(21, PUBLIC_SALT, 0).forward.tolist()
    assert forward == [3, 2, 5, 6, 14, 17, 8, 19, 12, 18, 10, 13, 4, 11, 20, 15, 1, 0, 16, 9, 7]


def test_salt_and_seed_both_decide():
    chosen = [("a", 0), ("a", 1), ("b", 0), ("a\0001", 0), ("", 0)]
    forwards = {tuple(relabelling(21, salt, seed).forward.tolist()) for salt, seed in chosen}
    assert len(forwards) == len(chosen)


def test_each_id_is_about_equally_likely():
    """2,100 seeds, 21 ids: each class gets each id 100 times, give or take."""
    ids = np.array([relabelling(21, "salt", seed).forward for seed in range(2_100)])
    counts = np.array([np.bincount(column, minlength=21) for column in ids.T])
    chi_squared = ((counts - 100) ** 2 / 100).sum()
    assert 300 < chi_squared < 500  # 400 degrees of freedom: 400 +- 28
