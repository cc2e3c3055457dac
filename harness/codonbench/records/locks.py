"""Who has taken what: processes tell one another through a folder what they are using.

Each process keeps one file of the folder locked while it is there, and says in another what it
has taken. The operating system drops the lock of a process that ends, however it ends; what such
a process had taken is free again, and the next that looks clears its files away.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from shutil import rmtree

from filelock import FileLock, Timeout, has_fcntl
from pydantic import ValidationError

from codonbench.contracts import Frozen

_LONGEST_WAIT = 60.0
"""Seconds that a look at the ledger may be waited for; it takes others a moment."""


class OwnFolder:
    """A folder of this process, which nobody else removes while it is there.

    Args:
        beside: Where to make it.

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
        """Remove it, and where it lies if nothing else is there."""
        rmtree(self.path, ignore_errors=True)
        self._lock.release()
        _remove_lock(self.path)


def sweep_folders(beside: Path) -> None:
    """Remove each `OwnFolder` of a process that has ended, however it did."""
    for path in beside.glob(".worker-*"):
        if path.is_dir() and not _is_held(path.with_suffix(".lock")):
            rmtree(path, ignore_errors=True)
            _remove_lock(path)


def _remove_lock(folder: Path) -> None:
    with suppress(OSError):  # others have something there
        folder.with_suffix(".lock").unlink(missing_ok=True)
        folder.parent.rmdir()


class Holder(Frozen):
    """A process, and what it has taken.

    Attributes:
        pid: Its number.
        since: When it came.
        things: Names of what it has taken.
        alone: Whether it lets nobody else have them.
    """

    pid: int
    since: datetime
    things: tuple[str, ...] = ()
    alone: bool = True

    def __str__(self) -> str:
        """Return ``process 4711 (since 17:20:05)``."""
        return f"process {self.pid} (since {self.since:%H:%M:%S})"


class Ledger:
    """A folder in which processes write down what they have taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def opened(self) -> Iterator[Page]:
        """Give this process a page, which is torn out when the context ends.

        Raises:
            OSError: The folder cannot be made or written, or its file system has no locks.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        _insist_on_locks(self.folder)
        name = f"{os.getpid()}-{token_hex(4)}"
        own = _lock(self.folder / f"{name}.lock")
        with self._one_at_a_time():
            own.acquire(blocking=False)
        try:
            yield Page(self, name)
        finally:
            with self._one_at_a_time():
                _clear(self.folder, name)
                own.release()

    def holders(self, besides: str) -> list[Holder]:
        """Return the other processes that are there; clear away what dead ones left.

        To be called by who holds the ledger; see `Page`.
        """
        found = []
        for path in sorted(self.folder.glob("*-*.lock")):
            if path.stem == besides:
                continue
            if _is_held(path):
                found.append(_read(self.folder / f"{path.stem}.json"))
            else:
                _clear(self.folder, path.stem)
        return [holder for holder in found if holder is not None]

    def _one_at_a_time(self) -> FileLock:
        """Return what keeps others from the ledger for the moment that a look or a line takes."""
        return _lock(self.folder / "ledger.lock", timeout=_LONGEST_WAIT)


class Page:
    """What one process has taken."""

    def __init__(self, ledger: Ledger, name: str) -> None:
        self._ledger = ledger
        self._file = ledger.folder / f"{name}.json"
        self._name = name
        self._since = datetime.now().astimezone()
        self._things: dict[str, None] = {}

    def take_free(self, things: Iterable[str]) -> tuple[set[str], list[Holder]]:
        """Take those of `things` that nobody has; return them, and who has the others."""
        wanted = set(things)
        with self._ledger._one_at_a_time():
            others = [h for h in self._ledger.holders(self._name) if wanted & {*h.things}]
            free = wanted.difference(*(holder.things for holder in others))
            self._write({*self._things, *free}, alone=True)
        return free, others

    def take_all(self, things: Iterable[str], *, alone: bool) -> tuple[bool, list[Holder]]:
        """Take `things` unless somebody is in the way; return whether, and who uses them too.

        Args:
            things: What to take.
            alone: Whether to be the only one. Those who need not be may use a thing together.
        """
        wanted = set(things)
        with self._ledger._one_at_a_time():
            others = [h for h in self._ledger.holders(self._name) if wanted & {*h.things}]
            in_the_way = [h for h in others if alone or h.alone]
            if in_the_way:
                return False, in_the_way
            self._write(wanted, alone=alone)
        return True, others

    def give_back(self, thing: str) -> None:
        """Let others have a thing again."""
        with self._ledger._one_at_a_time():
            self._write({*self._things} - {thing}, alone=True)

    def _write(self, things: Iterable[str], *, alone: bool) -> None:
        self._things = dict.fromkeys(sorted(things))
        holder = Holder(pid=os.getpid(), since=self._since, things=tuple(self._things), alone=alone)
        self._file.write_text(holder.model_dump_json())


def _lock(path: Path, timeout: float = -1) -> FileLock:
    # A context may be left in another thread than it was entered in, where a generator holds it.
    return FileLock(path, timeout, thread_local=False)


def _insist_on_locks(folder: Path) -> None:
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


def _read(path: Path) -> Holder | None:
    """Return what a process has written; None where it has not come to that."""
    try:
        return Holder.model_validate(json.loads(path.read_bytes()))
    except (OSError, ValueError, ValidationError):
        return None


def _clear(folder: Path, name: str) -> None:
    for suffix in (".json", ".lock"):
        with suppress(OSError):  # Windows keeps what is open
            (folder / f"{name}{suffix}").unlink(missing_ok=True)
