"""A results folder: a record and a trajectory for each run, each written atomically.

Everything that is read is checked, whoever wrote it; records of older formats are upgraded.
"""

from __future__ import annotations

import gc
import io
import json
import os
import zipfile
from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from shutil import rmtree
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError
from pydantic_core import from_json

from codonbench.contracts import Outputs, Targets, TaskSpec, Trajectory, TrajectoryFacts
from codonbench.contracts.run_record import RunRecord, hash_trajectory, seals
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.errors import StoreError
from codonbench.records.files import (
    as_text,
    decoded,
    flush_folder,
    printable,
    read_content,
    store_error,
    sweep,
    try_folder,
    write_atomically,
)
from codonbench.records.known import Known
from codonbench.records.unfinished import Ledger

Content = dict[str, Any]

CURRENT = 2
"""The format that is written today; `contracts.run_record.RunRecord` describes it."""

MANY = 2_000
"""Files from which on a folder is read with an index; see `codonbench.records.known`."""

_ARRAYS = ("pairs", "outputs", "test_outputs")
_TARGETS = ("targets", "test_targets")  # of an evaluation set they stand in the task
_EXTRA = "array_"  # before the names of the protocol's own

_HEADER = "header"
_MOST_HEADER = 1 << 24  # bytes: JSON takes a hundred times as much once it is decoded

_MOST = 1 << 30
"""Bytes once unpacked: 200,000 snapshots of 64 items. A file may hold a thousand times its size."""


@dataclass(frozen=True)
class BadRecord:
    """A file among the results that is no sound record, and why."""

    path: Path
    reason: str


