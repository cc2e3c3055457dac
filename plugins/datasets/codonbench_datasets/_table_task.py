"""Supervised tasks whose data are tables: a download, or a copy of it that a folder holds."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from codonbench import Dataset, DataSource, Task, TaskSpec
from codonbench.contracts import DNA, Input, Sequences, Target
from codonbench.data import download
from codonbench.data.table import Table, TableFormat, read_table
from codonbench.data.table_files import SUFFIXES, TableFiles
from codonbench.data.table_formats import read_chunks
from codonbench.errors import DataError

FOLDER_VARIABLE = "CODONBENCH_DATA"
"""Names a folder of local copies, a folder a task under the task's name."""


class TableTask(Task):
    """A task whose items, targets and splits stand in tables.

    Class attributes:
        input, target: As in `TaskSpec`.
        form: What the columns of a copy are called.
        tables: What the table of each split may be called in a folder, less its ending; under an
            empty name the one table of a task whose splits stand in a column, or are made here.
        origin: Where the data come from: the task's one download, under the task's name; where
            none is pinned it is left out, and the data are a copy of the user's own.
        content: SHA-256 (hex) of what the tables hold, as `Table.checksum` gives it. A download
            must hold it; other data may differ, and are then another table of the leaderboard.
        conversion: What must be done to the download before it can be read, or where there is none
            what a copy must be; empty for nothing.
        sorted_rows: True where the source has its rows in the order of their classes. Those of each
            split are then put in a fixed random order: a model is asked for them in their order,
            and could read it.
        default_epochs, notes, reference, licence: As in `TaskSpec`.
    """

    version: ClassVar[str] = "1"
    protocol: ClassVar[str] = "supervised"
    input: ClassVar[Input]
    target: ClassVar[Target]
    form: ClassVar[TableFormat] = TableFormat()
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": ("train",),
        "validation": ("dev", "validation"),
        "test": ("test",),
    }
    origin: ClassVar[DataSource]
    content: ClassVar[str]
    conversion: ClassVar[str] = ""
    sorted_rows: ClassVar[bool] = False
    default_epochs: ClassVar[int] = 10
    notes: ClassVar[tuple[str, ...]] = ()
    reference: ClassVar[str]
    licence: ClassVar[str]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if (origin := vars(cls).get("origin")) is not None:
            cls.default_data, cls.sources = origin.name, (origin,)
            cls.data_names = {origin.name: origin.summary}
        elif "name" in vars(cls):
            cls.default_data = cls.name
            cls.data_names = {cls.default_data: "a copy of one's own; no download is pinned"}

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return what a file or a folder holds.

        Args:
            path: A copy such as `load` takes, or the download.
            downloaded: True for the download, which has the form of a copy unless a task says
                otherwise.
        """
        files = {split: table_file(path, *stems) for split, stems in self.tables.items()}
        return read_table(TableFiles(files), self.form)

    def load(self, data: str, options: Any, *, cache: Path, offline: bool = False) -> Dataset:
        """Load the tables.

        Args:
            data: The task's own name for the copy in ``$CODONBENCH_DATA/<task>``, where there is
                one, else for the download; or a folder or file with such a copy.
            options: None that matter.
            cache: A folder for the download; it may not exist yet.
            offline: True forbids any network access.

        Raises:
            DataError: The data are missing, unreadable, unusable, or not those of the task.
            DownloadError: The download failed, did not verify, or is missing while offline.
        """
        copy = local_copy(self.name) if data in self.data_names else Path(data)
        if copy is None:
            table = self._downloaded(data, cache, offline)
        else:
            table = self._read(copy, downloaded=False)
        known = table.checksum == self.content
        sizes = {name: len(rows) for name, rows in table.splits.items()}
        if "test" not in sizes:
            raise DataError(
                f"{data}: no row is in the test split, and task {self.name!r} cuts none; give its "
                "own data, or leave out --task, so that a test split is cut"
            )
        spec = TaskSpec(
            name=self.name,
            version=self.version,
            title=self.title,
            input=self.input,
            target=self.target,
            protocol=self.protocol,
            train_size=sizes.get("train", 0),
            validation_size=sizes.get("validation", 0),
            test_size=sizes["test"],
            default_epochs=self.default_epochs,
            notes=self.notes if known else (),
            reference=self.reference,
            licence=self.licence,
        )
        return Dataset(
            spec=spec,
            source=self.default_data if known else "folder",
            checksum=table.checksum,
            simulated=False,
            items=table.items,
            targets=table.targets,
            splits=table.splits,
            groups=table.groups,
            origins=table.origins,
            report=(replace(table, classes=self.target.names) if table.classes else table).report(),
            provenance={"url": self.sources[0].url} if known and self.sources else {},
        )

    def _read(self, path: Path, *, downloaded: bool) -> Table:
        """Return what `read` does, with rows in an order that tells nothing."""
        table = self.read(path, downloaded=downloaded)
        if not self.sorted_rows:
            return table
        rng = np.random.Generator(np.random.PCG64(0))
        splits = {name: rng.permutation(table.splits[name]) for name in sorted(table.splits)}
        return replace(table, splits=splits)

    def _downloaded(self, data: str, cache: Path, offline: bool) -> Table:
        """Return what the download holds, which must be the task's content."""
        if self.conversion:
            why = (
                f"cannot be read as {self.sources[0].url} has it"
                if self.sources
                else "is no download"
            )
            raise DataError(
                f"{self.name!r} {why}: {self.conversion}; give --data that, or put it into "
                f"${FOLDER_VARIABLE}/{self.name}"
            )
        source = self.source(data)
        path = download.fetch(source, cache, offline=offline)
        how = f"'bench data fetch {data} --force' downloads it again, and --data takes a copy"
        try:
            table = self._read(path, downloaded=True)
        except DataError as error:
            raise DataError(f"{error}; {how}") from error
        if table.checksum != self.content:
            raise DataError(
                f"{path}: its content has SHA-256 {table.checksum}, not {self.content}, so these "
                f"are not the data of {self.name!r}; {how}"
            )
        return table


