"""Tables of sequences: CSV or TSV, plain or gzip, read into packed bytes.

One file a split in a folder (``train``, ``dev`` or ``valid`` or ``validation``, ``test``), or one
file, with a column that names each row's split or without. Rows are read in chunks: at no time is
there a Python string for more than one chunk of them.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from codonbench.contracts import UNKNOWN, Sequences, Targets
from codonbench.contracts.task import TargetKind
from codonbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

IntArray = npt.NDArray[np.int64]

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
}
"""What a file or a cell may call a split, and which one it is."""

SUFFIXES = (".csv", ".tsv", ".csv.gz", ".tsv.gz")

AMBIGUOUS = "NRYSWKMBDHV"
"""IUPAC's letters for a nucleotide that is not known."""

_REFUSED = 254
_CHUNK_LETTERS = 1 << 25  # about as many characters are strings at a time
_MOST_ROWS = 100_000
_LONGEST_HEADER = 1 << 16


@dataclass(frozen=True)
class TableFormat:
    """What the columns of a table are called, and what may stand in them.

    Attributes:
        sequence: The column of sequences.
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

    sequence: str = "sequence"
    targets: tuple[str, ...] = ("label",)
    kind: TargetKind = "classes"
    classes: tuple[str, ...] = ()
    alphabet: str = "ACGT"
    ambiguous: str = AMBIGUOUS
    split: str | None = None
    group: str | None = None
    id: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns that are read."""
        asked = (self.sequence, *self.targets, self.split, self.group, self.id)
        return tuple(dict.fromkeys(name for name in asked if name is not None))

    def letters(self) -> bytes:
        """Return the index of each byte's letter, in either case, for `bytes.translate`."""
        table = np.full(256, _REFUSED, dtype=np.uint8)
        for letter in self.ambiguous:
            table[[ord(letter.lower()), ord(letter.upper())]] = UNKNOWN
        for index, letter in enumerate(self.alphabet):
            for same in {"T": "TU", "U": "UT"}.get(letter, letter):
                table[[ord(same.lower()), ord(same.upper())]] = index
        return table.tobytes()


@dataclass(frozen=True, eq=False)
class Table:
    """What a table holds.

    Attributes:
        items: N sequences.
        targets: Class ids (N,), or labels or quantities (N, K), NaN where a cell is empty.
        classes: The classes as they are written, in index order; empty for other targets.
        splits: Rows of each split, by its name; empty where the table has none.
        groups: Group of each row, (N,); None where the table has none.
        ids: Names of the rows; empty where the table has none.
    """

    items: Sequences
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
            "letters": self.items.letters,
            "offsets": self.items.offsets,
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

    def report(self) -> tuple[str, ...]:
        """Return what was found, a line each: items, lengths, classes."""
        lengths = self.items.lengths
        found = ", ".join(f"{len(rows):,} {name}" for name, rows in self.splits.items())
        lines = [
            f"{len(self.items):,} sequences" + (f": {found}" if found else ""),
            f"{lengths.min():,} to {lengths.max():,} letters, median {int(np.median(lengths)):,}",
        ]
        if self.classes:
            counts = np.bincount(self.targets.astype(np.int64), minlength=len(self.classes))
            pairs = zip(self.classes, counts.tolist(), strict=True)
            lines.append("classes: " + ", ".join(f"{name} {count:,}" for name, count in pairs))
        return tuple(lines)


def read_table(path: Path, form: TableFormat) -> Table:
    """Return what a file, or a folder of one file a split, holds.

    Args:
        path: The file or folder.
        form: What its columns are called.

    Raises:
        DataError: It is missing, unreadable or unusable; names file, line or column.
    """
    files = _split_files(path) if path.is_dir() else {"": path}
    reader = _Reader(form)
    splits = {}
    for split, file in files.items():
        start = len(reader.lengths)
        reader.read(file)
        if split:
            splits[split] = np.arange(start, len(reader.lengths))
    return reader.table(splits)


def _split_files(folder: Path) -> dict[str, Path]:
    """Return the file of each split in a folder, train first."""
    found: dict[str, Path] = {}
    for name, split in SPLIT_NAMES.items():
        for file in (folder / f"{name}{suffix}" for suffix in SUFFIXES):
            if file.is_file():
                if split in found:
                    raise DataError(
                        f"{folder}: both {found[split].name!r} and {file.name!r} are the "
                        f"{split} split; leave one"
                    )
                found[split] = file
    for split in ("train", "test"):
        if split not in found:
            names = ", ".join(sorted(p.name for p in folder.iterdir())[:8]) or "nothing"
            raise DataError(
                f"{folder}: no file of the {split} split; expected {split}.csv, .tsv, .csv.gz or "
                f".tsv.gz, found {names}"
            )
    return found


