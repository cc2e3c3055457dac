"""Tables of sequences or of features, with their targets, read into packed arrays.

Rows are read in chunks: at no time is there a Python string for more than one chunk of them. Which
files can be read is the business of `table_files`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Features, Items, Sequences, SequenceTuples, Targets
from codonbench.contracts.dataset import letter_table
from codonbench.contracts.task import TargetKind
from codonbench.data.table_files import (
    MISSING,
    MOST_ROWS,
    SPLIT_NAMES,
    Chunk,
    TableFiles,
    find_files,
    is_number,
)
from codonbench.errors import DataError

IntArray = npt.NDArray[np.int64]

AMBIGUOUS = "NRYSWKMBDHV"
"""IUPAC's letters for a nucleotide that is not known."""

_REFUSED = 254


@dataclass(frozen=True)
class TableFormat:
    """What the columns of a table are called, and what may stand in them.

    Attributes:
        sequence: The column of sequences, or those of an item's several.
        features: The columns of numbers, where items are vectors of them and no sequences.
        targets: The columns of targets: one for classes, one a label or quantity.
        kind: What the targets are.
        classes: The classes as they are written, in index order; empty for those that are found,
            in the order of numbers or else of the alphabet.
        alphabet: The letters, in index order; T and U are one letter.
        ambiguous: Letters that are read as `UNKNOWN`; any other is an error.
        split: The column that names each row's split; None where there is none.
        group: The column of groups that never cross splits; likewise.
        id: The column of names; likewise.
    """

    sequence: str | tuple[str, ...] = "sequence"
    features: tuple[str, ...] = ()
    targets: tuple[str, ...] = ("label",)
    kind: TargetKind = "classes"
    classes: tuple[str, ...] = ()
    alphabet: str = "ACGT"
    ambiguous: str = AMBIGUOUS
    split: str | None = None
    group: str | None = None
    id: str | None = None

    @property
    def sequences(self) -> tuple[str, ...]:
        """The columns of sequences; none for features."""
        if self.features:
            return ()
        return (self.sequence,) if isinstance(self.sequence, str) else self.sequence

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read as text; `features` come beside them."""
        asked = (*self.sequences, *self.targets, self.split, self.group, self.id)
        return tuple(dict.fromkeys(name for name in asked if name is not None))

    def letters(self) -> bytes:
        """Return the index of each byte's letter, in either case, for `bytes.translate`."""
        table = letter_table(self.alphabet)
        unknown = table == UNKNOWN
        table[unknown] = _REFUSED
        for letter in self.ambiguous:
            either = [ord(letter.lower()), ord(letter.upper())]
            table[either] = np.where(unknown[either], UNKNOWN, table[either])
        return table.tobytes()


@dataclass(frozen=True, eq=False)
class Table:
    """What a table holds.

    Attributes:
        items: N sequences, or vectors of features.
        targets: Class ids (N,), or labels or quantities (N, K), NaN where a cell is empty.
        classes: The classes as they are written, in index order; empty for other targets.
        splits: Rows of each split, by its name; empty where the table has none.
        groups: Group of each row, (N,); None where the table has none.
        ids: Names of the rows; empty where the table has none.
    """

    items: Items
    targets: Targets
    classes: tuple[str, ...] = ()
    splits: Mapping[str, IntArray] = field(default_factory=dict)
    groups: IntArray | None = None
    ids: tuple[str, ...] = ()

    @property
    def checksum(self) -> str:
        """SHA-256 (hex) of the content: letters, offsets, targets, classes, splits and groups."""
        digest = hashlib.sha256()
        arrays: dict[str, npt.NDArray[Any]] = {
            **self._item_arrays(),
            "targets": self.targets,
            "groups": np.zeros(0) if self.groups is None else self.groups,
        }
        arrays |= {f"split {name}": self.splits[name] for name in sorted(self.splits)}
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
        """Return what was found, a line each: items, lengths, classes."""
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
            pairs = zip(self.classes, counts.tolist(), strict=True)
            lines.append("classes: " + ", ".join(f"{name} {count:,}" for name, count in pairs))
        return tuple(lines)