def needed(package: str) -> Any:
    """Return a package of the extra ``recipes``, without which some downloads cannot be read.

    Raises:
        DataError: It is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        raise DataError(
            f"{package} is needed to read this download: pip install 'codonbench[recipes]'"
        ) from error


def six_digits(table: Table) -> Table:
    """Return a table of quantities with targets to six digits, as copies have them."""
    rows = [[float(f"{value:.6g}") for value in row] for row in table.targets.tolist()]
    return replace(table, targets=np.array(rows, dtype=np.float32))


def read_classes(
    path: Path, files: Mapping[str, Sequence[tuple[str, str]]], classes: tuple[str, ...]
) -> Table:
    """Return sequences of FASTA files that hold one class each.

    Args:
        path: Their folder.
        files: Name and class of each file of a split, in the order of its items.
        classes: All of them, in index order.
    """
    texts: list[str] = []
    labels: list[int] = []
    splits = {}
    for split, named in files.items():
        first = len(texts)
        for file, label in named:
            for chunk in read_chunks(path / file, ["sequence"]):
                texts += chunk.cells["sequence"]
            labels += [classes.index(label)] * (len(texts) - len(labels))
        splits[split] = np.arange(first, len(texts))
    return Table(Sequences.of(texts, DNA), np.array(labels), classes, splits)


def local_copy(task: str) -> Path | None:
    """Return the folder of a task's local copy; None where the user keeps none."""
    root = os.environ.get(FOLDER_VARIABLE)
    folder = Path(root) / task if root else None
    return folder if folder is not None and folder.is_dir() else None


def table_file(path: Path, *stems: str) -> Path:
    """Return the table in a folder that has one of these names; a file is itself.

    Raises:
        DataError: There is none.
    """
    if not path.is_dir():
        return path
    for stem in stems:
        for suffix in SUFFIXES:
            if (path / f"{stem}{suffix}").is_file():
                return path / f"{stem}{suffix}"
    expected = " or ".join(f"{stem}.csv" for stem in stems)
    raise DataError(f"{path}: no {expected}, .tsv, .csv.gz or .tsv.gz; it must hold one")