class Store:
    """A results folder: ``<name>.json`` for each run, ``trajectories/<name>.npz`` beside them.

    Several processes may use one folder at once: each claims a run before it makes it.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._tried = False
        self._listed: dict[str, list[Path]] | None = None
        self._left: dict[Path, list[str]] = {}

    def prepare(self) -> None:
        """Make the folder and make sure, once, that a record can be written there.

        Raises:
            StoreError: It cannot be made or written.
        """
        try:
            (self.folder / "trajectories").mkdir(parents=True, exist_ok=True)
            if not self._tried:
                try_folder(self.folder)
        except OSError as error:
            raise store_error("results folder", self.folder, error) from error
        self._tried = True

    def missing(self) -> tuple[Path, ...]:
        """Return which of the folder and those that `prepare` and `claims` make are not there."""
        made = (self.folder / "trajectories", self.folder / ".locks", self.folder)
        return tuple(path for path in made if not path.exists())

    def remove_if_empty(self, new: Sequence[Path]) -> None:
        """Remove folders that are new, where all of them hold nothing but the ledger's lock."""
        held = (path for folder in new for path in folder.rglob("*") if not path.is_dir())
        if {path.name for path in held} <= {"ledger.lock"}:
            for folder in new:
                rmtree(folder, ignore_errors=True)

    def require_folder(self) -> None:
        """Make sure that there is such a folder, where nothing is to be written.

        Raises:
            StoreError: There is none.
        """
        if not self.folder.is_dir():
            raise StoreError(f"no results folder {self.folder}; 'bench run' makes one")

    @contextmanager
    def claims(self) -> Iterator[Ledger]:
        """Open the ledger in which this process writes the run_ids of the runs it is making.

        Raises:
            StoreError: The folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                ledger = stack.enter_context(Ledger.opened(self.folder / ".locks"))
            except OSError as error:
                raise store_error("results folder", self.folder, error) from error
            yield ledger

    def save(self, record: RunRecord, trajectory: Trajectory | None) -> Path:
        """Write a record and its trajectory; the record last, so that it never lacks the other.

        Raises:
            StoreError: The folder cannot be written, or the disk is full.
        """
        if trajectory is not None:
            write_atomically(self.trajectory_path(record), pack(trajectory))
        path = self.folder / f"{record.name}.json"
        write_atomically(path, as_text(record.model_dump(mode="json")))
        return path

    def tidy(self, record: RunRecord) -> None:
        """Remove what killed writers of this run left; call this once the run is claimed."""
        for written in (self.folder / f"{record.name}.json", self.trajectory_path(record)):
            if written.parent not in self._left:  # listed once, however many runs there are
                self._left[written.parent] = _names(written.parent, ".tmp")
            sweep(written, self._left[written.parent])

    def save_trajectory(self, record: RunRecord, trajectory: Trajectory) -> Path:
        """Write a trajectory beside a record that is there already.

        Raises:
            StoreError: It is not the trajectory the record was made from, the folder cannot be
                written, or the disk is full.
        """
        if hash_trajectory(trajectory) != record.trajectory_sha256:
            raise StoreError(f"this trajectory is not the one {record.name} was made from")
        path = self.trajectory_path(record)
        write_atomically(path, pack(trajectory))
        return path

    def trajectory_path(self, record: RunRecord) -> Path:
        """Return the path of the record's trajectory, if it was kept."""
        return self.folder / "trajectories" / f"{record.name}.npz"

    def load_trajectory(self, record: RunRecord) -> Trajectory | None:
        """Return the record's trajectory; None where there is none.

        Raises:
            StoreError: The trajectory is unreadable or is not the one the record was made from.
        """
        path = self.trajectory_path(record)
        # An earlier, interrupted try of the same spec may have left one that is not this record's.
        if record.trajectory_sha256 is None or not path.is_file():
            return None
        try:
            with path.open("rb") as file:
                trajectory = unpack(file)
            found = hash_trajectory(trajectory)
        except Exception as error:  # zip, zlib, numpy and JSON each have their own complaints
            raise StoreError(
                f"trajectory {path.name} cannot be read: {printable(str(error))}"
            ) from error
        if found != record.trajectory_sha256:
            raise StoreError(f"trajectory {path.name} is not the one its record was made from")
        return trajectory

    def find(self, run_id: str, name: str) -> RunRecord | None:
        """Return the sound record of exactly this run; None where there is none.

        Args:
            run_id: The run's.
            name: Of its file. Files of other names that end in the run's id are looked for, too.
        """
        for path in self._files_of(run_id, name):
            record = read_record(path)
            if isinstance(record, RunRecord) and record.run_id == run_id:
                return record
        return None

    def _files_of(self, run_id: str, name: str) -> list[Path]:
        """Return the files named as those of a run; the folder is listed once."""
        if self._listed is None:
            self._listed = {}
            for file in _names(self.folder):
                key = file.removesuffix(".json").rpartition("-")[2]
                self._listed.setdefault(key, []).append(self.folder / file)
        own = self.folder / f"{name}.json"
        found = {path for path in (own, *self._listed.get(run_id, ())) if os.path.lexists(path)}
        return sorted(found)

    def make_room(
        self, run_spec: RunSpec, outdated: Callable[[RunRecord], str] | None = None
    ) -> list[BadRecord]:
        """Move away what lies in this run's record's place and is no sound record, or outdated.

        To ``set-aside/``, its trajectory beside it, under a name that is still free; nothing is
        deleted or overwritten. Call this once the run is claimed.

        Args:
            run_spec: The run's.
            outdated: Says why a sound record of this very spec is to go, too; empty where it stays.

        Returns:
            Each as it lies now, its reason a sentence that names it.

        Raises:
            StoreError: It cannot be moved.
        """
        moved = []
        for path in self._files_of(run_spec.run_id, run_spec.name):
            found = read_record(path)
            if isinstance(found, RunRecord) and found.run_id != run_spec.run_id:
                found = BadRecord(path, f"holds the record of another run, {found.name}")
            elif isinstance(found, RunRecord) and outdated and (reason := outdated(found)):
                found = BadRecord(path, reason)
            if isinstance(found, BadRecord):
                target = self._set_aside(path)
                name, place = printable(path.name), printable(str(target))
                moved.append(BadRecord(target, f"{name}: {found.reason}; it now lies in {place}"))
        return moved

    def _set_aside(self, path: Path) -> Path:
        folder = self.folder / "set-aside"
        trajectory = self.folder / "trajectories" / f"{path.stem}.npz"
        try:
            folder.mkdir(exist_ok=True)
            number = next(n for n in count(1) if not [*folder.glob(f"{path.stem}-{n}.*")])
            target = folder / f"{path.stem}-{number}.json"
            if trajectory.exists():
                trajectory.rename(target.with_suffix(".npz"))
            path.rename(target)
            flush_folder(folder)
            flush_folder(self.folder)
        except OSError as error:
            raise store_error("bad record", path, error) from error
        return target

    def records(self) -> list[RunRecord]:
        """Return every record in the folder, in the order of their files' names."""
        return [item for item in self.scan() if isinstance(item, RunRecord)]

    def scan(self) -> Iterator[RunRecord | BadRecord]:
        """Yield every record in the folder, in the order of their files' names, and every bad file.

        Of several files that hold one run, the one that bears its name is its record, or else the
        first; the others are bad.
        """
        names = _names(self.folder)
        with _nothing_collected():
            if len(names) < MANY:
                found = [read_record(self.folder / file) for file in names]
            else:
                found = self._read_many(names)
        files: dict[str, str] = {}
        for file, item in zip(names, found, strict=True):
            if isinstance(item, RunRecord) and (
                item.run_id not in files or file == f"{item.name}.json"
            ):
                files[item.run_id] = file
        for file, item in zip(names, found, strict=True):
            if isinstance(item, RunRecord) and files[item.run_id] != file:
                first = printable(files[item.run_id])
                yield BadRecord(self.folder / file, f"holds the same run as {first}")
            else:
                yield item

    def _read_many(self, names: Sequence[str]) -> list[RunRecord | BadRecord]:
        """Return what is in the files of these names, with what is known of them; see `Known`."""
        known = Known(self.folder, names)
        try:
            found = [read_record(self.folder / file, known) for file in names]
            for file in known.unsound():
                found[bisect_left(names, file)] = read_record(self.folder / file, known)
        finally:
            known.close()
        known.save()
        return found


