"""Records that strangers hand in: is each of them what the harness would have written?

Read as untrusted input: nothing in them is run, the plugin they name is not loaded, and whatever
a file holds ends in words. What holds for every task's records is checked here, what holds for
one task's by the task itself (`Task.remarks`). Passing does not prove that a run was made
(`codonbench.audit.verify` repeats runs for that); failing proves that a record is not what the
harness writes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from codonbench.contracts import Frozen, MetricName, Task, Version
from codonbench.contracts.run_record import FINISHED, FITTED, RunRecord, seals
from codonbench.contracts.run_spec import RULES_VERSION, content_hash
from codonbench.data.own_table import task_of
from codonbench.errors import SignatureError, StoreError
from codonbench.records.files import printable, read_json
from codonbench.records.signing import Keys, signer_of
from codonbench.records.store import upgrade
from codonbench.scoring.score import comparability_key

Remark = tuple[str, str]
"""A field's dotted name, and what is wrong with it."""

_MOST = 20
"""Departures from the format that are named for one file."""

_HASH = re.compile(r"[0-9a-f]{64}")
_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)


class Problem(Frozen):
    """Something wrong with a file.

    Attributes:
        file: Its path, as it was given.
        field: Dotted name; empty where the file as a whole is meant.
        message: What is wrong, one line of printable characters.
        warning: Whether the record may be counted all the same.
    """

    file: str
    field: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        """Return all of it as one line."""
        kind = "warning: " if self.warning else ""
        return f"{self.file}: {kind}{f'{self.field} ' if self.field else ''}{self.message}"


class Report(Frozen):
    """What was looked at and what was found.

    Attributes:
        records: How many files were looked at.
        problems: What is wrong with them.
        signers: By file, whose key has signed it; only of sound signatures by known keys.
    """

    records: int
    problems: tuple[Problem, ...]
    signers: dict[str, str] = Field(default_factory=dict)

    @property
    def invalid(self) -> int:
        """How many files are no valid records."""
        return len({problem.file for problem in self.problems if not problem.warning})

    @property
    def warnings(self) -> int:
        """How many remarks are warnings."""
        return sum(problem.warning for problem in self.problems)


def validate(
    paths: Iterable[Path],
    tasks: Mapping[str, Task],
    *,
    strict: bool = False,
    keys: Keys | None = None,
) -> Report:
    """Return what is wrong with record files, or with every ``*.json`` of folders.

    Args:
        paths: Files and folders. A folder's own folders are not looked into.
        tasks: By name, those that say what their records cannot say.
        strict: Take what would be a warning for a problem.
        keys: Whose signatures to accept; None leaves signatures alone.

    Raises:
        StoreError: A path is not there, or a folder holds no record.
    """
    files = list(_files(paths))
    problems: list[Problem] = []
    signers: dict[str, str] = {}
    counted: dict[tuple[object, ...], Path] = {}

    def note(path: Path, remarks: Iterable[Remark], *, warning: bool = False) -> None:
        problems.extend(
            Problem(
                file=printable(str(path)),
                field=printable(field),
                message=printable(message),
                warning=warning,
            )
            for field, message in remarks
        )

    for path in files:
        try:
            content = read_json(path)
            # Strict: a number in quotes is text. As JSON: lists where Python has tuples.
            record = RunRecord.model_validate_json(json.dumps(upgrade(content)), strict=True)
        except StoreError as error:
            note(path, [("", str(error))])
            continue
        except ValidationError as error:
            note(path, _misfits(error))
            continue
        task = task_of(record, tasks)
        broken_seals = list(_seal(record, content))
        note(path, broken_seals)
        if path.name != f"{record.name}.json":
            note(path, [("", f"should be called {record.name}.json")])
        note(path, contradictions(record, task))
        note(path, doubts(record, task), warning=not strict)
        if keys is not None and not broken_seals:  # what was edited should not look approved
            try:
                signer = signer_of(path, record, keys)
                if signer is None:
                    note(path, [("", "is not signed")], warning=not strict)
                else:
                    signers[printable(str(path))] = signer
            except SignatureError as error:
                note(path, [("signature", str(error))])
        first = counted.setdefault(_place(record), path)
        if first != path:
            note(path, [("seed", f"{record.seed} of this row is recorded in {first} too")])
    return Report(records=len(files), problems=tuple(problems), signers=signers)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """Yield each file once, in the order of names within a folder."""
    seen: set[Path] = set()
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            inside: Sequence[Path] = sorted(path.glob("*.json"))
            if not inside:
                raise StoreError(f"folder {path} holds no record, no file ending in .json")
        elif path.exists() or path.is_symlink():
            inside = [path]
        else:
            raise StoreError(f"no record file or folder {str(path)!r}")
        yield from (file for file in inside if file not in seen)
        seen.update(inside)


