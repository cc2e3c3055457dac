"""Records and trajectories on disk: a file of each a run, each written all or nothing."""

from __future__ import annotations

import errno
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from glob import escape
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

from pydantic import ValidationError

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import RunRecord, hash_trajectory, seals
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.errors import StoreError
from codonbench.records.locks import Ledger, Page
from codonbench.records.migrations import upgrade
from codonbench.records.printable import printable
from codonbench.records.trajectory_files import pack, unpack
from codonbench.records.untrusted import read_json


@dataclass(frozen=True)
class BadRecord:
    """A file among the results that is no sound record, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class SetAside:
    """A record that stood where a run's own belongs, and where it lies now."""

    bad: BadRecord
    path: Path

    def __str__(self) -> str:
        """Return a sentence about it."""
        place = printable(str(self.path))
        return f"{printable(self.bad.path.name)}: {self.bad.reason}; it now lies in {place}"


class Store:
    """A results folder: ``<name>.json`` for each run, ``trajectories/<name>.npz`` beside them.

    Several processes may use one folder at once: who makes a run claims it first.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepare(self) -> None:
        """Make the folder and make sure it can be written.

        Raises:
            StoreError: It cannot be made or written.
        """
        try:
            (self.folder / "trajectories").mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.folder):
                pass
        except OSError as error:
            raise _store_error("results folder", self.folder, error) from error

    def insist_on_folder(self) -> None:
        """Make sure that there is such a folder, where nothing is to be written.

        Raises:
            StoreError: There is none.
        """
        if not self.folder.is_dir():
            raise StoreError(f"no results folder {self.folder}; 'bench run' makes one")

    @contextmanager
    def claims(self) -> Iterator[Page]:
        """Open the page on which this process writes the run_ids of the runs it is making.

        Raises:
            StoreError: The folder cannot be written.
        """
        with ExitStack() as stack:
            try:
                page = stack.enter_context(Ledger(self.folder / ".locks").opened())
            except OSError as error:
                raise _store_error("results folder", self.folder, error) from error
            yield page

    def save(self, record: RunRecord, trajectory: Trajectory | None) -> Path:
        """Write a record and its trajectory; the record last, so that it never lacks the other.

        Raises:
            StoreError: The folder cannot be written, or the disk is full.
        """
        if trajectory is not None:
            write_atomically(self.trajectory_path(record), pack(trajectory))
        path = self.folder / f"{record.name}.json"
        write_atomically(path, _as_text(record.model_dump(mode="json")))
        return path

    def tidy(self, record: RunRecord) -> None:
        """Remove what killed writers of this run left; to be called by who has claimed it."""
        for written in (self.folder / f"{record.name}.json", self.trajectory_path(record)):
            sweep(written)

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
        """Return where the record's trajectory lies, if it was kept."""
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
            trajectory = unpack(path)
            found = hash_trajectory(trajectory)
        except Exception as error:  # zip, zlib, numpy and JSON each have their own complaints
            raise StoreError(
                f"trajectory {path.name} cannot be read: {printable(str(error))}"
            ) from error
        if found != record.trajectory_sha256:
            raise StoreError(f"trajectory {path.name} is not the one its record was made from")
        return trajectory

    def find(self, run_id: str) -> RunRecord | None:
        """Return the sound record of exactly this run; None where there is none."""
        for path in sorted(self.folder.glob(f"*-{run_id}.json")):
            record = read_record(path)
            if isinstance(record, RunRecord) and record.run_id == run_id:
                return record
        return None

    def make_room(
        self, run_spec: RunSpec, outdated: Callable[[RunRecord], str] | None = None
    ) -> list[SetAside]:
        """Move away what lies in this run's record's place and is no sound record, or outdated.

        To ``set-aside/``, its trajectory beside it, under a name that is still free; nothing is
        deleted or overwritten. To be called by who has claimed the run.

        Args:
            run_spec: The run's.
            outdated: Says why a sound record of this very spec is to go, too; empty where it stays.

        Raises:
            StoreError: It cannot be moved.
        """
        moved = []
        for path in sorted(self.folder.glob(f"*-{run_spec.run_id}.json")):
            found = read_record(path)
            if isinstance(found, RunRecord) and found.run_id != run_spec.run_id:
                found = BadRecord(path, f"holds the record of another run, {found.name}")
            elif isinstance(found, RunRecord) and outdated and (reason := outdated(found)):
                found = BadRecord(path, reason)
            if isinstance(found, BadRecord):
                moved.append(SetAside(found, self._set_aside(path)))
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
            _flush_folder(folder)
            _flush_folder(self.folder)
        except OSError as error:
            raise _store_error("bad record", path, error) from error
        return target

    def scan(self) -> Iterator[RunRecord | BadRecord]:
        """Yield what `files` does, without the paths."""
        for _, item in self.files():
            yield item

    def files(self) -> Iterator[tuple[Path, RunRecord | BadRecord]]:
        """Yield every record in the folder by its file, in the order of names, and every bad file.

        Of several files that hold one run, the one that bears its name is its record, or else the
        first; the others are bad.
        """
        found = {path: read_record(path) for path in sorted(self.folder.glob("*.json"))}
        files: dict[str, Path] = {}
        for path, item in found.items():
            if isinstance(item, RunRecord) and (item.name not in files or path.stem == item.name):
                files[item.name] = path
        for path, item in found.items():
            if isinstance(item, RunRecord) and files[item.name] != path:
                first = printable(files[item.name].name)
                yield path, BadRecord(path, f"holds the same run as {first}")
            else:
                yield path, item


