"""What the fields of an honest record agree on, checked without repeating the run.

Every check rests on the protocol alone, so none needs a plugin. Passing them does not prove
that a run was made (`codonbench.audit.verify` repeats runs for that); failing one proves that
a record is not what the harness writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import MetricName, Version
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import RULES_VERSION, EngineChoice
from codonbench.protocols.schedule import WINDOW_PAIRS
from codonbench.protocols.stop_rule import StopRule
from codonbench.scoring.score import RANKING_METRICS, Number, flags, recorded_key

Remark = tuple[str, str]
"""A field's dotted name, and what is wrong with it."""

_HASH = re.compile(r"[0-9a-f]{64}")
_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)

_POSITIONS = (
    "pairs_consumed",
    "last_failing_pairs",
    "sustained_pairs",
    "confident_pairs",
    "confident_pairs_50",
)
"""Metrics that are a position in the stream, reached while the run lasted."""

_NOT_AFTER = (
    ("pairs_consumed", "sustained_pairs"),
    ("pairs_consumed", "confident_pairs"),
    ("confident_pairs_50", "confident_pairs"),
)
"""What holds for all of the code at the second has held at the first before."""

OFFICIAL_ENGINES: dict[StopRule, tuple[EngineChoice, ...]] = {
    "confident": ("auto",),
    "budget": ("auto", "compiled"),  # 23 million pairs repay the compiling
}
"""The engines whose rows may be official, by the rule that ended the run."""


def contradictions(record: RunRecord) -> Iterator[Remark]:
    """Yield each thing that a record of a finished run cannot say."""
    yield from _ending(record)
    yield from _run_spec(record)
    yield from _hashes(record)
    yield from _metric_names(record)
    yield from _warnings_to_readers(record)
    if record.trajectory_sha256 is not None:  # else the row was computed, not run
        yield from _positions(record)
        yield from _order(record)
        yield from _excess(record)
        yield from _success(record)


def doubts(record: RunRecord) -> Iterator[Remark]:
    """Yield what is no contradiction, but keeps a record from being an official one."""
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
    engines = OFFICIAL_ENGINES[record.run_spec.stop]
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
    cut_short = record.trajectory_sha256 is not None and pairs < run_spec.budget_pairs
    if record.status == "diverged" or not cut_short:
        return
    if run_spec.stop == "budget":
        yield "pairs", f"is {pairs:,}, but the spec spends the budget of {run_spec.budget_pairs:,}"
        return
    for name in ("sustained_pairs", "confident_pairs"):
        if record.metrics.get(name) is None:
            yield (
                f"metrics.{name}",
                f"is null, but the run ended after {pairs:,} of {run_spec.budget_pairs:,} pairs, "
                "which takes deciphering that is sustained and confident",
            )


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
    key = recorded_key(run_spec, record.metric_versions)
    if record.comparability_key != key:
        yield "comparability_key", f"is {record.comparability_key!r}; the spec gives {key!r}"


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
    for name in record.metrics:
        if not _fits(_NAME, name):
            yield f"metrics.{name}", "is no metric's name"
    for name, version in record.metric_versions.items():
        if not _fits(_NAME, name) or not _fits(_VERSION, version):
            yield f"metric_versions.{name}", f"is {version!r}; expected a name and a version"
    for name in RANKING_METRICS:
        if name not in record.metrics or name not in record.metric_versions:
            yield f"metrics.{name}", "is missing, or has no version; the leaderboard ranks by it"
    for name in record.not_measured:
        if name not in record.metrics or record.metrics[name] is not None:
            yield "not_measured", f"names {name!r}, which is not among the metrics that are null"


def _warnings_to_readers(record: RunRecord) -> Iterator[Remark]:
    contestant = record.info.role == "contestant"
    expected = flags(record.metrics) if contestant else ()
    if record.flags != expected:
        yield "flags", f"are {list(record.flags)}; the metrics call for {list(expected)}"
    weighted = record.run_spec.config.get("class_weights", "none") != "none"
    if weighted and "class frequencies" not in record.knowledge:
        yield "knowledge", "lacks 'class frequencies', which run_spec.config's class_weights tell"


def _positions(record: RunRecord) -> Iterator[Remark]:
    for name in _POSITIONS:
        value = record.metrics.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int):
            yield f"metrics.{name}", f"is {value!r}; expected a whole number of pairs"
        elif not 0 <= value <= record.pairs:
            yield f"metrics.{name}", f"is {value:,}; the run presented {record.pairs:,} pairs"
    accuracy = record.metrics.get("test_accuracy")
    if accuracy is not None and not 0 <= accuracy <= 1:
        yield "metrics.test_accuracy", f"is {accuracy!r}; expected 0 to 1"


def _order(record: RunRecord) -> Iterator[Remark]:
    value = record.metrics.get
    for first, second in _NOT_AFTER:
        before, after = value(first), value(second)
        if after is not None and (before is None or before > after):
            yield f"metrics.{second}", f"is {after:,}, but {first} is {_said(before)}"
    failing, consumed = value("last_failing_pairs"), value("pairs_consumed")
    if failing is not None and (consumed is None or failing >= consumed):
        yield "metrics.last_failing_pairs", f"is {failing:,}, pairs_consumed {_said(consumed)}"
    if (value("decipher_epoch") is None) != (consumed is None):
        yield "metrics.decipher_epoch", "and pairs_consumed are null together or not at all"


def _excess(record: RunRecord) -> Iterator[Remark]:
    """Yield whether the excess is pairs consumed less the end of the batch that shows all."""
    value = record.metrics.get
    consumed, all_seen, excess = value("pairs_consumed"), value("all_seen"), value("excess_pairs")
    if excess is None or consumed is None or all_seen is None:
        if (excess is None) != (consumed is None or all_seen is None):
            yield (
                "metrics.excess_pairs",
                f"is {_said(excess)}; pairs_consumed is {_said(consumed)}, "
                f"all_seen {_said(all_seen)}",
            )
        return
    batch = record.run_spec.config.get("batch_size", 1)
    beyond = (
        consumed - excess - all_seen
    )  # from the pair that completes the code to its batch's end
    if not isinstance(batch, int) or not 0 <= beyond < batch:
        yield (
            "metrics.excess_pairs",
            f"is {excess:,}, but pairs_consumed {consumed:,} and all_seen {all_seen:,} "
            f"give {consumed - all_seen:,} less at most the rest of a batch of {batch}",
        )


def _success(record: RunRecord) -> Iterator[Remark]:
    sustained = record.metrics.get("sustained_pairs")
    if "success" not in record.not_measured:
        success = record.metrics.get("success")
        if success is not (sustained is not None):
            yield "metrics.success", f"is {success!r}, but sustained_pairs is {_said(sustained)}"
    if sustained is not None and sustained + WINDOW_PAIRS > record.pairs:
        yield (
            "metrics.sustained_pairs",
            f"is {sustained:,}, but the run ended after {record.pairs:,} pairs: deciphering has "
            f"to last {WINDOW_PAIRS:,}",
        )


def _said(value: Number) -> str:
    return "null" if value is None else f"{value:,}"


def _fits(kind: TypeAdapter[str], value: str) -> bool:
    try:
        kind.validate_python(value)
    except ValidationError:
        return False
    return True
