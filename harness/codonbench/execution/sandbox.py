"""A Python process that can reach nothing but us: started by bubblewrap, within limits.

It sees the interpreter, the system's libraries, what is installed, and the files it is shown; all
of it read-only, but for a folder where states of runs are kept. ``/tmp`` is its own and empty, and
so is its home. It has no network, sees no other process, and of the environment only what steers
arithmetic and imports.

What it may use up is limited for each of its processes by ``setrlimit``; how many there are, too.
Root is given up inside: the kernel holds root to no number of processes.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
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
    file_size: int = 16 * GIB
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


@dataclass(frozen=True)
class Sandbox:
    """Where to hold a process.

    Attributes:
        readable: Files and folders to show beside what is installed.
        states: A folder that it may write to, which it knows as `bubblewrap.STATES`.
        hidden: Files and folders to show nothing of, whatever shows them; `hidden` overrules
            `readable`. They must exist: what is made later below a shown folder is seen.
        limits: What it may use up.
        gpu: Whether to let it at NVIDIA's devices.
    """

    readable: tuple[Path, ...] = ()
    states: Path | None = None
    hidden: tuple[Path, ...] = ()
    limits: Limits = Limits()
    gpu: bool = False

    def command(self, python: Sequence[str]) -> list[str]:
        """Return what runs a command of an interpreter in this sandbox.

        Raises:
            UsageError: No sandbox can be had here, or it could not read what it is to be shown.
        """
        if (reason := unavailable()) is not None:
            raise UsageError(reason)
        _check_readable(self.readable)
        uid = _uid()
        if self.states is not None and is_root():
            os.chown(self.states, uid, -1)
        return self._command(python, uid)

    def _command(self, python: Sequence[str], uid: int) -> list[str]:
        settings = [f"{name}={n}" for name, n in self.limits.settings(self.gpu).items()]
        confine = [sys.executable, "-I", "-S", str(_CONFINE), str(uid), *settings, "--", *python]
        scratch = self.limits.scratch
        around = surroundings(self.readable, self.hidden, scratch, self.gpu, self.states)
        return [*around, *confine]

    def environment(self) -> dict[str, str]:
        """Return the environment inside."""
        return environment()


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
    python = [sys.executable, "-P", "-c", "import codonbench"]
    try:
        done = subprocess.run(
            Sandbox()._command(python, _uid()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment(),
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


def _uid() -> int:
    """Return who a process inside is: of root's, each somebody else, as processes are counted."""
    return NOBODYS + secrets.randbits(27) if is_root() else NOBODYS


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