def read_record(path: Path) -> RunRecord | BadRecord:
    """Return the record in a file, or what is wrong with it in one line that can be shown."""
    try:
        content = read_json(path)
        # Validated as JSON, which has lists where Python has tuples.
        record = RunRecord.model_validate_json(json.dumps(upgrade(content)))
    except StoreError as error:
        return BadRecord(path, printable(str(error)))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        reason = f"is not a record: {where}: {first['msg']}".replace(": :", ":")
        return BadRecord(path, printable(reason))
    run_id, checksum = seals(content)
    if run_id != record.run_id:
        return BadRecord(path, "its run_id is not the hash of its spec")
    if checksum != record.checksum:
        return BadRecord(path, "its content does not match its checksum")
    return record


def amend_record(path: Path, record: RunRecord, changes: Mapping[str, Any]) -> None:
    """Replace some fields of a stored record and seal it anew; all else stays as the file says.

    The rest is taken from the file, not from `record`: written out again, a record of an older
    format would gain today's fields, and its spec would no longer hash to its run_id.

    Args:
        path: The record's file.
        record: What was read from it.
        changes: JSON values by field.

    Raises:
        StoreError: The file is no longer the one that was read, its run is being made again, or
            it cannot be written.
    """
    with Store(path.parent).claims() as claims:
        free, others = claims.take_free([record.run_id])
        if not free:
            who = " and ".join(map(str, others))
            raise StoreError(f"{path} is being made again by {who}; try again once it is there")
        found = read_record(path)
        if not isinstance(found, RunRecord) or found.checksum != record.checksum:
            raise StoreError(f"{path} has been written by something else meanwhile; try again")
        content = json.loads(path.read_bytes()) | dict(changes)
        content["checksum"] = content_hash({k: v for k, v in content.items() if k != "checksum"})
        write_atomically(path, _as_text(content))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, flush it to the disk, rename it, flush the folder.

    Raises:
        StoreError: The folder cannot be written, or the disk is full.
    """
    temporary = path.with_name(f"{_temporary_prefix(path)}{token_hex(8)}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("xb") as file:
                file.write(content)
                file.flush()
                flush_to_disk(file.fileno())
            temporary.replace(path)
            _flush_folder(path.parent)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise _store_error("file", path, error) from error


def _temporary_prefix(path: Path) -> str:
    return f".{path.name[:120]}."


def sweep(path: Path) -> None:
    """Remove what writers of this file left behind that were killed; only who owns it may.

    Where it cannot be removed it stays: it harms nobody.
    """
    for left in path.parent.glob(f"{escape(_temporary_prefix(path))}*.tmp"):
        with suppress(OSError):
            left.unlink()


def _flush_folder(folder: Path) -> None:
    """See to it that a name just given in a folder outlasts a power cut."""
    if os.name == "nt":  # which cannot open a folder, and sees to it by itself
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        flush_to_disk(handle)
    finally:
        os.close(handle)


def flush_to_disk(handle: int) -> None:
    """Have an open file or folder outlast a power cut, where its file system knows how to.

    Network and FUSE mounts may refuse, of folders above all; what was written is there all the
    same.
    """
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno in (errno.EIO, errno.ENOSPC, errno.EDQUOT):
            raise


def _store_error(what: str, path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(f"{what} {path}: no space left; free some or choose another --results")
    reason = error.strerror or str(error)
    return StoreError(f"{what} {path} cannot be written: {reason}; choose another --results")


def _as_text(content: Mapping[str, Any]) -> bytes:
    """Return a record's content as the file holds it: for people, and for diffs."""
    return (json.dumps(content, indent=1, sort_keys=True) + "\n").encode()