class _Reader:
    """Gathers the rows of one file after another.

    Args:
        form: What their columns are called.
    """

    def __init__(self, form: TableFormat) -> None:
        self._form = form
        self._letters = form.letters()
        self._packed = bytearray()
        self.lengths: list[int] = []
        self._targets: list[npt.NDArray[np.generic]] = []
        self._codes = {name: i for i, name in enumerate(form.classes)}
        self._splits: list[npt.NDArray[np.generic]] = []
        self._groups: list[npt.NDArray[np.generic]] = []
        self._ids: list[str] = []

    def read(self, path: Path) -> None:
        """Gather the rows of a file."""
        before = len(self.lengths)
        for line, frame in _chunks(path, self._form):
            self._take(_Place(path, line), frame)
        if len(self.lengths) == before:
            raise DataError(f"{path}: a header and no rows; expected a sequence a line")

    def _take(self, place: _Place, frame: pd.DataFrame) -> None:
        form = self._form
        texts: list[str] = frame[form.sequence].tolist()
        if "" in texts:
            raise place.error(texts.index(""), form.sequence, "an empty cell", "a sequence")
        packed = "".join(texts).encode("latin-1", "replace").translate(self._letters)
        lengths = [len(text) for text in texts]
        wrong = packed.find(_REFUSED)
        if wrong >= 0:
            raise self._wrong_letter(place, texts, lengths, wrong)
        self._packed += packed
        self.lengths += lengths
        self._targets.append(self._read_targets(place, frame))
        if form.split is not None:
            self._splits.append(self._read_splits(place, frame[form.split].tolist()))
        if form.group is not None:
            self._groups.append(frame[form.group].to_numpy(dtype=object))
        if form.id is not None:
            self._ids += frame[form.id].tolist()

    def _wrong_letter(
        self, place: _Place, texts: list[str], lengths: list[int], at: int
    ) -> DataError:
        ends = np.cumsum(lengths)
        row = int(np.searchsorted(ends, at, side="right"))
        letter = at - int(ends[row]) + lengths[row]
        got = f"{texts[row][letter]!r} as letter {letter + 1}"
        expected = f"{self._form.alphabet} or {self._form.ambiguous}"
        return place.error(row, self._form.sequence, got, expected.removesuffix(" or "))

    def _read_targets(self, place: _Place, frame: pd.DataFrame) -> npt.NDArray[np.generic]:
        if self._form.kind == "classes":
            return self._read_classes(place, frame[self._form.targets[0]].tolist())
        columns = [self._read_numbers(place, frame, name) for name in self._form.targets]
        return np.stack(columns, axis=1)

    def _read_classes(self, place: _Place, cells: list[str]) -> npt.NDArray[np.int64]:
        """Return the class of each cell as `table` numbers it, or by first appearance till then."""
        codes, (column,) = self._codes, self._form.targets
        for name in dict.fromkeys(cells):
            if not name or (self._form.classes and name not in codes):
                known = self._form.classes
                expected = f"one of {', '.join(known)}" if known else "a class"
                raise place.error(cells.index(name), column, repr(name), expected)
            codes.setdefault(name, len(codes))
        return np.fromiter(map(codes.__getitem__, cells), dtype=np.int64, count=len(cells))

    def _read_numbers(
        self, place: _Place, frame: pd.DataFrame, column: str
    ) -> npt.NDArray[np.float32]:
        cells = frame[column].to_numpy(dtype=object)
        empty = cells == ""
        try:
            values = np.where(empty, "nan", cells).astype(np.float32)
        except ValueError:
            row = next(i for i, cell in enumerate(cells) if cell and not _is_number(cell))
            raise place.error(row, column, repr(cells[row]), "a number or nothing") from None
        allowed = np.isin(values, (0, 1)) if self._form.kind == "labels" else np.isfinite(values)
        if not (allowed | empty).all():
            row = int(np.flatnonzero(~(allowed | empty))[0])
            expected = "0, 1" if self._form.kind == "labels" else "a finite number"
            raise place.error(row, column, repr(cells[row]), f"{expected} or nothing")
        return values

    def _read_splits(self, place: _Place, cells: list[str]) -> npt.NDArray[np.generic]:
        for name in dict.fromkeys(cells):
            if name.lower() not in SPLIT_NAMES:
                expected = f"one of {', '.join(SPLIT_NAMES)}"
                row = cells.index(name)
                raise place.error(row, str(self._form.split), repr(name), expected)
        return np.array([SPLIT_NAMES[name.lower()] for name in cells])

    def table(self, splits: Mapping[str, IntArray]) -> Table:
        """Return what was gathered; where a column names the splits, `splits` is empty."""
        offsets = np.zeros(len(self.lengths) + 1, dtype=np.int64)
        np.cumsum(self.lengths, out=offsets[1:])
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
            groups = np.unique(np.concatenate(self._groups).astype(str), return_inverse=True)[1]
        letters = np.frombuffer(self._packed, dtype=np.uint8)
        return Table(
            Sequences(letters, offsets), targets, classes, dict(splits), groups, tuple(self._ids)
        )


