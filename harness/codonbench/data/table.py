"""Tables of sequences or of features, with their targets, read into packed arrays.

Rows are read once, in chunks, and packed, so that Python strings exist for one chunk at a time.
Cells that recur, such as classes and groups, are stored once. See `table_files` for file formats.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Features, Items, Sequences, SequenceTuples, Targets
from codonbench.contracts.dataset import letter_table
from codonbench.contracts.task import TargetKind
from codonbench.data.fasta import MOST_RECORDS
from codonbench.data.table_files import TableFiles, find_files
from codonbench.data.table_formats import MOST_ROWS, SPLIT_NAMES, Chunk
from codonbench.errors import DataError

IntArray = npt.NDArray[np.int64]

AMBIGUOUS = "NRYSWKMBDHV"
"""IUPAC codes of ambiguous nucleotides."""

MISSING = ("", "NA", "NaN", "nan")
"""Cells of missing targets."""

MOST_CLASSES = 32
"""A column with more different integers is a quantity."""

_ODD_NUMBER = re.compile(r"[-+\u2212]?[0-9][0-9.,\u2019 ]*%?")
"""A number, possibly with a decimal comma, thousands separators or a percent sign."""
_SHOWN = 24  # classes
_REFUSED = 254
_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TableFormat:
    """Names of a table's columns, and the values allowed in them.

    Attributes:
        sequence: Column of sequences, or several if an item is several sequences.
        features: Columns of numbers if items are feature vectors instead of sequences.
        targets: Columns of targets: one for classes, one for each label or quantity.
        kind: Kind of target; None to infer it: text or few different integers are classes, several
            columns of 0 and 1 labels, other numbers quantities.
        classes: Class names in index order; empty to use those found, sorted as numbers or text.
        alphabet: Letters in index order; T and U are equivalent.
        ambiguous: Letters read as `UNKNOWN`; any other letter is an error.
        split: Column with the split of each row; None for none.
        group: Column of groups that must not cross splits; None for none.
        id: Column of ids; None for none.
        weight: Column of training weights; None for none.
        origins: Columns of origins, such as the organism of an item.
    """

    sequence: str | tuple[str, ...] = "sequence"
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("label",)
    kind: TargetKind | None = "classes"
    classes: tuple[str, ...] = ()
    alphabet: str = "ACGT"
    ambiguous: str = AMBIGUOUS
    split: str | None = None
    group: str | None = None
    id: str | None = None
    weight: str | None = None
    origins: tuple[str, ...] = ()

    @property
    def sequences(self) -> tuple[str, ...]:
        """The columns of sequences; none for features."""
        if self.features:
            return ()
        return (self.sequence,) if isinstance(self.sequence, str) else self.sequence

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns to read."""
        others = (self.split, self.group, self.id, self.weight)
        names = (*self.sequences, *self.features, *self.targets, *others, *self.origins)
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def letters(self) -> bytes:
        """Return the table of letter indices for `bytes.translate`; case is ignored."""
        table = letter_table(self.alphabet)
        unknown = table == UNKNOWN
        table[unknown] = _REFUSED
        for letter in self.ambiguous:
            either = [ord(letter.lower()), ord(letter.upper())]
            table[either] = np.where(unknown[either], UNKNOWN, table[either])
        return table.tobytes()


def _by_number(row: int) -> str:
    return f"row {row + 1}"


