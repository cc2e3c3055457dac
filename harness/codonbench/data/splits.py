"""Splits made here, where a task leaves one to be made."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Split
from codonbench.errors import DataError

IntArray = npt.NDArray[np.int64]

VALIDATION_SHARE = 0.1
"""Of the training examples, where a task has no validation split of its own."""

_VALIDATION = 3  # beside the stream's own uses of the seed


def with_validation(split: Split, groups: IntArray | None, seed: int) -> Split:
    """Return the split, a validation part cut from training where it has none.

    The cut depends on the seed alone, so it is the same for every model of a seed. Whole groups
    are cut, where there are groups, until they hold at least `VALIDATION_SHARE` of the examples; a
    group larger than that stays in training where the others suffice.

    Args:
        split: One seed's.
        groups: Of all items, shape (N,); None where there are none.
        seed: The run's.

    Raises:
        DataError: The training examples are of one item, or one group, which cannot be cut.
    """
    if len(split.validation):
        return split
    chance = np.random.Generator(np.random.PCG64(np.random.SeedSequence((seed, _VALIDATION))))
    own = split.train if groups is None else groups[split.train]
    names, sizes = np.unique(own, return_counts=True)
    if len(names) < 2:
        unit = "item" if groups is None else "group"
        raise DataError(
            f"{len(split.train)} training examples of {len(names)} {unit}: no validation split can "
            "be cut from them; give one, or more data"
        )
    order = chance.permutation(len(names))
    wanted = VALIDATION_SHARE * len(split.train)
    small = order[sizes[order] <= wanted]
    order = small if sizes[small].sum() >= wanted else order
    count = int(np.searchsorted(np.cumsum(sizes[order]), wanted)) + 1
    cut = np.isin(own, names[order[: min(count, len(names) - 1)]])
    return Split(split.train[~cut], split.train[cut], split.test)