def _lengths(items: Sequences) -> str:
    lengths = items.lengths
    if lengths.min() == lengths.max():
        return f"{lengths[0]:,} letters"
    return f"{lengths.min():,} to {lengths.max():,} letters, median {np.median(lengths):,.0f}"


def read_table(table: Path | TableFiles, form: TableFormat) -> Table:
    """Return what a file, a folder of one file a split, or some files hold.

    Args:
        table: The file or folder, or what `find_files` made of it.
        form: What its columns are called.

    Raises:
        DataError: It is missing, unreadable or unusable; names file, line or column.
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


class _Reader:
    """Gathers the rows of one file after another.

    Args:
        form: What their columns are called.
    """

    def __init__(self, form: TableFormat) -> None:
        self._form = form
        self._letters = form.letters()
        self._packed = [bytearray() for _ in form.sequences]
        self._lengths: list[list[npt.NDArray[np.int64]]] = [[] for _ in form.sequences]
        self._values: list[npt.NDArray[np.float32]] = []
        self._targets: list[npt.NDArray[np.generic]] = []
        self._codes = {name: i for i, name in enumerate(form.classes)}
        self._splits: list[npt.NDArray[np.generic]] = []
        self._groups: list[npt.NDArray[np.generic]] = []
        self._ids: list[str] = []
        self._chunks: list[tuple[int, Chunk]] = []  # without their rows, for the lines
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def read(self, where: TableFiles, path: Path) -> None:
        """Gather the rows of a file."""
        before = self._rows
        for chunk in where.chunks(path, self._form.columns, self._form.features, MOST_ROWS):
            self._chunks.append((self._rows, replace(chunk, frame=chunk.frame[:0].copy())))
            self._take(chunk)
            self._rows += len(chunk.frame)
        if self._rows == before:
            raise DataError(f"{path}: a header and no rows; expected an item a line")

    def _take(self, chunk: Chunk) -> None:
        form, frame = self._form, chunk.frame
        if form.features:
            self._take_features(chunk)
        for part in range(len(form.sequences)):
            self._take_sequences(chunk, part)
        self._targets.append(self._read_targets(chunk))
        if form.split is not None:
            self._splits.append(self._read_splits(chunk, frame[form.split].tolist()))
        if form.group is not None:
            self._groups.append(self._read_groups(chunk, form.group))
        if form.id is not None:
            self._ids += frame[form.id].tolist()

    def _take_features(self, chunk: Chunk) -> None:
        values = chunk.frame[list(self._form.features)].to_numpy(dtype=np.float32)
        if not np.isfinite(values).all():
            row, column = map(int, np.argwhere(~np.isfinite(values))[0])
            got = repr(float(values[row, column]))
            raise chunk.error(row, self._form.features[column], got, "a finite number")
        self._values.append(values)

    def _take_sequences(self, chunk: Chunk, part: int) -> None:
        column = self._form.sequences[part]
        texts: list[str] = chunk.frame[column].tolist()
        if "" in texts:
            raise chunk.error(texts.index(""), column, "an empty cell", "a sequence")
        packed = "".join(texts).encode("latin-1", "replace").translate(self._letters)
        lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
        wrong = packed.find(_REFUSED)
        if wrong >= 0:
            raise self._wrong_letter(chunk, column, texts, wrong)
        self._packed[part] += packed
        self._lengths[part].append(lengths)

    def _wrong_letter(self, chunk: Chunk, column: str, texts: list[str], at: int) -> DataError:
        ends = np.cumsum([len(text) for text in texts])
        row = int(np.searchsorted(ends, at, side="right"))
        letter = int(at - ends[row] + len(texts[row]))
        got = f"{texts[row][letter]!r} as letter {letter + 1}"
        expected = f"{self._form.alphabet} or {self._form.ambiguous}"
        return chunk.error(row, column, got, expected.removesuffix(" or "))

    def _read_targets(self, chunk: Chunk) -> npt.NDArray[np.generic]:
        if self._form.kind == "classes":
            return self._read_classes(chunk, chunk.frame[self._form.targets[0]].tolist())
        columns = [self._read_numbers(chunk, name) for name in self._form.targets]
        return np.stack(columns, axis=1)

    def _read_classes(self, chunk: Chunk, cells: list[str]) -> npt.NDArray[np.int64]:
        """Return the class of each cell as `table` numbers it, or by first appearance till then."""
        codes, (column,) = self._codes, self._form.targets
        for name in dict.fromkeys(cells):
            if name not in codes and (self._form.classes or name in MISSING):
                known = self._form.classes
                expected = f"one of {', '.join(known)}" if known else "a class"
                raise chunk.error(cells.index(name), column, repr(name), expected)
            codes.setdefault(name, len(codes))
        return np.fromiter(map(codes.__getitem__, cells), dtype=np.int64, count=len(cells))

    def _read_numbers(self, chunk: Chunk, column: str) -> npt.NDArray[np.float32]:
        cells = chunk.frame[column].to_numpy(dtype=object)
        empty = np.isin(cells.astype(str), MISSING)
        try:
            values = np.where(empty, "nan", cells).astype(np.float32)
        except ValueError:
            row = next(i for i, cell in enumerate(cells) if not (empty[i] or is_number(cell)))
            raise chunk.error(row, column, repr(cells[row]), "a number or nothing") from None
        allowed = np.isin(values, (0, 1)) if self._form.kind == "labels" else np.isfinite(values)
        if not (allowed | empty).all():
            row = int(np.flatnonzero(~(allowed | empty))[0])
            expected = "0, 1" if self._form.kind == "labels" else "a finite number"
            raise chunk.error(row, column, repr(cells[row]), f"{expected} or nothing")
        return values

    def _read_splits(self, chunk: Chunk, cells: list[str]) -> npt.NDArray[np.generic]:
        for name in dict.fromkeys(cells):
            if name.lower() not in SPLIT_NAMES:
                expected = f"one of {', '.join(SPLIT_NAMES)}"
                raise chunk.error(cells.index(name), str(self._form.split), repr(name), expected)
        return np.array([SPLIT_NAMES[name.lower()] for name in cells])

    def _read_groups(self, chunk: Chunk, column: str) -> npt.NDArray[np.generic]:
        cells = chunk.frame[column].tolist()
        if "" in cells:
            raise chunk.error(cells.index(""), column, "an empty cell", "a group")
        return np.array(cells, dtype=object)

    def table(self, splits: Mapping[str, IntArray]) -> Table:
        """Return what was gathered; where a column names the splits, `splits` is empty."""
        targets = np.concatenate(self._targets)
        classes: tuple[str, ...] = ()
        if self._form.kind == "classes":
            classes = self._form.classes or tuple(sorted(self._codes, key=_in_order))
            order = np.argsort([self._codes[name] for name in classes])
            targets = order[targets]
        if self._form.split is not None:
            named = np.concatenate(self._splits)
            splits = {
                name: np.flatnonzero(named == name)
                for name in dict.fromkeys(SPLIT_NAMES.values())
                if (named == name).any()
            }
        groups = None
        if self._form.group is not None:
            names = np.concatenate(self._groups).astype(str)
            groups = np.unique(names, return_inverse=True)[1]
            self._check_groups(groups, splits, names)
        return Table(self._items(), targets, classes, dict(splits), groups, tuple(self._ids))

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

    def _check_groups(
        self, groups: IntArray, splits: Mapping[str, IntArray], names: npt.NDArray[np.str_]
    ) -> None:
        """Raise DataError where a group is in two splits."""
        seen = np.full(len(groups), -1)  # a row of each group that was met in a split before
        for split, rows in splits.items():
            crossing = rows[seen[groups[rows]] >= 0]
            if len(crossing):
                row = int(crossing[0])
                other = int(seen[groups[row]])
                first = next(name for name, rows in splits.items() if other in rows)
                raise DataError(
                    f"{self._place(row)}: group {str(names[row])!r} is in {split} here and in "
                    f"{first} at {self._place(other)}; expected each group in one split"
                )
            seen[groups[rows]] = rows

    def _place(self, row: int) -> str:
        start, chunk = next((s, c) for s, c in reversed(self._chunks) if s <= row)
        return chunk.place(row - start)


def _in_order(name: str) -> tuple[int, float, str]:
    """Return what classes are sorted by: numbers first, by value."""
    number = float(name) if is_number(name) else math.nan
    return (0, number, name) if math.isfinite(number) else (1, 0.0, name)
