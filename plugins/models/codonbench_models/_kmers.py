"""How often each k-mer stands in each item, counted in NumPy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Sequences, SequenceTuples, TaskView

_LETTERS = 1 << 20  # counted in one go, so that what is made on the way stays small

IntArray = npt.NDArray[np.int64]


def sequences_of(
    items: Sequences | SequenceTuples, task: TaskView
) -> tuple[tuple[Sequences, int], ...]:
    """Return each of the items' sequences, all first ones together, with its alphabet's size."""
    parts = (items,) if isinstance(items, Sequences) else items.parts
    return tuple((p, len(s.alphabet)) for p, s in zip(parts, task.sequences, strict=True))


def words(items: Sequences, k: int, size: int) -> Iterator[tuple[slice, IntArray, IntArray]]:
    """Yield the k-mers of some of the items at a time.

    A k-mer is a number below ``size ** k``, its first letter the most significant: of ``ACGT``,
    ``CA`` is 4. Those that hold an unknown letter are left out.

    Args:
        items: Whose.
        k: Letters in one.
        size: Of the alphabet.

    Yields:
        Which items; the place among them of the item that each k-mer stands in, rising, and the
        k-mers, both of shape (k-mers of these items,).
    """
    offsets, start = items.offsets, 0
    while start < len(items):
        until = np.searchsorted(offsets, offsets[start] + _LETTERS, side="right") - 1
        stop = max(start + 1, int(until))
        own = offsets[start : stop + 1] - offsets[start]
        letters = items.letters[offsets[start] : offsets[stop]]
        many = max(0, len(letters) - k + 1)
        word, known = np.zeros(many, dtype=np.int64), np.ones(many, dtype=np.bool_)
        for i in range(k):
            letter = letters[i : i + many]
            word = word * size + letter
            known &= letter < size
        item = np.repeat(np.arange(stop - start), np.diff(own))[:many]
        known &= np.arange(many) + k <= own[item + 1]
        yield slice(start, stop), item[known], word[known]
        start = stop


def count_kmers(items: Sequences, k: int, size: int) -> npt.NDArray[np.float32]:
    """Return how often each k-mer stands in each item, shape (N, size ** k).

    Args:
        items: N of them.
        k: Letters in a k-mer.
        size: Of the alphabet.
    """
    counts = np.zeros((len(items), size**k), dtype=np.float32)
    for part, item, word in words(items, k, size):
        found = np.bincount(item * size**k + word, minlength=counts[part].size)
        counts[part] = found.reshape(-1, size**k)
    return counts


def kmer_sets(items: Sequences, k: int, size: int) -> Any:
    """Return which k-mers stand in each item: 1 or nothing, a sparse array (N, size ** k).

    Args:
        items: N of them.
        k: Letters in a k-mer.
        size: Of the alphabet.
    """
    from scipy.sparse import csr_array

    rows, columns = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
    for part, item, word in words(items, k, size):
        both = np.unique(item * size**k + word)
        rows.append(both // size**k + part.start)
        columns.append(both % size**k)
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = np.ones(len(row), dtype=np.float32)
    return csr_array((ones, (row, column)), shape=(len(items), size**k))
