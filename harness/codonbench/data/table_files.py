"""Files of tables, read a chunk of rows at a time: CSV, TSV, Parquet and FASTA, plain or gzip."""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np
import numpy.typing as npt

from codonbench.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "dev": "validation",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "test": "test",
    "testing": "test",
}
"""What a file or a cell may call a split, and which one it is."""

DELIMITED = (".csv", ".tsv", ".txt", ".tab")
PARQUET = (".parquet", ".pq")
FASTA = (".fa", ".fasta", ".fas", ".fna", ".ffn", ".faa", ".frn")
SUFFIXES = tuple(
    suffix + packed
    for suffix in (*DELIMITED, *FASTA, *PARQUET)
    for packed in ("", ".gz")
    if not (packed and suffix in PARQUET)
)
"""Endings of files that are read."""

ID_NAMES = ("id", "seq_id", "sequence_id", "name", "accession", "header")
"""What a column of the rows' names may be called, in either case."""

MISSING = ("", "NA", "NaN", "nan")
"""Cells of a target that is not known."""

_CHUNK_CHARACTERS = 1 << 25  # about as many are Python strings at a time
MOST_ROWS = 100_000
_LONGEST_HEADER = 1 << 24


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some consecutive rows of a file.

    Attributes:
        path: The file.
        frame: The columns that were asked for, as text, or as float32 where numbers were.
        first: Line, or row of a Parquet file, of the first of them.
        unit: ``line`` or ``row``.
        lines: Line of each, where they are not consecutive.
    """

    path: Path
    frame: pd.DataFrame
    first: int
    unit: str = "line"
    lines: Sequence[int] | None = None

    def place(self, row: int) -> str:
        """Return where a row stands: ``mine.csv, line 7``."""
        number = self.first + row if self.lines is None else self.lines[row]
        return f"{self.path}, {self.unit} {number}"

    def error(self, row: int, column: str, got: str, expected: str) -> DataError:
        """Return what is wrong with a cell, in a sentence."""
        return DataError(f"{self.place(row)}, column {column!r}: got {got}; expected {expected}")


@dataclass(frozen=True)
class TableFiles:
    """Where a table lies.

    Attributes:
        files: The file of each split by its name; or one, under an empty name.
        labels: A table of what is known of the sequences of a FASTA file, by their names.
    """

    files: dict[str, Path]
    labels: Path | None = None

    @property
    def first(self) -> Path:
        """The file that columns are guessed from."""
        return next(iter(self.files.values()))

    @property
    def by_split(self) -> bool:
        """Whether each file is a split."""
        return "" not in self.files

    def columns(self) -> list[str]:
        """Return the columns that there are, in order.

        Raises:
            DataError: The file is missing, unreadable or has no header.
        """
        names = columns_of(self.first)
        if self.labels is not None:
            more = columns_of(self.labels)
            names += [name for name in more if name not in (*names, _key(more))]
        return names

    def chunks(
        self,
        path: Path,
        columns: Sequence[str],
        numbers: Sequence[str] = (),
        rows: int = MOST_ROWS,
    ) -> Iterator[Chunk]:
        """Yield the rows of one of the files; see `read_chunks`."""
        if self.labels is None:
            yield from read_chunks(path, columns, numbers, rows)
            return
        known = _by_name(self.labels, columns, columns_of(path))
        own = list(dict.fromkeys(["id", *(c for c in columns if c not in known.columns)]))
        for chunk in read_chunks(path, own, (), rows):
            found = known.index.get_indexer(chunk.frame.set_index("id").index)
            if (found < 0).any():
                row = int(np.flatnonzero(found < 0)[0])
                name = chunk.frame["id"].iloc[row]
                raise chunk.error(row, "id", repr(name), f"a name of {self.labels.name}")
            more = known.iloc[found].set_axis(chunk.frame.index)
            both = chunk.frame.assign(**{name: more[name] for name in known.columns})
            yield replace(chunk, frame=both[list(columns)])


def find_files(data: str, folder: Path = Path()) -> TableFiles:
    """Return the files that ``--data`` means.

    That is one file; a folder with one file a split; or several files with commas between them,
    one a split by its name, or a FASTA file and a table of its labels.

    Args:
        data: What was given.
        folder: What relative paths are relative to.

    Raises:
        DataError: A file is missing, or it is not clear which split it is.
    """
    paths = [folder / part.strip() for part in data.split(",") if part.strip()]
    if (folder / data).exists():  # a comma may be part of a name
        paths = [folder / data]
    for path in paths:
        if not path.exists():
            raise DataError(f"no file {str(path)!r}; give --data a table, a folder or several")
    if len(paths) == 1:
        path = paths[0]
        return TableFiles(split_files(path) if path.is_dir() else {"": path})
    sequences = [path for path in paths if kind_of(path) == "fasta"]
    if len(paths) == 2 and len(sequences) == 1:
        (labels,) = (path for path in paths if path not in sequences)
        return TableFiles({"": sequences[0]}, labels)
    files: dict[str, Path] = {}
    for path in paths:
        words = re.split(r"[._-]", path.name.lower())
        splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
        if len(splits) != 1 or splits & files.keys():
            raise DataError(
                f"{path}: not clear which split this is; of several files each must have train, "
                "validation or test in its name, once"
            )
        files[splits.pop()] = path
    if "train" not in files:
        raise DataError(f"{data}: none of the files is the train split; name one train")
    return TableFiles(dict(sorted(files.items(), key=lambda f: list(SPLIT_NAMES).index(f[0]))))


def split_files(folder: Path) -> dict[str, Path]:
    """Return the file of each split in a folder, train first.

    Raises:
        DataError: There is none of train or test, or there are two of one.
    """
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
                f"the like, found {names}"
            )
    return found


def kind_of(path: Path) -> str:
    """Return ``fasta``, ``parquet`` or ``delimited``, by the end of a file's name."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith(FASTA):
        return "fasta"
    return "parquet" if name.endswith(PARQUET) else "delimited"


def columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns, in order.

    Those of a FASTA file are ``id``, ``sequence`` and what the first header gives; see `fields`.

    Raises:
        DataError: The file is missing, unreadable, empty or has no header.
    """
    with _faults_named(path):
        if kind_of(path) == "fasta":
            _, title, _ = next(_fasta(path))
            return ["id", "sequence", *(name for name in fields(title) if name != "id")]
        if kind_of(path) == "parquet":
            return [str(name) for name in _parquet(path).schema_arrow.names]
        with _open(path) as file:
            return _header(path, file)[1]


def read_chunks(
    path: Path, columns: Sequence[str], numbers: Sequence[str] = (), rows: int = MOST_ROWS
) -> Iterator[Chunk]:
    """Yield the rows of a file.

    Args:
        path: The file.
        columns: Those that are read, as text; an empty cell is empty text.
        numbers: Those that are read as float32, all of them numbers.
        rows: At most so many at a time.

    Raises:
        DataError: The file is missing, unreadable, damaged or no table, or lacks a column.
    """
    kind = kind_of(path)
    _insist_on(path, columns_of(path), [*columns, *numbers], kind)
    with _faults_named(path):
        if kind == "fasta":
            yield from _fasta_chunks(path, columns, rows)
        elif kind == "parquet":
            yield from _parquet_chunks(path, columns, numbers, rows)
        else:
            yield from _delimited_chunks(path, columns, numbers, rows)


def _insist_on(path: Path, names: list[str], asked: Iterable[str], kind: str) -> None:
    """Raise DataError where a column is missing, or stands twice."""
    counts = Counter(names)
    for column in asked:
        if counts[column] != 1:
            number = "no column" if column not in counts else "more than one column"
            found = ", ".join(name[:32] for name in names[:12])
            where = {"delimited": ", line 1", "fasta": ", first header"}.get(kind, "")
            what = "header reads" if kind == "delimited" else "columns are"
            raise DataError(
                f"{path}{where}: {number} {column!r}; the {what} {found}; "
                "name the columns, or add a header where there is none"
            )


@contextmanager
def _faults_named(path: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a file into a sentence that names it."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if (words := _fault(path, error)) is None:
            raise
        raise DataError(words) from error


def _fault(path: Path, error: BaseException) -> str | None:
    """Return what an exception says of a file; None where it is another's."""
    words = " ".join(str(error).split())
    if isinstance(error, FileNotFoundError):
        return f"no file {str(path)!r}; give --data a table or a folder"
    if isinstance(error, EOFError | zlib.error | gzip.BadGzipFile):
        return f"{path}: damaged or cut short ({words}); get it anew, or unpack it to see"
    if isinstance(error, UnicodeDecodeError):
        return f"{path}: not text in UTF-8 ({error.reason}); save it as such"
    if type(error).__module__.startswith("pyarrow"):
        return f"{path}: damaged, cut short or no Parquet ({words}); get it anew"
    if type(error).__name__ == "EmptyDataError":
        return f"{path}: a header and no rows; expected a sequence a line"
    if type(error).__name__ == "ParserError":
        return f"{path}: not a table: {words.removeprefix('Error tokenizing data. C error: ')}"
    if isinstance(error, OSError):
        return f"{path}: cannot be read ({error.strerror or words})"
    return None


