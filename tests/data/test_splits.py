import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from codonbench.contracts import Dataset, Input, Sequences, Split, Target, TaskSpec
from codonbench.data.splits import TEST_SHARE, VALIDATION_SHARE, completed, cut, divided
from codonbench.errors import DataError

NONE = np.zeros(0, dtype=np.int64)


def tenth(train, seed=0, groups=None, classes=None):
    return cut(train, VALIDATION_SHARE, np.random.SeedSequence(seed), groups, classes)


def dataset(n):
    spec = TaskSpec(
        name="toy",
        version="1",
        title="Toy",
        input=Input.of_length(1),
        target=Target(names=("a", "b")),
        protocol="supervised",
        train_size=n,
    )
    items = Sequences.of_rows(np.zeros((n, 1)))
    return Dataset(spec, "toy", "0", True, items, np.arange(n) % 2)


def test_splits_of_the_task_stay_as_they_are():
    found = completed(Split(np.arange(20), np.array([20]), np.array([21])), dataset(22), 0)
    assert (len(found.train), found.validation.tolist(), found.test.tolist()) == (20, [20], [21])


def test_test_is_cut_first_and_then_validation_by_class_and_seed():
    found = completed(Split(np.arange(100), NONE, NONE), dataset(100), 7)
    assert len(found.test) == 100 * TEST_SHARE
    assert len(found.validation) == 80 * VALIDATION_SHARE
    assert sorted([*found.train, *found.validation, *found.test]) == list(range(100))
    assert np.bincount(found.test % 2).tolist() == [10, 10]
    again = completed(Split(np.arange(100), NONE, NONE), dataset(100), 7)
    other = completed(Split(np.arange(100), NONE, NONE), dataset(100), 8)
    assert found.test.tolist() == again.test.tolist() != other.test.tolist()
    assert found.validation.tolist() == again.validation.tolist()


@given(st.integers(2, 300), st.integers(0, 2**31 - 1))
def test_a_tenth_of_training_is_cut(n, seed):
    kept, part = tenth(np.arange(n), seed)
    assert sorted([*kept, *part]) == list(range(n))
    assert len(part) == max(1, np.ceil(VALIDATION_SHARE * n))
    assert kept.tolist() == sorted(kept)


@given(st.lists(st.integers(0, 3), min_size=2, max_size=60), st.integers(0, 99))
def test_each_class_gives_its_share_and_keeps_an_item(classes, seed):
    classes = np.array(classes)
    kept, part = tenth(np.arange(len(classes)), seed, classes=classes)
    assert len(part)
    for name, count in zip(*np.unique(classes, return_counts=True), strict=True):
        cut_off = np.sum(classes[part] == name)
        assert cut_off <= np.ceil(VALIDATION_SHARE * count)
        assert count < 2 or (cut_off and name in classes[kept])


@given(st.lists(st.integers(0, 8), min_size=2, max_size=80), st.integers(0, 99))
def test_groups_stay_together(groups, seed):
    groups = np.array(groups)
    if len(set(groups)) < 2:
        return
    kept, part = tenth(np.arange(len(groups)), seed, groups, np.arange(len(groups)))
    assert not set(groups[kept]) & set(groups[part])
    assert len(kept)
    assert len(part)
    assert len(part) <= VALIDATION_SHARE * len(groups) + np.bincount(groups).max()


def test_a_giant_group_stays_in_training():
    groups = np.array([0] * 500 + [i // 5 for i in range(5, 505)])
    for seed in range(20):
        assert 100 <= len(tenth(np.arange(1000), seed, groups)[1]) < 105


def test_an_item_that_comes_twice_is_not_on_both_sides():
    kept, part = tenth(np.repeat(np.arange(10), 3))
    assert not set(kept) & set(part)
    assert len(kept) + len(part) == 30


@pytest.mark.parametrize("groups", [None, np.array([7, 7, 7])])
def test_what_cannot_be_cut_is_refused(groups):
    with pytest.raises(DataError, match="can be cut"):
        tenth(np.arange(1 if groups is None else 3), 0, groups)


def test_too_few_items_or_groups_for_folds_are_said_once():
    items = np.arange(72)
    with pytest.raises(DataError, match=r"^72 items are too few for 500 folds"):
        divided(items, 500, 0, None, None)
    with pytest.raises(DataError, match=r"^72 items are 36 groups, too few for 500 folds"):
        divided(items, 500, 0, items // 2, None)
