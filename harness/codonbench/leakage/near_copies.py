"""Near-copies: items that share k-mers at one offset, confirmed by alignment.

An index of the reference items' k-mers, sampled by hash if items are long (as in FracMinHash,
Irber et al. 2022), gives a few candidates for each item. These are aligned without gaps at the
offset that most k-mers share, and with gaps if that fails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Sequences
from codonbench.leakage.letters import (
    AT_ONCE,
    BoolArray,
    IntArray,
    Step,
    blocks,
    counted,
    kmers,
    mixed,
    parts,
)
from codonbench.leakage.steps import UNKEPT, Arrays, Steps

IDENTITY, OVERLAP = 0.85, 0.8
"""Thresholds of a near-copy: identity in the overlap; overlap as a share of the shorter item."""

_SAMPLED = 64  # k-mers sampled from an item of median length
_CANDIDATES = 5  # aligned for each item
_POSTINGS = 64  # items looked up for one k-mer, the first ones
_IN_INDEX = 1 << 24  # k-mers
_HITS = 1 << 22  # counted at once
_GAPPED, _LONGEST = 1, 3_000  # aligned with gaps: candidates of an item; letters
_ALIGNED = 4_096  # pairs aligned with gaps in one stored step


@dataclass(frozen=True, eq=False)
class Nearest:
    """The most similar reference items of each query item.

    Attributes:
        candidate: Reference that shares most k-mers at one offset, (q,); -1 for none.
        copied: Best near-copy among the references, (q,); -1 for none.
        links: All pairs of query and near-copy that were found, (2, m).
    """

    candidate: IntArray
    copied: IntArray
    links: IntArray


@dataclass(frozen=True, eq=False)
class _Pairs:
    """Pairs of query and reference that share k-mers, one element of each array a pair.

    Attributes:
        query, reference: Items.
        turned: Whether the query is reverse-complemented.
        offset: Start of the reference in the query (reverse-complemented if `turned`).
        shared: Number of k-mers shared at this offset.
    """

    query: IntArray
    reference: IntArray
    turned: BoolArray
    offset: IntArray
    shared: IntArray

    def take(self, which: npt.NDArray[Any]) -> _Pairs:
        """Return some of the pairs."""
        return _Pairs(*(getattr(self, name)[which] for name in self.__dataclass_fields__))

    @staticmethod
    def of(several: list[_Pairs]) -> _Pairs:
        """Return the pairs of several, concatenated."""
        none = np.zeros(0, dtype=np.int64)
        empty = _Pairs(none, none, none.astype(np.bool_), none, none)
        names = _Pairs.__dataclass_fields__
        return _Pairs(
            *(np.concatenate([getattr(p, name) for p in (empty, *several)]) for name in names)
        )


def word_length(letters: int, size: int) -> int:
    """Return k for which a k-mer occurs at most a few times by chance in so many letters."""
    k = 8 if size <= 4 else 3
    while size**k < letters / 2:
        k += 1
    return k


def nearest(
    items: Sequences,
    query: IntArray,
    reference: IntArray,
    size: int,
    pairs: npt.NDArray[np.uint8] | None,
    step: Step = lambda done: None,
    steps: Steps = UNKEPT,
    name: str = "near-copies",
) -> Nearest:
    """Return the most similar items in `reference` of each item in `query`, never the item itself.

    Args:
        items: All items.
        query: Items, shape (q,).
        reference: Items, shape (r,); may overlap with `query`.
        size: Letters of the alphabet.
        pairs: Complement of each letter; None to ignore reverse complements.
        step: Called with the share that is done.
        steps: Stores intermediate results.
        name: Prefix of their names.
    """
    lengths = items.lengths
    k = word_length(int(lengths[reference].sum()), size)
    scale = max(1, round(float(np.median(lengths[reference])) / _SAMPLED)) if len(reference) else 1
    indexed = list(blocks(items, reference, _IN_INDEX * scale))
    candidates = _Pairs.of([])

    def of_part(number: int, part: IntArray) -> Arrays:
        index, found = _Index(items, part, k, size, pairs, scale), [candidates]
        parts = list(blocks(items, query))
        for at, rows in enumerate(parts):
            found += [_best(hits) for hits in index.candidates(items, rows)]
            step(0.6 * (number + (at + 1) / len(parts)) / len(indexed))
        joined = _Pairs.of(found)
        return vars(_best(joined) if number else joined)

    for number, part in enumerate(indexed):
        candidates = _Pairs(**steps(f"{name}, part {number}", partial(of_part, number, part)))
    place = _places(query, len(lengths))
    best = np.full(len(query), -1)
    first = _first_of_each(candidates.query)
    best[place[candidates.query[first]]] = candidates.reference[first]
    copied = np.full(len(query), -1)
    sure = _ungapped(items, candidates, pairs)
    chosen = candidates.take(sure)
    first = _first_of_each(chosen.query)
    copied[place[chosen.query[first]]] = chosen.reference[first]
    step(0.8)
    left = candidates.take(copied[place[candidates.query]] < 0)
    left = left.take(_rank_in_query(left.query) < _GAPPED)
    good = _gapped(items, left, pairs, step, steps, name)
    copied[place[left.query[good]]] = left.reference[good]
    linked = _Pairs.of([chosen, left.take(good)])
    return Nearest(best, copied, np.stack([linked.query, linked.reference]))


class _Index:
    """The sampled k-mers of some items, sorted.

    Args:
        items: All items.
        rows: Items to index.
        k, size, pairs: As for `kmers`.
        scale: One in `scale` k-mers is sampled.
    """

    def __init__(
        self,
        items: Sequences,
        rows: IntArray,
        k: int,
        size: int,
        pairs: npt.NDArray[np.uint8] | None,
        scale: int,
    ) -> None:
        self._asked = k, size, pairs
        self._scale = np.uint64(scale)
        self._lengths = items.lengths
        sampled = [self._sampled(items, part) for part in blocks(items, rows)]
        number, item, place, turned = (np.concatenate(each) for each in zip(*sampled, strict=True))
        order = np.argsort(number, kind="stable")  # items stay in order within a k-mer
        self._number, self._item = number[order], item[order]
        self._place, self._turned = place[order], turned[order]

    def _sampled(
        self, items: Sequences, rows: IntArray
    ) -> tuple[IntArray, IntArray, npt.NDArray[np.int32], BoolArray]:
        k, size, pairs = self._asked
        number, item, place, turned = kmers(items, rows, k, size, pairs)
        kept = mixed(number) % self._scale == 0
        return number[kept], rows[item[kept]], place[kept].astype(np.int32), turned[kept]

    def candidates(self, items: Sequences, rows: IntArray) -> list[_Pairs]:
        """Return pairs of the items `rows` with indexed items, in parts."""
        number, item, place, turned = self._sampled(items, rows)
        low = np.searchsorted(self._number, number, "left")
        many = np.minimum(np.searchsorted(self._number, number, "right") - low, _POSTINGS)
        ends = np.cumsum(many)
        cuts = np.searchsorted(ends, np.arange(_HITS, ends[-1] if len(ends) else 0, _HITS))
        # Cut between items: the k-mers of one are counted together.
        cuts = np.unique(np.searchsorted(item, item[cuts], "left")) if len(cuts) else cuts
        found = []
        for part in np.split(np.arange(len(number)), cuts):
            n = many[part]
            hit = counted(n) + np.repeat(low[part], n)
            query = np.repeat(part, n)
            own = item[query] != self._item[hit]
            found.append(
                self._counted(item[query[own]], place[query[own]], turned[query[own]], hit[own])
            )
        return found

    def _counted(
        self,
        query: IntArray,
        place: npt.NDArray[np.int32],
        turned: BoolArray,
        hit: IntArray,
    ) -> _Pairs:
        """Return pairs that share two or more k-mers at one offset, each with its best offset."""
        k = self._asked[0]
        turned = turned != self._turned[hit]
        begin = np.where(turned, self._lengths[query] - k - place, place)
        found = _Pairs(query, self._item[hit], turned, begin - self._place[hit], query)
        found = found.take(np.lexsort((found.offset, turned, found.reference, query)))
        starts = np.flatnonzero(_changes(found.query, found.reference, found.turned, found.offset))
        shared = np.diff(np.append(starts, len(query)))
        found = replace(found.take(starts), shared=shared).take(shared > 1)
        found = found.take(np.lexsort((-found.shared, found.reference, found.query)))
        return found.take(_changes(found.query, found.reference))


def _changes(*keys: npt.NDArray[Any]) -> BoolArray:
    """Return where sorted keys differ from the previous ones."""
    new = np.ones(len(keys[0]), dtype=np.bool_)
    if len(new):
        new[1:] = np.logical_or.reduce([key[1:] != key[:-1] for key in keys])
    return new


def _best(pairs: _Pairs) -> _Pairs:
    """Return the best pairs of each query, sorted by query, best first."""
    order = np.lexsort((pairs.reference, -pairs.shared, pairs.query))
    pairs = pairs.take(order)
    return pairs.take(_rank_in_query(pairs.query) < _CANDIDATES)


def _rank_in_query(query: IntArray) -> IntArray:
    starts = np.flatnonzero(_changes(query))
    return counted(np.diff(np.append(starts, len(query))))


def _first_of_each(query: IntArray) -> IntArray:
    """Return the index of each item's first pair."""
    return np.unique(query, return_index=True)[1]


