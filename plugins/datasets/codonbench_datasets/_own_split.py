"""Splits of tables that are published without one: by groups of sequences that share a stretch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Sequences
from codonbench.data.splits import TEST_SHARE, VALIDATION_SHARE, cut
from codonbench.data.table import Table

IntArray = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]

_ODD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio: Fibonacci hashing


def kmers(items: Sequences, k: int, one_in: int = 1) -> tuple[IntArray, Codes]:
    """Return which item each k-mer of some DNA stands in, and the k-mer, the same on both strands.

    Args:
        items: Indices of ``ACGT``.
        k: At most 32.
        one_in: Of how many k-mers one is kept, the same ones everywhere.

    Returns:
        Two arrays of one length. K-mers with an unknown letter are left out.
    """
    letters = items.letters
    n = max(len(letters) - k + 1, 0)
    codes = np.minimum(*_both_strands(letters, k))
    unknown = np.append(0, np.cumsum(letters == UNKNOWN))
    item = np.repeat(np.arange(len(items)), items.lengths)[:n]
    whole = item == np.repeat(np.arange(len(items)), items.lengths)[k - 1 :]
    whole &= unknown[k:] == unknown[:n]
    if one_in > 1:
        whole &= (codes * _ODD >> np.uint64(32)) % np.uint64(one_in) == 0
    return item[whole], codes[whole]


def _both_strands(letters: npt.NDArray[np.uint8], k: int) -> tuple[Codes, Codes]:
    """Return each k-mer as a number of base 4, and its reverse complement, joined from halves."""
    one = (letters & 3).astype(np.uint64)
    known = {1: (one, np.uint64(3) - one)}

    def of(size: int) -> tuple[Codes, Codes]:
        if size not in known:
            half, n = size // 2, len(letters) - size + 1
            rest = size - half
            (left, left_back), (right, right_back) = of(half), of(rest)
            forward = left[:n] << np.uint64(2 * rest) | right[half:]
            known[size] = forward, left_back[:n] | right_back[half:] << np.uint64(2 * half)
        return known[size]

    return of(k)


def sharing(items: Sequences, k: int) -> IntArray:
    """Return a group for each item, shape (N,): one for those that share a k-mer, by any detour.

    A k-mer and its reverse complement are one.
    """
    item, codes = kmers(items, k)
    unique, number = np.unique(codes, return_inverse=True)
    groups = joined(len(items) + len(unique), item, len(items) + number)[: len(items)]
    return np.unique(groups, return_inverse=True)[1].astype(np.int64)


NEAR_K = 32
"""Letters in the k-mers by which long sequences are compared."""

NEAR_SHARE = 0.1
"""Of the k-mers of the one with fewer, that near-copies share: 93 % of letters are equal, or a
tenth of it is copied."""

_COMMON = 50  # sequences: a k-mer of more is a repeat and says nothing


def near_copies(items: Sequences, one_in: int = 32) -> IntArray:
    """Return a group for each item, shape (N,): one for near-copies, by any detour.

    Args:
        items: Sequences of thousands of letters.
        one_in: Of how many k-mers one is compared.
    """
    from scipy.sparse import coo_array, csr_array  # half a second, for who only lists tasks

    item, codes = kmers(items, NEAR_K, one_in)
    _, number = np.unique(codes, return_inverse=True)
    shape = (len(items), int(number.max(initial=-1)) + 1)
    has = csr_array(coo_array((np.ones(len(item), dtype=np.int32), (item, number)), shape=shape))
    has.data[:] = 1
    has = has[:, np.flatnonzero(np.asarray(has.sum(axis=0)).ravel() <= _COMMON)]
    shared = coo_array(has @ has.T)
    count = np.asarray(has.sum(axis=1)).ravel()
    one, other = shared.coords
    near = shared.data >= np.maximum(NEAR_SHARE * np.minimum(count[one], count[other]), 2)
    return joined(len(items), one[near], other[near])


def joined(size: int, one: IntArray, other: IntArray) -> IntArray:
    """Return a group for each of `size` things: one for those that links join, by any detour.

    Args:
        size: How many there are.
        one: One end of each link.
        other: Its other end.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(one), dtype=np.int8), (one, other)), shape=(size, size))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def split_by(table: Table, groups: IntArray) -> Table:
    """Return a table split into a training, a validation and a test part that no group crosses.

    A fifth of the items is for the test and a tenth of the rest for validation, of each class
    where a group is of one class; see `codonbench.data.splits.cut`. The same for every run, and in
    no order, so that an item's place says nothing of its class.
    """
    classes = table.targets if table.kind == "classes" else None
    rest, splits = np.arange(len(table.items)), {}
    for i, (name, share) in enumerate((("test", TEST_SHARE), ("validation", VALIDATION_SHARE))):
        rest, splits[name] = cut(rest, share, np.random.SeedSequence((0, i)), groups, classes)
    rng = np.random.Generator(np.random.PCG64(0))
    parts = {"train": rest, "validation": splits["validation"], "test": splits["test"]}
    mixed = {name: part[np.argsort(rng.random(len(part)))] for name, part in parts.items()}
    return replace(table, groups=groups, splits=mixed)
