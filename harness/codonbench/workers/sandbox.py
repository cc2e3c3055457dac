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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from codonbench.errors import UsageError

GIB = 2**30

_CONFINE = Path(__file__).resolve().with_name("confine.py")  # not imported: there is Windows, too

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/alternatives", "/etc/localtime"),
)

_PASSED_ON = {"PATH", "LANG", "TZ", "PYTHONHASHSEED", "LD_LIBRARY_PATH"}
_PASSED_ON_PREFIXES = (
    *("LC_", "OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "ATEN_", "DNNL_", "ONEDNN_"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "TORCH_", "PYTORCH_"),
)
"""What can change a result, or where a library is found; a token is in none of these."""

_NOBODYS = 0x7000_0000  # user ids from here on are set aside for no purpose, and owned by none
_SHARED = 16 * GIB  # address space beside private memory: libraries, and what threads reserve
_TO_START = 10.0  # seconds until a sandbox must have come up


@dataclass(frozen=True)
class Limits:
    """What a sandboxed process may use up.

    Each holds for a single process, but for `processes` and `scratch`.

    Attributes:
        memory: Bytes of its own memory. What processes share is limited on a CPU only, to
            16 GiB beside it, as CUDA reserves more addresses than there is memory.
        cpu_seconds: Processor time; SIGXCPU ends it then, and SIGKILL 2 s later.
        processes: Processes and threads together. PyTorch has a few for each core.
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
    ours, theirs = socket.socketpair()
    fd = connection.fileno()
    with theirs:
        # -P: the folder it stands in is not one to import from.
        python = [sys.executable, "-P", "-m", module, str(fd), *arguments]
        command = _confined(python, theirs.fileno(), limits or Limits(), gpu)
        bwrap = subprocess.Popen(
            [*_bwrap(_shown(readable), hidden, limits or Limits(), gpu), *command],
            stdin=subprocess.DEVNULL,
            stdout=2,  # standard output is ours, for results
            env=_environment(),
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
                [*_bwrap(_shown(()), (), Limits(), gpu=False), *command],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                env=_environment(),
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


def _check_readable(paths: Iterable[Path]) -> None:
    """Hold that what is to be shown can be read by whom root becomes.

    Raises:
        UsageError: Names the file or folder that cannot be.
    """
    for path in paths:
        needed = 0o005 if path.is_dir() else 0o004
        if _is_root() and path.stat().st_mode & needed != needed:
            raise UsageError(
                f"{path} can be read by root alone, and nobody is root in a sandbox; "
                f"try 'chmod o+rX {path}'"
            )


def _is_root() -> bool:
    """Return whether this user is the machine's root, and not only a container's."""
    owner, outside, _ = Path("/proc/self/uid_map").read_text().split()[:3]
    return os.geteuid() == 0 and (owner, outside) == ("0", "0")


def _confined(python: Sequence[str], hail: int, limits: Limits, gpu: bool) -> list[str]:
    """Return the command that sets the limits inside, gives up root, and becomes `python`."""
    # Each of root's sandboxes has a user of its own, as the kernel counts processes by user.
    uid = _NOBODYS + secrets.randbits(27) if _is_root() else _NOBODYS
    settings = [f"{name}={number}" for name, number in limits.settings(gpu).items()]
    bare = [sys.executable, "-I", "-S", str(_CONFINE)]
    return [*bare, str(hail), str(uid), *settings, "--", *python]


def _bwrap(shown: Sequence[Path], hidden: Sequence[Path], limits: Limits, gpu: bool) -> list[str]:
    """Return bubblewrap's part of the command: what there is in the sandbox, and what is not."""
    visible = [path for path in shown if not _is_within(path.resolve(), _resolved(hidden))]
    scratch = ("--size", str(limits.scratch), "--perms", "1777", "--tmpfs")
    words = [str(shutil.which("bwrap")), "--die-with-parent", "--new-session"]
    words += [f"--unshare-{what}" for what in ("ipc", "pid", "net", "uts", "cgroup-try")]
    words += _user()
    words += ["--proc", "/proc", "--dev", "/dev", *scratch, "/dev/shm", *scratch, "/tmp"]
    words += [word for path in _SYSTEM for word in _system(Path(path))]
    words += [word for path in _way_to(visible) for word in ("--perms", "0755", "--dir", str(path))]
    words += [word for path in _SETTINGS for word in ("--ro-bind-try", path, path)]
    words += [word for path in _gpu_devices() for word in ("--dev-bind", path, path)] if gpu else []
    words += ["--ro-bind", "/sys", "/sys"] if gpu else []
    words += [word for path in visible for word in ("--ro-bind", str(path), str(path))]
    words += [word for path in _masked(visible, hidden) for word in _mask(path)]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


def _user() -> list[str]:
    """Return who it is inside: of root, only the right to become somebody else is kept."""
    if _is_root():
        return ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-user", "--disable-userns", "--uid", str(_NOBODYS), "--gid", str(_NOBODYS)]


def _system(path: Path) -> list[str]:
    """Return how one of the system's folders is shown: as a link where it is one."""
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind-try", str(path), str(path)]


def _gpu_devices() -> list[str]:
    """Return NVIDIA's devices, as far as there are any."""
    return sorted(str(path) for path in Path("/dev").glob("nvidia*"))


def _shown(readable: Iterable[Path]) -> list[Path]:
    """Return what is shown beside the system, outermost first, nothing twice."""
    wanted = {*_interpreter(), *_importable(), *(path.absolute() for path in readable)}
    wanted |= {path.resolve() for path in wanted}
    found: list[Path] = []
    for path in sorted(wanted, key=lambda path: (len(path.parts), path)):
        if path.exists() and not _is_within(path, [*map(Path, _SYSTEM), *found]):
            found.append(path)
    return found


def _way_to(paths: Iterable[Path]) -> list[Path]:
    """Return the folders on the way to some paths, and to `_SETTINGS`; these alone are in them."""
    everything = [*paths, *map(Path, _SETTINGS)]
    return sorted({x for path in everything for x in path.parents} - {Path("/"), Path("/tmp")})


def _interpreter() -> Iterator[Path]:
    """Yield where the interpreter lies, and each link on the way to it."""
    yield from map(Path, (sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix))
    link = Path(sys.executable)
    while link.is_symlink():
        yield link
        link = link.parent / link.readlink()
    yield link


def _importable() -> Iterator[Path]:
    """Yield what modules are imported from, but no folder in which much else may lie."""
    yield Path(__file__).resolve().parents[2]
    private = (Path.home().resolve(), Path.cwd(), Path("/tmp"))
    for path in map(Path, filter(None, sys.path)):
        if path.is_absolute() and not any(p.is_relative_to(path.resolve()) for p in private):
            yield path
    for folder in filter(None, os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)):
        yield Path(folder).absolute()


