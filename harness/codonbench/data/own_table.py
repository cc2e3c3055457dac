"""A user's own table as a task: ``--data mine.csv``, and descriptions of tables in TOML."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from pydantic import Field, ValidationError, field_validator

from codonbench.contracts import (
    Ceiling,
    Column,
    Dataset,
    Features,
    Input,
    Metric,
    Name,
    Ranking,
    Sequences,
    SequenceTuples,
    Split,
    SplitMetric,
    Target,
    Task,
    TaskSpec,
)
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import configure
from codonbench.contracts.task import DNA, PROTEIN, RNA
from codonbench.data.compression import faults_named, open_text
from codonbench.data.splits import completed
from codonbench.data.table import Table, read_table
from codonbench.data.table_files import TableFiles, find_files
from codonbench.data.table_formats import (
    DELIMITED,
    FASTA,
    LONGEST_TITLE,
    PARQUET,
    SPLIT_NAMES,
    fields,
    kind_of,
    unpacked_name,
)
from codonbench.data.table_guess import Guess, TableOptions
from codonbench.data.table_report import duplicates, targets, warnings
from codonbench.errors import BenchError, ConfigError, DataError
from codonbench.plugins.shipped_files import read_tables

MetricsOf = Callable[[TaskSpec], Sequence[Metric]]
"""Returns the metrics that can be computed for a task."""

EPOCHS = 10
"""Default training budget."""

_MOST_ANSWERS = 1 << 28  # rows x classes: all predictions, at 4 bytes each, go into one message

FEW, FOLDS = 1_000, 5
"""By default a table without splits and with fewer than `FEW` items is cross-validated over `FOLDS`
folds: a test split would be too small to tell models apart."""


class TableDescription(TableOptions):
    """A full description of a table, as written by `bench new task --from mine.csv`.

    Attributes:
        name: Name of the task; None for the name of the file.
        title, reference, licence: As in `TaskSpec`.
        data: The file, folder or files, relative to the description.
        checksum: SHA-256 that the content must have; see `Table.checksum`.
        epochs: Default training budget.
    """

    name: Name | None = None
    title: str = ""
    reference: str = ""
    licence: str = ""
    data: str | None = None
    checksum: str | None = None
    epochs: int = Field(default=EPOCHS, ge=1, le=100_000)

    @field_validator("name", "alphabet", "unknown", mode="before")
    @classmethod
    def _digits(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value


def is_table(data: str) -> bool:
    """Return whether the value of ``--data`` is a table or a description of one.

    Usually the file name decides. A FASTA file is a table if its first header has a label
    (``label=a``) or a split; a file such as ``mine.txt``, if its first line has separators.
    """
    name = unpacked_name(Path(data))
    several = "," in data and not Path(data).exists()
    known = tuple(suffix for suffix in (*DELIMITED, *PARQUET, ".toml") if suffix != ".txt")
    if several or name.endswith(known) or Path(data).is_dir():
        return True
    if kind_of(Path(data)) == "delimited" and re.search(r"[,;\t]", _first_line(Path(data))):
        return True
    title = fasta_title(Path(data))
    found = fields(title)
    return "split" in found or ("=" in title and bool({"label", "target", "class"} & {*found}))


def _first_line(path: Path) -> str:
    """Return the first line of a file; empty if it is FASTA or cannot be read."""
    if not path.is_file():
        return ""
    try:
        with faults_named(path), open_text(path) as file:
            line = file.readline(1 << 16)
    except DataError:  # reported when the file is read
        return ""
    return "" if line.startswith((">", ";")) else line


def fasta_title(path: Path) -> str:
    """Return the first header of a FASTA file; empty for other and unreadable files."""
    if kind_of(path) != "fasta" or not path.is_file():
        return ""
    try:
        with faults_named(path), open_text(path) as file:
            lines = iter(partial(file.readline, LONGEST_TITLE), "")
            return next((line[1:].strip() for line in lines if line.startswith(">")), "")
    except DataError:  # reported when the file is read
        return ""


def open_table(
    data: str | None,
    described: str,
    overrides: Mapping[str, str],
    metrics_of: MetricsOf,
    taken: Collection[str],
) -> tuple[Task, TableOptions, Dataset]:
    """Return a user's table as a task, the options of the task, and its data.

    Args:
        data: The file, folder or files, or the path of a description; None to use the data named in
            `described`.
        described: Path of the description if it is not `data`; empty for none.
        overrides: Fields of `TableDescription`, as text.
        metrics_of: Returns the metrics to choose from.
        taken: Names of other tasks.

    Raises:
        DataError: The table is missing, unreadable or unusable; the message has file and line.
        ConfigError: A field is wrong, or the name is taken.
    """
    description, folder = _description(data, described, dict(overrides))
    if description.data is None:
        raise ConfigError("the description of the table names no data: give --data mine.csv")
    files = find_files(description.data, folder)
    name = description.name or _name(description.data, files)
    if name in taken:
        raise ConfigError(
            f"task {name!r} exists already; name this one: --task-set name=my-{name}, or run "
            f"that one: --task {name}"
        )
    guessed, options, table = _read(files, description)
    same, doubles = duplicates(table, str(options.alphabet))
    warned = (*doubles, *warnings(table, options.target or ()))
    groups = table.groups
    if groups is None and not table.splits:
        groups = same  # equal items stay together
    spec = _spec(name, table, description, options, warned)
    metrics = metrics_of(spec)
    options = _judged(options, spec, metrics)
    dataset = Dataset(
        spec=spec,
        source=",".join(Path(part.strip()).name for part in description.data.split(",")),
        checksum=table.checksum,
        simulated=False,
        items=table.items,
        targets=table.targets,
        splits=table.splits or {"train": np.arange(len(table.items))},
        ids=table.ids,
        groups=groups,
        weights=table.weights,
        place=table.place,
        report=(
            _understood(options, guessed),
            *table.report(),
            *targets(table, spec.target.names),
            *filter(None, [files.unused(table.ids) if table.ids else ""]),
            *warned,
        ),
    )
    everything = np.zeros(0, dtype=np.int64)
    parts = {split: dataset.splits.get(split, everything) for split in ("validation", "test")}
    try:  # check that splits can be cut
        completed(Split(dataset.splits["train"], **parts), dataset, 0)
    except DataError as error:
        raise DataError(f"{files.first}: {error}; equal items count as one") from error
    recorded = TableOptions(**{f: getattr(options, f) for f in TableOptions.model_fields})
    folds = FOLDS if not table.splits and _few(dataset) else 0
    task = table_task(name, recorded, [metric.name for metric in metrics], folds)
    return task, recorded, dataset


def _few(dataset: Dataset) -> bool:
    """Return whether there are few items, but enough groups and items of each class for folds."""
    assert dataset.groups is not None
    known = dataset.spec.target.kind == "classes"
    of_class = np.bincount(dataset.targets) if known else np.array([len(dataset.items)])
    units = len(np.unique(dataset.groups))
    return len(dataset.items) < FEW and min(units, of_class.min()) >= FOLDS


def table_task(name: str, options: TableOptions, metrics: Collection[str], folds: int = 0) -> Task:
    """Return the task of a table, with its ranking.

    Args:
        name: Name of the task.
        options: Options, including the metric that orders the board's rows.
        metrics: All metrics of the task.
        folds: As in `Task`.
    """
    primary = str(options.metric)
    others = sorted(set(metrics) - {primary})

    class Own(OwnTable):
        ranking: ClassVar[Ranking] = Ranking(
            metric=primary,
            direction="lower" if options.direction == "lower" else "higher",
            columns=tuple(
                Column(metric=m, title=m.replace("_", " "), statistic="mean")
                for m in (primary, *others)
            ),
            versions_of=(primary,),
            budget_divides=False,
        )

    Own.name, Own.folds = name, folds
    return Own()


class OwnTable(Task):
    """A user's own table; its data are read by `open_table`."""

    version: ClassVar[str] = "1"
    title: ClassVar[str] = "A table of one's own"
    protocol: ClassVar[str] = "supervised"
    Options: ClassVar[type[TableOptions]] = TableOptions
    default_data: ClassVar[str] = ""

    def ceiling(self, record: RunRecord) -> Ceiling | None:
        """Return the ceiling that replicates give; None for a table without any."""
        replicates = record.run_spec.task_options.get("replicates")
        if replicates is None:
            return None
        r, n = replicates
        return Ceiling.of_replicates(r, n, f"of two replicates that correlate at {r:g}")

    def load(self, data: str, options: Any, *, cache: Path, offline: bool = False) -> Dataset:
        """Raise ConfigError: a table is opened by ``--data``, not by its name."""
        raise ConfigError(f"task {self.name!r} is a table: give --data, and no --task")


