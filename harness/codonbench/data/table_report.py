"""Lines and warnings on a table, shown before training."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Features, Items, Sequences, SequenceTuples
from codonbench.data.table import Table, is_number

IntArray = npt.NDArray[np.int64]
Place = Callable[[int], str]

COMPLEMENT = str.maketrans("ACGTU", "TGCAA")

_LONG = 100_000  # letters; a batch of longer sequences may not fit the device
_SOME = 4  # mean items per class up to which a class of one item is no warning
_SHOWN = 8  # labels or quantities
_TOGETHER = 1 << 24  # letters reversed at a time


def same_items(items: Items, alphabet: str) -> tuple[IntArray, IntArray]:
    """Return two hashes of each item; reverse complements share the second.

    Args:
        items: N items.
        alphabet: Alphabet of sequences. If it is not of nucleotides, or items are several
            sequences, both hashes are the same.

    Returns:
        Both of shape (N,), valid in this process alone.
    """
    if isinstance(items, Features):
        exact = np.fromiter((hash(row.tobytes()) for row in items.values), np.int64, len(items))
        return exact, exact
    if isinstance(items, SequenceTuples):
        both = np.stack([same_items(part, "")[0] for part in items.parts], axis=1)
        exact = np.fromiter((hash(row.tobytes()) for row in both), np.int64, len(items))
        return exact, exact
    exact = np.fromiter(_hashes(items.letters, items.offsets), np.int64, len(items))
    pairs = complement(alphabet)
    if pairs is None:
        return exact, exact
    reverse = np.empty_like(exact)
    step = max(1, int(_TOGETHER // max(items.lengths.mean(), 1)))
    for low in range(0, len(items), step):
        offsets = items.offsets[low : low + step + 1]
        reversed_ = pairs[items.letters[offsets[0] : offsets[-1]][::-1]]
        ends = offsets[-1] - offsets[::-1]
        reverse[low : low + step] = list(_hashes(reversed_, ends))[::-1]
    return exact, np.minimum(exact, reverse)


def _hashes(letters: npt.NDArray[np.uint8], offsets: IntArray) -> Iterator[int]:
    whole = np.ascontiguousarray(letters).data
    return (hash(bytes(whole[a:b])) for a, b in pairwise(offsets.tolist()))


def complement(alphabet: str) -> npt.NDArray[np.uint8] | None:
    """Return the index of each letter's complement, (256,); None if letters are not nucleotides."""
    upper = alphabet.upper().replace("U", "T")
    if set(upper) != set("ACGT") or len(upper) != 4:
        return None
    table = np.full(256, UNKNOWN, dtype=np.uint8)
    table[:4] = [upper.index(letter.translate(COMPLEMENT)) for letter in upper]
    return table


