"""How worker processes come to be: each a fork of an ancestor that has imported PyTorch already.

The ancestor has seen none of the parent's plugins, data or labels, and runs no thread, so that a
fork of it is safe and knows nothing. Without PyTorch here: `warm_up` is called before it loads.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Timer
from types import ModuleType
from typing import Any, Protocol

from codonbench.errors import WorkerError
from codonbench.execution.interrupts import unheard_by_children

_METHOD = "spawn" if sys.platform == "win32" else "forkserver"
_PATIENCE = 60.0  # seconds in which ancestors that end are replaced
_TO_FORK = 600.0  # seconds for one to fork, which it does once it has imported PyTorch
_TO_TELL = 5.0  # seconds for an ancestor to tell how a fork of it has ended


def warm_up() -> None:
    """Let the workers' ancestor import PyTorch beside whatever is done here meanwhile."""
    if _METHOD == "forkserver":
        forkserver.set_forkserver_preload(["codonbench.execution.worker"])
        with unheard_by_children():
            forkserver.ensure_running()


class Process(Protocol):
    """What a worker's parent needs of it."""

    @property
    def exitcode(self) -> int | None:
        """None while it runs; then its exit code, or the negative number of a signal."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""

    def terminate(self) -> None:
        """Ask it to end."""

    def kill(self) -> None:
        """End it at once."""


Start = Callable[[Connection], Process]
"""Starts a worker at its end of a pipe."""


class Forked:
    """A fork of the ancestor, which it may outlive: known by a hold on itself, where there are any.

    Without one, a process whose ancestor has gone counts as ended, and cannot be ended.

    Args:
        process: As `multiprocessing` knows it.
    """

    def __init__(self, process: BaseProcess) -> None:
        self._process = process
        self._hold: int | None = None
        if hasattr(os, "pidfd_open"):  # Linux
            with suppress(OSError):
                self._hold = os.pidfd_open(self.pid)

    @property
    def pid(self) -> int:
        """Its number, and that of its group, which it makes for itself."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exitcode(self) -> int | None:
        """None while it runs; then its exit code, or the negative number of a signal."""
        if self._hold is not None and not wait([self._hold], 0):
            return None
        return self._process.exitcode

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        if self._hold is None:
            self._process.join(timeout)
        elif wait([self._hold], timeout):
            self._process.join(_TO_TELL)
            if self._process.exitcode is None:  # whoever should tell does not
                end_the_ancestor()
                self._process.join(_TO_TELL)
            os.close(self._hold)
            self._hold = None

    def terminate(self) -> None:
        """Ask it to end."""
        self._send("SIGTERM", self._process.terminate)

    def kill(self) -> None:
        """End it at once, and what it has started."""
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
        self._send("SIGKILL", self._process.kill)

    def _send(self, name: str, without_hold: Callable[[], None]) -> None:
        if self._hold is None:
            without_hold()
        else:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._hold, signal.Signals[name])


def start(target: Callable[..., None], arguments: tuple[Any, ...]) -> Forked:
    """Start a process that is a fork of the ancestor.

    Where the ancestor cannot be had any more, which what goes on in its forks can bring about,
    another takes its place.

    Raises:
        WorkerError: That one could not be had either, nor could the next ones.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        late = Timer(_TO_FORK, end_the_ancestor)  # which a stopped one gives way to
        late.daemon = True
        late.start()
        try:
            return Forked(_fork(target, arguments))
        except (OSError, EOFError) as error:
            if time.monotonic() > deadline:
                raise WorkerError(f"no worker process can be started: {error!r}") from error
            end_the_ancestor()
            time.sleep(0.05)  # until that is known
        finally:
            late.cancel()


def end_the_ancestor() -> None:
    """End the process that workers are forked from; the next start makes another."""
    pid = getattr(forkserver._forkserver, "_forkserver_pid", None)
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _fork(target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    warm_up()
    context = multiprocessing.get_context(_METHOD)
    # Typeshed knows the concrete contexts' Process only.
    process: BaseProcess = context.Process(  # type: ignore[attr-defined]
        target=target, args=arguments, daemon=True
    )
    with _no_main_module(), unheard_by_children():
        process.start()
    return process


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def _no_main_module() -> Iterator[None]:
    """Keep workers from importing the program that started this one: they need none of it."""
    main = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