def recorded_task(record: RunRecord) -> Task | None:
    """Return the task of a record of a table; None for records of other tasks."""
    try:
        options = TableOptions.model_validate(record.run_spec.task_options)
    except ValidationError:
        return None
    scores = [metric for metric in record.metric_versions if metric in record.metrics]
    return None if options.metric is None else table_task(record.task, options, scores)


def files_of(data: str | None, task: str | None) -> tuple[Path, ...]:
    """Return the files of the table given by ``--data`` or by the description in ``--task``.

    Empty if they are no table, or an unreadable one.
    """
    described = task if task is not None and task.endswith(".toml") else ""
    try:
        description, folder = _description(data, described, {})
        found = None if description.data is None else find_files(description.data, folder)
    except (BenchError, OSError):
        return ()
    return () if found is None else (*found.files.values(), *filter(None, [found.labels]))


def _description(
    data: str | None, described: str, overrides: dict[str, str]
) -> tuple[TableDescription, Path]:
    """Return the description of a table, and the folder its data's path is relative to."""
    if not described and data is not None and data.lower().endswith(".toml"):
        described, data = data, None
    values: dict[str, Any] = {}
    folder = Path()
    owner = f"table {data!r}"
    if described:
        path = Path(described)
        values, folder, owner = read_description(path), path.parent, described
    if data is not None:
        values["data"], folder = data, Path()
    return configure(TableDescription, values, overrides, owner), folder


