import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codonbench.contracts import Split
from codonbench.data.splits import VALIDATION_SHARE, with_validation
from codonbench.errors import DataError

NONE = np.zeros(0, dtype=np.int64)


def split(n, validation=NONE):
    return Split(np.arange(n), validation, np.arange(n, n + 3))


def test_a_validation_split_of_the_task_stays_as_it_is():
    given_ = split(20, np.array([20, 21]))
    assert with_validation(given_, None, 0) is given_


@given(st.integers(2, 300), st.integers(0, 2**31 - 1))
def test_a_tenth_of_training_is_cut_for_every_model_of_a_seed_alike(n, seed):
    cut = with_validation(split(n), None, seed)
    assert sorted([*cut.train, *cut.validation]) == list(range(n))
    assert len(cut.validation) == max(1, np.ceil(VALIDATION_SHARE * n))
    assert cut.train.tolist() == sorted(cut.train)
    again = with_validation(split(n), None, seed)
    np.testing.assert_array_equal(cut.validation, again.validation)


@given(st.lists(st.integers(0, 8), min_size=2, max_size=80), st.integers(0, 99))
def test_groups_stay_together(groups, seed):
    groups = np.array(groups)
    if len(set(groups)) < 2:
        return
    cut = with_validation(split(len(groups)), groups, seed)
    assert not set(groups[cut.train]) & set(groups[cut.validation])
    assert len(cut.train)
    assert len(cut.validation)
    largest = np.bincount(groups).max()
    assert len(cut.validation) <= VALIDATION_SHARE * len(groups) + largest


def test_a_giant_group_stays_in_training():
    groups = np.array([0] * 500 + [i // 5 for i in range(5, 505)])
    for seed in range(20):
        cut = with_validation(split(1000), groups, seed)
        assert 100 <= len(cut.validation) < 105


def test_an_item_that_comes_twice_is_not_on_both_sides():
    twice = Split(np.repeat(np.arange(10), 3), NONE, NONE)
    cut = with_validation(twice, None, 1)
    assert not set(cut.train) & set(cut.validation)
    assert len(cut.train) + len(cut.validation) == 30


@pytest.mark.parametrize("groups", [None, np.array([7, 7, 7])])
def test_what_cannot_be_cut_is_refused(groups):
    n = 1 if groups is None else 3
    with pytest.raises(DataError, match="no validation split"):
        with_validation(split(n), groups, 0)
