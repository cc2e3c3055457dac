"""Splits, folds and nested subsets of tasks whose data have none."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Dataset, Split
from codonbench.errors import DataError

IntArray = npt.NDArray[np.int64]

TEST_SHARE = 0.2
"""Share of all examples that is cut off for test if a task has no test split."""

VALIDATION_SHARE = 0.1
"""Share of training examples that is cut off if a task has no validation split."""

_VALIDATION, _TEST, _FOLDS, _NESTED = 3, 4, 5, 6  # purposes of the seed, not those of stream.py


def completed(split: Split, dataset: Dataset, seed: int) -> Split:
    """Return the split with missing test and validation splits cut from training, test first.

    See `cut`. The split of a task without training items is returned unchanged.

    Args:
        split: The split of one seed.
        dataset: The data.
        seed: Seed of the run.

    Raises:
        DataError: There are too few items or groups.
    """
    if not dataset.spec.train_size:
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
    """Describe in words what `completed` cuts from training; empty for nothing."""
    absent = [
        f"{share:.0%} for {name}"
        for name, share in (("test", TEST_SHARE), ("validation", VALIDATION_SHARE))
        if name not in dataset.splits
    ]
    if not absent or not dataset.spec.train_size:
        return ""
    return f"cut from train by each seed, {_evenly(dataset)}: {', then '.join(absent)}"


def folds_in_words(dataset: Dataset, folds: int | str) -> str:
    """Describe the folds of a cross-validation in words."""
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

    The cut depends on the seed alone, so it is the same for all models. Groups, and repeats of an
    item, stay together. Units are cut until they hold the share. If every group has a single
    class, the cut is stratified by class, and each class keeps a group. Groups larger than the
    share are cut only if the others do not suffice.

    Args:
        train: Items, shape (n,); an item may be repeated.
        share: Share of items to cut off.
        seed: Seed of the order in which units are cut.
        groups: Group of all items, shape (N,); None if each item is a unit.
        classes: Class of all items, shape (N,); None not to stratify.

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
    """Return the first units that together hold the share of items, never all units."""
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
    """Return the fold of each item, shape (n,), with each group as a fold.

    Raises:
        DataError: There are fewer than three groups (for training, validation and test).
    """
    names, fold = np.unique(groups[items], return_inverse=True)
    if len(names) < 3:
        raise DataError(f"{len(names)} groups; to leave each out in turn there must be three")
    return fold


def divided(
    items: IntArray, folds: int, seed: int, groups: IntArray | None, classes: IntArray | None
) -> IntArray:
    """Return the fold of each item, from 0, shape (n,).

    Units are assigned largest first, in random order among equal sizes: each to the fold with
    fewest items of its classes so far and, among equals, fewest items.

    Args:
        items: Distinct items, shape (n,).
        folds: Number of folds.
        seed: Seed of the assignment.
        groups: Group of all items, shape (N,); None if each item is a unit.
        classes: Class of all items, shape (N,); None not to stratify.

    Raises:
        DataError: There are fewer units than folds, or fewer than three.
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
    rarity = len(items) // counts.sum(axis=0)  # integers: their sums are exact on every machine
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
    """Return a random subset, in random order; larger subsets of the same seed contain it.

    Args:
        items: Items to choose from, shape (n,).
        size: Items to choose; if there are fewer, all are returned.
        seed: Seed of the choice.
        classes: Class of all items, shape (N,), to give each class its share of every subset up to
            one item; None not to stratify.
        each: Whether `size` is the number of items per class.
    """
    drawn = np.random.Generator(np.random.PCG64(np.random.SeedSequence((*seed, _NESTED))))
    order = drawn.permutation(items)
    if classes is None:
        return order[:size]
    _, kind, counts = np.unique(classes[order], return_inverse=True, return_counts=True)
    by_kind = np.argsort(kind, kind="stable")
    place = np.zeros(len(order), dtype=np.int64)  # rank in its class
    place[by_kind] = np.arange(len(order)) - (np.cumsum(counts) - counts)[kind[by_kind]]
    if each:
        return order[place < size]
    return order[np.argsort((2 * place + 1) / (2 * counts[kind]), kind="stable")][:size]