def read_description(path: Path) -> dict[str, Any]:
    """Return the fields of a description without validating them.

    Raises:
        UsageError: The file is missing or not TOML.
    """
    values = read_tables(path, "table description")
    if isinstance(values.get("data"), list):
        values["data"] = ",".join(map(str, values["data"]))
    return values


def describe(data: str, overrides: Mapping[str, str], folder: Path) -> tuple[str, str]:
    """Return the name of a table's task, and a description as TOML.

    Args:
        data: The file, folder or files.
        overrides: Fields of `TableDescription`, as text.
        folder: Folder of the description, to which the path of the data will be relative.

    Raises:
        DataError: The table is missing, unreadable or unusable.
    """
    description, base = _description(data, "", dict(overrides))
    files = find_files(str(description.data), base)
    _, options, table = _read(files, description)
    paths = [os.path.relpath(base / part.strip(), folder) for part in data.split(",")]
    values = description.model_dump() | options.model_dump(exclude={"made_of"})
    values |= {
        "name": description.name or _name(data, files),
        "data": ",".join(paths),
        "checksum": table.checksum,
        "classes": table.classes,
    }
    lines = [
        f"{field} = {json.dumps(list(value) if isinstance(value, tuple) else value)}"
        for field in TableDescription.model_fields
        if (value := values.get(field)) not in (None, (), "") and field != "made_of"
    ]
    return values["name"], "\n".join(lines) + "\n"


def _read(files: TableFiles, description: TableDescription) -> tuple[Guess, TableOptions, Table]:
    """Return the guess at a table's columns, its complete options, and its content."""
    guessed = Guess(files, description)
    table = read_table(files, guessed.options.form(guessed.columns))
    _check(table, description, files.first, guessed.options)
    return guessed, guessed.options.model_copy(update={"kind": table.kind}), table


def _name(data: str, files: TableFiles) -> str:
    """Return the name of a task from its file or folder, without the name of a split."""
    path = Path(data) if Path(data).is_dir() else files.first
    name = unpacked_name(path.resolve())
    for suffix in (*DELIMITED, *FASTA, *PARQUET):
        name = name.removesuffix(suffix)
    if files.by_split and not Path(data).is_dir():
        words = re.split(r"([._-])", name)
        name = "".join(word for word in words if word not in SPLIT_NAMES)
    return re.sub(r"[^a-z0-9._-]+", "-", name).strip("._-")[:64] or "table"


def _check(table: Table, description: TableDescription, path: Path, options: TableOptions) -> None:
    """Raise DataError if no model can be trained on a table, or on one of its targets."""
    n, names = len(table.items), options.target or ()
    if n < 3:
        raise DataError(
            f"{path}: {n} row{'s'[: n - 1]}; expected at least 3: to train, choose and test"
        )
    if len(table.classes) == 1:
        raise DataError(
            f"{path}: all {n:,} rows are of one class, {table.classes[0]!r}; expected two"
        )
    if len(table.classes) == n:
        raise DataError(
            f"{table.place(0)}, column {names[0]!r}: each of {n:,} rows is of a class of its own; "
            "expected classes that recur, or numbers with a decimal point"
        )
    if n * len(table.classes) > _MOST_ANSWERS:
        raise DataError(
            f"{path}: {n:,} rows, and a number for each of {len(table.classes):,} classes of each "
            "would fill more than 1 GiB; give fewer rows or classes, or numbers"
        )
    if table.splits and "train" not in table.splits:
        raise DataError(f"{path}: no row is in the train split; expected some")
    rows = table.splits["train"] if table.splits else np.arange(n)
    trained = table.targets[rows]
    if table.weights is not None and not table.weights[rows].any():
        raise DataError(
            f"{table.place(int(rows[0]))}, column {options.weight!r}: the weights of all "
            f"{len(rows):,} rows to train on are 0; expected some above"
        )
    if table.classes and len(np.unique(trained)) == 1:
        raise DataError(
            f"{path}: all {len(trained):,} rows of the train split are of one class, "
            f"{table.classes[int(trained[0])]!r}; expected two"
        )
    if trained.ndim == 2 and (empty := np.isnan(trained).all(axis=0)).any():
        raise DataError(
            f"{path}: column {names[int(empty.argmax())]!r} has no value in any row to train on; "
            "leave it out"
        )
    if description.checksum not in (None, table.checksum):
        raise DataError(
            f"{path}: holds content {table.checksum[:12]}, but its description says "
            f"{str(description.checksum)[:12]}; get the data that it describes"
        )


