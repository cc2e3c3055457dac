"""Splits, folds and nested subsets, where a task's data come without."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Dataset, Split
from codonbench.errors import DataError

IntArray = npt.NDArray[np.int64]

TEST_SHARE = 0.2
"""Of all examples, where a task has no test split of its own."""

VALIDATION_SHARE = 0.1
"""Of the training examples, where a task has no validation split of its own."""

_VALIDATION, _TEST, _FOLDS, _NESTED = 3, 4, 5, 6  # beside the stream's own uses of the seed


def completed(split: Split, dataset: Dataset, seed: int) -> Split:
    """Return the split, a test and a validation part cut from training where it has none.

    See `cut` for how. The test part comes first. A task without training items keeps what it has.

    Args:
        split: One seed's.
        dataset: What is split.
        seed: The run's.

    Raises:
        DataError: There are too few items, or groups, to cut.
    """
    if not dataset.spec.train_size:  # it is there to be asked only
        return split
    classes = dataset.targets if dataset.spec.target.kind == "classes" else None
    for name, share, purpose in (
        ("test", TEST_SHARE, _TEST),
        ("validation", VALIDATION_SHARE, _VALIDATION),
    ):
        if not len(getattr(split, name)):
            kept, part = cut(
                split.train, share, np.random.SeedSequence((seed, purpose)), dataset.groups, classes
            )
            parts = {"validation": split.validation, "test": split.test, name: part}
            split = Split(kept, **parts)
    return split


def cut_in_words(dataset: Dataset) -> str:
    """Return what `completed` cuts of a seed's training items, in words; empty for nothing."""
    absent = [
        f"{share:.0%} for {name}"
        for name, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE))
        if name not in dataset.splits
    ]
    if not absent or not dataset.spec.train_size:
        return ""
    return f"cut from train by each seed, {_evenly(dataset)}: {', then '.join(absent)}"


def folds_in_words(dataset: Dataset, folds: int | str) -> str:
    """Return how a seed divides items into so many folds, or leaves out each group, in words."""
    if folds == "group":
        return "cross-validated: each group is left out in turn"
    return f"cross-validated over {folds} folds, drawn by each seed, {_evenly(dataset)}"


def _evenly(dataset: Dataset) -> str:
    grouped = dataset.groups is not None and len(np.unique(dataset.groups)) < len(dataset.items)
    evenly = "by class" if dataset.spec.target.kind == "classes" else "by chance"
    return f"{evenly}, groups whole" if grouped else evenly


def cut(
    train: IntArray,
    share: float,
    seed: np.random.SeedSequence,
    groups: IntArray | None = None,
    classes: npt.NDArray[np.generic] | None = None,
) -> tuple[IntArray, IntArray]:
    """Return the training items that stay, and those that are cut off.

    The cut depends on the seed alone, so it is the same for every model of a seed. Whole groups
    are cut, where there are groups, and an item that comes twice is one: as many as it takes to
    hold the share. Where every group is of one class the share is taken of each class, as far as
    its groups allow and one of them stays. A group larger than the share stays where the others
    suffice.

    Args:
        train: Items, shape (n,); an item may come twice.
        share: Of them that is cut off.
        seed: Of the order of cutting.
        groups: Of all items, shape (N,); None where there are none.
        classes: Of all items, shape (N,); None where they do not matter.

    Raises:
        DataError: The training examples are of one item, or one group, which cannot be cut.
    """
    own = train if groups is None else groups[train]
    names, first, unit, sizes = np.unique(
        own, return_index=True, return_inverse=True, return_counts=True
    )
    if len(names) < 2:
        what = "item" if groups is None else "group"
        raise DataError(
            f"{len(train)} training examples of {len(names)} {what}: no validation or test split "
            "can be cut from them; give one, or more data"
        )
    strata = np.zeros(len(names), dtype=np.int64)
    if classes is not None:
        of_unit = classes[train[first]]
        if (of_unit[unit] == classes[train]).all():
            strata = np.unique(of_unit, return_inverse=True)[1]
    order = np.random.Generator(np.random.PCG64(seed)).permutation(len(names))
    chosen = np.zeros(len(names), dtype=np.bool_)
    for stratum in range(int(strata.max()) + 1):
        mine = order[strata[order] == stratum]
        chosen[_enough(mine, sizes[mine], share)] = True
    if not chosen.any():
        chosen[order[0]] = True
    cut_off = chosen[unit]
    return train[~cut_off], train[cut_off]


