"""How worker processes come to be: each a fork of an ancestor that has imported PyTorch already.

The ancestor has seen none of the parent's plugins, data or labels, and runs no thread, so that a
fork of it is safe and knows nothing. Without PyTorch here: `warm_up` is called before it loads.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from types import ModuleType
from typing import Any, Protocol

from codonbench.errors import WorkerError
from codonbench.interrupts import unheard_by_children

_METHOD = "spawn" if sys.platform == "win32" else "forkserver"
_PATIENCE = 60.0  # seconds for an ancestor to be there; to end, one may take a second or more


def warm_up() -> None:
    """Let the workers' ancestor import PyTorch beside whatever is done here meanwhile."""
    if _METHOD == "forkserver":
        forkserver.set_forkserver_preload(["codonbench.workers.worker"])
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


def start(target: Callable[..., None], arguments: tuple[Any, ...]) -> BaseProcess:
    """Start a process that is a fork of the ancestor.

    Where the ancestor has come to its end, which what goes on in its forks can bring about,
    another takes its place.

    Raises:
        WorkerError: That one came to its end as well, and so did the next ones.
    """
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            return _fork(target, arguments)
        except (ConnectionError, EOFError) as error:
            if time.monotonic() > deadline:
                raise WorkerError(f"no worker process can be started: {error!r}") from error
            time.sleep(0.05)  # it refuses before it is known to have ended


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
