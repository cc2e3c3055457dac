"""Read the rows of one file in chunks: CSV, TSV, FASTA and Parquet, plain or compressed."""

from __future__ import annotations

import csv
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, TextIO

from codonbench.data.compression import ENDINGS, MOST_UNPACKED, faults_named, open_text
from codonbench.errors import DataError

DELIMITED = (".csv", ".tsv", ".txt", ".tab")
PARQUET = (".parquet", ".pq")
FASTA = (".fa", ".fasta", ".fas", ".fna", ".ffn", ".faa", ".frn")

SPLIT_NAMES = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("dev", "val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""Names of splits in files and cells, and the split each one means."""

MOST_ROWS = 100_000
LONGEST_TITLE = 1 << 16
"""Most letters of a FASTA header: each word may become a column."""

_PARQUET_ROWS = 4_096  # at a time: their decompressed size is not known before
_CHUNK_BYTES = 1 << 26  # approximate memory of Python strings at a time
_STRING_BYTES = 56  # of an empty string and the reference to it
_LONGEST_CELL = 1 << 28  # letters; the longest human chromosome has 2^27.9
_MOST_COLUMNS = 1_000_000  # methylation arrays have 935,000 sites
_MOST_LINES = 100_000_000  # including blank lines and comments


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some consecutive rows of a file.

    Attributes:
        path: The file.
        cells: Stripped cells of each requested column.
        lines: Line of each row; row number for Parquet.
        head: File and line of the header: ``mine.csv, line 1``.
    """

    path: Path
    cells: dict[str, list[str]]
    lines: Sequence[int]
    head: str

    def place(self, row: int) -> str:
        """Return the file and line of a row: ``mine.csv, line 7``."""
        unit = "row" if kind_of(self.path) == "parquet" else "line"
        return f"{self.path}, {unit} {self.lines[row]}"

    def error(self, row: int, column: str, got: str, expected: str) -> DataError:
        """Return the error for a cell."""
        return DataError(f"{self.place(row)}, column {column!r}: got {got}; expected {expected}")


def unpacked_name(path: Path) -> str:
    """Return a file's name in lower case, without the suffix of a compressed file."""
    name = path.name.lower()
    return next((name.removesuffix(end) for end in ENDINGS if name.endswith(end)), name)


def kind_of(path: Path) -> str:
    """Return ``fasta``, ``parquet`` or ``delimited`` by the suffix of a file."""
    name = unpacked_name(path)
    if name.endswith(FASTA):
        return "fasta"
    return "parquet" if name.endswith(PARQUET) else "delimited"


def columns_of(path: Path) -> list[str]:
    """Return the names of a file's columns, in order.

    For FASTA these are ``id``, ``sequence`` and the fields of the first header; see `fields`.

    Raises:
        DataError: The file is missing, unreadable or empty.
    """
    with faults_named(path):
        return next(_records(path))[1]


def read_chunks(
    path: Path, columns: Sequence[str] | None = None, rows: int = MOST_ROWS
) -> Iterator[Chunk]:
    """Yield the rows of a file in chunks; empty rows are skipped.

    Args:
        path: The file.
        columns: Columns to read; None for all.
        rows: Most rows of a chunk.

    Raises:
        DataError: The file is missing, unreadable, damaged or not a table, or lacks a column.
    """
    with faults_named(path):
        records = _records(path, columns)
        line, names = next(records)
        head = f"{path}, line {line}" if line else str(path)
        wanted = names if columns is None else columns
        times = Counter(names)
        for name in wanted:
            if times[name] != 1:
                if columns is None and name.replace(".", "").isdigit():
                    raise DataError(no_header(head, names))
                there = "more than one column" if times[name] else "no column"
                found = ", ".join(name[:32] for name in names[:12])
                raise DataError(
                    f"{head}: {there} {name!r} among {found}; expected each name once, in a header "
                    "with the names of the columns"
                )
        place = {name: i for i, name in enumerate(names)}
        size, most = 0, _most_text(path)
        for lines, held in _batches(records, min(rows, MOST_ROWS)):
            cells = {name: [row[place[name]].strip() for row in held] for name in wanted}
            size += sum(len(cell) for row in held for cell in row)
            if size > most:  # Parquet, too, can expand greatly
                raise _too_much(path, most)
            yield Chunk(path, cells, lines, head)


def _most_text(path: Path) -> int:
    """Return the most bytes of text a file may hold; no limit for uncompressed files."""
    return max(MOST_UNPACKED, path.stat().st_size)


def _too_much(path: Path, most: int) -> DataError:
    return DataError(f"{path}: more than {most / 2**30:g} GiB of text; cut it in parts")


def no_header(head: str, names: Sequence[str]) -> str:
    """Return the message that a file has no header."""
    return (
        f"{head}: no header, but {', '.join(name[:32] for name in names[:6])}; add a line with the "
        "names of the columns, such as sequence,label"
    )


Records = Iterator[tuple[int, list[str]]]
"""The line and the cells of each row of a file, the header first."""


def _records(path: Path, columns: Sequence[str] | None = None) -> Records:
    if kind_of(path) == "parquet":
        return _parquet_records(path, columns)
    return _fasta_records(path) if kind_of(path) == "fasta" else _delimited_records(path)


def _batches(records: Records, rows: int) -> Iterator[tuple[array[int], list[tuple[str, ...]]]]:
    """Yield lines and cells of records in batches limited in rows and in bytes."""
    lines, held, size = array("q"), list[tuple[str, ...]](), 0
    for line, cells in records:
        lines.append(line)
        held.append(tuple(cells))  # many lists would slow the garbage collector
        size += sum(map(len, cells)) + _STRING_BYTES * len(cells)
        if size > _CHUNK_BYTES or len(held) >= rows:
            yield lines, held
            lines, held, size = array("q"), [], 0
    if held:
        yield lines, held


def _lines(path: Path, file: TextIO) -> Iterator[str]:
    """Yield a file's lines.

    Raises:
        DataError: A line is too long, or there are too many lines.
    """
    for number, line in enumerate(iter(partial(file.readline, _LONGEST_CELL), "")):
        if len(line) == _LONGEST_CELL:
            raise DataError(f"{path}: a line of {_LONGEST_CELL:,} letters or more; cut it in parts")
        if number == _MOST_LINES:
            raise DataError(f"{path}: more than {_MOST_LINES:,} lines; cut it in parts")
        yield line


# CSV and TSV


def _delimited_records(path: Path) -> Records:
    with open_text(path) as file:
        rest = _lines(path, file)
        line, first = 1, next(rest, "")
        while first and (not first.strip() or first.startswith(("#", "sep="))):  # "sep=" is Excel's
            line, first = line + 1, next(rest, "")
        if not first:
            raise DataError(f"{path}: empty; expected a header with the names of the columns")
        if "\0" in first:
            raise DataError(
                f"{path}, line {line}: bytes of 0 between letters; save it as UTF-8 text"
            )
        separator = max("\t,;", key=first.count)
        width = 0
        for text in chain([first], rest):
            if '"' in text:  # a quoted cell may hold separators and line ends
                cells, lines = _quoted(f"{path}, line {line}", chain([text], rest), separator)
            else:
                _check_separators(f"{path}, line {line}", text.count(separator))
                cells, lines = text.rstrip("\r\n").split(separator), 1
            if not width:
                width = len(cells)
                yield line, [name.strip() for name in cells]
            elif any(map(str.strip, cells)):
                if len(cells) != width:
                    raise DataError(
                        f"{path}, line {line}: {len(cells)} of {width} cells that the header has; "
                        "quote a cell that holds the separator"
                    )
                yield line, cells
            line += lines


def _check_separators(place: str, separators: int) -> None:
    """Raise DataError if a row has too many cells."""
    if separators > _MOST_COLUMNS:
        raise DataError(f"{place}: more than {_MOST_COLUMNS:,} cells in a row; cut it in parts")


def _quoted(place: str, lines: Iterator[str], separator: str) -> tuple[list[str], int]:
    """Return the cells of the first row in `lines`, and the number of lines it spans."""

    def counted() -> Iterator[str]:
        separators = 0
        for line in lines:
            separators += line.count(separator)
            _check_separators(place, separators)
            yield line

    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.reader(counted(), delimiter=separator, strict=True)
    try:
        return next(reader), reader.line_num
    except csv.Error as error:
        why = "a quote that opens here is not closed" if "end of data" in str(error) else error
        raise DataError(f"{place}: {why}; quote cells as in CSV") from error


# FASTA


def fields(title: str) -> dict[str, str]:
    """Return the fields of a FASTA header.

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


def _fasta_records(path: Path) -> Records:
    """Yield the columns given by the first header, then the cells of each record."""
    names: list[str] = []
    for line, title, letters in _fasta(path):
        found = fields(title)
        if not names:
            names = ["id", "sequence", *(name for name in found if name not in ("id", "sequence"))]
            yield line, names
        found["sequence"] = letters
        yield line, [found.get(name, "") for name in names]


def _fasta(path: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the line, header and letters of each record; lines with ``;`` are comments."""
    start, title, parts = 0, None, list[str]()
    with open_text(path) as file:
        for number, raw in enumerate(_lines(path, file), 1):
            line = raw.strip()
            if line.startswith(">"):
                if len(line) > LONGEST_TITLE:
                    raise DataError(
                        f"{path}, line {number}: a header of {len(line):,} letters; expected "
                        f"{LONGEST_TITLE:,} at most"
                    )
                if title is not None:
                    yield start, title, "".join(parts)
                start, title, parts = number, line[1:].strip(), []
            elif not line or line.startswith(";"):
                continue
            elif title is not None:
                parts.append("".join(line.split()))
            else:
                raise DataError(
                    f"{path}, line {number}: not FASTA, which begins with a '>' header; got "
                    f"{line[:32]!r}"
                )
    if title is None:
        raise DataError(f"{path}: empty; expected FASTA, a '>' header and a sequence")
    yield start, title, "".join(parts)


# Parquet


def _parquet_records(path: Path, columns: Sequence[str] | None) -> Records:
    """Yield rows with their number, 0 for the header; cells of other columns are empty."""
    try:
        import pyarrow as pa
        from pyarrow.parquet import ParquetFile
    except ImportError:
        raise DataError(
            f"{path}: to read Parquet needs pyarrow, which is not installed: "
            "pip install 'codonbench[parquet]', or save the table as CSV"
        ) from None
    try:
        file = ParquetFile(path)
        schema = file.schema_arrow
        names = [str(name) for name in schema.names]
        yield 0, names
        wanted = names if columns is None else [*columns]
        groups = map(file.metadata.row_group, range(file.num_row_groups))
        size, most = sum(group.total_byte_size for group in groups), _most_text(path)
        if (
            max(size, *(_size_once_read(file, i, columns) for i in range(file.num_row_groups)))
            > most
        ):
            raise _too_much(path, most)
        width = size // max(file.metadata.num_rows, 1)
        rows = max(1, min(_PARQUET_ROWS, _CHUNK_BYTES // (width + _STRING_BYTES)))
        first = 1
        kinds = (pa.string(), pa.large_string(), pa.binary(), pa.large_binary())
        strings = [each.name for each in schema if each.type in kinds]
        by_word = ParquetFile(path, read_dictionary=strings)
        for batch in _parquet_batches(file, by_word, rows, wanted):
            texts = {n: _as_text(path, n, batch.column(n), columns is None) for n in wanted}
            cells = (texts.get(name, [""] * len(batch)) for name in names)
            yield from enumerate(map(list, zip(*cells, strict=True)), first)
            first += len(batch)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.strerror:  # an error of the system, not of pyarrow
            raise
        reason = " ".join(str(error).split())
        raise DataError(
            f"{path}: damaged, cut short or not Parquet ({reason}); get it anew"
        ) from error


def _size_once_read(file: Any, i: int, columns: Sequence[str] | None) -> int:
    """Return the approximate bytes in memory of the columns of a row group.

    A number takes 8 bytes however it is stored; each element of a list becomes a string.
    """
    group, size = file.metadata.row_group(i), 0
    starts = None if columns is None else tuple(f"{name}." for name in columns)
    for n in range(group.num_columns):
        column = group.column(n)
        if starts is None or f"{column.path_in_schema}.".startswith(starts):
            in_list = file.schema.column(n).max_repetition_level > 0
            size += column.num_values * (_STRING_BYTES if in_list else 8)
    return size


def _parquet_batches(file: Any, by_word: Any, rows: int, columns: list[str]) -> Iterator[Any]:
    """Yield a file's rows in batches.

    Dictionary-encoded row groups are kept in that encoding: a file of a kilobyte can have a string
    of a megabyte in each row.

    Args:
        file: The file.
        by_word: The same file, opened to keep strings dictionary-encoded.
        rows: Rows of a batch.
        columns: Columns to read.
    """
    for i in range(file.num_row_groups):
        group = file.metadata.row_group(i)
        packed = {e for n in range(group.num_columns) for e in group.column(n).encodings}
        if any("DICTIONARY" in encoding for encoding in packed):
            yield from by_word.read_row_group(i, columns=columns).to_batches(max_chunksize=rows)
        else:
            yield from file.iter_batches(batch_size=rows, row_groups=[i], columns=columns)


def _as_text(path: Path, name: str, column: Any, any_kind: bool) -> list[str]:
    """Return a column's cells as text; lists and the like only if `any_kind`."""
    if hasattr(column, "dictionary"):  # dictionary-encoded: each string once
        places = column.indices.drop_null().unique()  # the dictionary grows with the file
        used = column.dictionary.take(places).cast("string").to_pylist()
        texts = dict(zip(places.to_pylist(), used, strict=True))
        return [texts.get(place) or "" for place in column.indices.to_pylist()]
    try:
        cells: list[str] = column.cast("string", safe=False).fill_null("").to_pylist()
    except NotImplementedError as error:
        if any_kind:
            return list(map(str, column))
        raise DataError(
            f"{path}, column {name!r}: got {column.type}; expected text or numbers"
        ) from error
    return cells