def _open(path: Path) -> io.TextIOWrapper:
    """Return a file as text; what a byte-order mark says is taken in."""
    with path.open("rb") as file:
        packed = path.suffix == ".gz" or file.read(2) == b"\x1f\x8b"
    raw = cast(BinaryIO, gzip.open(path)) if packed else path.open("rb")  # noqa: SIM115 - closed with it
    return io.TextIOWrapper(raw, encoding="utf-8-sig", newline="")


# CSV and TSV


def _header(path: Path, file: io.TextIOWrapper) -> tuple[str, list[str]]:
    """Return the separator and the names of the columns, which the first line gives."""
    line = file.readline(_LONGEST_HEADER).rstrip("\r\n")
    if not line.strip():
        raise DataError(f"{path}: empty; expected a header with the names of the columns")
    separator = max("\t,;", key=line.count)
    try:
        names = [name.strip() for name in next(csv.reader([line], delimiter=separator))]
    except csv.Error:  # of a cell that is too long for a name
        names = line.split(separator)
    if looks_like_data(names):
        raise DataError(
            f"{path}, line 1: no header, but {', '.join(name[:32] for name in names[:6])}; add a "
            "line with the names of the columns, such as sequence,label"
        )
    return separator, names


def looks_like_data(names: Sequence[str]) -> bool:
    """Return whether what should be names of columns are cells: a fraction, or a long sequence."""
    cell = re.compile(r"[-+]?\d*[.]\d+([eE][-+]?\d+)?|[ACGTUNacgtun]{12,}|[A-Z*]{30,}")
    return any(cell.fullmatch(name) for name in names)