@dataclass(frozen=True, eq=False)
class Table:
    """The content of a table.

    Attributes:
        items: N sequences or feature vectors.
        targets: Class ids (N,), or labels or quantities (N, K) with NaN for empty cells.
        classes: Class names in index order; empty for other targets.
        splits: Rows of each split by its name; empty if there are none.
        groups: Group of each row, (N,); None if there are none.
        ids: Ids of the rows; empty if there are none.
        kind: Kind of target.
        weights: Weight of each row in the training loss, (N,); None if there are none.
        origins: As in `Dataset`; not part of the checksum.
        place: Returns the file and line of a row.
    """

    items: Items
    targets: Targets
    classes: tuple[str, ...] = ()
    splits: Mapping[str, IntArray] = field(default_factory=dict)
    groups: IntArray | None = None
    ids: tuple[str, ...] = ()
    kind: TargetKind = "classes"
    weights: npt.NDArray[np.float32] | None = None
    origins: Mapping[str, IntArray] = field(default_factory=dict)
    place: Callable[[int], str] = _by_number

    @cached_property
    def checksum(self) -> str:
        """SHA-256 (hex) of letters, offsets, targets, classes, splits, groups and any weights."""
        digest = hashlib.sha256()
        arrays: dict[str, npt.NDArray[Any]] = {
            **self._item_arrays(),
            "targets": self.targets,
            "groups": np.zeros(0) if self.groups is None else self.groups,
        }
        arrays |= {f"split {name}": self.splits[name] for name in sorted(self.splits)}
        arrays |= {} if self.weights is None else {"weights": self.weights}
        for name, array in arrays.items():
            little = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
            digest.update(f"{name} {little.dtype.str} {little.shape}\n".encode())
            digest.update(little.data if little.size else b"")
        digest.update("\n".join(self.classes).encode())
        return digest.hexdigest()

    def _item_arrays(self) -> dict[str, npt.NDArray[Any]]:
        if isinstance(self.items, Features):
            return {"values": self.items.values}
        if isinstance(self.items, Sequences):
            return {"letters": self.items.letters, "offsets": self.items.offsets}
        return {
            f"{name} {i}": array
            for i, part in enumerate(self.items.parts)
            for name, array in (("letters", part.letters), ("offsets", part.offsets))
        }

    def report(self) -> tuple[str, ...]:
        """Return lines on the content: items, lengths, classes, weights."""
        found = ", ".join(f"{len(rows):,} {name}" for name, rows in self.splits.items())
        if isinstance(self.items, Features):
            kind, of = "samples", f"{self.items.values.shape[1]:,} features each"
        elif isinstance(self.items, Sequences):
            kind, of = "sequences", _lengths(self.items)
        else:
            kind = f"items of {len(self.items.parts)} sequences"
            of = "; ".join(_lengths(part) for part in self.items.parts)
        lines = [f"{len(self.items):,} {kind}" + (f": {found}" if found else ""), of]
        if self.classes:
            counts = np.bincount(self.targets.astype(np.int64), minlength=len(self.classes))
            pairs = list(zip(self.classes, counts.tolist(), strict=True))
            shown = ", ".join(f"{name[:32]} {count:,}" for name, count in pairs[:_SHOWN])
            more = f" and {len(pairs) - _SHOWN:,} more" if len(pairs) > _SHOWN else ""
            lines.append(f"classes: {shown}{more}")
        if self.weights is not None:
            lines.append(
                f"weights in training: {self.weights.min():g} to {self.weights.max():g}; a model "
                "that is fitted in one go, or learns without gradients, may pass them over"
            )
        return tuple(lines)


def _lengths(items: Sequences) -> str:
    lengths = items.lengths
    if lengths.min() == lengths.max():
        return f"{lengths[0]:,} letters"
    return f"{lengths.min():,} to {lengths.max():,} letters, median {np.median(lengths):,.0f}"


def read_table(table: Path | TableFiles, form: TableFormat) -> Table:
    """Read a table from a file, a folder with one file per split, or several files.

    Args:
        table: The file or folder, or the files found by `find_files`.
        form: Its columns.

    Raises:
        DataError: The table is missing, unreadable or unusable; names file, line or column.
    """
    where = table if isinstance(table, TableFiles) else find_files(str(table))
    reader = _Reader(form)
    splits = {}
    for split, file in where.files.items():
        start = len(reader)
        reader.read(where, file)
        if split:
            splits[split] = np.arange(start, len(reader))
    return reader.table(splits)


class Places:
    """The file and line of each row of a table."""

    def __init__(self) -> None:
        self._chunks: list[tuple[int, Chunk]] = []

    def add(self, start: int, chunk: Chunk) -> None:
        """Add the lines of a chunk whose first row has the number `start`."""
        self._chunks.append((start, replace(chunk, cells={})))

    def of(self, row: int) -> str:
        """Return the file and line of a row: ``mine.csv, line 7``."""
        start, chunk = next((s, c) for s, c in reversed(self._chunks) if s <= row)
        return chunk.place(row - start)