def _resolved(paths: Iterable[Path]) -> list[Path]:
    return [path.resolve() for path in paths]


def _is_within(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path is one of some others, or below it."""
    return any(path.is_relative_to(folder) for folder in folders)


def _masked(shown: Iterable[Path], hidden: Iterable[Path]) -> Iterator[Path]:
    """Yield where in the sandbox something hidden would be seen."""
    system = (path for path in map(Path, _SYSTEM) if not path.is_symlink())
    for place in (*shown, *system):
        for path in _resolved(hidden):
            if path.exists() and path.is_relative_to(place.resolve()):
                yield place / path.relative_to(place.resolve())


def _mask(path: Path) -> list[str]:
    """Return what puts an empty folder, or a file that cannot be read, in a path's place."""
    if path.is_dir():
        return ["--tmpfs", str(path), "--remount-ro", str(path)]
    return ["--ro-bind", "/dev/null", str(path)]


def _environment() -> dict[str, str]:
    """Return the environment inside."""
    passed_on = {
        name: value
        for name, value in os.environ.items()
        if name in _PASSED_ON or name.startswith(_PASSED_ON_PREFIXES)
    }
    own = {"HOME": "/tmp", "USER": "nobody", "LOGNAME": "nobody"}  # caches are named for the user
    if "PYTHONPATH" in os.environ:
        importable = {str(path) for path in _importable()}
        kept = [x for x in os.environ["PYTHONPATH"].split(os.pathsep) if x in importable]
        own["PYTHONPATH"] = os.pathsep.join(kept)
    return {**passed_on, **own}


def _exitcode(code: int) -> int:
    """Return the negative number of the signal that bubblewrap tells of, or the exit code."""
    signals = {int(number) for number in signal.Signals}
    return 128 - code if code - 128 in signals else code
