"""Validate submitted records: check that each is what the harness would have written.

Records are untrusted input: nothing in them is run, their plugins are not loaded, and any content
results in messages. Each record is checked for its format and for contradictions; metrics are
computed anew if a trajectory or test outputs are beside it; and records are compared with one
another for what data and seed determine, and for official rows. Passing does not prove that a run
was made (`codonbench.audit.verify` repeats runs for that); failing proves that a record is not what
the harness writes.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from codonbench.audit.answers import ReadRecord, Remark, missing_answers, recomputed, with_answers
from codonbench.audit.one_record import contradictions, doubts, of_options, of_versions
from codonbench.contracts import Frozen, Metric, Task
from codonbench.contracts.run_record import FITTED, RunRecord, seals
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.errors import PluginError, SignatureError, StoreError
from codonbench.protocols import Protocol
from codonbench.ranking.rows import controlled_key
from codonbench.records.files import printable, read_json
from codonbench.records.signing import Keys, signer_of
from codonbench.records.store import CURRENT, upgrade
from codonbench.scoring.score import row_key, task_of, unofficial

_MOST = 20
"""Most errors of format that are reported for one file."""

_EARLIER = "is of an earlier format; existing records of it stay, but new ones are not accepted"

_TAKEN = "is the name of an installed task, which a user's own table may not have"

_NOTES = "are in no other record of its table, and would be shown as its notes on the board"


class Problem(Frozen):
    """Something wrong with a file.

    Attributes:
        file: Path of the file, as given.
        field: Dotted name of the field; empty for the whole file.
        message: What is wrong, on one line of printable characters.
        warning: Whether the record may still be counted.
    """

    file: str
    field: str
    message: str
    warning: bool = False

    def __str__(self) -> str:
        """Return the problem as one line."""
        kind = "warning: " if self.warning else ""
        return f"{self.file}: {kind}{f'{self.field} ' if self.field else ''}{self.message}"


class Validation(Frozen):
    """The result of validating some files.

    Attributes:
        records: Number of files.
        problems: Problems found.
        signers: Signer of each file with a valid signature by a known key.
    """

    records: int
    problems: tuple[Problem, ...]
    signers: dict[str, str] = Field(default_factory=dict)

    @property
    def invalid(self) -> int:
        """Number of files that are not valid records."""
        return len({problem.file for problem in self.problems if not problem.warning})

    @property
    def warnings(self) -> int:
        """Number of problems that are warnings."""
        return sum(problem.warning for problem in self.problems)


def validate(
    paths: Iterable[Path],
    tasks: Mapping[str, Task],
    metrics: Mapping[str, Metric],
    protocols: Mapping[str, Protocol],
    *,
    strict: bool = False,
    keys: Keys | None = None,
) -> Validation:
    """Validate record files, and every ``*.json`` in folders.

    Args:
        paths: Files and folders, with subfolders of trajectories and test outputs. If folders
            disagree, the first is taken as right.
        tasks: Installed tasks by name, which may check their records.
        metrics: Installed metrics by name, for computing values anew.
        protocols: Installed protocols by name.
        strict: Whether to treat warnings as problems.
        keys: Keys whose signatures are accepted; None to ignore signatures.

    Raises:
        StoreError: A path is missing, or a folder holds no record.
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
            # Strict: a number in quotes is text. From JSON, because it has lists for tuples.
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
        if record.trajectory_format != content["schema_version"]:  # both versions change together
            message = f"is {record.trajectory_format}, not as its format"
            note(path, [("trajectory_format", message)])
        note(path, doubts(record, task), warning=not strict)
        if task is not None:
            there = str(path.parent) == folders[0]
            note(path, of_versions(record, task, metrics, earlier=there), warning=not strict)
            note(path, of_options(record, task, protocols), warning=not strict)
        if record.run_spec.is_own_table and record.task in tasks:
            note(path, [("task", _TAKEN)], warning=not strict)
        if content["schema_version"] < CURRENT and str(path.parent) != folders[0]:
            note(path, [("schema_version", _EARLIER)], warning=not strict)
        if keys is not None and not broken_seals:  # an edited record must not look approved
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
        found.append(replace(each, trajectory=None))  # saves memory: not needed below
    agreed: dict[object, tuple[object, Path]] = {}
    rows: dict[object, list[ReadRecord]] = defaultdict(list)
    notes: dict[str, set[tuple[str, ...]]] = defaultdict(set)
    for each in found:
        notes_there = notes[each.record.comparability_key]
        if str(each.path.parent) == folders[0]:
            notes_there.add(each.record.dataset.notes)
        elif notes_there and each.record.dataset.notes not in notes_there:
            note(each.path, [("dataset.notes", _NOTES)], warning=not strict)
        rows[_row(each.record)].append(each)
        for claim in _shared_values(each):
            expected, other = agreed.setdefault(claim.key, (claim.value, each.path))
            if claim.value != expected:
                message = claim.message.format(value=claim.value, expected=expected, other=other)
                note(each.path, [(claim.field, message)], warning=claim.doubt and not strict)
    for row in rows.values():
        note(row[0].path, unofficial([each.record for each in row]), warning=not strict)
    return Validation(records=len(files), problems=tuple(problems), signers=signers)


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
    """Return the key of a record's place on the leaderboard, which only one record may have."""
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
    """Return the key of a run's data by name, ignoring controls."""
    options = {name: o for name, o in run_spec.task_options.items() if name != "control"}
    return (run_spec.task, run_spec.task_version, content_hash(options), run_spec.data)


