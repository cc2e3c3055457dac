"""Dinucleotide-preserving shuffling (Altschul and Erickson, Mol. Biol. Evol. 2 (1985) 526-538).

A sequence is an Eulerian path in a graph of letters; every Eulerian path of the same graph has the
same dinucleotides. To draw one uniformly, each letter except the final one gets a random last edge,
redrawn until these edges form a tree that leads to the final letter; the other edges are permuted.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Sequences

IntArray = npt.NDArray[np.int64]

_AT_ONCE = 1 << 22  # letters


def shuffled(items: Sequences, size: int, rng: np.random.Generator) -> Sequences:
    """Return each item shuffled, with its dinucleotide counts and first and last letter kept.

    Args:
        items: Sequences; unknown letters count as one more letter.
        size: Letters of the alphabet.
        rng: Random generator.
    """
    letters = items.letters.copy()
    start = 0
    while start < len(items):
        limit = items.offsets[start] + _AT_ONCE
        stop = max(start + 1, int(np.searchsorted(items.offsets, limit, side="right")) - 1)
        part = slice(int(items.offsets[start]), int(items.offsets[stop]))
        lengths = np.diff(items.offsets[start : stop + 1])
        letters[part] = _walks(items.letters[part], lengths, size, rng)
        start = stop
    return Sequences(letters, items.offsets)


def _walks(
    letters: npt.NDArray[np.uint8], lengths: IntArray, size: int, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Return concatenated items, each as a random Eulerian path of its own graph.

    The node of a letter has the number ``item * (size + 1) + letter``.
    """
    n = size + 1
    known = np.minimum(letters, size).astype(np.int64)
    owner = np.repeat(np.arange(len(lengths)), lengths)
    node = owner * n + known
    begins = np.flatnonzero(owner[:-1] == owner[1:])  # of edges: all but the last letter of an item
    source, target = node[begins], node[begins + 1]
    last = _last_edges(source, target, node, lengths, n, rng)
    order = np.lexsort((rng.random(len(source)), last, source))  # a node's last edge comes last
    goal = target[order]
    next_edge = np.searchsorted(source[order], np.arange(len(lengths) * n))
    walked = letters.copy()
    longest_first = np.argsort(-lengths, kind="stable")
    first = (np.cumsum(lengths) - lengths)[longest_first]
    remaining = -np.sort(-lengths)
    there = node[np.minimum(first, len(node) - 1)] if len(node) else first
    for step in range(1, int(lengths.max(initial=0))):
        going = int(np.searchsorted(-remaining, -step, side="left"))
        there = there[:going]
        edge = next_edge[there]
        next_edge[there] += 1
        there = goal[edge]
        walked[first[:going] + step] = there % n
    walked[walked == size] = UNKNOWN
    return walked


def _last_edges(
    source: IntArray,
    target: IntArray,
    node: IntArray,
    lengths: IntArray,
    n: int,
    rng: np.random.Generator,
) -> npt.NDArray[np.bool_]:
    """Return which edges are the last to leave their node: a random tree to each final letter.

    Edges from a node to itself cannot be among them.
    """
    nodes = len(lengths) * n
    leaving = np.flatnonzero(source != target)
    leaving = leaving[np.argsort(source[leaving], kind="stable")]
    count = np.bincount(source[leaving], minlength=nodes)
    begin = np.cumsum(count) - count
    filled = np.flatnonzero(lengths)
    ends = np.full(len(lengths), -1)
    ends[filled] = node[np.cumsum(lengths)[filled] - 1]
    there = np.bincount(node, minlength=nodes) > 0
    chosen = np.full(nodes, -1)
    open_items = filled
    while len(open_items):
        own = (open_items[:, None] * n + np.arange(n)).ravel()
        positions = own[there[own] & (own != np.repeat(ends[open_items], n))]
        chosen[positions] = leaving[begin[positions] + rng.integers(count[positions])]
        leads = np.arange(nodes)
        leads[positions] = target[chosen[positions]]
        for _ in range(int(n).bit_length()):
            leads[own] = leads[leads[own]]
        lost = positions[leads[positions] != ends[positions // n]]
        open_items = np.unique(lost // n)
    last = np.zeros(len(source), dtype=bool)
    last[chosen[chosen >= 0]] = True
    return last
