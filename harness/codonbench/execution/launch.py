"""Starts a Python process that speaks over pipes: by this interpreter or another, sandboxed or not.

The process gets three file descriptors: to hear by, to speak by, and its lifeline. A byte on that
one asks it to stop, its end says that the parent has gone.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from codonbench.errors import WorkerError
from codonbench.execution.sandbox import Sandbox


class Process(Protocol):
    """What a worker's parent needs of it.

    Attributes:
        speaks, hears: Pipes: what it says is read from the one, what it is told is written to the
            other; neither is waited for.
    """

    speaks: int
    hears: int

    @property
    def exitcode(self) -> int | None:
        """None while it runs; then its exit code, or the negative number of a signal."""

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""

    def terminate(self) -> None:
        """Ask it to stop."""

    def kill(self) -> None:
        """End it at once, and what it has started; let go of it."""


class Launched:
    """A process that `launch` has started."""

    def __init__(self, popen: subprocess.Popen[bytes], fds: Sequence[int], sandboxed: bool) -> None:
        self._popen = popen
        self._sandboxed = sandboxed
        self.speaks, self.hears, self._lifeline = fds
        self._open = True

    @property
    def pid(self) -> int:
        """Its number, and that of its group; or of what holds its sandbox."""
        return self._popen.pid

    @property
    def exitcode(self) -> int | None:
        """None while it runs; then its exit code, or the negative number of a signal."""
        code = self._popen.poll()
        # bubblewrap exits with 128 and the number of the signal that ended what is inside.
        told = self._sandboxed and code is not None and code - 128 in set(signal.Signals)
        return 128 - code if told and code is not None else code

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout)

    def terminate(self) -> None:
        """Ask it to stop, which it hears once it has come up."""
        if self._open:
            with suppress(OSError):
                os.write(self._lifeline, b"!")

    def kill(self) -> None:
        """End it at once, and what it has started; let go of it."""
        if self._open:
            self._open = False
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()
            for fd in (self.speaks, self.hears, self._lifeline):
                os.close(fd)


def launch(
    module: str,
    arguments: Sequence[str] = (),
    *,
    python: str = sys.executable,
    sandbox: Sandbox | None = None,
) -> Launched:
    """Run ``python -P -m MODULE HEARS SPEAKS LIFELINE ARGUMENTS``, which ends with its parent.

    It is deaf to this terminal's Ctrl-C, imports nothing from the current folder, and has its
    standard output on our standard error, as ours is for results.

    Args:
        module: Runs as ``__main__``.
        arguments: Follow the three file descriptors in its ``sys.argv``.
        python: The interpreter; codonbench must be installed there, too.
        sandbox: Where to hold it; it ends with the thread that starts it then. None for nowhere.

    Raises:
        WorkerError: It cannot be started.
        UsageError: No sandbox can be had here, or it could not read what it is to be shown.
    """
    if os.name == "nt":
        raise WorkerError("worker processes need pipes that Windows lacks; use --workers 0")
    (hears, ours), (mine, speaks), (life, held) = (os.pipe() for _ in range(3))
    theirs = (hears, speaks, life)
    command = [python, "-P", "-m", module, *map(str, theirs), *arguments]
    try:
        popen = subprocess.Popen(
            command if sandbox is None else sandbox.command(command),
            stdin=subprocess.DEVNULL,
            stdout=2,
            env=_environment() if sandbox is None else sandbox.environment(),
            pass_fds=theirs,
            start_new_session=True,
        )
    except BaseException as error:
        for fd in (ours, mine, held):
            os.close(fd)
        if isinstance(error, OSError):
            raise WorkerError(f"no worker process can be started: {error}") from error
        raise
    finally:
        for fd in theirs:
            os.close(fd)
    os.set_blocking(mine, False)
    os.set_blocking(ours, False)
    return Launched(popen, (mine, ours, held), sandbox is not None)


def importable() -> list[str]:
    """Return the folders that modules are imported from here, but for the current one."""
    return [path for path in sys.path if Path(path).is_absolute() and Path(path) != Path.cwd()]


def _environment() -> dict[str, str]:
    """Return ours, without what would import from the current folder."""
    environment = dict(os.environ)
    if "PYTHONPATH" in environment:
        path = environment["PYTHONPATH"].split(os.pathsep)
        absolute = [folder for folder in path if folder and Path(folder).is_absolute()]
        environment["PYTHONPATH"] = os.pathsep.join(absolute)
    return environment
