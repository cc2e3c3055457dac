"""Twins: items derived from others by shuffling letters, or by replacing all but some pieces.

If negatives are derived from positives, a test item with a twin in training has the other class,
which a model can exploit.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Sequences
from codonbench.leakage.letters import IntArray, Step, blocks, counted, parts
from codonbench.leakage.near_copies import IDENTITY

_SHORTEST = 20  # letters; shorter items share dinucleotide counts by chance
_UNLIKE = 0.6  # largest share of letters at the same position in shuffled twins
_TRIED = 8  # items with the same dinucleotide counts that are compared
_PIECES, _IN_PLACE, _SHARED = 0.35, 6, 0.1  # in place: share of letters; words, and their share
_MOST = 20  # a word at one position in more items than this is ignored
_PAIRS = 1 << 22  # gathered before counting
_MOST_PLACES = 20_000


def shuffled(items: Sequences, query: IntArray, reference: IntArray, size: int) -> IntArray:
    """Return for each query a reference that may be a dinucleotide-preserving shuffle of it.

    Both have the same length, first and last letter and dinucleotide counts (Altschul and Erickson
    1985), and less than 60 % of positions with the same letter.

    Args:
        items: All items.
        query: Items, shape (q,).
        reference: Items, shape (r,); may overlap with `query`.
        size: Letters of the alphabet.

    Returns:
        The reference of each query, -1 for none, shape (q,).
    """
    signature = _signatures(items, size)
    order = reference[np.argsort(signature[reference], kind="stable")]
    keys = signature[order]
    low = np.searchsorted(keys, signature[query], "left")
    high = np.searchsorted(keys, signature[query], "right")
    found = np.full(len(query), -1)
    long = items.lengths[query] >= _SHORTEST
    for step in range(_TRIED):
        tried = np.flatnonzero(long & (found < 0) & (low + step < high))
        other = order[low[tried] + step]
        good = _in_place(items, query[tried], other) < _UNLIKE
        good &= query[tried] != other
        found[tried[good]] = other[good]
    return found


def _signatures(items: Sequences, size: int) -> npt.NDArray[np.uint64]:
    """Return a hash of each item's length, first and last letter and dinucleotide counts."""
    rng = np.random.Generator(np.random.PCG64(0))
    base = size + 1
    of_pair = rng.integers(0, 2**64, base * base, dtype=np.uint64)
    of_end = rng.integers(0, 2**64, base * base, dtype=np.uint64)
    of_length = np.uint64(rng.integers(0, 2**63)) | np.uint64(1)
    total = items.lengths.astype(np.uint64) * of_length
    for rows in blocks(items, np.flatnonzero(items.lengths > 0)):
        taken = items.take(rows)
        letters = np.minimum(taken.letters, size).astype(np.int64)
        pairs = of_pair[letters * base + np.append(letters[1:], 0)]
        pairs[taken.offsets[1:] - 1] = 0  # the last letter has no neighbour
        first, last = letters[taken.offsets[:-1]], letters[taken.offsets[1:] - 1]
        total[rows] += np.add.reduceat(pairs, taken.offsets[:-1]) + of_end[first * base + last]
    return total


def _in_place(items: Sequences, one: IntArray, other: IntArray) -> npt.NDArray[np.float64]:
    """Return the share of positions with the same letter in each pair of items."""
    share = np.zeros(len(one))
    lengths = np.minimum(items.lengths[one], items.lengths[other])
    for part in parts(lengths, _PAIRS):
        n = lengths[part]
        if not n.sum():
            continue
        step = counted(n)
        mine = items.letters[np.repeat(items.offsets[one[part]], n) + step]
        yours = items.letters[np.repeat(items.offsets[other[part]], n) + step]
        share[part] = np.add.reduceat(mine == yours, np.cumsum(n) - n, dtype=np.int64) / n
    return share