def _enough(units: IntArray, sizes: IntArray, share: float) -> IntArray:
    """Return the first of some units that hold the share of them; never all of them."""
    wanted = share * sizes.sum()
    small = sizes <= wanted
    if sizes[small].sum() >= wanted:
        units, sizes = units[small], sizes[small]
        most = len(units)
    else:
        most = len(units) - 1
    count = int(np.searchsorted(np.cumsum(sizes), wanted)) + 1
    return units[: min(count, most)]


def left_out(items: IntArray, groups: IntArray) -> IntArray:
    """Return the fold of each item, shape (n,), where each group is a fold.

    Raises:
        DataError: There are fewer than three groups: one to test on, and two to train and choose.
    """
    names, fold = np.unique(groups[items], return_inverse=True)
    if len(names) < 3:
        raise DataError(f"{len(names)} groups; to leave each out in turn there must be three")
    return fold


def divided(
    items: IntArray, folds: int, seed: int, groups: IntArray | None, classes: IntArray | None
) -> IntArray:
    """Return the fold of each item, from 0, shape (n,).

    Largest units first, in an order that the seed draws among equal ones: each goes where its
    classes are rarest so far, and where there are fewest items of those alike.

    Args:
        items: Each once, shape (n,).
        folds: How many.
        seed: Of the division.
        groups: Of all items, shape (N,): those of one are a unit; None where each item is one.
        classes: Of all items, shape (N,); None where they do not matter.

    Raises:
        DataError: There are fewer units than folds, or too few to choose by beside them.
    """
    own = items if groups is None else groups[items]
    names, unit, sizes = np.unique(own, return_inverse=True, return_counts=True)
    if len(names) < max(folds, 3):
        what = "items are" if groups is None else f"items are {len(names):,} groups,"
        raise DataError(
            f"{len(items):,} {what} too few for {folds} folds, trained, chosen and tested on "
            "apart; ask for fewer, or give more data"
        )
    of_item = np.zeros(len(items), dtype=np.int64) if classes is None else classes[items]
    kinds, kind = np.unique(of_item, return_inverse=True)
    counts = np.zeros((len(names), len(kinds)), dtype=np.int64)
    np.add.at(counts, (unit, kind), 1)
    rarity = len(items) // counts.sum(axis=0)  # whole numbers, which add up alike everywhere
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _FOLDS))))
    order = drawn.permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    filled = np.zeros((folds, len(kinds)), dtype=np.int64)
    chosen = np.zeros(len(names), dtype=np.int64)
    for each in order.tolist():
        alike = filled @ (rarity * counts[each])
        chosen[each] = np.lexsort((filled.sum(axis=1), alike))[0]
        filled[chosen[each]] += counts[each]
    return chosen[unit]


def nested(
    items: IntArray, size: int, seed: tuple[int, ...], classes: IntArray | None, *, each: bool
) -> IntArray:
    """Return a subset that all larger ones of the same seed hold, in drawn order.

    Args:
        items: To choose from, shape (n,).
        size: How many to choose; all where there are fewer.
        seed: Of the choice.
        classes: Of all items, shape (N,): each has its share of every subset, to one item; None
            where they do not matter.
        each: Whether `size` is how many to choose of each class.
    """
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*seed, _NESTED))))
    order = drawn.permutation(items)
    if classes is None:
        return order[:size]
    _, kind, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    by_kind = np.argsort(kind, kind="stable")
    place = np.zeros(len(order), dtype=np.int64)  # among those of its class
    place[by_kind] = np.arange(len(order)) - (np.cumsum(counts) - counts)[kind[by_kind]]
    if each:
        return order[place < size]
    return order[np.argsort((2 * place + 1) / (2 * counts[kind]), kind="stable")][:size]