def _seal(record: RunRecord, content: dict[str, Any]) -> Iterator[Remark]:
    run_id, checksum = seals(content)
    if record.run_id != run_id:
        yield "run_id", f"is {record.run_id!r}, but the hash of the spec is {run_id!r}"
    if record.checksum != checksum:
        yield "checksum", "does not match the content: the record was edited or damaged"


def _place(record: RunRecord) -> tuple[object, ...]:
    """Return the place on the leaderboard that a record fills; only one can."""
    run_spec = record.run_spec
    return (
        record.comparability_key,
        record.machine.device,
        record.model,
        run_spec.model_version,
        content_hash(run_spec.config),
        record.plugin.distribution,
        record.seed,
    )


def _misfits(error: ValidationError) -> list[Remark]:
    """Return how a file departs from the format of a record."""
    found: dict[str, str] = {}
    for detail in error.errors(include_input=False, include_url=False):
        # A metric that is none of the kinds it may be is one problem, not one for each kind.
        place = detail["loc"][:2] if detail["loc"][:1] == ("metrics",) else detail["loc"]
        found.setdefault(".".join(map(str, place)), _misfit(detail))
    return list(found.items())[:_MOST]


def _misfit(detail: Any) -> str:
    if detail["type"] == "extra_forbidden":
        return "is no field of a record"
    if detail["type"] == "missing":
        return "is missing"
    if detail["loc"][:1] == ("metrics",):
        return "does not fit: a metric is a number, true, false or null"
    message = str(detail["msg"]).removeprefix("Value error, ")
    # Only the first letter: the rest may spell allowed values, which are case-sensitive.
    return f"does not fit: {message[:1].lower()}{message[1:]}"