@contextmanager
def _nothing_collected() -> Iterator[None]:
    """Switch garbage collection off: all that is read is kept, and would be scanned repeatedly."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _names(folder: Path, ending: str = ".json") -> list[str]:
    """Return the names in a folder that end so, in order."""
    try:
        return sorted(e.name for e in os.scandir(folder) if e.name.endswith(ending))
    except OSError:  # there is no such folder
        return []


def read_record(path: Path, known: Known | None = None) -> RunRecord | BadRecord:
    """Return the record in a file, or what is wrong with it in one line that can be shown.

    Args:
        path: The file.
        known: Known records of its folder, if many are read.
    """
    try:
        text, facts = read_content(path)
        checked = known is not None and known.is_checked(path.name, facts)
        content = from_json(text, cache_strings="all") if checked else decoded(text)
        whole = upgrade(content)
        record = RunRecord.model_validate(whole) if known is None else known.shared.record(whole)
    except StoreError as error:
        return BadRecord(path, printable(str(error)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"is not a record: {where}: {first['msg']}".replace(": :", ":")
        return BadRecord(path, printable(reason))
    except ValueError as error:  # of the faster parser
        return BadRecord(path, printable(f"is not JSON: {error}"))
    if checked:
        return record
    run_id, checksum = seals(content)
    if run_id != record.run_id:
        return BadRecord(path, "its run_id is not the hash of its spec")
    if checksum != record.checksum:
        return BadRecord(path, "its content does not match its checksum")
    if known is not None:
        known.note(path.name, facts)
    return record


def amend_record(path: Path, record: RunRecord, changes: Mapping[str, Any]) -> None:
    """Replace some fields of a stored record and seal it anew; all else stays as the file says.

    The rest is taken from the file, not from `record`: written out again, a record of an older
    format would gain today's fields, and its spec would no longer hash to its run_id.

    Args:
        path: The record's file.
        record: Its content as read.
        changes: JSON values by field.

    Raises:
        StoreError: The file is no longer the one that was read, its run is being made again, or
            it cannot be written.
    """
    with Store(path.parent).claims() as claims:
        free, others = claims.take_free([record.run_id])
        if not free:
            holders = " and ".join(map(str, others))
            raise StoreError(f"{path} is being made again by {holders}; try again once it is there")
        found = read_record(path)
        if not isinstance(found, RunRecord) or found.checksum != record.checksum:
            raise StoreError(f"{path} has been written by something else meanwhile; try again")
        content = json.loads(path.read_bytes()) | dict(changes)
        content["checksum"] = content_hash({k: v for k, v in content.items() if k != "checksum"})
        write_atomically(path, as_text(content))


def _name_spec_and_trajectory(content: Content) -> Content:
    """Version 1 called the run's spec its plan, and its trajectory its trace."""
    content["run_spec"] = content.pop("plan", None)
    content["trajectory_sha256"] = content.pop("trace_sha256", None)
    content["trajectory_format"] = 1
    return content