@dataclass(frozen=True)
class _Place:
    """Where the first row of a chunk stands."""

    path: Path
    line: int

    def error(self, row: int, column: str, got: str, expected: str) -> DataError:
        """Return what is wrong with a cell, in a sentence."""
        return DataError(
            f"{self.path}, line {self.line + row}, column {column!r}: got {got}; "
            f"expected {expected}"
        )


def _chunks(path: Path, form: TableFormat) -> Iterator[tuple[int, pd.DataFrame]]:
    """Yield the line of each chunk's first row, and the chunk, its cells as text."""
    import pandas as pd  # here, because most commands read no table

    try:
        with _open(path) as file:
            separator, names = _header(path, file, form)
            first = file.readline()
            rows = max(1, min(_MOST_ROWS, _CHUNK_LETTERS // max(len(first), 1)))
        with _open(path) as file:
            frames = pd.read_csv(
                file,
                sep=separator,
                dtype=object,
                na_filter=False,
                skip_blank_lines=False,
                chunksize=rows,
            )
            line = 2
            for frame in frames:
                if not isinstance(frame.index, pd.RangeIndex):
                    raise DataError(f"{path}, line {line}: more cells than the header has columns")
                frame.columns = pd.Index(names)
                used = frame[list(form.columns)]
                yield line, _without_blank_end(used) if len(used) < rows else used
                line += len(frame)
    except FileNotFoundError:
        raise DataError(f"no file {str(path)!r}; give --data a table or a folder") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"{path}: damaged or cut short ({error}); get it anew, or unpack it to see"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not text in UTF-8 ({error.reason}); save it as such") from error
    except pd.errors.EmptyDataError:
        raise DataError(f"{path}: a header and no rows; expected a sequence a line") from None
    except pd.errors.ParserError as error:
        words = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise DataError(f"{path}: not a table: {words}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from error


def _open(path: Path) -> io.TextIOWrapper:
    """Return a file as text; what a byte-order mark says is taken in."""
    raw = gzip.open(path) if path.suffix == ".gz" else path.open("rb")  # noqa: SIM115 - closed with it
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


def _header(path: Path, file: io.TextIOWrapper, form: TableFormat) -> tuple[str, list[str]]:
    """Return the separator and the names of the columns, which the first line gives."""
    line = file.readline(_LONGEST_HEADER).rstrip("\r\n")
    if not line:
        raise DataError(f"{path}: empty; expected a header with {', '.join(form.columns)}")
    separator = max("\t,;", key=line.count)
    names = [name.strip() for name in next(csv.reader([line], delimiter=separator))]
    for column in form.columns:
        if names.count(column) != 1:
            number = "no column" if column not in names else "more than one column"
            found = ", ".join(name[:32] for name in names[:12])
            raise DataError(
                f"{path}, line 1: {number} {column!r}; the header reads {found}; "
                "name the columns, or add a header where there is none"
            )
    return separator, names


def _without_blank_end(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a file's last chunk without the blank lines that end it."""
    end = len(frame)
    while end and not any(frame.iloc[end - 1]):
        end -= 1
    return frame.iloc[:end]


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _in_order(name: str) -> tuple[int, float, str]:
    """Return what classes are sorted by: numbers first, by value."""
    return (0, float(name), name) if _is_number(name) else (1, 0.0, name)
