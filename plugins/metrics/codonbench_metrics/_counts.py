"""Scores of samples of items, each sample given as how often each item is in it.

Counts (B, N) make thousands of samples a few products of matrices. What is undefined is NaN.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


_latest: tuple[Callable[[], FloatArray | None], FloatArray] = (lambda: None, np.zeros(0))
"""The samples that were asked of last, while they are there, and how many items each has."""


def sizes(counts: FloatArray) -> FloatArray:
    """Return how many items each sample has, shape (B,).

    Of counts that cannot be written to it is added up once: many runs are scored on the same.
    """
    global _latest
    of, n = _latest
    if counts.flags.writeable or of() is not counts:
        n = counts @ np.ones(counts.shape[1])
        _latest = weakref.ref(counts), n
    return n


def confusions(
    classes: IntArray, answers: IntArray, n_classes: int, counts: FloatArray
) -> FloatArray:
    """Return the confusion matrix of each sample, shape (B, C, C), class by answer.

    To read the counts is what takes time, so cells share a product: as digits of a whole number,
    each with room for all of a sample. A double holds 53 bits of it.
    """
    cells = classes * n_classes + answers
    n = sizes(counts)
    bits = max(int(n.max()).bit_length(), 1)
    found = np.zeros((n_classes * n_classes, len(counts)))  # so that samples are added side by side
    for first in range(0, len(found) - 1, 53 // bits):
        own = range(first, min(first + 53 // bits, len(found) - 1))
        places = np.zeros(len(found))
        places[own] = 2.0 ** (bits * np.arange(len(own)))
        number = (counts @ places[cells]).astype(np.int64)
        for cell in own:
            found[cell] = number >> bits * (cell - first) & (1 << bits) - 1
    found[-1] = n - found.sum(axis=0)
    return found.reshape(n_classes, n_classes, -1).transpose(2, 0, 1)


def of_items(counts: FloatArray, which: npt.NDArray[np.bool_]) -> FloatArray:
    """Return the counts of some of the items."""
    return counts if which.all() else counts.compress(which, axis=1)


def mcc(confusion: FloatArray) -> FloatArray:
    """Return Matthews' coefficient of confusion matrices (B, C, C).

    0 where all answers are one class, NaN where all items are: Gorodkin, Comput. Biol. Chem. 28
    (2004) 367-374.
    """
    n = confusion.sum(axis=(1, 2))
    right = np.trace(confusion, axis1=1, axis2=2)
    classes, answers = confusion.sum(axis=2), confusion.sum(axis=1)
    covariance = right * n - (classes * answers).sum(axis=1)
    spread = n**2 - (classes**2).sum(axis=1)
    spread_answers = n**2 - (answers**2).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = covariance / np.sqrt(spread * spread_answers)
    return np.where(spread == 0, np.nan, np.where(spread_answers == 0, 0.0, found))


def recall(confusion: FloatArray) -> FloatArray:
    """Return the mean recall of the classes that a sample has, of confusion matrices (B, C, C)."""
    classes = confusion.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = np.diagonal(confusion, axis1=1, axis2=2) / classes
    shares = np.ascontiguousarray(shares)  # whose sums are the same however the matrices lie
    return np.asarray(np.nansum(shares, axis=1) / (classes > 0).sum(axis=1))


def pearson(first: FloatArray, second: FloatArray, counts: FloatArray) -> FloatArray:
    """Return Pearson's r of each sample; NaN where one of the two does not vary.

    Args:
        first: One value an item, shape (N,), or one for each sample, shape (B, N).
        second: Likewise.
        counts: Shape (B, N).
    """
    n = counts.sum(axis=1)

    def total(values: FloatArray) -> FloatArray:
        if values.ndim == 1:
            return np.asarray(counts @ values)
        return np.asarray(np.einsum("bn,bn->b", counts, values))

    # Centred on the items' own mean, so that little is lost in the differences of squares.
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (first, second))
    mean_x, mean_y = total(x) / n, total(y) / n
    covariance = total(x * y) / n - mean_x * mean_y
    variances = (total(x * x) / n - mean_x**2, total(y * y) / n - mean_y**2)
    flat = [
        v <= 1e-12 * max(float(np.mean(z * z)), np.finfo(np.float64).tiny)
        for v, z in zip(variances, (x, y), strict=True)
    ]
    with np.errstate(invalid="ignore", divide="ignore"):
        found = covariance / np.sqrt(variances[0] * variances[1])
    return np.where(flat[0] | flat[1], np.nan, found)


def ranks(values: FloatArray, counts: FloatArray) -> FloatArray:
    """Return the rank of each item in each sample, from 1, ties sharing their mean; (B, N)."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) > 0]))
    tied = np.add.reduceat(counts.take(order, axis=1), starts, axis=1)
    shared = np.cumsum(tied, axis=1) - (tied - 1) / 2
    which = np.empty(len(values), dtype=np.int64)
    which[order] = np.repeat(np.arange(len(starts)), np.diff([*starts, len(values)]))
    return shared.take(which, axis=1)


def auroc(positive: npt.NDArray[np.bool_], scores: FloatArray, counts: FloatArray) -> FloatArray:
    """Return the area under the ROC curve of each sample: Mann and Whitney's U over n * m."""
    n = (counts * positive).sum(axis=1)
    m = counts.sum(axis=1) - n
    above = (ranks(scores, counts) * counts * positive).sum(axis=1) - n * (n + 1) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(above / (n * m))


def average_precision(
    positive: npt.NDArray[np.bool_], scores: FloatArray, counts: FloatArray
) -> FloatArray:
    """Return the average precision of each sample, equal scores found together."""
    order = np.argsort(-scores, kind="stable")
    level = np.concatenate([[0], np.cumsum(np.diff(scores[order]) < 0)])  # of equal scores
    hits = np.flatnonzero(positive[order])
    levels, first = np.unique(level[hits], return_index=True)  # all that add to the area
    ends = np.searchsorted(level, levels, side="right")
    drawn = np.add.reduceat(counts.take(order[: ends[-1]], axis=1), [0, *ends[:-1]], axis=1)
    found = np.add.reduceat(counts.take(order[hits], axis=1), first, axis=1)
    n = found.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = found.cumsum(axis=1) / drawn.cumsum(axis=1)
        areas = np.where(found > 0, found * precision, 0).sum(axis=1) / n
    return np.where(n == counts.sum(axis=1), np.nan, areas)
