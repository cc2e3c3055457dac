"""Checks of a single record: contradictions, and what prevents it from being official.

A task may add checks of its own records (`Task.remarks`). Plausible statements on machine and code
are unverified until the run is repeated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from functools import cache
from operator import attrgetter
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError

from codonbench.audit.answers import Remark
from codonbench.contracts import Frozen, Metric, MetricName, ModelConfig, Task, Version
from codonbench.contracts.run_record import FINISHED, FITTED, RunRecord
from codonbench.contracts.run_spec import MAX_SEEDS, PUBLIC_RULES, RULES, EngineChoice, rules_of
from codonbench.plugins.registry import ask_task
from codonbench.protocols import Protocol
from codonbench.records.files import printable, shipped
from codonbench.scoring.score import OFFICIAL_SEEDS, comparability_key
from codonbench.training.request import ENGINE

_ROUNDING = 1e-6
"""Relative tolerance of the sum of timings."""

_FASTEST = 1e9
"""Impossible speed, in pairs per second: 200 times that of the fastest run measured."""

_MOST_TIMES = 10_000
"""Most times a run can be resumed: every minute of a week."""

_TOO_FAR = 1e100
"""Impossible value of a metric of float32 outputs; squares of smaller values fit in float64."""

_TOO_LONG = 3e9
"""Impossible duration in seconds, a hundred years; sums of longer ones could overflow."""

_MOST_CORES = 65_536

_ENGINES = {*get_args(EngineChoice), FITTED.name} - {"auto"}

_GRADIENT = _ENGINES - {ENGINE, FITTED.name}

_OWN = "codonbench"
"""The distribution of the harness and its own plugins, which share its version."""

_MAY_BE_EMPTY = {("plugin", "distribution"), ("plugin", "version"), ("engine", "reason")}

_GPU = re.compile(r"[0-9a-f]{16}")
_NUMBER = re.compile(r"\d+(\.\d+)*([A-Za-z0-9.+-]{0,16})")
_HASH = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME: TypeAdapter[str] = TypeAdapter(MetricName)
_VERSION: TypeAdapter[str] = TypeAdapter(Version)


def contradictions(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield each contradiction in a record of a finished run."""
    yield from _ending(record)
    yield from _run_spec(record)
    yield from _hashes(record)
    yield from _metric_names(record)
    weighted = record.run_spec.config.get("class_weights") in ("sum", "n")
    known = ("class frequencies",) if weighted else ()
    if record.knowledge != known:
        message = f"is {list(record.knowledge)}; run_spec.config's class_weights give {list(known)}"
        yield "knowledge", message
    yield from _of_machine(record)
    yield from _of_code(record)
    yield from _of_day(record)
    selected = record.selected_pairs
    if selected is not None and not 0 <= selected <= record.pairs:
        yield "selected_pairs", f"is {selected:,}, but the run ended at {record.pairs:,}"
    if selected is None and record.validation_metrics:
        yield "selected_pairs", "is null, but validation_metrics are those of a selected state"
    if len(record.resumed) > _MOST_TIMES:
        yield "resumed", f"has {len(record.resumed):,} entries; no run is resumed so often"
    elif any(not 0 <= position <= record.pairs for position in record.resumed):
        yield "resumed", f"is {list(record.resumed)}; the run ended at {record.pairs:,}"
    yield from _timings(record)
    yield from _tuning(record)
    if task is not None:
        yield from _ranking(record, task)
        yield from ask_task(task.remarks, record)


def _timings(record: RunRecord) -> Iterator[Remark]:
    parts = {name: seconds for name, seconds in record.timings if name != "total"}
    total, together = record.timings.total, sum(parts.values())
    for name, seconds in parts.items():
        if seconds < 0:
            yield f"timings.{name}", f"is {seconds} s"
    if total > _TOO_LONG:
        yield "timings.total", f"is {total:g} s; no run has taken a hundred years"
    # The total of the first format included the start of the process.
    difference = together - total if record.trajectory_format == 1 else abs(total - together)
    if difference > _ROUNDING * max(1.0, together):
        yield "timings.total", f"is {total} s, but its parts come to {together} s"
    elif total * _FASTEST <= record.pairs and record.weights_sha256 is not None:
        yield "timings.total", f"is {total:g} s, too few to train on {record.pairs:,} items"