def contradictions(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield each thing that a record of a finished run cannot say."""
    yield from _ending(record)
    yield from _run_spec(record)
    yield from _hashes(record)
    yield from _metric_names(record)
    weighted = record.run_spec.config.get("class_weights") in ("sum", "n")
    if weighted and "class frequencies" not in record.knowledge:
        yield "knowledge", "lacks 'class frequencies', which run_spec.config's class_weights tell"
    if task is not None:
        yield from _ranking(record, task)
        yield from task.remarks(record)


def doubts(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield what is no contradiction, but keeps a record from being an official one."""
    if task is None:
        yield (
            "task",
            f"{record.task!r} is not installed: what only it knows of its records is not checked",
        )
    if record.harness.modified:
        yield "harness.modified", "the code had changes that were not committed"
    if not record.plugin.version:
        yield (
            "plugin.version",
            f"model {record.model} came from the file {record.plugin.distribution!r}, "
            "which is no installed distribution",
        )
    if record.run_spec.threads != 1:
        yield "run_spec.threads", f"is {record.run_spec.threads}; official rows use 1"
    if record.run_spec.budget_seconds is not None:
        yield "run_spec.budget_seconds", "is set; official rows count pairs, so that they repeat"
    # A long run repays the compiling.
    engines = ("auto", "compiled") if record.run_spec.stop == "budget" else ("auto",)
    if record.run_spec.engine not in engines:
        allowed = " or ".join(map(repr, engines))
        yield "run_spec.engine", f"is {record.run_spec.engine!r}; official rows use {allowed}"


def _ending(record: RunRecord) -> Iterator[Remark]:
    run_spec, pairs = record.run_spec, record.pairs
    if record.status not in FINISHED:
        yield "status", f"is {record.status!r}; only {' and '.join(FINISHED)} are results"
        return
    if record.error is not None:
        yield "error", f"is set, but the status is {record.status!r}"
    if pairs > run_spec.budget_pairs:
        yield "pairs", f"is {pairs:,}; the budget is {run_spec.budget_pairs:,}"
    by_clock = run_spec.budget_seconds is not None
    fitted = record.engine.name == FITTED.name  # on what is left once a seed has cut its splits
    cut_short = record.trajectory_sha256 is not None and pairs < run_spec.budget_pairs
    if record.status == "diverged" or by_clock or fitted or not cut_short:
        return
    if run_spec.stop == "budget":
        yield "pairs", f"is {pairs:,}, but the spec spends the budget of {run_spec.budget_pairs:,}"


def _run_spec(record: RunRecord) -> Iterator[Remark]:
    run_spec = record.run_spec
    if run_spec.rules != RULES_VERSION:
        yield (
            "run_spec.rules",
            f"is {run_spec.rules!r}; this codonbench knows rules {RULES_VERSION!r}",
        )
    for field, other in (
        ("dataset.checksum", "data_checksum"),
        ("dataset.source", "data"),
        ("info.version", "model_version"),
        ("machine.device", "device"),
        ("machine.threads", "threads"),
    ):
        value, expected = attrgetter(field)(record), getattr(run_spec, other)
        if value != expected:
            yield field, f"is {value!r}, but run_spec.{other} is {expected!r}"
    if not record.machine.deterministic:
        yield "machine.deterministic", "is false; the harness refuses other arithmetic"
    if record.machine.tf32:
        yield "machine.tf32", "is true; the harness never rounds to TF32"
    for field, value in record.overrides.items():
        if field not in run_spec.config or run_spec.config[field] != value:
            yield f"overrides.{field}", "is not what run_spec.config says"


def _ranking(record: RunRecord, task: Task) -> Iterator[Remark]:
    """Yield what is amiss with what a table needs: its key, its metrics, its warnings."""
    key = comparability_key(record.run_spec, record.metric_versions, task.ranking)
    if record.comparability_key != key:
        yield "comparability_key", f"is {record.comparability_key!r}; the spec gives {key!r}"
    for name in task.ranking.key_metrics:
        if name not in record.metrics or name not in record.metric_versions:
            yield f"metrics.{name}", "is missing, or has no version; the leaderboard ranks by it"
    contestant = record.info.role == "contestant"
    expected = task.flags(record.metrics) if contestant else ()
    if [*map(_flag, record.flags)] != [*map(_flag, expected)]:
        yield "flags", f"are {list(record.flags)}; the metrics call for {list(expected)}"


def _hashes(record: RunRecord) -> Iterator[Remark]:
    hashes = ("run_spec.data_checksum", "plugin.source_sha256", "weights_sha256")
    for field in (*hashes, "trajectory_sha256"):
        value = attrgetter(field)(record)
        if value is not None and not _HASH.fullmatch(value):
            yield field, f"is {value!r}; expected 64 hexadecimal digits"
    if record.info.role == "contestant":
        for field in ("weights_sha256", "trajectory_sha256"):
            if getattr(record, field) is None:
                yield field, "is null, but the row is a contestant's, which is trained"


def _metric_names(record: RunRecord) -> Iterator[Remark]:
    for field in ("metrics", "validation_metrics"):
        for name in getattr(record, field):
            if not _fits(_NAME, name):
                yield f"{field}.{name}", "is no metric's name"
    for name, version in record.metric_versions.items():
        if not _fits(_NAME, name) or not _fits(_VERSION, version):
            yield f"metric_versions.{name}", f"is {version!r}; expected a name and a version"
    for name in record.not_measured:
        if name not in record.metrics or record.metrics[name] is not None:
            yield "not_measured", f"names {name!r}, which is not among the metrics that are null"


def _fits(kind: TypeAdapter[str], value: str) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True


def _flag(text: str) -> str:
    """Return a flag without its possible causes, whose wording may differ between versions."""
    return text.partition(" (")[0]
