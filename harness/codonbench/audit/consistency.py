"""What the fields of an honest record agree on, checked without repeating the run.

What holds for every task's records is checked here, what holds for one task's by the task itself
(`Task.remarks`). Passing does not prove that a run was made (`codonbench.audit.verify` repeats
runs for that); failing proves that a record is not what the harness writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import MetricName, Task, Version
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import RULES_VERSION, EngineChoice
from codonbench.scoring.score import comparability_key

Remark = tuple[str, str]
"""A field's dotted name, and what is wrong with it."""

_HASH = re.compile(r"[0-9a-f]{64}")
_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)

OFFICIAL_ENGINES: tuple[EngineChoice, ...] = ("auto",)
WHOLE_BUDGET_ENGINES: tuple[EngineChoice, ...] = ("auto", "compiled")
"""The engines whose rows may be official: a long run repays the compiling."""


def contradictions(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield each thing that a record of a finished run cannot say.

    Args:
        record: What is looked at.
        task: The record's; None where it is not installed, and what only it knows goes unchecked.
    """
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
    engines = WHOLE_BUDGET_ENGINES if record.run_spec.stop == "budget" else OFFICIAL_ENGINES
    if record.run_spec.engine not in engines:
        allowed = " or ".join(repr(engine) for engine in engines)
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
    cut_short = record.trajectory_sha256 is not None and pairs < run_spec.budget_pairs
    if record.status == "diverged" or by_clock or not cut_short:
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
    for field, value, other, expected in (
        (
            "dataset.checksum",
            record.dataset.checksum,
            "run_spec.data_checksum",
            run_spec.data_checksum,
        ),
        ("dataset.source", record.dataset.source, "run_spec.data", run_spec.data),
        ("info.version", record.info.version, "run_spec.model_version", run_spec.model_version),
        ("machine.device", record.machine.device, "run_spec.device", run_spec.device),
        ("machine.threads", record.machine.threads, "run_spec.threads", run_spec.threads),
    ):
        if value != expected:
            yield field, f"is {value!r}, but {other} is {expected!r}"
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
    for field, value in (
        ("run_spec.data_checksum", record.run_spec.data_checksum),
        ("plugin.source_sha256", record.plugin.source_sha256),
        ("weights_sha256", record.weights_sha256),
        ("trajectory_sha256", record.trajectory_sha256),
    ):
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
