"""Items as one packed text each, and the k-mers in it as numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Dataset, Sequences, SequenceTuples
from codonbench.data.table_report import complement

IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

Step = Callable[[float], None]
"""Called with the share that is done."""

AT_ONCE = 1 << 20
"""Letters whose k-mers are computed in one go."""


def letters_of(dataset: Dataset) -> tuple[Sequences | None, int, npt.NDArray[np.uint8] | None]:
    """Return items as one sequence each, how many letters there are, and their complements.

    Several sequences an item stand end to end, an unknown letter between them, and have no
    complement.

    Args:
        dataset: None is returned for its items where they are features.
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
    """Yield `rows` in parts of about so many letters each, in order."""
    yield from (rows[part] for part in parts(items.lengths[rows], letters))


def parts(sizes: IntArray, most: int) -> Iterator[IntArray]:
    """Yield the places of `sizes`, in order, in parts whose sizes add up to about `most` each."""
    ends = np.cumsum(sizes)
    cuts = np.searchsorted(ends, np.arange(most, int(ends[-1]) if len(ends) else 0, most))
    yield from (part for part in np.split(np.arange(len(sizes)), np.unique(cuts)) if len(part))


def counted(sizes: IntArray) -> IntArray:
    """Return 0 to n - 1 for each n of `sizes`, one after another.

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
    """Return all k-mers of some items that hold no unknown letter.

    Args:
        items: All of them.
        rows: Those that are asked for.
        k: Letters in each; ``size ** k`` must be below 2**62.
        size: Of the alphabet.
        pairs: Complements of letters, where a k-mer and its reverse complement are one; of the two
            the smaller number stands for both.

    Returns:
        Of each its number, the place in `rows` of its item, where in the item it begins, and
        whether it is its reverse complement that is the smaller one; shape (m,) each.
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