STEPS: Mapping[int, Callable[[Content], Content]] = MappingProxyType({1: _name_spec_and_trajectory})
"""From a version to the next: each takes a record's content and returns that of one version more.

A field with a default needs no step and no new version. A step is for what is renamed, moved or
differently meant; it may invent nothing that the older format did not say.
"""


def upgrade(content: Any) -> Content:
    """Return the content of a record file in today's format; the argument is left as it is.

    Raises:
        StoreError: Says what is wrong with the file, without naming it: no record, of a newer
            codonbench, or of a version that never was.
    """
    version = content.get("schema_version") if isinstance(content, dict) else None
    if type(version) is not int:
        raise StoreError("is not a record: it has no schema_version, a whole number")
    if version > CURRENT:
        raise StoreError(
            f"was made by a newer codonbench: it has schema version {version}, this one reads "
            f"up to {CURRENT}; upgrade codonbench"
        )
    while version < CURRENT:
        if version not in STEPS:
            raise StoreError(f"has schema version {version}, which this codonbench cannot read")
        content = {**STEPS[version](dict(content)), "schema_version": version + 1}
        version += 1
    return dict(content)


def pack(trajectory: Trajectory) -> bytes:
    """Return a trajectory as the bytes of a compressed ``.npz``."""
    header = {
        "task": trajectory.task.model_dump(mode="json"),
        "facts": trajectory.facts.model_dump(),
    }
    names = _ARRAYS if trajectory.task.evaluation is not None else (*_ARRAYS, *_TARGETS)
    arrays: dict[str, Any] = {name: getattr(trajectory, name) for name in names}
    arrays |= {_EXTRA + name: array for name, array in trajectory.arrays.items()}
    encoded = np.frombuffer(json.dumps(header, sort_keys=True).encode(), dtype=np.uint8)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=encoded, **arrays)
    return buffer.getvalue()


def unpack(opened: BinaryIO) -> Trajectory:
    """Return the trajectory in an open file. Nothing is unpickled.

    Raises:
        ValueError: Its arrays do not fit one another or the task, or it is too large.
        Exception: It is damaged: zip, zlib, numpy and JSON each have their own complaints.
    """
    header, found = arrays_of(opened, _MOST)
    task = TaskSpec.model_validate_json(json.dumps(header["task"]))
    none = np.zeros(0, dtype=np.int64)
    if task.evaluation is not None:
        found["targets"] = np.asarray(task.evaluation.targets, dtype=np.int64)
    trajectory = Trajectory(
        task=task,
        facts=TrajectoryFacts.model_validate(header["facts"]),
        pairs=found["pairs"],
        outputs=found["outputs"],
        targets=found.get("targets", none),
        test_outputs=found["test_outputs"],
        test_targets=found.get("test_targets", none),
        arrays={n.removeprefix(_EXTRA): a for n, a in found.items() if n.startswith(_EXTRA)},
    )
    _check_arrays(trajectory)
    return replace(trajectory, outputs=_output_by_output(trajectory.outputs))