def _places(query: IntArray, n: int) -> IntArray:
    """Return the index in `query` of each of `n` items, -1 for none."""
    place = np.full(n, -1)
    place[query] = np.arange(len(query))
    return place


def _ungapped(items: Sequences, found: _Pairs, pairs: npt.NDArray[np.uint8] | None) -> BoolArray:
    """Return which pairs are near-copies when aligned without gaps at their offset."""
    sure = np.zeros(len(found.query), dtype=np.bool_)
    lengths = items.lengths
    long, other = lengths[found.query], lengths[found.reference]
    start = np.maximum(found.offset, 0)
    overlap = np.minimum(long - start, other - (start - found.offset))
    enough = np.flatnonzero(overlap >= OVERLAP * np.minimum(long, other))
    for part in (enough[places] for places in parts(overlap[enough], AT_ONCE)):
        n = overlap[part]
        step = counted(n)
        turned = np.repeat(found.turned[part], n)
        begin = items.offsets[found.query[part]]
        forward = np.repeat(begin + start[part], n) + step
        backward = np.repeat(begin + long[part] - 1 - start[part], n) - step
        letters = items.letters[np.where(turned, backward, forward)]
        if pairs is not None:
            letters = np.where(turned, pairs[letters], letters)
        across = items.offsets[found.reference[part]] + start[part] - found.offset[part]
        facing = items.letters[np.repeat(across, n) + step]
        same = (letters == facing) & (letters < UNKNOWN)
        sure[part] = np.add.reduceat(same, np.cumsum(n) - n, dtype=np.int64) >= IDENTITY * n
    return sure


