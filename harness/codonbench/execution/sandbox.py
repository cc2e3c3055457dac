"""A Python process that can reach nothing but us: started by bubblewrap, within limits.

It sees the interpreter, the system's libraries, what is installed, and the files it is shown; all
of it read-only. ``/tmp`` is its own and empty, and so is its home. It has no network, sees no
other process, and of the environment only what steers arithmetic and imports.

What it may use up is limited for each of its processes by ``setrlimit``; how many there are, too.
Root is given up inside: the kernel holds root to no number of processes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from codonbench.errors import UsageError
from codonbench.execution.bubblewrap import NOBODYS, environment, is_root, surroundings

GIB = 2**30

_CONFINE = Path(__file__).resolve().with_name("confine.py")  # not imported: there is Windows, too

_SHARED = 16 * GIB  # address space beside private memory: libraries, and what threads reserve
_TO_START = 60.0  # seconds until a sandbox must have come up


@dataclass(frozen=True)
class Limits:
    """What a sandboxed process may use up.

    Each holds for a single process, but for `processes` and `scratch`.

    Attributes:
        memory: Bytes of its own memory. What processes share is limited on a CPU only, to
            16 GiB beside it, as CUDA reserves more addresses than there is memory.
        cpu_seconds: Processor time; SIGXCPU ends it then, and SIGKILL 2 s later.
        processes: Processes and threads together; PyTorch has a few for each core. Before Linux
            5.14, all that an ordinary user has elsewhere count along.
        file_size: Bytes of a file it writes.
        open_files: How many files it may have open.
        scratch: Bytes that fit into ``/tmp``, and as many into ``/dev/shm``.
    """

    memory: int = 8 * GIB
    cpu_seconds: int = 24 * 3600
    processes: int = 512
    file_size: int = GIB
    open_files: int = 1024
    scratch: int = GIB

    def settings(self, gpu: bool) -> dict[str, int]:
        """Return them by the name that `resource` has for each."""
        found = {
            "RLIMIT_DATA": self.memory,
            "RLIMIT_AS": self.memory + _SHARED,
            "RLIMIT_CPU": self.cpu_seconds,
            "RLIMIT_NPROC": self.processes,
            "RLIMIT_FSIZE": self.file_size,
            "RLIMIT_NOFILE": self.open_files,
            "RLIMIT_CORE": 0,
        }
        if gpu:
            del found["RLIMIT_AS"]
        return found


class Sandboxed:
    """A process in a sandbox, with the part of `multiprocessing.Process` that its parent needs.

    Args:
        bwrap: What holds the sandbox; it ends with the process inside.
        hail: Where the process inside sends a hold on itself.
    """

    def __init__(self, bwrap: subprocess.Popen[bytes], hail: socket.socket) -> None:
        self._bwrap = bwrap
        self._hail: socket.socket | None = hail
        self._holds: list[int] = []

    @property
    def pid(self) -> int:
        """The number of the process that holds the sandbox."""
        return self._bwrap.pid

    @property
    def exitcode(self) -> int | None:
        """None while it runs, the negative number of the signal that ended it, or its exit code.

        What exits with 128 and the number of a signal reads as ended by that signal.
        """
        code = self._bwrap.poll()
        if code is None:
            return None
        self._let_go()
        return _exitcode(code)

    def is_alive(self) -> bool:
        """Return whether it still runs."""
        return self.exitcode is None

    def join(self, timeout: float | None = None) -> None:
        """Wait until it has ended, or for so many seconds."""
        with suppress(subprocess.TimeoutExpired):
            self._bwrap.wait(timeout)
            self._let_go()

    def terminate(self) -> None:
        """Send SIGTERM to the process inside."""
        self._send(signal.SIGTERM, 0)

    def kill(self) -> None:
        """End everything inside at once; after `join` nothing of it is left."""
        self._send(signal.SIGKILL, 1)

    def _send(self, number: signal.Signals, whom: int) -> None:
        """Send a signal to the process inside (0) or to the first one of its namespace (1)."""
        if not self.is_alive():
            return
        if holds := self._held():
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(holds[whom], number)
        else:  # it never came up; what there is of it dies with bubblewrap
            self._bwrap.kill()

    def _held(self) -> list[int]:
        """Return the holds on the two processes, having waited for them to exist."""
        if self._hail is not None:
            self._hail.settimeout(_TO_START)
            with suppress(OSError):
                _, self._holds, _, _ = socket.recv_fds(self._hail, 1, 2, socket.MSG_CMSG_CLOEXEC)
            self._hail.close()
            self._hail = None
        return self._holds

    def _let_go(self) -> None:
        if self._hail is not None:
            self._hail.close()
            self._hail = None
        while self._holds:
            os.close(self._holds.pop())


def start(
    module: str,
    arguments: Sequence[str],
    connection: Connection,
    *,
    readable: Sequence[Path] = (),
    hidden: Sequence[Path] = (),
    limits: Limits | None = None,
    gpu: bool = False,
) -> Sandboxed:
    """Run ``python -m MODULE FD ARGUMENTS`` in a sandbox.

    The sandbox ends with the thread that starts it, however that comes about.

    Args:
        module: Runs as ``__main__``.
        arguments: Follow the file descriptor in its ``sys.argv``.
        connection: Its end of a pipe; ``FD`` is the file descriptor. To be closed here after.
        readable: Files and folders to show beside what is installed.
        hidden: Files and folders to show nothing of, whatever shows them; `hidden` overrules
            `readable`. They must exist: what is made later below a shown folder is seen.
        limits: What it may use up.
        gpu: Whether to let it at NVIDIA's devices.

    Raises:
        UsageError: No sandbox can be had here, or it could not read what it is to be shown.
    """
    if (reason := unavailable()) is not None:
        raise UsageError(reason)
    _check_readable(readable)
    limits = limits or Limits()
    ours, theirs = socket.socketpair()
    fd = connection.fileno()
    with theirs:
        # -P: the folder it stands in is not one to import from.
        python = [sys.executable, "-P", "-m", module, str(fd), *arguments]
        command = _confined(python, theirs.fileno(), limits, gpu)
        bwrap = subprocess.Popen(
            [*surroundings(readable, hidden, limits.scratch, gpu), *command],
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output is ours, for results
            env=environment(),
            pass_fds=(fd, theirs.fileno()),
            process_group=0,  # what Ctrl-C means is decided here
        )
    return Sandboxed(bwrap, ours)


@cache
def unavailable() -> str | None:
    """Return why no sandbox can be had here, and what to do; None where one can be had."""
    if sys.platform != "linux":
        return f"a sandbox needs bubblewrap, which is for Linux only; this is {sys.platform}"
    if shutil.which("bwrap") is None:
        return "a sandbox needs bubblewrap, and there is no 'bwrap'; try 'apt install bubblewrap'"
    said = _tried()
    return said and f"bubblewrap does not work here: {said}; {_next_step(said)}"


def _tried() -> str | None:
    """Start a sandbox that does nothing; return the last words of one that fails."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        python = [sys.executable, "-P", "-c", "import codonbench"]
        command = _confined(python, theirs.fileno(), Limits(), gpu=False)
        try:
            done = subprocess.run(
                [*surroundings((), (), Limits().scratch, gpu=False), *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=environment(),
                pass_fds=(theirs.fileno(),),
                timeout=_TO_START,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines()
    return said[-1].rstrip(".") if said else f"it ended with exit code {done.returncode}"


def _next_step(said: str) -> str:
    if "nknown option" in said:
        return "it must be 0.8 or newer"
    if "ermission" in said or "not permitted" in said:
        return (
            "user namespaces may be forbidden to ordinary users, which "
            "'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0' (Ubuntu) or "
            "'sysctl -w kernel.unprivileged_userns_clone=1' (Debian) allows; in a container, its "
            "host decides"
        )
    return "'bwrap --unshare-all --ro-bind / / true' should work"


def _confined(python: Sequence[str], hail: int, limits: Limits, gpu: bool) -> list[str]:
    """Return the command that sets the limits inside, gives up root, and becomes `python`."""
    # Each of root's sandboxes has a user of its own, as the kernel counts processes by user.
    uid = NOBODYS + secrets.randbits(27) if is_root() else NOBODYS
    settings = [f"{name}={number}" for name, number in limits.settings(gpu).items()]
    bare = [sys.executable, "-I", "-S", str(_CONFINE)]
    return [*bare, str(hail), str(uid), *settings, "--", *python]


def _check_readable(paths: Iterable[Path]) -> None:
    """Hold that what is to be shown can be read by whom root becomes.

    Raises:
        UsageError: Names the file or folder that cannot be.
    """
    for path in paths:
        needed = 0o005 if path.is_dir() else 0o004
        if is_root() and path.stat().st_mode & needed != needed:
            raise UsageError(
                f"{path} can be read by root alone, and nobody is root in a sandbox; "
                f"try 'chmod o+rX {path}'"
            )


def _exitcode(code: int) -> int:
    """Return the negative number of the signal that bubblewrap tells of, or the exit code."""
    signals = {int(number) for number in signal.Signals}
    return 128 - code if code - 128 in signals else code
