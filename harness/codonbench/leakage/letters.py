"""Items as one packed sequence each, and their k-mers as integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Dataset, Sequences, SequenceTuples
from codonbench.data.table_report import complement

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Step = Callable[[float], None]
"""Called with the share of the work that is done, from 0 to 1."""

AT_ONCE = 1 << 20
"""Letters whose k-mers are computed at once, which bounds memory."""


def letters_of(dataset: Dataset) -> tuple[Sequences | None, int, npt.NDArray[np.uint8] | None]:
    """Return items as one sequence each, the size of the alphabet, and each letter's complement.

    Items of several sequences are joined, with an unknown letter between sequences, and have no
    complements. Items that are features give ``(None, 0, None)``.
    """
    items, inputs = dataset.items, dataset.spec.input.sequences
    if isinstance(items, Sequences):
        return items, len(inputs[0].alphabet), complement(inputs[0].alphabet)
    if isinstance(items, SequenceTuples):
        return _end_to_end(items), max(len(each.alphabet) for each in inputs), None
    return None, 0, None


def _end_to_end(items: SequenceTuples) -> Sequences:
    lengths = sum(part.lengths for part in items.parts) + len(items.parts) - 1
    offsets = np.zeros(len(items) + 1, dtype=np.int64)
    np.cumsum(lengths, out=offsets[1:])
    letters = np.full(offsets[-1], UNKNOWN, dtype=np.uint8)
    start = offsets[:-1].copy()
    for part in items.parts:
        shift = np.repeat(start - part.offsets[:-1], part.lengths)
        letters[np.arange(len(part.letters)) + shift] = part.letters
        start += part.lengths + 1
    return Sequences(letters, offsets)


def blocks(items: Sequences, rows: IntArray, letters: int = AT_ONCE) -> Iterator[IntArray]:
    """Yield `rows` in order, in parts of about `letters` letters each."""
    yield from (rows[part] for part in parts(items.lengths[rows], letters))


def parts(sizes: IntArray, most: int) -> Iterator[IntArray]:
    """Yield the indices of `sizes` in order, in parts whose sizes sum to about `most`."""
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(ends, np.arange(most, int(ends[-1]) if len(ends) else 0, most))
    yield from (part for part in np.split(np.arange(len(sizes)), np.unique(cuts)) if len(part))


def counted(sizes: IntArray) -> IntArray:
    """Return 0 to n - 1 for each n of `sizes`, concatenated.

    >>> counted(np.array([2, 0, 3])).tolist()
    [0, 1, 0, 1, 2]
    """
    found: IntArray = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return found


def kmers(
    items: Sequences,
    rows: IntArray,
    k: int,
    size: int,
    pairs: npt.NDArray[np.uint8] | None = None,
) -> tuple[IntArray, IntArray, IntArray, BoolArray]:
    """Return all k-mers without unknown letters of the items `rows`.

    Args:
        items: All items.
        rows: The items to use, shape (n,).
        k: Letters of a k-mer; ``size ** k`` must be below 2**62.
        size: Letters of the alphabet.
        pairs: Complement of each letter: a k-mer and its reverse complement then have one number,
            the smaller of the two. None to keep them apart.

    Returns:
        For each k-mer its number, the index of its item in `rows`, its start in the item, and
        whether the number is that of its reverse complement; shape (m,) each.
    """
    taken = items.take(rows)
    n = len(taken.letters) - k + 1
    if n < 1:
        none = np.zeros(0, dtype=np.int64)
        return none, none, none, none.astype(np.bool_)
    letters = taken.letters.astype(np.int64)
    forward, backward = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)
    for i in range(k):
        forward = forward * size + letters[i : i + n]
    if pairs is not None:
        opposite = pairs[taken.letters].astype(np.int64)
        for i in reversed(range(k)):
            backward = backward * size + opposite[i : i + n]
    item = np.repeat(np.arange(len(rows)), taken.lengths)[:n]
    place = np.arange(n) - taken.offsets[item]
    unknown = np.zeros(len(letters) + 1, dtype=np.int64)
    np.cumsum(taken.letters >= size, out=unknown[1:])
    good = (place + k <= taken.lengths[item]) & (unknown[k:] == unknown[:-k])
    turned = (backward < forward) if pairs is not None else np.zeros(n, dtype=np.bool_)
    number = np.where(turned, backward, forward)
    return number[good], item[good], place[good], turned[good]


def mixed(numbers: IntArray) -> npt.NDArray[np.uint64]:
    """Return a 64-bit hash of each number: the finaliser of SplitMix64."""
    x = numbers.astype(np.uint64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