def _gapped(
    items: Sequences,
    found: _Pairs,
    pairs: npt.NDArray[np.uint8] | None,
    step: Step,
    steps: Steps,
    name: str,
) -> BoolArray:
    """Return which pairs are near-copies in an alignment with gaps; long items are not aligned."""
    good = np.zeros(len(found.query), dtype=np.bool_)
    lengths = items.lengths
    longer = np.maximum(lengths[found.query], lengths[found.reference])
    # K-mers on each side of a gap share an offset; fewer than 4 at one offset are chance.
    chosen = np.flatnonzero((longer <= _LONGEST) & (found.shared > 3))

    def of_part(begin: int) -> Arrays:
        part = chosen[begin : begin + _ALIGNED]
        for at, row in enumerate(part.tolist(), begin):
            good[row] = _near_with_gaps(items, found, row, pairs)
            if at % 256 == 0:
                step(0.8 + 0.2 * at / len(chosen))
        return {"good": good[part]}

    for begin in range(0, len(chosen), _ALIGNED):
        kept = steps(f"{name}, aligned from {begin}", partial(of_part, begin))
        good[chosen[begin : begin + _ALIGNED]] = kept["good"]
    return good


def _near_with_gaps(
    items: Sequences, found: _Pairs, row: int, pairs: npt.NDArray[np.uint8] | None
) -> bool:
    """Return whether a pair is a near-copy in an alignment with gaps and free ends."""
    letters = _letters(items, int(found.query[row]))
    other = _letters(items, int(found.reference[row]))
    if found.turned[row] and pairs is not None:
        letters = pairs[letters[::-1]]
    one, two = _text(letters, "?"), _text(other, "!")
    mine, yours = _aligner().align(one, two)[0].aligned
    same = sum(
        x == y
        for (a, b), (c, d) in zip(mine, yours, strict=True)
        for x, y in zip(one[a:b], two[c:d], strict=True)
    )
    gaps = sum(b[0] - a[1] for blocks in (mine, yours) for a, b in pairwise(blocks))
    aligned = int(sum(b - a for a, b in mine) + gaps)
    shorter = min(len(letters), len(other))
    return bool(same >= IDENTITY * aligned and aligned >= OVERLAP * shorter)


def _letters(items: Sequences, item: int) -> npt.NDArray[np.uint8]:
    return items.letters[items.offsets[item] : items.offsets[item + 1]]


def _text(letters: npt.NDArray[np.uint8], unknown: str) -> str:
    """Return letters as text with `unknown` for unknown ones."""
    signs = np.where(letters == UNKNOWN, ord(unknown), np.minimum(letters, 127) + ord("A"))
    return signs.astype(np.uint8).tobytes().decode("latin-1")


@cache
def _aligner() -> Any:
    from Bio.Align import PairwiseAligner  # imported late: few commands align

    return PairwiseAligner(  # type: ignore[no-untyped-call]
        mode="global",
        match_score=1,
        mismatch_score=-1,
        open_internal_gap_score=-2,
        extend_internal_gap_score=-2,
        end_gap_score=0,
    )