def targets(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    """Return lines with the count of each label or the range of each quantity, for the first few.

    Args:
        table: The table.
        names: Names of its labels or quantities.
    """
    if table.targets.ndim == 1:
        return ()
    lines = []
    for name, values in list(zip(names, table.targets.T, strict=True))[:_SHOWN]:
        known = values[~np.isnan(values)]
        if not len(known):
            lines.append(f"{name}: no item has one")
        elif np.isin(known, (0, 1)).all():
            lines.append(f"{name}: {int(known.sum()):,} of {len(known):,}")
        else:
            lines.append(f"{name}: {known.min():.6g} to {known.max():.6g}, mean {known.mean():.6g}")
    return (*lines, *(("...",) if len(names) > _SHOWN else ()))


def duplicates(table: Table, alphabet: str) -> tuple[IntArray, tuple[str, ...]]:
    """Return groups of equal items, and warnings on duplicates.

    Args:
        table: The table.
        alphabet: Alphabet of its sequences.

    Returns:
        A number shared by equal items and reverse complements, shape (N,), in order of appearance;
        and sentences on items in two splits or, without splits, on repeated items.
    """
    exact, either = same_items(table.items, alphabet)
    sentences = []
    classes = table.targets.astype(np.int64) if table.targets.ndim == 1 else None
    either = by_appearance(either)
    if len(table.splits) < 2:
        twice = len(either) - int(either.max()) - 1
        if twice:
            rows = np.arange(len(either))
            conflicts = _conflicts(either, classes, rows, rows, table.place)
            sentences.append(
                f"{twice:,} of {len(either):,} items repeat another, exactly or as its reverse "
                f"complement{conflicts}; they stay in one split"
            )
    for one, other in combinations(table.splits, 2):
        first, second = table.splits[one], table.splits[other]
        n, note = copies(exact, either, classes, first, second, table.place)
        if n:
            of = len(table.splits[other])
            sentences.append(f"{n:,} of {of:,} {other} items stand in {one}{note}")
    return either, tuple(sentences)


def copies(
    exact: IntArray,
    either: IntArray,
    classes: IntArray | None,
    first: IntArray,
    second: IntArray,
    place: Place | None = None,
) -> tuple[int, str]:
    """Return the number of items in `second` that are also in `first`, and a phrase with details.

    Args:
        exact: Numbers shared by equal items, (N,).
        either: Small numbers shared by equal items and reverse complements, (N,).
        classes: Class of all items, (N,); None if there are none.
        first: Items to search.
        second: Items to count.
        place: Returns the file and line of an item; None if unknown.
    """
    n = int(np.isin(either[second], either[first]).sum())
    if not n:
        return 0, ""
    turned = n - int(np.isin(exact[second], exact[first]).sum())
    kinds = f" ({turned:,} as reverse complement)" if turned else ""
    return n, kinds + _conflicts(either, classes, first, second, place)


def by_appearance(numbers: IntArray) -> IntArray:
    """Return `numbers` replaced by 0, 1, ... in order of first appearance."""
    _, first, inverse = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.empty_like(first)
    rank[np.argsort(first)] = np.arange(len(first))
    return rank[inverse]


def _conflicts(
    same: IntArray,
    classes: IntArray | None,
    first: IntArray,
    second: IntArray,
    place: Place | None,
) -> str:
    """Return a phrase on items of `second` that are in `first` with another class."""
    if classes is None:
        return ""
    n_classes = int(classes.max()) + 1
    keys = same * n_classes + classes
    of_item = np.bincount(same[first], minlength=int(same.max()) + 1)
    known, counts = np.unique(keys[first], return_counts=True)
    at = np.minimum(np.searchsorted(known, keys[second]), len(known) - 1)
    agreeing = np.where(known[at] == keys[second], counts[at], 0)
    other = second[of_item[same[second]] > agreeing]
    if not len(other):
        return ""
    row = int(other[0])
    of = first[(same[first] == same[row]) & (classes[first] != classes[row])]
    where = f" (first {_at(place, row)}, like {_at(place, int(of[0]))})" if place else ""
    return f", {len(other):,} with another class{where}"


def _at(place: Place, row: int) -> str:
    """Return the file and line of a row without the folder, which records must not hold."""
    return Path(place(row)).name


def warnings(table: Table, names: Sequence[str]) -> tuple[str, ...]:
    """Return warnings: sentences on properties of a table that make its scores less meaningful.

    Args:
        table: The table.
        names: Names of its columns of targets.
    """
    sentences = []
    if table.targets.ndim == 2:
        same = [
            name
            for name, values in zip(names, table.targets.T, strict=True)
            if len(np.unique(values[~np.isnan(values)])) < 2
        ]
        if same:
            shown = ", ".join(same[:_SHOWN]) + (", ..." if len(same) > _SHOWN else "")
            sentences.append(f"{shown}: the same in all items, so there is nothing to learn of it")
    if table.classes and "train" in table.splits:
        trained = set(table.targets[table.splits["train"]].tolist())
        for index, name in enumerate(table.classes):
            if index not in trained:
                rows = np.flatnonzero(table.targets == index)
                where = f" (first {_at(table.place, int(rows[0]))})" if len(rows) else ""
                sentences.append(
                    f"class {name!r} is in no training item, so none can be learned{where}"
                )
    for split, rows in table.splits.items():
        values = table.targets[rows]
        if split != "train" and table.classes and len(rows) and len(np.unique(values)) == 1:
            sentences.append(
                f"all {len(rows):,} {split} items are of one class, "
                f"{table.classes[int(values[0])]!r}, so most metrics say nothing of them"
            )
    for index, name in enumerate(table.classes):
        rows = np.flatnonzero(table.targets == index)
        if len(rows) == 1 and len(table.targets) > _SOME * len(table.classes):
            where = _at(table.place, int(rows[0]))
            sentences.append(f"class {name!r} has one item alone ({where}), so it is in one split")
    folded: dict[str, str] = {}
    for index, name in enumerate(table.classes):
        if (first := folded.setdefault(name.casefold(), name)) != name:
            row = int(np.argmax(table.targets == index))
            sentences.append(
                f"classes {first!r} and {name!r} differ in capital letters alone (first "
                f"{_at(table.place, row)}), and count as two"
            )
    numbers: dict[float, str] = {}
    for index, name in enumerate(table.classes):
        first = numbers.setdefault(float(name), name) if is_number(name) else name
        if first != name and not math.isnan(float(name)):
            row = int(np.argmax(table.targets == index))
            sentences.append(
                f"classes {first!r} and {name!r} are one number written in two ways (first "
                f"{_at(table.place, row)}), and count as two"
            )
    if table.classes and table.groups is not None and len(table.splits) < 3:
        for index, name in enumerate(table.classes):
            if len(np.unique(table.groups[table.targets == index])) == 1:
                sentences.append(
                    f"class {name!r} is in one group alone, so of train and test it is in one"
                )
    if isinstance(table.items, Sequences) and table.items.lengths.max() > _LONG:
        row = int(table.items.lengths.argmax())
        sentences.append(
            f"{_at(table.place, row)}: {table.items.lengths[row]:,} letters, the longest sequence; "
            "a batch with it is computed in parts, and takes long"
        )
    if more := len(table.ids) - len(set(table.ids)):
        known: dict[str, int] = {}
        row = next(i for i, name in enumerate(table.ids) if known.setdefault(name, i) != i)
        sentences.append(
            f"{more:,} of {len(table.ids):,} ids repeat another (first {_at(table.place, row)}, "
            f"{table.ids[row]!r} as in {_at(table.place, known[table.ids[row]])}); each row is an "
            "item of its own"
        )
    if table.targets.ndim == 2 and (missing := int(np.isnan(table.targets).sum())):
        sentences.append(f"{missing:,} of {table.targets.size:,} targets are missing")
    return tuple(sentences)
