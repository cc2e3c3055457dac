"""What a record cannot say, and what keeps one from being an official one.

Each is asked of one record by itself; what holds for one task's alone the task says
(`Task.remarks`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import cache
from operator import attrgetter

from pydantic import TypeAdapter, ValidationError

from codonbench.audit.answers import Remark
from codonbench.audit.asked import unlike
from codonbench.audit.origins import TOO_LONG, of_code, of_day, of_machine
from codonbench.contracts import MetricName, ModelConfig, Task, Version
from codonbench.contracts.run_record import FINISHED, FITTED, RunRecord
from codonbench.contracts.run_spec import PUBLIC_RULES, RULES, rules_of
from codonbench.records.files import shipped
from codonbench.scoring.score import OFFICIAL_SEEDS, comparability_key

_ROUNDING = 1e-6
"""How far times may be from their sum, as a share of it."""

_FASTEST = 1e9
"""Pairs a second that no machine trains on; the quickest run has been at a two-hundredth of it."""

_MOST_TIMES = 10_000
"""How often a run can be taken up again: every minute of a week."""

_TOO_FAR = 1e100
"""What no metric of float32 outputs comes to; the square of what is less is still a float64."""

_HASH = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)


def contradictions(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield each thing that a record of a finished run cannot say."""
    yield from _ending(record)
    yield from _run_spec(record)
    yield from _hashes(record)
    yield from _metric_names(record)
    weighted = record.run_spec.config.get("class_weights") in ("sum", "n")
    known = ("class frequencies",) if weighted else ()
    if record.knowledge != known:
        said = f"is {list(record.knowledge)}; run_spec.config's class_weights tell {list(known)}"
        yield "knowledge", said
    yield from of_machine(record)
    yield from of_code(record)
    yield from of_day(record)
    selected = record.selected_pairs
    if selected is not None and not 0 <= selected <= record.pairs:
        yield "selected_pairs", f"is {selected:,}, but the run ended at {record.pairs:,}"
    if selected is None and record.validation_metrics:
        yield "selected_pairs", "is null, but validation_metrics are those of a selected state"
    if len(record.resumed) > _MOST_TIMES:
        yield "resumed", f"has {len(record.resumed):,} entries; no run is taken up so often"
    elif any(not 0 <= position <= record.pairs for position in record.resumed):
        yield "resumed", f"is {list(record.resumed)}; the run ended at {record.pairs:,} pairs"
    yield from _timings(record)
    yield from _tuning(record)
    if task is not None:
        yield from _ranking(record, task)
        yield from task.remarks(record)


def _timings(record: RunRecord) -> Iterator[Remark]:
    parts = {name: seconds for name, seconds in record.timings if name != "total"}
    total, together = record.timings.total, sum(parts.values())
    for name, seconds in parts.items():
        if seconds < 0:
            yield f"timings.{name}", f"is {seconds} s"
    if total > TOO_LONG:
        yield "timings.total", f"is {total:g} s; no run has taken a hundred years"
    # The total of the first format also held what a process took to start.
    unlike = together - total if record.trajectory_format == 1 else abs(total - together)
    if unlike > _ROUNDING * max(1.0, together):
        yield "timings.total", f"is {total} s, but its parts come to {together} s"
    elif total * _FASTEST <= record.pairs and record.weights_sha256 is not None:
        yield "timings.total", f"is {total:g} s, too few to train on {record.pairs:,} pairs"


def _tuning(record: RunRecord) -> Iterator[Remark]:
    tuning = record.tuning
    if tuning is None:
        return
    if tuning.pruned > tuning.trials:
        yield "tuning.pruned", f"is {tuning.pruned:,} of {tuning.trials:,} trials"
    if not tuning.seconds:
        yield "tuning.seconds", "is 0 s, in which nothing is tried"
    scores = [score for _, _, score in tuning.incumbents]
    # Which way is better shows in two of them.
    of_all = [*scores, tuning.median] if scores[1:] else scores
    of_all.sort(reverse=scores[:1] > scores[-1:])
    if scores and not tuning.best == tuning.incumbents[-1][-1] == of_all[-1]:
        found = f"the best came to {scores}, the median trial to {tuning.median:g}"
        yield "tuning.best", f"is {tuning.best:g}; {found}"