def arrays_of(opened: BinaryIO, most: int) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    """Return the header and the other arrays of an open ``.npz``. Nothing is unpickled.

    Args:
        opened: The file.
        most: Bytes that it may hold once unpacked.

    Raises:
        ValueError: It holds more.
        Exception: It is damaged: zip, zlib, numpy and JSON each have their own complaints.
    """
    with zipfile.ZipFile(opened) as file:  # no more than it says here is ever unpacked
        sizes = {member.filename: member.file_size for member in file.infolist()}
        size = sum(member.file_size for member in file.infolist())
    for what, held, bound in (
        ("it", size, most),
        ("its header", sizes.get(f"{_HEADER}.npy", 0), _MOST_HEADER),
    ):
        if held > bound:
            raise ValueError(f"{what} holds {held:,} bytes once unpacked, at most {bound:,} do")
    opened.seek(0)
    with np.load(opened, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    header = json.loads(arrays.pop(_HEADER).tobytes())
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    return header, arrays


def _check_arrays(trajectory: Trajectory) -> None:
    """Raise ValueError unless types, shapes and values are those that `Trajectory` describes."""
    task, pairs, n_outputs = trajectory.task, trajectory.pairs, len(trajectory.task.target.names)
    n_items = None if task.evaluation is None else len(task.evaluation.inputs)
    n_pairs = len(np.atleast_1d(pairs))

    def check(
        name: str, array: npt.NDArray[Any], shape: tuple[int | None, ...], *kinds: type
    ) -> None:
        fits = array.ndim == len(shape) and all(
            n is None or n == m for n, m in zip(shape, array.shape, strict=True)
        )
        if not fits or array.dtype.newbyteorder("=") not in kinds:
            raise ValueError(
                f"{name} are {array.dtype} of shape {array.shape}, no array of a trajectory"
            )

    check("pairs", pairs, (n_pairs,), np.int64)
    check("outputs", trajectory.outputs, (n_pairs, n_items, n_outputs), np.float32)
    check("test_outputs", trajectory.test_outputs, (None, n_outputs), np.float32)
    for name, outputs in (
        ("targets", trajectory.outputs),
        ("test_targets", trajectory.test_outputs),
    ):
        if len(outputs):
            check_targets(task, getattr(trajectory, name), outputs.shape[-2])
    for name, array in trajectory.arrays.items():
        check(name, array, array.shape, np.int64)
    if ((pairs < 0) | (pairs > trajectory.facts.pairs)).any():
        raise ValueError("pairs are out of range")
    if (np.diff(pairs) <= 0).any():
        raise ValueError("pairs do not rise")


def check_targets(task: TaskSpec, targets: Targets, n_items: int) -> None:
    """Raise ValueError unless targets are those of so many items, as a task describes them."""
    n_outputs = len(task.target.names)
    is_class = task.target.kind == "classes"
    kind, shape = (np.int64, (n_items,)) if is_class else (np.float32, (n_items, n_outputs))
    fits = targets.shape == shape and targets.dtype.newbyteorder("=") == kind
    if fits and is_class:
        fits = bool(((targets >= 0) & (targets < n_outputs)).all())
    if not fits:
        raise ValueError(
            f"targets are {targets.dtype} of shape {targets.shape}, none of {n_items} items with "
            f"{n_outputs} {task.target.kind}"
        )


def _output_by_output(outputs: Outputs) -> npt.NDArray[np.float32]:
    """Return outputs (T, N, K) laid out in memory as a run leaves them, the K outermost.

    numpy adds in the order of memory: laid out otherwise, the same logits give probabilities
    whose last digit is not that of the run.
    """
    return np.moveaxis(np.moveaxis(outputs, -1, 0).copy(), 0, -1)
