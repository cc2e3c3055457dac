"""Records that strangers hand in: is each of them what the harness would have written?

Read as untrusted input: nothing in them is run, the plugin they name is not loaded, and whatever
a file holds ends in words. What holds for every task's records is checked here, what holds for
one task's by the task itself (`Task.remarks`). Metrics are computed anew where a record's
trajectory, or its test outputs, lie beside it; and records are held against one another, for what
data and seed alone fix and for what makes a row an official one. Passing does not prove that a run
was made (`codonbench.audit.verify` repeats runs for that); failing proves that a record is not what
the harness writes.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import Field, TypeAdapter, ValidationError

from codonbench.audit.answers import (
    ReadRecord,
    Remark,
    missing_answers,
    recomputed,
    with_answers,
)
from codonbench.audit.asked import of_options, of_versions, unlike
from codonbench.audit.origins import TOO_LONG, of_code, of_day, of_machine
from codonbench.contracts import Frozen, Metric, MetricName, ModelConfig, Task, Version
from codonbench.contracts.run_record import FINISHED, FITTED, RunRecord, seals
from codonbench.contracts.run_spec import (
    PUBLIC_RULES,
    RULES,
    RunSpec,
    content_hash,
    rules_of,
)
from codonbench.errors import PluginError, SignatureError, StoreError
from codonbench.protocols import Protocol
from codonbench.ranking.rows import controlled_key
from codonbench.records.files import printable, read_json, shipped
from codonbench.records.signing import Keys, signer_of
from codonbench.records.store import CURRENT, upgrade
from codonbench.scoring.score import (
    OFFICIAL_SEEDS,
    comparability_key,
    row_key,
    task_of,
    unofficial,
)

_MOST = 20
"""Departures from the format that are named for one file."""

_ROUNDING = 1e-6
"""How far times may be from their sum, as a share of it."""

_FASTEST = 1e9
"""Pairs a second that no machine trains on; the quickest run has been at a two-hundredth of it."""

_EARLIER = "is an earlier format's; such records are kept where they are, and no new ones taken"

_TAKEN = "is an installed task's name, which no table of one's own is run under"

_MOST_TIMES = 10_000
"""How often a run can be taken up again: every minute of a week."""

_NOTES = "are of no other record of its table, whose notes on the board they would become"

_TOO_FAR = 1e100
"""What no metric of float32 outputs comes to; the square of what is less is still a float64."""

_HASH = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
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
    metrics: Mapping[str, Metric],
    protocols: Mapping[str, Protocol],
    *,
    strict: bool = False,
    keys: Keys | None = None,
) -> Report:
    """Return what is wrong with record files, or with every ``*.json`` of folders.

    Args:
        paths: Files and folders. Of a folder's own folders, those of trajectories and of test
            outputs are looked into. Where folders disagree, the first named is taken to be right.
        tasks: By name, those that say what their records cannot say.
        metrics: By name, those that may be computed anew.
        protocols: By name, those that a task may be run by.
        strict: Take what would be a warning for a problem.
        keys: Whose signatures to accept; None leaves signatures alone.

    Raises:
        StoreError: A path is not there, or a folder holds no record.
    """
    files = list(_files(paths))
    folders = [*dict.fromkeys(str(path.parent) for path in files)]
    problems: list[Problem] = []
    signers: dict[str, str] = {}
    found: list[ReadRecord] = []

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
        each = ReadRecord(path, record, task)
        broken_seals = list(_seal(record, content))
        note(path, broken_seals)
        if path.name != f"{record.name}.json":
            note(path, [("", f"should be called {record.name}.json")])
        note(path, contradictions(record, task))
        if record.trajectory_format != content["schema_version"]:  # they were raised together
            said = f"is {record.trajectory_format}, not as its format"
            note(path, [("trajectory_format", said)])
        note(path, doubts(record, task), warning=not strict)
        if task is not None:
            there = str(path.parent) == folders[0]
            note(path, of_versions(record, task, metrics, earlier=there), warning=not strict)
            note(path, of_options(record, task, protocols), warning=not strict)
        if record.run_spec.is_own_table and record.task in tasks:
            note(path, [("task", _TAKEN)], warning=not strict)
        if content["schema_version"] < CURRENT and str(path.parent) != folders[0]:
            note(path, [("schema_version", _EARLIER)], warning=not strict)
        if keys is not None and not broken_seals:  # what was edited should not look approved
            try:
                signer = signer_of(path, record, keys)
                if signer is None:
                    note(path, [("", "is not signed")], warning=not strict)
                else:
                    signers[printable(str(path))] = signer
                each = replace(each, signer=signer)
            except SignatureError as error:
                note(path, [("signature", str(error))])
        try:
            each = with_answers(each, folders)
            note(path, recomputed(each, metrics))
        except (PluginError, StoreError) as error:
            note(path, [("trajectory_sha256", str(error))], warning=not strict)
        else:
            note(path, missing_answers(each, task_of(each.record, tasks)), warning=not strict)
        found.append(replace(each, trajectory=None))  # megabytes, which nothing below asks for
    agreed: dict[object, tuple[object, Path]] = {}
    rows: dict[object, list[ReadRecord]] = defaultdict(list)
    notes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for each in found:
        said_there = notes[each.record.comparability_key]
        if str(each.path.parent) == folders[0]:
            said_there.add(each.record.dataset.notes)
        elif said_there and each.record.dataset.notes not in said_there:
            note(each.path, [("dataset.notes", _NOTES)], warning=not strict)
        rows[_row(each.record)].append(each)
        for claim in _claims(each):
            expected, other = agreed.setdefault(claim.key, (claim.value, each.path))
            if claim.value != expected:
                said = claim.message.format(value=claim.value, expected=expected, other=other)
                note(each.path, [(claim.field, said)], warning=claim.doubt and not strict)
    for row in rows.values():
        note(row[0].path, unofficial([each.record for each in row]), warning=not strict)
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
        record.machine.device_kind,
        record.model,
        run_spec.model_version,
        content_hash(run_spec.config),
        record.plugin.distribution,
        record.seed,
    )


def _named_data(run_spec: RunSpec) -> tuple[object, ...]:
    """Return what names the data of a run, whatever control it was made under."""
    options = {name: o for name, o in run_spec.task_options.items() if name != "control"}
    return (run_spec.task, run_spec.task_version, content_hash(options), run_spec.data)


def _row(record: RunRecord) -> tuple[str, ...]:
    """Return which row of which table a record counts in."""
    return (record.comparability_key, record.machine.device_kind, *row_key(record))


@dataclass(frozen=True)
class _Claim:
    """What a record says of something that others say, too: whoever shares a key shares the value.

    Attributes:
        key: What it is said of.
        value: What is said.
        field, message: What to say of who says otherwise; `value` is what that record says,
            `expected` what the one in the file `other` does.
        doubt: Whether it only keeps a row from being official.
    """

    key: object
    value: object
    field: str
    message: str
    doubt: bool = True


def _claims(read: ReadRecord) -> Iterator[_Claim]:
    record, run_spec = read.record, read.record.run_spec
    there = f"{record.seed} of this row is recorded in {{other}} too"
    yield _Claim(_place(record), read.path, "seed", there, doubt=False)
    stream = content_hash([*run_spec.asked, run_spec.data_checksum, run_spec.seed])
    for name in () if read.task is None else read.task.ranking.fixed:
        value, field = record.metrics.get(name), f"metrics.{name}"
        said = "is {value}, but data and seed alone fix it, and {other} has {expected}"
        if value is not None:
            yield _Claim((stream, field), value, field, said, doubt=False)
    if read.outputs is not None:
        said = "has answers for other test items than {other}, whose data and seed are the same"
        key = (stream, "test items")
        yield _Claim(key, read.outputs.items, "trajectory_sha256", said, doubt=False)
    if record.trajectory_sha256 is not None:  # computed rows have figures of their own
        for field in ("metrics", "validation_metrics"):
            scored = content_hash([stream, record.metric_versions, record.selected_pairs is None])
            said = "has other names than in {other}, though data, seed and metrics are the same"
            yield _Claim((scored, field, "names"), sorted(getattr(record, field)), field, said)
    model, row = (record.model, record.plugin.distribution), _row(record)
    alike: list[tuple[str, object, str]] = [
        ("dataset.simulated", run_spec.data_checksum, "the same data"),
        ("dataset.source", run_spec.data_checksum, "the same data"),
        ("dataset.provenance", run_spec.data_checksum, "the same data"),
        ("run_spec.data_checksum", _named_data(run_spec), "data of that name"),
        ("info.role", model, "the same model"),
        ("dataset", row, "the same row"),
        ("info", row, "the same row"),
        ("plugin", row, "the same row"),
        ("overrides", row, "the same row"),
        ("engine.name", row, "the same row"),
    ]
    if record.engine.name != FITTED.name:  # what is fitted may have a number for each item
        alike.append(("parameters", row, "the same row"))
    for field, owner, whose in alike:
        said = f"is {{value!r}}, but {{other}} of {whose} has {{expected!r}}"
        yield _Claim((field, owner), attrgetter(field)(record), field, said)
    for field in ("tuning", "environment"):
        said = "is not that of {other}, of the same row"
        yield _Claim((field, row), attrgetter(field)(record), field, said)
    if record.trajectory_sha256 is not None:
        trained = row_key(record)[:5]  # whatever its budget and its tuning
        said = "is that of {other}, a run of another row"
        yield _Claim(record.trajectory_sha256, trained, "trajectory_sha256", said)
        scored = content_hash([record.trajectory_sha256, record.metric_versions])
        gives = (record.pairs, record.selected_pairs, record.metrics)
        said = "are not those of {other}, whose trajectory is the same"
        yield _Claim((scored, "metrics"), gives, "metrics", said, doubt=False)
    said = "adds to the row of {other}: a row is handed in as a whole (docs/rules.md)"
    controlled = None if read.task is None else controlled_key(record, read.task.ranking)
    whole = (controlled or row[0], *row[1:])  # with what it is held against
    yield _Claim((whole, "folder"), read.path.parent, "", said)
    said = "is of {value}, but {other} of the same row is signed by {expected}"
    yield _Claim((row, "signer"), read.signer or "nobody", "signature", said)


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