def in_pieces(
    items: Sequences,
    query: IntArray,
    reference: IntArray,
    size: int,
    step: Step = lambda done: None,
) -> IntArray:
    """Return for each query the reference that shares most words (k-mers) at the same positions.

    A pair shares at least a tenth of its words in place, and at least six, has the same letter at
    35 % of positions or more, and is not a near-copy.

    Args:
        items: All items.
        query: Items, shape (q,).
        reference: Items, shape (r,); may overlap with `query`.
        size: Letters of the alphabet.
        step: Called with the share that is done.

    Returns:
        The reference of each query, -1 for none, shape (q,).
    """
    n, k = len(items), 8 if size <= 4 else 4
    while size**k < 4 * len(reference):  # so that few words match by chance
        k += 1
    is_query, known = np.zeros(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)
    is_query[query], known[reference] = True, True
    keys, counts = np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64)
    waiting: list[IntArray] = []
    places = min(int(items.lengths.max()) - k + 1, _MOST_PLACES)
    for place, (rows, words) in enumerate(_words_by_place(items, k, size, places)):
        waiting.append(_facing(rows, words, is_query[rows], known[rows]) if len(rows) else keys[:0])
        if sum(map(len, waiting)) > _PAIRS or place == places - 1:
            keys, counts = _added(keys, counts, np.concatenate(waiting))
            waiting = []
            step(place / places)
    mine, other = keys >> 32, keys & 0xFFFFFFFF
    shorter = np.minimum(items.lengths[mine], items.lengths[other]) - k + 1
    good = np.flatnonzero(counts >= np.maximum(_IN_PLACE, _SHARED * shorter))
    share = _in_place(items, mine[good], other[good])
    good = good[(share >= _PIECES) & (share < IDENTITY)]
    order = good[np.lexsort((other[good], -counts[good], mine[good]))]
    first = order[np.unique(mine[order], return_index=True)[1]]
    best = np.full(n, -1)
    best[mine[first]] = other[first]
    return np.asarray(best[query])


def _words_by_place(
    items: Sequences, k: int, size: int, places: int
) -> Iterator[tuple[IntArray, IntArray]]:
    """Yield for each position the items with a word of known letters there, and the words."""
    word = np.zeros(len(items), dtype=np.int64)
    unknown = np.full(len(items), -1)  # position of the last unknown letter
    rows = np.arange(len(items))
    for at in range(places + k - 1):
        long = items.lengths[rows] > at
        rows, word, unknown = rows[long], word[long], unknown[long]
        letter = items.letters[items.offsets[rows] + at].astype(np.int64)
        unknown[letter >= size] = at
        word = (word * size + np.minimum(letter, size - 1)) % size**k
        if at >= k - 1:
            whole = unknown <= at - k
            yield rows[whole], word[whole]


def _facing(
    rows: IntArray,
    words: IntArray,
    is_query: npt.NDArray[np.bool_],
    known: npt.NDArray[np.bool_],
) -> IntArray:
    """Return pairs of items with the same word at one position, each packed into one integer."""
    order = np.argsort(words[known], kind="stable")
    reference, sorted_ = rows[known][order], words[known][order]
    query, wanted = rows[is_query], words[is_query]
    low = np.searchsorted(sorted_, wanted, "left")
    many = np.searchsorted(sorted_, wanted, "right") - low
    many[many > _MOST] = 0
    hit = counted(many) + np.repeat(low, many)
    mine, other = np.repeat(query, many), reference[hit]
    apart = mine != other
    return np.asarray(mine[apart] << np.int64(32) | other[apart])


def _added(keys: IntArray, counts: IntArray, more: IntArray) -> tuple[IntArray, IntArray]:
    """Return sorted keys and their counts after adding the keys `more`."""
    new, often = np.unique(more, return_counts=True)
    every, place = np.unique(np.concatenate([keys, new]), return_inverse=True)
    total = np.zeros(len(every), dtype=np.int64)
    np.add.at(total, place, np.concatenate([counts, often]))
    return every, total
