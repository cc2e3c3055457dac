"""Splits of tables that are published without one: by groups of sequences that share a stretch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

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
        k: At most 31.
        one_in: Of how many k-mers one is kept, the same ones everywhere.

    Returns:
        Two arrays of one length. K-mers with an unknown letter are left out.
    """
    letters = items.letters
    n = max(len(letters) - k + 1, 0)
    forward, backward = np.zeros(n, dtype=np.uint64), np.zeros(n, dtype=np.uint64)
    for i in range(k):
        letter = (letters[i : i + n] & 3).astype(np.uint64)
        forward = forward << np.uint64(2) | letter
        backward |= (np.uint64(3) - letter) << np.uint64(2 * i)
    codes = np.minimum(forward, backward)
    unknown = np.append(0, np.cumsum(letters == UNKNOWN))
    whole = unknown[k:] == unknown[: len(unknown) - k]
    item = np.searchsorted(items.offsets, np.arange(n), side="right") - 1
    whole &= np.arange(n) + k <= items.offsets[item + 1]
    if one_in > 1:
        whole &= (codes * _ODD >> np.uint64(32)) % np.uint64(one_in) == 0
    return item[whole], codes[whole]


def sharing(items: Sequences, k: int) -> IntArray:
    """Return a group for each item, shape (N,): one for those that share a k-mer, by any detour.

    A k-mer and its reverse complement are one.
    """
    item, codes = kmers(items, k)
    unique, number = np.unique(codes, return_inverse=True)
    return joined(len(items), item, number, len(unique))


def joined(n: int, item: IntArray, other: IntArray, n_others: int) -> IntArray:
    """Return a group for each of `n` items: those that are linked to one of `n_others` things.

    Args:
        n: How many items.
        item: One end of each link.
        other: Its other end.
        n_others: How many things there are to be linked to.
    """
    ones = np.ones(len(item), dtype=np.int8)
    size = n + n_others
    graph = coo_array((ones, (item, n + other)), shape=(size, size))
    found = connected_components(graph, directed=False)[1][:n]
    return np.unique(found, return_inverse=True)[1].astype(np.int64)


def split_by(table: Table, groups: IntArray) -> Table:
    """Return a table split into a training, a validation and a test part that no group crosses.

    A fifth of the items is for the test and a tenth of the rest for validation, of each class
    where a group is of one class; see `codonbench.data.splits.cut`. The same for every run.
    """
    classes = table.targets if table.kind == "classes" else None
    rest, splits = np.arange(len(table.items)), {}
    for i, (name, share) in enumerate((("test", TEST_SHARE), ("validation", VALIDATION_SHARE))):
        rest, splits[name] = cut(rest, share, np.random.SeedSequence((0, i)), groups, classes)
    parts = {"train": rest, "validation": splits["validation"], "test": splits["test"]}
    return replace(table, groups=groups, splits=parts)