def _delimited_chunks(
    path: Path, columns: Sequence[str], numbers: Sequence[str], rows: int
) -> Iterator[Chunk]:
    import pandas as pd  # here, because most commands read no table

    with _open(path) as file:
        separator, names = _header(path, file)
        first = file.readline()
        rows = max(1, min(rows, MOST_ROWS, _CHUNK_CHARACTERS // max(len(first), 1)))
    asked = [*columns, *numbers]
    numeric = set(numbers)
    types: dict[Any, Any] = {
        i: np.float32 if name in numeric else object for i, name in enumerate(names)
    }
    line = 2
    with _open(path) as file:
        file.readline(_LONGEST_HEADER)
        frames = pd.read_csv(
            file,
            sep=separator,
            header=None,
            names=range(len(names)),
            dtype=types,
            na_filter=False,
            skip_blank_lines=bool(numbers),
            chunksize=rows,
        )
        try:
            for frame in frames:
                if not isinstance(frame.index, pd.RangeIndex):
                    raise DataError(f"{path}, line {line}: more cells than the header has columns")
                frame.columns = pd.Index(names)
                used = _without_blank_end(frame) if len(frame) < rows else frame
                yield Chunk(path, used[asked], line)
                line += len(frame)
        except ValueError as error:
            if isinstance(error, pd.errors.ParserError | pd.errors.EmptyDataError) or not numbers:
                raise _with_line(path, error) from error
            raise _no_number(path, numbers, error) from error


def _with_line(path: Path, error: Exception) -> Exception:
    """Return pandas' error with the line of the file, whose header it has not seen."""
    found = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", str(error))
    if found is None:
        return error
    expected, line, saw = map(int, found.groups())
    return DataError(
        f"{path}, line {line + 1}: {saw} cells; the header has {expected}; quote a cell that holds "
        "the separator"
    )


def _no_number(path: Path, numbers: Sequence[str], error: Exception) -> Exception:
    """Return which cell is no number, where one of those that should be is none."""
    for chunk in read_chunks(path, list(numbers)):
        for name in numbers:
            for row, cell in enumerate(chunk.frame[name]):
                if not (is_number(cell) and math.isfinite(float(cell))):
                    got = repr(cell) if cell else "nothing"
                    return chunk.error(row, name, got, "a finite number")
    return error


def _without_blank_end(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a file's last chunk without the blank lines that end it."""
    end = len(frame)
    while end and not any(frame.iloc[end - 1]):
        end -= 1
    return frame.iloc[:end]


def is_number(cell: str) -> bool:
    """Return whether a cell can be read as one."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


# Parquet


def _parquet(path: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(
            f"{path}: to read Parquet needs pyarrow, which is not installed: "
            "pip install 'codonbench[parquet]', or save the table as CSV"
        ) from None
    return ParquetFile(path)


def _parquet_chunks(
    path: Path, columns: Sequence[str], numbers: Sequence[str], rows: int
) -> Iterator[Chunk]:
    import pandas as pd
    import pyarrow as pa

    file = _parquet(path)
    width = max(1, sum(len(str(cell)) for cell in next(_first_rows(file, columns), ())))
    rows = max(1, min(rows, MOST_ROWS, _CHUNK_CHARACTERS // width))
    first = 1
    for batch in file.iter_batches(batch_size=rows, columns=[*columns, *numbers]):
        arrays: dict[str, npt.NDArray[Any]] = {}
        for name in columns:
            text = _cast(path, name, batch, pa.string(), "text or numbers").fill_null("")
            arrays[name] = np.array(text.to_pylist(), dtype=object)
        for name in numbers:
            values = _cast(path, name, batch, pa.float32(), "numbers")
            if values.null_count:
                row = values.is_null().to_pylist().index(True)
                raise DataError(
                    f"{path}, row {first + row}, column {name!r}: got nothing; expected a number"
                )
            arrays[name] = values.to_numpy()
        yield Chunk(path, pd.DataFrame(arrays), first, "row")
        first += len(batch)


def _cast(path: Path, name: str, batch: Any, kind: Any, expected: str) -> Any:
    """Return a column as another type."""
    import pyarrow as pa

    column = batch.column(name)
    try:
        return column.cast(kind, safe=False)
    except pa.ArrowException as error:
        words = " ".join(str(error).split())
        raise DataError(
            f"{path}, column {name!r}: got {column.type}; expected {expected} ({words})"
        ) from error


def _first_rows(file: Any, columns: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    for batch in file.iter_batches(batch_size=1, columns=list(columns)):
        yield tuple(batch.to_pylist()[0].values())


# FASTA


def fields(title: str) -> dict[str, str]:
    """Return what a header of a FASTA file says of its sequence.

    ========================  ==================================
    header                    columns
    ========================  ==================================
    ``s1 label=a split=test``   id s1, label a, split test
    ``s1 a``                    id s1, label a
    ``s1|a``                    id s1, label a
    ``s1|a|training``           id s1, label a, split training
    ========================  ==================================
    """
    words = title.split()
    found = {"id": words[0] if words else ""}
    named = [word.rstrip(";,").partition("=") for word in words[1:] if "=" in word]
    if named:
        return found | {name: value for name, _, value in named}
    if len(words) == 2:
        return found | {"label": words[1]}
    parts = title.split("|")
    if len(words) == 1 and len(parts) == 3 and parts[2].lower() in SPLIT_NAMES:
        return {"id": parts[0], "label": parts[1], "split": parts[2]}
    if len(words) == 1 and len(parts) > 1:
        return {"id": "|".join(parts[:-1]), "label": parts[-1]}
    return found


def _fasta(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, the header and the letters of each sequence of a FASTA file."""
    start, title, parts = 0, None, list[str]()
    with _open(path) as file:
        for number, raw in enumerate(file, 1):
            line = raw.strip()
            if line.startswith(">"):
                if title is not None:
                    yield start, title, "".join(parts)
                start, title, parts = number, line[1:].strip(), []
            elif title is not None:
                parts.append("".join(line.split()))
            elif line and not line.startswith(";"):
                raise DataError(
                    f"{path}, line {number}: not FASTA, which begins with a '>' header; got "
                    f"{line[:32]!r}"
                )
    if title is None:
        raise DataError(f"{path}: empty; expected FASTA, a '>' header and a sequence")
    yield start, title, "".join(parts)


def _fasta_chunks(path: Path, columns: Sequence[str], rows: int) -> Iterator[Chunk]:
    import pandas as pd

    cells: dict[str, list[str]] = {name: [] for name in columns}
    lines: list[int] = []
    held = 0
    for line, title, letters in _fasta(path):
        found = {"sequence": letters} | fields(title)
        for name in columns:
            cells[name].append(found.get(name, ""))
        lines.append(line)
        held += len(letters)
        if held > _CHUNK_CHARACTERS or len(lines) >= min(rows, MOST_ROWS):
            yield Chunk(path, pd.DataFrame(cells, dtype=object), 0, lines=lines)
            cells, lines, held = {name: [] for name in columns}, [], 0
    if lines:
        yield Chunk(path, pd.DataFrame(cells, dtype=object), 0, lines=lines)


def _key(names: Sequence[str]) -> str:
    """Return the column of a table of labels that names the rows."""
    return next((name for name in names if name.lower() in ID_NAMES), names[0])


def _by_name(path: Path, columns: Sequence[str], others: Sequence[str]) -> pd.DataFrame:
    """Return those columns of a table of labels that are not in `others`, by the rows' names.

    The names stand in a column called as one of `ID_NAMES`, else in the first.
    """
    import pandas as pd

    names = columns_of(path)
    key = _key(names)
    asked = [name for name in columns if name in names and name not in others]
    chunks = list(read_chunks(path, list(dict.fromkeys([key, *asked]))))
    whole = pd.concat([chunk.frame for chunk in chunks], ignore_index=True)
    if twice := whole[key][whole[key].duplicated()].tolist():
        raise DataError(f"{path}, column {key!r}: {twice[0]!r} stands twice; expected it once")
    return whole.set_index(key)[asked]