def _tuning(record: RunRecord) -> Iterator[Remark]:
    tuning = record.tuning
    if tuning is None:
        return
    if tuning.pruned > tuning.trials:
        yield "tuning.pruned", f"is {tuning.pruned:,} of {tuning.trials:,} trials"
    if not tuning.seconds:
        yield "tuning.seconds", "is 0 s, too few for any trial"
    scores = [score for _, _, score in tuning.incumbents]
    # Two of them show which direction is better.
    of_all = [*scores, tuning.median] if scores[1:] else scores
    of_all.sort(reverse=scores[:1] > scores[-1:])
    if scores and not tuning.best == tuning.incumbents[-1][-1] == of_all[-1]:
        found = f"the best came to {scores}, the median trial to {tuning.median:g}"
        yield "tuning.best", f"is {tuning.best:g}; {found}"


def doubts(record: RunRecord, task: Task | None) -> Iterator[Remark]:
    """Yield what prevents a record from being official without being a contradiction."""
    if task is None:
        yield (
            "task",
            f"{record.task!r} is not installed, or not allowed by --trust, so its own checks of "
            "records are not made",
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
    """Return the version of each distribution that official rows require."""
    file = shipped("constraints.txt")
    lines = [] if file is None else file.read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def _unpinned(name: str) -> Callable[[RunRecord], bool]:
    """Return the check whether a record has another version of a distribution, ignoring builds."""

    def unpinned(record: RunRecord) -> bool:
        version = str(getattr(record.machine, name)).partition("+")[0]
        return version != _pins().get(name, version)

    return unpinned


def _engines(record: RunRecord) -> tuple[str, ...]:
    """Return the engines allowed in official rows; compiling pays off for full budgets only."""
    return ("auto", "compiled") if record.run_spec.stop == "budget" else ("auto",)


_OFFICIAL: tuple[tuple[str, Callable[[RunRecord], object], str], ...] = (
    (
        "harness.modified",
        lambda record: record.harness.modified is not False,
        "is {value!r}; official rows are run with committed, unmodified code",
    ),
    (
        "harness.commit",
        lambda record: not _COMMIT.fullmatch(record.harness.commit or ""),
        "is {value!r}; official rows name in full the commit of the clone that they are run from, "
        "as 'make run' or 'pip install -e .' installs it",
    ),
    (
        "plugin.version",
        lambda record: not record.plugin.version,
        "model {record.model} came from the file {record.plugin.distribution!r}, "
        "which is not an installed distribution",
    ),
    (
        "info.pretrained_on",
        lambda record: record.info.pretrained_on and record.run_spec.track is None,
        "is {value!r}; the main track allows no pretrained weights",
    ),
    (
        "confinement",
        lambda record: record.confinement == "none" and record.info.role == "contestant",
        "is 'none', so the model shared a process with the targets; run it without --workers 0",
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
        "is set; official rows have no time limit, so that they repeat",
    ),
    (
        "tuning",
        lambda record: record.tuning and min(record.tuning.seeds, default=0) < OFFICIAL_SEEDS,
        "was on seeds {record.tuning.seeds}; those of official rows may not be tuned on",
    ),
    (
        "run_spec.engine",
        lambda record: record.run_spec.engine not in _engines(record),
        "is {value!r}; official rows use 'auto', or 'compiled' where the whole budget is spent",
    ),
)
"""What prevents a run from being official: a field, a check, and a message."""


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
    fitted = record.engine.name == FITTED.name  # on the items left after cutting splits
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
        values = {name: run_spec.config.get(name, "left out") for name in ModelConfig.model_fields}
        yield from _unlike("run_spec.config", values, ModelConfig)
    for field, value in record.overrides.items():
        if field not in run_spec.config or run_spec.config[field] != value:
            yield f"overrides.{field}", "is not what run_spec.config says"


def _of_machine(record: RunRecord) -> Iterator[Remark]:
    """Yield contradictions in the facts on the machine and the engine."""
    machine, engine = record.machine, record.engine
    if not 1 <= machine.cpu_count <= _MOST_CORES:
        yield "machine.cpu_count", f"is {machine.cpu_count}"
    if machine.device == "cpu":
        for field in ("gpu_id", "cuda", "driver"):
            if (value := getattr(machine, field)) is not None:
                yield f"machine.{field}", f"is {value!r}, but the run was made on a CPU"
        if machine.device_name != machine.cpu_name:
            yield "machine.device_name", f"is {machine.device_name!r}, not the CPU's own name"
    elif machine.gpu_id is not None and not _GPU.fullmatch(machine.gpu_id):
        yield "machine.gpu_id", f"is {machine.gpu_id!r}; expected 16 hexadecimal digits"
    now = machine.circumstances
    counts = () if now is None else (now.neighbours, now.load_average, *now.clocks_mhz)
    if any(count is not None and not 0 <= count < _TOO_LONG for count in counts):
        yield "machine.circumstances", f"are {list(counts)}, some of which cannot be counted"
    for field, version in (("machine.python", machine.python), ("engine.version", engine.version)):
        if not _NUMBER.fullmatch(version):
            yield field, f"is {version!r}, which is not a version"
    if not 1 <= engine.seeds_together <= MAX_SEEDS:
        yield "engine.seeds_together", f"is {engine.seeds_together}"
    if engine.name not in _ENGINES:
        yield "engine.name", f"is {engine.name!r}; there are {', '.join(sorted(_ENGINES))}"
    if engine.name in _GRADIENT and not record.parameters:
        yield "parameters", f"are none, but {engine.name!r} trains by gradient"
    if engine.name == FITTED.name and record.run_spec.stop != "budget":
        yield "engine.name", f"is {engine.name!r}, whose only stop rule is 'budget'"


def _of_day(record: RunRecord) -> Iterator[Remark]:
    """Yield contradictions in the day on which a run ended, if it is recorded."""
    if not record.day:
        return
    try:
        ahead = date.fromisoformat(record.day) - datetime.now(UTC).date()
    except ValueError:
        yield "day", f"is {record.day!r}, which is not a date"
        return
    if ahead > timedelta(days=1):  # for time zones and clock errors
        yield "day", f"is {record.day}, which is in the future"


def _of_code(record: RunRecord) -> Iterator[Remark]:
    """Yield contradictions in the names and versions of harness, plugin, machine and engine."""
    for part in ("harness", "plugin", "machine", "engine"):
        for name, value in getattr(record, part):
            if name == "reason":  # may quote several lines from PyTorch
                value = " ".join(value.split())
            if isinstance(value, str) and printable(value) != value:
                yield f"{part}.{name}", f"is {value!r}, which is not plain text on one line"
            elif value == "" and (part, name) not in _MAY_BE_EMPTY:
                yield f"{part}.{name}", "is empty"
    ours, plugins = record.harness.version, record.plugin.version
    if record.plugin.distribution == _OWN and ours != plugins:
        yield "plugin.version", f"is {plugins!r}, but the harness it comes with is {ours!r}"
    if record.plugin.distribution == _OWN and record.environment is not None:
        yield "environment", "names packages, but codonbench's own plugins have no own environment"


def _ranking(record: RunRecord, task: Task) -> Iterator[Remark]:
    """Yield errors in what the table needs: key, metrics, flags."""
    key = comparability_key(record.run_spec, record.metric_versions, task.ranking)
    if record.comparability_key != key:
        yield "comparability_key", f"is {record.comparability_key!r}; the spec gives {key!r}"
    for name in task.ranking.key_metrics:
        if name not in record.metrics or name not in record.metric_versions:
            yield f"metrics.{name}", "is missing, or has no version; the leaderboard ranks by it"
    contestant = record.info.role == "contestant"
    expected = ask_task(task.flags, record.metrics) if contestant else ()
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
                continue  # may not be arrays, e.g. trees
            if getattr(record, field) is None:
                yield field, "is null, but the row is a contestant's, which is trained"


def _metric_names(record: RunRecord) -> Iterator[Remark]:
    for field in ("metrics", "validation_metrics"):
        for name in getattr(record, field):
            if not _fits(_NAME, name):
                yield f"{field}.{name}", "is not a valid name of a metric"
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
    """Return a flag without its possible causes, whose wording differs between versions."""
    return text.partition(" (")[0]


# Versions and options


def of_versions(
    record: RunRecord, task: Task, metrics: Mapping[str, Metric], *, earlier: bool
) -> Iterator[Remark]:
    """Yield each version of the task or of a metric that differs from the installed one.

    Values of other versions cannot be checked; they are in tables of their own.

    Args:
        record: The record.
        task: Its task.
        metrics: Installed metrics by name.
        earlier: Whether to accept earlier versions, as for tables that already exist.
    """
    versions: dict[str, tuple[str, str | None]] = {
        "run_spec.task_version": (record.run_spec.task_version, task.version)
    }
    for name, version in record.metric_versions.items():
        ours = metrics[name].version if name in metrics else None
        versions[f"metric_versions.{name}"] = (version, ours)
    for field, (version, ours) in versions.items():
        if version == ours or (earlier and ours is not None and _is_before(version, ours)):
            continue
        here = "none is installed here" if ours is None else f"here it is {ours!r}"
        yield field, f"is {version!r}; {here}, and other versions are not checked"


def _is_before(version: str, ours: str) -> bool:
    return version.isdecimal() and ours.isdecimal() and 0 < int(version) < int(ours)


def of_options(
    record: RunRecord, task: Task, protocols: Mapping[str, Protocol]
) -> Iterator[Remark]:
    """Yield options of task and protocol, and parts of runs, that are not possible."""
    run_spec = record.run_spec
    if run_spec.task_version == task.version and not run_spec.is_own_table:
        yield from _unlike("run_spec.task_options", run_spec.task_options, task.Options)
    name = run_spec.protocol or task.protocol
    protocol = protocols.get(name)
    if protocol is None:
        yield "run_spec.protocol", f"is {name!r}, which is not installed"
        return
    options = run_spec.protocol_options
    kind = Frozen if run_spec.protocol is None else protocol.Options
    yield from _unlike("run_spec.protocol_options", options, kind)
    allowed = {protocol.stop_rules[0], "budget"}
    if run_spec.stop not in allowed:
        yield "run_spec.stop", f"is {run_spec.stop!r}; official rows end by {' or '.join(allowed)}"
    yield from _of_part(record, protocol)


def _of_part(record: RunRecord, protocol: Protocol) -> Iterator[Remark]:
    """Yield a fold or a subset that the protocol's options do not have."""
    run_spec, options = record.run_spec, record.run_spec.protocol_options
    fold, folds = run_spec.fold, options.get("folds")
    if fold is not None and (not protocol.joins or (isinstance(folds, int) and fold >= folds)):
        yield "run_spec.fold", f"is {fold}; {protocol.name!r} makes {folds or 'no'} folds"
    sizes = options.get("sizes", [None])
    if run_spec.subset not in (sizes if isinstance(sizes, list) else [None]):
        yield "run_spec.subset", f"is {run_spec.subset}; {protocol.name!r} asks for {sizes}"


def _unlike(field: str, options: Mapping[str, Any], kind: type[Frozen]) -> Iterator[Remark]:
    """Yield options that are invalid, or not as a run would have written them."""
    if options == kind.model_construct().model_dump(mode="json"):
        return  # defaults need no validation, which may import a plugin
    try:
        written = kind.model_validate(options).model_dump(mode="json")
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        yield ".".join([field, *map(str, first["loc"])]), f"does not fit: {first['msg'].lower()}"
        return
    if written != options:
        yield field, "are not what a run would have written"
