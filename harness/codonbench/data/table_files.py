"""The files of a table: a single file, one per split, or FASTA and a table of labels."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codonbench.data.compression import ENDINGS
from codonbench.data.table_formats import (
    DELIMITED,
    FASTA,
    MOST_ROWS,
    PARQUET,
    SPLIT_NAMES,
    Chunk,
    columns_of,
    kind_of,
    no_header,
    read_chunks,
)
from codonbench.errors import DataError

SUFFIXES = (
    *(end + packed for end in (*DELIMITED, *FASTA) for packed in ("", *ENDINGS)),
    *PARQUET,
)
"""File name suffixes that can be read."""

ID_NAMES = (
    *("id", "seq_id", "sequence_id", "name", "accession", "header"),
    *("sample", "sample_id", "sample_name"),
)
"""Names of columns that are ids; case is ignored."""


@dataclass(frozen=True)
class TableFiles:
    """The files of a table.

    Attributes:
        files: The file of each split by its name, or a single file under the empty name.
        labels: Table with further columns for the sequences of a FASTA file, by their ids.
    """

    files: dict[str, Path]
    labels: Path | None = None

    @property
    def first(self) -> Path:
        """The file from which columns are guessed."""
        return next(iter(self.files.values()))

    @property
    def by_split(self) -> bool:
        """Whether there is one file per split."""
        return "" not in self.files

    def chunks(
        self, path: Path, columns: Sequence[str] | None = None, rows: int = MOST_ROWS
    ) -> Iterator[Chunk]:
        """Yield the rows of one file, joined with labels; see `read_chunks`."""
        if self.labels is None:
            yield from read_chunks(path, columns, rows)
            return
        names, key = columns_of(self.labels), self._key()
        wanted = [*columns_of(path), *names] if columns is None else ["id", *columns]
        added = [name for name in names if name in wanted and name not in (key, "id", "sequence")]
        own = [name for name in dict.fromkeys(wanted) if name == "id" or name not in (*added, key)]
        known = _by_name(self.labels, key, added)
        for chunk in read_chunks(path, own, rows):
            ids = chunk.cells["id"]
            row = next((row for row, name in enumerate(ids) if name not in known), None)
            if row is not None and ids[row] == key:
                raise DataError(no_header(f"{self.labels}, line 1", names))
            if row is not None:
                raise chunk.error(row, "id", repr(ids[row]), f"a name of {self.labels.name}")
            more = zip(*map(known.__getitem__, ids), strict=True)
            joined = {name: [*cells] for name, cells in zip(added, more, strict=True)}
            yield replace(chunk, cells=chunk.cells | joined)

    def unused(self, ids: Collection[str]) -> str:
        """Return a phrase on rows of `labels` without a sequence; empty if there are none.

        Args:
            ids: Ids of the sequences.
        """
        if self.labels is None:
            return ""
        known, key, rows, first, count = set(ids), self._key(), 0, "", 0
        for chunk in read_chunks(self.labels, [key]):
            left = [row for row, name in enumerate(chunk.cells[key]) if name not in known]
            rows, count = rows + len(chunk.lines), count + len(left)
            if left and not first:
                first = f"line {chunk.lines[left[0]]}, {chunk.cells[key][left[0]]!r}"
        names = f"{count:,} of {rows:,} rows of {self.labels.name}"
        return f"{names} name no sequence (first {first})" if count else ""

    def _key(self) -> str:
        """Return the id column of `labels`."""
        assert self.labels is not None
        names = columns_of(self.labels)
        return next((name for name in names if name.lower() in ID_NAMES), names[0])


def find_files(data: str, folder: Path = Path()) -> TableFiles:
    """Return the files for a value of ``--data``.

    It is a file; a folder with one file per split, named for it; or files separated by commas: one
    per split, given by its name or as ``train=a.csv,test=b.csv``, or FASTA and a table of labels.

    Args:
        data: The value.
        folder: Folder to which relative paths are relative.

    Raises:
        DataError: A file is missing or not a regular file, or its split is not clear.
    """
    whole = folder / data
    if whole.is_dir():
        stems = ((path, *path.name.partition(".")) for path in sorted(whole.iterdir()))
        paths = [p for p, stem, *end in stems if stem in SPLIT_NAMES and "".join(end) in SUFFIXES]
        return TableFiles(_by_split(paths, whole, ("train", "test")))
    splits = [part.strip().partition("=") for part in data.split(",")]
    named = all(name in SPLIT_NAMES and path for name, _, path in splits)
    # A comma may be part of a file name.
    parts = [data] if whole.exists() else filter(None, map(str.strip, data.split(",")))
    paths = [folder / part for part in ((path for *_, path in splits) if named else parts)]
    if missing := next((path for path in paths if not path.exists()), None):
        raise DataError(f"no file {str(missing)!r}; give --data a table, a folder or several")
    if odd := next((path for path in paths if not path.is_file()), None):
        raise DataError(f"{str(odd)!r} is not a regular file; a table is read more than once")
    if named:
        return TableFiles(dict(zip((SPLIT_NAMES[name] for name, *_ in splits), paths, strict=True)))
    if len(paths) == 1:
        return TableFiles({"": paths[0]})
    sequences = [path for path in paths if kind_of(path) == "fasta"]
    if len(paths) == 2 and len(sequences) == 1:
        (labels,) = (path for path in paths if path not in sequences)
        return TableFiles({"": sequences[0]}, labels)
    return TableFiles(_by_split(paths, whole, ("train",)))


def _by_split(paths: Sequence[Path], where: Path, needed: Sequence[str]) -> dict[str, Path]:
    """Return the file of each split, train first, from the names of the files."""
    files: dict[str, Path] = {}
    for path in paths:
        words = re.split(r"[._-]", path.name.lower())
        splits = {SPLIT_NAMES[word] for word in words if word in SPLIT_NAMES}
        if len(splits) != 1:
            raise DataError(
                f"{path}: not clear which split this is; of several files each must have train, "
                "validation or test in its name, once"
            )
        (split,) = splits
        if split in files:
            names = f"{files[split].name!r} and {path.name!r}"
            raise DataError(f"{where}: both {names} are the {split} split; leave one")
        files[split] = path
    for split in needed:
        if split not in files:
            there = sorted(where.iterdir()) if where.is_dir() else paths
            found = ", ".join(path.name for path in there[:8]) or "nothing"
            raise DataError(
                f"{where}: no file of the {split} split; expected {split}.csv, .tsv, .csv.gz or "
                f"the like, found {found}"
            )
    return dict(sorted(files.items(), key=lambda file: list(SPLIT_NAMES).index(file[0])))


def _by_name(path: Path, key: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the cells of each row of a table of labels, by its id in column `key`."""
    known: dict[str, list[str]] = {}
    for chunk in read_chunks(path, [key, *columns]):
        rows = zip(*(chunk.cells[name] for name in (key, *columns)), strict=True)
        for row, (name, *cells) in enumerate(rows):
            if name in known:
                raise chunk.error(row, key, f"{name!r} once more", "each name once")
            known[name] = cells
    return known
