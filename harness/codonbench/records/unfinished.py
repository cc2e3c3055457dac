"""Runs under way: what each process has claimed, and checkpoints.

Processes share a folder, the ledger. Each keeps a lock file of its own locked while it lives, and
lists in another file what it has claimed. The operating system releases the lock when a process
ends, however it ends; the next process that looks removes both files.

A checkpoint is two files: the evaluations so far, and the state of the training. The first has a
checksum of both. They are written atomically, and removed once the run's record is there. Only the
same run, code and kind of machine use a checkpoint, for only these give the same bits.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import file_digest, sha256
from pathlib import Path
from secrets import token_hex
from shutil import rmtree
from typing import Self

import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout, has_fcntl

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import Machine
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.errors import StoreError
from codonbench.records.files import flush_to_disk, printable, sweep, write_atomically

_LONGEST_WAIT = 60.0
"""Seconds to wait for the lock of a ledger; other processes hold it for a moment."""

_ARRAYS = {
    "position": "i0",
    "pairs": "i1",
    "outputs": "f3",
    "seconds": "f1",
    "resumed": "i1",
    "state": "u1",
}
"""Of a checkpoint's first file: kind and dimensions of each array."""


class OwnFolder:
    """A folder of this process, which no other process removes while this one lives.

    Args:
        beside: Path next to which it is made.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, beside: Path) -> None:
        beside.mkdir(parents=True, exist_ok=True)
        self.path = beside.absolute() / f".worker-{token_hex(8)}"
        self._lock = _lock(self.path.with_suffix(".lock"))
        self._lock.acquire()
        self.path.mkdir(mode=0o700)

    def remove(self) -> None:
        """Remove it, and its folder if that is empty."""
        self._lock.release()
        _remove(self.path)


def sweep_own(beside: Path) -> None:
    """Remove the folders of processes that were killed."""
    for path in beside.glob(".worker-*"):
        if path.is_dir() and not _is_held(path.with_suffix(".lock")):
            _remove(path)


def _remove(folder: Path) -> None:
    # The lock first: should this process be killed here, a folder without one is swept later.
    with suppress(OSError):
        folder.with_suffix(".lock").unlink(missing_ok=True)
    rmtree(folder, ignore_errors=True)
    with suppress(OSError):  # others have something there
        folder.parent.rmdir()


class Holder(Frozen):
    """A process, and what it has claimed.

    Attributes:
        pid: Process id.
        since: When it opened the ledger.
        things: Names of what it has claimed.
        alone: Whether no other process may use them.
    """

    pid: int
    since: datetime
    things: tuple[str, ...] = ()
    alone: bool = True

    def __str__(self) -> str:
        """Return ``process 4711 (since 17:20:05)``."""
        return f"process {self.pid} (since {self.since:%H:%M:%S})"


class Ledger:
    """A folder in which processes list what they have claimed, and this process's entry in it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._name = f"{os.getpid()}-{token_hex(4)}"
        self._since = datetime.now().astimezone()
        self._things: set[str] = set()

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator[Self]:
        """Have an entry in the ledger of a folder, which is removed when the context ends.

        Raises:
            OSError: The folder cannot be made or written, or its file system has no locks.
        """
        folder.mkdir(parents=True, exist_ok=True)
        _check_locks(folder)
        ledger = cls(folder)
        own = _lock(folder / f"{ledger._name}.lock")
        with ledger._one_at_a_time():
            own.acquire(blocking=False)
        try:
            yield ledger
        finally:
            with ledger._one_at_a_time():
                ledger._clear(ledger._name)
                own.release()

    def take_free(self, things: Iterable[str]) -> tuple[set[str], list[Holder]]:
        """Claim those of `things` that are free; return them, and who has claimed the others."""
        wanted = set(things)
        with self._one_at_a_time():
            others = self._users(wanted)
            free = wanted.difference(*(holder.things for holder in others))
            self._write(self._things | free, alone=True)
        return free, others

    def take_all(self, things: Iterable[str], *, alone: bool) -> tuple[bool, list[Holder]]:
        """Claim `things` unless others forbid it; return whether, and which processes use them.

        Args:
            things: Names to claim.
            alone: Whether to be the only one. Processes that need not be may share a thing.
        """
        wanted = set(things)
        with self._one_at_a_time():
            others = self._users(wanted)
            if in_the_way := [h for h in others if alone or h.alone]:
                return False, in_the_way
            self._write(wanted, alone=alone)
        return True, others

    def give_back(self, thing: str) -> None:
        """Release a thing."""
        with self._one_at_a_time():
            self._write(self._things - {thing}, alone=True)

    def _users(self, things: set[str]) -> list[Holder]:
        """Return the other processes that have some of `things`; clear away what dead ones left."""
        found = []
        for path in sorted(self._folder.glob("*-*.lock")):
            if path.stem != self._name and not _is_held(path):
                self._clear(path.stem)
            elif path.stem != self._name:
                with suppress(OSError, ValueError):  # it has not written anything yet
                    text = path.with_suffix(".json").read_bytes()
                    found.append(Holder.model_validate_json(text))
        return [holder for holder in found if things & {*holder.things}]

    def _write(self, things: set[str], *, alone: bool) -> None:
        self._things = things
        names = tuple(sorted(things))
        holder = Holder(pid=os.getpid(), since=self._since, things=names, alone=alone)
        (self._folder / f"{self._name}.json").write_text(holder.model_dump_json())

    def _clear(self, name: str) -> None:
        for suffix in (".json", ".lock"):
            with suppress(OSError):  # Windows keeps what is open
                (self._folder / f"{name}{suffix}").unlink(missing_ok=True)

    def _one_at_a_time(self) -> FileLock:
        """Return the lock that keeps others from the ledger while it is read or written."""
        return _lock(self._folder / "ledger.lock", timeout=_LONGEST_WAIT)


