"""Records that strangers hand in: is each of them what the harness would have written?

Read as untrusted input: nothing in them is run, the plugin they name is not loaded, and whatever
a file holds ends in words.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from codonbench.audit.consistency import contradictions, doubts
from codonbench.contracts import Frozen, Task
from codonbench.contracts.run_record import RunRecord, seals
from codonbench.contracts.run_spec import content_hash
from codonbench.data.own_table import task_of
from codonbench.errors import SignatureError, StoreError
from codonbench.records.files import printable, read_json
from codonbench.records.signing import Keys, signer_of
from codonbench.records.store import upgrade

_MOST = 20
"""Departures from the format that are named for one file."""


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
    counted: dict[tuple[object, ...], str] = {}
    for path in files:
        record, found = _look_at(path, tasks, strict)
        problems += found
        if record is not None and keys is not None:
            signer, remarks = _signer(path, record, found, keys, strict)
            problems += remarks
            signers |= signer
        if record is not None:
            first = counted.setdefault(_place(record), str(path))
            if first != str(path):
                problems.append(
                    _problem(path, "seed", f"{record.seed} of this row is recorded in {first} too")
                )
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


def _look_at(
    path: Path, tasks: Mapping[str, Task], strict: bool
) -> tuple[RunRecord | None, list[Problem]]:
    """Return the record, where it can be read as one, and what is wrong with it."""
    try:
        content = read_json(path)
        # Strict: a number in quotes is text. As JSON, which has lists where Python has tuples.
        record = RunRecord.model_validate_json(json.dumps(upgrade(content)), strict=True)
    except StoreError as error:
        return None, [_problem(path, "", str(error))]
    except ValidationError as error:
        return None, _misfits(path, error)
    problems = [_problem(path, *remark) for remark in _seal(record, content, path)]
    task = task_of(record, tasks)
    problems += [_problem(path, *remark) for remark in contradictions(record, task)]
    problems += [_problem(path, *remark, warning=not strict) for remark in doubts(record, task)]
    return record, problems


def _seal(record: RunRecord, content: dict[str, Any], path: Path) -> Iterator[tuple[str, str]]:
    run_id, checksum = seals(content)
    if record.run_id != run_id:
        yield "run_id", f"is {record.run_id!r}, but the hash of the spec is {run_id!r}"
    if record.checksum != checksum:
        yield "checksum", "does not match the content: the record was edited or damaged"
    if path.name != f"{record.name}.json":
        yield "", f"should be called {record.name}.json"


def _signer(
    path: Path, record: RunRecord, found: Sequence[Problem], keys: Keys, strict: bool
) -> tuple[dict[str, str], list[Problem]]:
    """Return who has signed a file, by its path, and what is wrong with the signature."""
    if any(problem.field in ("run_id", "checksum") for problem in found):
        return {}, []  # what was edited should not look approved
    try:
        signer = signer_of(path, record, keys)
    except SignatureError as error:
        return {}, [_problem(path, "signature", str(error))]
    if signer is None:
        return {}, [_problem(path, "", "is not signed", warning=not strict)]
    return {printable(str(path)): signer}, []


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


def _misfits(path: Path, error: ValidationError) -> list[Problem]:
    """Return how a file departs from the format of a record."""
    found: dict[str, Problem] = {}
    for detail in error.errors(include_input=False, include_url=False):
        # A metric that is none of the kinds it may be is one problem, not one for each kind.
        place = detail["loc"][:2] if detail["loc"][:1] == ("metrics",) else detail["loc"]
        field = ".".join(str(part) for part in place)
        if field not in found:
            found[field] = _problem(path, field, _misfit(detail))
    return list(found.values())[:_MOST]


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


def _problem(path: Path, field: str, message: str, *, warning: bool = False) -> Problem:
    return Problem(
        file=printable(str(path)),
        field=printable(field),
        message=printable(message),
        warning=warning,
    )