class _Recurring:
    """A column whose distinct cells are stored once.

    Attributes:
        known: The index of each distinct cell, in order of appearance.
    """

    def __init__(self) -> None:
        self.known: dict[str, int] = {}
        self._numbers: list[npt.NDArray[np.int32]] = []

    def take(self, cells: list[str]) -> None:
        for cell in dict.fromkeys(cells):
            self.known.setdefault(cell, len(self.known))
        numbers = map(self.known.__getitem__, cells)
        self._numbers.append(np.fromiter(numbers, dtype=np.int32, count=len(cells)))

    def become(self, values: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the value of each row, shape (N,), from the values of the distinct cells."""
        return np.asarray(values)[np.concatenate(self._numbers)]

    def first_row(self, cell: str) -> int:
        """Return the first row with a cell."""
        return int(np.flatnonzero(np.concatenate(self._numbers) == self.known[cell])[0])


class _Reader:
    """Collects the rows of one or more files.

    Args:
        form: Their columns.
    """

    def __init__(self, form: TableFormat) -> None:
        self._form = form
        self._letters = form.letters()
        self._packed = [bytearray() for _ in form.sequences]
        self._lengths: list[list[npt.NDArray[np.int64]]] = [[] for _ in form.sequences]
        self._values: list[npt.NDArray[np.float32]] = []
        named = (*form.targets, form.split, form.group, form.weight, *form.origins)
        self._columns = {name: _Recurring() for name in named if name is not None}
        self._ids: list[str] = []
        self._places = Places()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def read(self, where: TableFiles, path: Path) -> None:
        """Add the rows of a file."""
        before = self._rows
        for chunk in where.chunks(path, self._form.columns, MOST_ROWS):
            self._places.add(self._rows, chunk)
            if self._form.features:
                self._take_features(chunk)
            for part, name in enumerate(self._form.sequences):
                self._take_sequences(chunk, name, part)
            for name, column in self._columns.items():
                column.take(chunk.cells[name])
            if self._form.id is not None:
                self._ids += chunk.cells[self._form.id]
            self._rows += len(chunk.lines)
            if self._rows > MOST_RECORDS:
                raise DataError(f"{path}: more than {MOST_RECORDS:,} rows; give fewer of them")
        if self._rows == before:
            raise DataError(f"{path}: a header and no rows; expected one item per line")

    def _take_features(self, chunk: Chunk) -> None:
        columns = [chunk.cells[name] for name in self._form.features]
        try:
            values = np.ascontiguousarray(np.array(columns, dtype=np.float32).T)
        except ValueError:
            numbers = [[is_number(cell) for cell in cells] for cells in columns]
            values = np.where(np.array(numbers).T, np.float32(0), np.float32(np.nan))
        if not np.isfinite(values).all():
            row, column = map(int, np.argwhere(~np.isfinite(values))[0])
            got = repr(columns[column][row]) if columns[column][row] else "nothing"
            raise chunk.error(row, self._form.features[column], got, "a finite number")
        self._values.append(values)

    def _take_sequences(self, chunk: Chunk, column: str, part: int) -> None:
        texts = chunk.cells[column]
        if "" in texts:
            raise chunk.error(texts.index(""), column, "an empty cell", "a sequence")
        packed = "".join(texts).encode("latin-1", "replace").translate(self._letters)
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        wrong = packed.find(_REFUSED)
        if wrong >= 0:
            ends = np.cumsum(lengths)
            row = int(np.searchsorted(ends, wrong, side="right"))
            letter = int(wrong - ends[row] + lengths[row])
            got = f"{texts[row][letter]!r} as letter {letter + 1}"
            expected = f"{self._form.alphabet} or {self._form.ambiguous}".removesuffix(" or ")
            raise chunk.error(row, column, got, expected)
        self._packed[part] += packed
        self._lengths[part].append(lengths)

    def table(self, splits: Mapping[str, IntArray]) -> Table:
        """Return the table; a column of splits takes precedence over `splits`."""
        form = self._form
        kind = form.kind or self._kind()
        classes: tuple[str, ...] = ()
        targets: Targets
        if kind == "classes":
            classes, targets = self._classes(form.targets[0])
        else:
            targets = np.stack([self._numbers(name, kind) for name in form.targets], axis=1)
        if form.split is not None:
            splits = self._splits(form.split)
        groups = None
        if form.group is not None:
            groups = self._groups(form.group, splits)
        weights = None if form.weight is None else self._weights(form.weight)
        origins = {
            name: column.become(np.arange(len(column.known)))
            for name, column in self._columns.items()
            if name in form.origins
        }
        ids, items, place = tuple(self._ids), self._items(), self._places.of
        return Table(
            items, targets, classes, dict(splits), groups, ids, kind, weights, origins, place
        )

    def _kind(self) -> TargetKind:
        """Return the kind of target inferred from the cells."""
        names = self._form.targets
        numbers = {cell for name in names for cell in self._columns[name].known} - {*MISSING}
        fractions = sum(is_number(cell) and float(cell) % 1 != 0 for cell in numbers)
        if 2 * fractions > len(numbers):  # cells that are not numbers are then errors
            return "quantities"
        if not all(map(is_number, numbers)):
            return "classes" if len(names) == 1 else "quantities"
        if fractions or len(numbers) > MOST_CLASSES:
            return "quantities"
        if len(names) == 1:
            return "classes"
        return "labels" if {float(cell) for cell in numbers} <= {0.0, 1.0} else "quantities"

    def _classes(self, name: str) -> tuple[tuple[str, ...], IntArray]:
        """Return class names in index order, and the class of each row."""
        column, classes = self._columns[name], self._form.classes
        if not column.known.keys() - {*MISSING}:
            raise DataError(
                f"{self._places.of(0)}, column {name!r}: no row has a value in it; expected a "
                "class or a number in each"
            )
        written = column.known.keys() - {*MISSING}
        if self._form.kind is None and not classes and all(map(_ODD_NUMBER.fullmatch, written)):
            for cell in column.known:
                if cell in written and not is_number(cell):
                    raise self._error(
                        name,
                        cell,
                        "a number with a decimal point and nothing else; if these are classes say "
                        "--task-set kind=classes",
                    )
        for cell in column.known:
            if cell in MISSING if not classes else cell not in classes:
                expected = f"one of {', '.join(classes)}" if classes else "a class"
                raise self._error(name, cell, expected)
        classes = classes or tuple(sorted(column.known, key=_in_order))
        index = {cell: i for i, cell in enumerate(classes)}
        return classes, column.become([index[cell] for cell in column.known])

    def _numbers(self, name: str, kind: TargetKind) -> npt.NDArray[np.float32]:
        """Return the labels or quantities of a column, NaN for missing ones."""
        column = self._columns[name]
        values = []
        for cell in column.known:
            value = float(cell) if is_number(cell) else math.nan
            allowed = value in (0, 1) if kind == "labels" else abs(value) <= _LARGEST
            if not allowed and cell not in MISSING:
                expected = "0, 1" if kind == "labels" else "a finite number"
                raise self._error(name, cell, f"{expected} or nothing")
            values.append(value)
        return column.become(np.array(values, dtype=np.float32))

    def _weights(self, name: str) -> npt.NDArray[np.float32]:
        """Return the training weight of each row."""
        column = self._columns[name]
        for cell in column.known:
            if not (is_number(cell) and 0 <= float(cell) <= _LARGEST):
                raise self._error(name, cell, "a weight: a number from 0 up")
        return column.become(np.array(list(map(float, column.known)), dtype=np.float32))

    def _splits(self, name: str) -> dict[str, IntArray]:
        """Return the rows of each split."""
        column = self._columns[name]
        for cell in column.known:
            if cell.lower() not in SPLIT_NAMES:
                raise self._error(name, cell, f"one of {', '.join(SPLIT_NAMES)}")
        named = column.become([SPLIT_NAMES[cell.lower()] for cell in column.known])
        found = {split: np.flatnonzero(named == split) for split in SPLIT_NAMES.values()}
        return {split: rows for split, rows in found.items() if len(rows)}

    def _groups(self, name: str, splits: Mapping[str, IntArray]) -> IntArray:
        """Return the group of each row, numbered in order of their names."""
        column = self._columns[name]
        if "" in column.known:
            raise self._error(name, "", "a group")
        number = {cell: i for i, cell in enumerate(sorted(column.known))}
        groups: IntArray = column.become([number[cell] for cell in column.known])
        seen = np.full(len(number), -1)  # first row of each group in the splits before
        for split, rows in splits.items():
            crossing = rows[seen[groups[rows]] >= 0]
            if len(crossing):
                row = int(crossing[0])
                other = int(seen[groups[row]])
                first = next(name for name, rows in splits.items() if other in rows)
                cell = sorted(number)[groups[row]]
                raise DataError(
                    f"{self._places.of(row)}: group {cell!r} is in {split} here and in "
                    f"{first} at {self._places.of(other)}; expected each group in one split"
                )
            seen[groups[rows[::-1]]] = rows[::-1]
        return groups

    def _items(self) -> Items:
        if self._form.features:
            return Features(np.concatenate(self._values))
        parts = []
        for packed, of_chunks in zip(self._packed, self._lengths, strict=True):
            lengths = np.concatenate(of_chunks)
            offsets = np.zeros(len(lengths) + 1, dtype=np.int64)
            np.cumsum(lengths, out=offsets[1:])
            parts.append(Sequences(np.frombuffer(packed, dtype=np.uint8), offsets))
        return parts[0] if isinstance(self._form.sequence, str) else SequenceTuples(tuple(parts))

    def _error(self, name: str, cell: str, expected: str) -> DataError:
        """Return the error for a cell, at the first row with it."""
        place = self._places.of(self._columns[name].first_row(cell))
        got = repr(cell) if cell else "an empty cell"
        return DataError(f"{place}, column {name!r}: got {got}; expected {expected}")


def is_number(cell: Any) -> bool:
    """Return whether a cell is a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _in_order(name: str) -> tuple[int, float, str]:
    """Return the sort key of a class name: numbers first, by value."""
    number = float(name) if is_number(name) else math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)