def _spec(
    name: str,
    table: Table,
    description: TableDescription,
    options: TableOptions,
    warned: tuple[str, ...],
) -> TaskSpec:
    items, kind = table.items, table.kind
    if isinstance(items, Features):
        width = items.values.shape[1]
        inputs = Input.of_length(
            width, kind="features", unit="sample", symbol="feature", alphabet=""
        )
    else:
        several = isinstance(items, SequenceTuples)
        parts = [
            _input(part, options, name if several else "sequence")
            for part, name in zip(items.parts, options.sequence or (), strict=True)
        ]
        inputs = Input.of_parts(*parts, unit="tuple") if several else parts[0]
    sizes = {split: len(rows) for split, rows in table.splits.items()}
    return TaskSpec(
        name=name,
        version=OwnTable.version,
        title=description.title or OwnTable.title,
        input=inputs,
        target=Target(kind=kind, names=table.classes or options.target or ()),
        protocol=OwnTable.protocol,
        train_size=sizes.get("train", len(items)),
        validation_size=sizes.get("validation", 0),
        test_size=sizes.get("test", 0),
        default_epochs=description.epochs,
        notes=warned,
        reference=description.reference,
        licence=description.licence,
    )


def _input(items: Sequences, options: TableOptions, unit: str) -> Input:
    """Return the input for the sequences of one column."""
    alphabet = str(options.alphabet)
    symbol = {DNA: "nucleotide", RNA: "nucleotide", PROTEIN: "residue"}.get(alphabet, "letter")
    return Input(
        unit=re.sub(r"[^a-z0-9._-]+", "-", unit.lower()).strip("._-")[:64] or "sequence",
        symbol=symbol,
        alphabet=alphabet,
        ambiguous=options.ambiguous,
        min_length=int(items.lengths.min()),
        max_length=int(items.lengths.max()),
    )


def _judged(options: TableOptions, spec: TaskSpec, metrics: Sequence[Metric]) -> TableOptions:
    """Return options with the metric that orders the board's rows, and its better direction.

    Raises:
        ConfigError: The metric is unknown, or there is none for this kind of target.
    """
    scores = [metric for metric in metrics if isinstance(metric, SplitMetric)]
    names = ", ".join(sorted(metric.name for metric in scores)) or "none"
    if options.metric is None:
        chosen = next((m for m in scores if options.kind in m.default_for), None)
        why = f"no metric is the default for {options.kind}"
    else:
        chosen = next((m for m in scores if m.name == options.metric), None)
        why = f"no metric {options.metric!r} for {options.kind}"
    if chosen is None:
        raise ConfigError(f"{why}; name one, --task-set metric=NAME: {names}")
    if options.replicates and (options.kind != "quantities" or len(options.target or ()) != 1):
        raise ConfigError("replicates: expected a table with one quantity as its target")
    direction = chosen.outputs(spec)[chosen.name].direction
    return options.model_copy(update={"metric": chosen.name, "direction": direction})


def _understood(options: TableOptions, guessed: Guess) -> str:
    """Return a line on how the columns are read, and how to change it."""
    listed = options.features or ()
    fields = {
        "sequence": ",".join(options.sequence or ()),
        "features": "*" if listed == ("*",) else listed and f"{len(listed)} columns",
        "target": ",".join(options.target or ()),
        **{field: getattr(options, field) for field in ("kind", "split", "group", "id", "weight")},
    }
    unread = ""
    if options.sequence:
        fields |= {field: getattr(options, field) for field in ("alphabet", "unknown", "ambiguous")}
        named = {*options.sequence, *(options.target or ()), *fields.values()}
        rest = [name for name in guessed.columns if name not in named]
        more = ", ..." if len(rest) > 8 else ""
        unread = f"; not read: {', '.join(rest[:8])}{more}" if rest else ""
    words = " ".join(
        f"{field}={value!r}" if " " in value else f"{field}={value}"
        for field, value in fields.items()
        if value
    )
    doubt = f"; {guessed.doubt}" if guessed.doubt else ""
    return f"read as {words}{unread}{doubt}; to say otherwise: --task-set FIELD=COLUMN"