def doubts(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield what is no contradiction, but keeps a record from being an official one."""
    if task is None:
        yield (
            "task",
            f"{record.task!r} is not installed: what only it knows of its records is not checked",
        )
    official = None if task is None else task.official_budget
    if official is not None and record.run_spec.budget_pairs != official:
        yield (
            "run_spec.budget_pairs",
            f"is {record.run_spec.budget_pairs:,}; official rows of this task have {official:,}",
        )
    for field, broken, message in _OFFICIAL:
        if broken(record):
            yield (
                field,
                message.format(value=attrgetter(field)(record), record=record, pins=_pins()),
            )


@cache
def _pins() -> dict[str, str]:
    """Return the version of each distribution that official rows are made with."""
    file = shipped("constraints.txt")
    lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def _unpinned(name: str) -> Callable[[RunRecord], bool]:
    """Return whether a record was made with another version of a distribution, builds aside."""

    def unpinned(record: RunRecord) -> bool:
        version = str(getattr(record.machine, name)).partition("+")[0]
        return version != _pins().get(name, version)

    return unpinned


def _engines(record: RunRecord) -> tuple[str, ...]:
    """Return the engines that official rows ask for: a long run repays the compiling."""
    return ("auto", "compiled") if record.run_spec.stop == "budget" else ("auto",)


_OFFICIAL: tuple[tuple[str, Callable[[RunRecord], object], str], ...] = (
    (
        "harness.modified",
        lambda record: record.harness.modified is not False,
        "is {value!r}; official rows are run with code that is committed and was not changed",
    ),
    (
        "harness.commit",
        lambda record: not _COMMIT.fullmatch(record.harness.commit or ""),
        "is {value!r}; official rows are run in a checkout, and name its commit in full",
    ),
    (
        "plugin.version",
        lambda record: not record.plugin.version,
        "model {record.model} came from the file {record.plugin.distribution!r}, "
        "which is no installed distribution",
    ),
    (
        "info.pretrained_on",
        lambda record: record.info.pretrained_on and record.run_spec.track is None,
        "is {value!r}; on the main track weights have seen nothing before the first pair",
    ),
    (
        "confinement",
        lambda record: record.confinement == "none" and record.info.role == "contestant",
        "is 'none', so the model shared a process with what is right; run it without --workers 0",
    ),
    (
        "confinement",
        lambda record: record.confinement is None and record.trajectory_format != 1,
        "is {value}, which a record of this format never has",
    ),
    ("machine.torch", _unpinned("torch"), "is {value!r}; official rows use {pins[torch]}"),
    ("machine.numpy", _unpinned("numpy"), "is {value!r}; official rows use {pins[numpy]}"),
    (
        "run_spec.threads",
        lambda record: record.run_spec.threads != 1,
        "is {value}; official rows use 1",
    ),
    (
        "run_spec.budget_seconds",
        lambda record: record.run_spec.budget_seconds is not None,
        "is set; official rows count pairs, so that they repeat",
    ),
    (
        "tuning",
        lambda record: record.tuning and min(record.tuning.seeds, default=0) < OFFICIAL_SEEDS,
        "was on seeds {record.tuning.seeds}; those of official rows choose nothing",
    ),
    (
        "run_spec.engine",
        lambda record: record.run_spec.engine not in _engines(record),
        "is {value!r}; official rows use 'auto', or 'compiled' where the whole budget is spent",
    ),
)
"""What keeps a run from being an official one: a field, when it does, and what is said of it."""


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
    if run_spec.rules not in (PUBLIC_RULES, rules_of(run_spec.salt)):
        known = " and ".join(map(repr, RULES))
        yield (
            "run_spec.rules",
            f"is {run_spec.rules!r} with salt {run_spec.salt!r}; this codonbench knows rules "
            f"{known}, and the latter of salts that are not public",
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
    if run_spec.track is not None and not record.info.pretrained_on:
        yield "run_spec.track", f"is {run_spec.track!r}, but info.pretrained_on is empty"
    if not record.machine.deterministic:
        yield "machine.deterministic", "is false; the harness refuses other arithmetic"
    if record.machine.tf32:
        yield "machine.tf32", "is true; the harness never rounds to TF32"
    if record.engine.name != FITTED.name:
        said = {name: run_spec.config.get(name, "left out") for name in ModelConfig.model_fields}
        yield from unlike("run_spec.config", said, ModelConfig)
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
            if field == "weights_sha256" and record.engine.name == FITTED.name:
                continue  # what was learned may be no arrays, as a tree
            if getattr(record, field) is None:
                yield field, "is null, but the row is a contestant's, which is trained"


def _metric_names(record: RunRecord) -> Iterator[Remark]:
    for field in ("metrics", "validation_metrics"):
        for name in getattr(record, field):
            if not _fits(_NAME, name):
                yield f"{field}.{name}", "is no metric's name"
            elif abs(getattr(record, field)[name] or 0) > _TOO_FAR:
                yield f"{field}.{name}", "is larger than any figure that outputs give"
    for name, value in record.validation_metrics.items():
        tested = record.metrics.get(name)
        if None not in (value, tested) and isinstance(value, bool) != isinstance(tested, bool):
            yield f"validation_metrics.{name}", f"is {value}, but metrics.{name} is {tested}"
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