def _lock(path: Path, timeout: float = -1) -> FileLock:
    # A context may be left in another thread than it was entered in, where a generator holds it.
    return FileLock(path, timeout, thread_local=False)


def _check_locks(folder: Path) -> None:
    """Raise OSError where files of a folder cannot be locked.

    filelock would take any lock file that is there for one that is held, and wait for ever.
    """
    if has_fcntl:
        import fcntl

        with tempfile.TemporaryFile(dir=folder) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                why = f"its file system locks no files ({error.strerror})"
                raise OSError(error.errno, why) from error


def _is_held(path: Path) -> bool:
    lock = _lock(path)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return True
    lock.release()
    return False


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        position: Pairs presented; 0 where the run cannot go on, and begins anew.
        pairs, outputs: Its evaluations so far, shapes (T,) and (T, N, K), in the model's labels.
        seconds: Spent on building, and in all.
        resumed: Positions at which it was resumed.
        state: The file that the training itself goes on from; None while it is not kept.
    """

    position: int
    pairs: npt.NDArray[np.int64]
    outputs: npt.NDArray[np.float32]
    seconds: tuple[float, float]
    resumed: tuple[int, ...] = ()
    state: Path | None = None


class Checkpoints:
    """The checkpoints in a results folder, below ``checkpoints/``.

    Args:
        folder: The results folder.
        origin: Hash of what must be the same for a checkpoint to be used: the code, see also `on`.
        every: Seconds between two of a run; None for none.
        say: Called with a sentence on what is resumed, set aside, or cannot be written.
    """

    def __init__(
        self, folder: Path, origin: str, every: float | None, say: Callable[[str], None]
    ) -> None:
        self.every = every
        self._folder = folder.absolute() / "checkpoints"  # a plugin may change the current folder
        self._origin = origin
        self._say = say

    def on(self, machine: Machine) -> Self:
        """Return those that were made on one kind of machine."""
        origin = content_hash([self._origin, *machine.kind])
        return type(self)(self._folder.parent, origin, self.every, self._say)

    def sweep(self) -> None:
        """Remove what workers of killed processes were writing here."""
        sweep_own(self._folder)

    def save(self, run_spec: RunSpec, progress: Progress, write: Callable[[Path], None]) -> None:
        """Save how far a run has come; where that fails, say so and go on without checkpoints.

        Args:
            run_spec: The run's.
            progress: The progress.
            write: Puts the training's state into a file of this name.
        """
        if self.every is None:
            return
        try:
            state, digest = self._keep_state(run_spec, write)
            buffer = io.BytesIO()
            np.savez(
                buffer,
                position=np.int64(progress.position),
                pairs=progress.pairs,
                outputs=progress.outputs,
                seconds=np.asarray(progress.seconds),
                resumed=np.asarray(progress.resumed, dtype=np.int64),
                state=np.frombuffer(digest, dtype=np.uint8),
            )
            content = buffer.getvalue()
            write_atomically(self._path(run_spec), self._seal(run_spec, content) + content)
            self._remove_states(run_spec, but=state)
        except (StoreError, OSError) as error:
            self.every = None
            self._say(f"no more checkpoints: {error}")

    def _keep_state(self, run_spec: RunSpec, write: Callable[[Path], None]) -> tuple[Path, bytes]:
        """Have the state written and flushed, whatever its size; return its file and checksum."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self._folder, prefix=f".{run_spec.run_id}-") as folder:
            new = Path(folder) / "state"
            write(new)
            with new.open("rb") as file:
                digest = file_digest(file, "sha256").digest()
                flush_to_disk(file.fileno())
            return new.replace(self._state_path(run_spec, digest)), digest

    def has(self, run_spec: RunSpec) -> bool:
        """Return whether there is anything that a run might go on from."""
        return self._path(run_spec).exists()

    def load(self, run_spec: RunSpec) -> Progress | None:
        """Return how far a run had come; None where that is not known.

        A damaged checkpoint is set aside.
        """
        path = self._path(run_spec)
        try:
            found = path.read_bytes()
        except OSError:
            return None
        seal, content = found[:32], found[32:]
        if seal != self._seal(run_spec, content):
            self._set_aside(path, "is damaged, or of other code or another machine")
            return None
        try:
            progress, digest = _unpack(content)
        except Exception as error:  # zip, zlib and numpy each have their own complaints
            self._set_aside(path, f"cannot be read: {printable(str(error))}")
            return None
        state = self._state_path(run_spec, digest)
        try:
            with state.open("rb") as file:
                whole = file_digest(file, "sha256").digest() == digest
        except OSError:
            whole = False
        if not whole:
            self._set_aside(path, f"has lost its state, {state.name}, or that is damaged")
            return None
        goes_on = f"goes on from position {progress.position:,}"
        anew = "begins anew: what its model holds could not be kept"
        self._say(f"seed {run_spec.seed} {goes_on if progress.position else anew}")
        return replace(progress, state=state)

    def drop(self, run_spec: RunSpec) -> None:
        """Remove the checkpoint of a run: its record is there."""
        with suppress(OSError):
            self._path(run_spec).unlink(missing_ok=True)
            self._remove_states(run_spec)
        sweep(self._path(run_spec))

    def _path(self, run_spec: RunSpec) -> Path:
        return self._folder / f"{run_spec.run_id}.ckpt"

    def _state_path(self, run_spec: RunSpec, digest: bytes) -> Path:
        return self._folder / f"{run_spec.run_id}-{digest.hex()[:16]}.state"

    def _remove_states(self, run_spec: RunSpec, but: Path | None = None) -> None:
        for path in self._folder.glob(f"{run_spec.run_id}-*.state"):
            if path != but:
                path.unlink(missing_ok=True)
        for left in self._folder.glob(f".{run_spec.run_id}-*"):  # by a process that was killed
            rmtree(left, ignore_errors=True)

    def _seal(self, run_spec: RunSpec, content: bytes) -> bytes:
        return sha256(f"{run_spec.run_id}\0{self._origin}\0".encode() + content).digest()

    def _set_aside(self, path: Path, why: str) -> None:
        target = path.with_suffix(".set-aside")
        with suppress(OSError):
            path.replace(target)
            self._say(f"checkpoint {path.name} {why}: the run begins anew; it now lies in {target}")


def _unpack(content: bytes) -> tuple[Progress, bytes]:
    """Return the progress that was packed, and the checksum of the state's file.

    Raises:
        ValueError: Its arrays do not fit one another.
        Exception: It is damaged.
    """
    with np.load(io.BytesIO(content), allow_pickle=False) as file:
        arrays = [file[name] for name in _ARRAYS]
    position, pairs, outputs, seconds, resumed, digest = arrays
    if (
        [f"{a.dtype.kind}{a.ndim}" for a in arrays] != [*_ARRAYS.values()]
        or not 0 < len(pairs) == len(outputs)
        or digest.nbytes != sha256().digest_size
    ):
        raise ValueError("its arrays do not fit one another")
    build, total = seconds.tolist()
    before = tuple(resumed.tolist())
    return Progress(int(position), pairs, outputs, (build, total), before), digest.tobytes()