def _row(record: RunRecord) -> tuple[str, ...]:
    """Return the key of a record's table and row."""
    return (record.comparability_key, record.machine.device_kind, *row_key(record))


@dataclass(frozen=True)
class _Shared:
    """A value that must be equal in all records with the same key.

    Attributes:
        key: The key.
        value: The value.
        field, message: Field and message template for a record with another `value` than the one
            `expected` from the file `other`.
        doubt: Whether a difference only prevents a row from being official.
    """

    key: object
    value: object
    field: str
    message: str
    doubt: bool = True


def _shared_values(read: ReadRecord) -> Iterator[_Shared]:
    record, run_spec = read.record, read.record.run_spec
    there = f"{record.seed} of this row is recorded in {{other}} too"
    yield _Shared(_place(record), read.path, "seed", there, doubt=False)
    stream = content_hash([*run_spec.task_key, run_spec.data_checksum, run_spec.seed])
    for name in () if read.task is None else read.task.ranking.fixed:
        value, field = record.metrics.get(name), f"metrics.{name}"
        message = "is {value}; {other}, of the same data and seed, has {expected}"
        if value is not None:
            yield _Shared((stream, field), value, field, message, doubt=False)
    if read.outputs is not None:
        message = "has outputs of other test items than {other}, whose data and seed are the same"
        key = (stream, "test items")
        yield _Shared(key, read.outputs.items, "trajectory_sha256", message, doubt=False)
    if record.trajectory_sha256 is not None:  # computed rows have other values
        for field in ("metrics", "validation_metrics"):
            scored = content_hash([stream, record.metric_versions, record.selected_pairs is None])
            message = "has other names than in {other}, though data, seed and metrics are the same"
            yield _Shared((scored, field, "names"), sorted(getattr(record, field)), field, message)
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
    if record.engine.name != FITTED.name:  # fitted models may have parameters for each item
        alike.append(("parameters", row, "the same row"))
    for field, owner, of_what in alike:
        message = f"is {{value!r}}, but {{other}} of {of_what} has {{expected!r}}"
        yield _Shared((field, owner), attrgetter(field)(record), field, message)
    for field in ("tuning", "environment"):
        message = "is not that of {other}, of the same row"
        yield _Shared((field, row), attrgetter(field)(record), field, message)
    if record.trajectory_sha256 is not None:
        trained = row_key(record)[:5]  # without budget and tuning
        message = "is that of {other}, a run of another row"
        yield _Shared(record.trajectory_sha256, trained, "trajectory_sha256", message)
        scored = content_hash([record.trajectory_sha256, record.metric_versions])
        gives = (record.pairs, record.selected_pairs, record.metrics)
        message = "are not those of {other}, whose trajectory is the same"
        yield _Shared((scored, "metrics"), gives, "metrics", message, doubt=False)
    message = "adds to the row of {other}; a row is submitted as a whole (docs/rules.md)"
    controlled = None if read.task is None else controlled_key(record, read.task.ranking)
    whole = (controlled or row[0], *row[1:])  # with the controls of the row
    yield _Shared((whole, "folder"), read.path.parent, "", message)
    message = "is by {value}, but that of {other}, of the same row, is by {expected}"
    yield _Shared((row, "signer"), read.signer or "nobody", "signature", message)


def _misfits(error: ValidationError) -> list[Remark]:
    """Return the errors of a file's format."""
    found: dict[str, str] = {}
    for detail in error.errors(include_input=False, include_url=False):
        # A metric of no allowed type is one problem, not one for each type.
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
    # Only the first letter: the rest may contain allowed values, which are case-sensitive.
    return f"does not fit: {message[:1].lower()}{message[1:]}"
