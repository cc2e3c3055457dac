"""Splits made here, where a task leaves one to be made."""

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

_VALIDATION, _TEST = 3, 4  # beside the stream's own uses of the seed


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


def cut(
    train: IntArray,
    share: float,
    seed: np.random.SeedSequence,
    groups: IntArray | None = None,
    classes: npt.NDArray[np.generic] | None = None,
) -> tuple[IntArray, IntArray]:
    """Return training items less those that are cut off, and those.

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
