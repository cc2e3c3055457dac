"""A Python process that can reach nothing but us: started by bubblewrap, within limits.

It sees the interpreter, the system's libraries, what is installed, and the files it is shown; all
of it read-only, but for a folder where states of runs are kept. ``/tmp`` is its own and empty, and
so is its home. It has no network, sees no other process, and of the environment only what steers
arithmetic and imports.

What it may use up is limited for each of its processes by ``setrlimit``; how many there are, too.
What they use together is looked at once a second from outside, and ends them where it is too much;
memory is the kernel's to count where they can have a control group, see `cgroup`.
Root is given up inside: the kernel holds root to no number of processes. Calls of the kernel that
lead around all this are refused; see `confine`.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from codonbench.errors import UsageError
from codonbench.execution.cgroup import Group, group

NOBODYS = 0x7000_0000  # user ids from here on are set aside for no purpose, and owned by none

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = (
    *("/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d"),
    *("/etc/alternatives", "/etc/localtime"),
)

PASSED_ON = (
    *("PATH", "LD_LIBRARY_PATH", "PYTHONHASHSEED"),
    *("LANG", "LC_ALL", "LC_CTYPE", "LC_NUMERIC", "TZ"),
    *("OMP_NUM_THREADS", "OMP_DYNAMIC", "OMP_PROC_BIND", "OMP_PLACES", "OMP_WAIT_POLICY"),
    *("GOMP_CPU_AFFINITY", "KMP_AFFINITY", "KMP_BLOCKTIME"),
    *("MKL_NUM_THREADS", "MKL_DYNAMIC", "MKL_CBWR", "MKL_THREADING_LAYER"),
    *("OPENBLAS_NUM_THREADS", "OPENBLAS_CORETYPE"),
    *("ATEN_CPU_CAPABILITY", "DNNL_MAX_CPU_ISA", "ONEDNN_MAX_CPU_ISA"),
    *("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING"),
    *("CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE"),
    "PYTORCH_CUDA_ALLOC_CONF",
)
"""What can change a result, or where a library is found; all else stays outside."""


def is_root() -> bool:
    """Return whether this user is the machine's root, and not only a container's."""
    owner, outside, _ = Path("/proc/self/uid_map").read_text().split()[:3]
    return os.geteuid() == 0 and (owner, outside) == ("0", "0")


def _user() -> list[str]:
    """Return the options for the user inside: root keeps only the right to become another user."""
    if is_root():
        return ["--cap-drop", "ALL", "--cap-add", "CAP_SETUID", "--cap-add", "CAP_SETGID"]
    return ["--unshare-user", "--disable-userns", "--uid", str(NOBODYS), "--gid", str(NOBODYS)]


def _system(path: Path) -> list[str]:
    """Return how one of the system's folders is shown: as a link where it is one."""
    if path.is_symlink():
        return ["--symlink", str(path.readlink()), str(path)]
    return ["--ro-bind-try", str(path), str(path)]


def _gpu_devices() -> list[str]:
    """Return NVIDIA's devices, as far as there are any."""
    return sorted(str(path) for path in Path("/dev").glob("nvidia*"))


def _shown(readable: Iterable[Path]) -> list[Path]:
    """Return what is shown beside the system."""
    wanted = {*_interpreter(), *_importable(), *(path.absolute() for path in readable)}
    wanted |= {path.resolve() for path in wanted}
    system = [Path(path) for path in _SYSTEM]
    return _outermost(path for path in wanted if path.exists() and not _is_within(path, system))


def _outermost(paths: Iterable[Path]) -> list[Path]:
    """Return the paths that lie below no other of them, nothing twice."""
    found: list[Path] = []
    for path in sorted(set(paths), key=lambda path: (len(path.parts), path)):
        if not _is_within(path, found):
            found.append(path)
    return found


def _way_to(paths: Iterable[Path]) -> list[Path]:
    """Return the folders on the way to some paths, and to `_SETTINGS`; these alone are in them."""
    everything = [*paths, *map(Path, _SETTINGS)]
    return sorted({x for path in everything for x in path.parents} - {Path("/"), Path("/tmp")})


def _interpreter() -> Iterator[Path]:
    """Yield the path of the interpreter, and each link on the way to it."""
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


def _is_within(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path is one of some others, or below it."""
    return any(path.is_relative_to(folder) for folder in folders)


def _masked(shown: Iterable[Path], hidden: Iterable[Path]) -> Iterator[Path]:
    """Yield where in the sandbox something hidden would be seen; `hidden` are real paths."""
    system = (path for path in map(Path, _SYSTEM) if not path.is_symlink())
    for place in (*shown, *system):
        for path in hidden:
            if path.exists() and path.is_relative_to(place.resolve()):
                yield place / path.relative_to(place.resolve())


def _mask(path: Path) -> list[str]:
    """Return what puts an empty folder, or a file that cannot be read, in a path's place."""
    if path.is_dir():
        return ["--tmpfs", str(path), "--remount-ro", str(path)]
    return ["--ro-bind", "/dev/null", str(path)]


GIB = 2**30

_CONFINE = Path(__file__).resolve().with_name("confine.py")  # not imported: there is Windows, too

_SHARED = 16 * GIB  # address space beside private memory: libraries, and what threads reserve
_TO_START = 60.0  # seconds until a sandbox must have come up


@dataclass(frozen=True)
class Limits:
    """What a sandboxed process may use up.

    Each holds for a single process, but for `processes`, `scratch` and `files`; `memory` for one
    and for all together.

    Attributes:
        memory: Bytes of its own memory, and of that of all processes and what they share, files in
            memory among it. Of a single process, what it shares is limited on a CPU only, to 16 GiB
            beside it, as CUDA reserves more addresses than there is memory.
        cpu_seconds: Processor time; SIGXCPU ends it then, and SIGKILL 2 s later.
        processes: Processes and threads together; PyTorch has a few for each core. Before Linux
            5.14, all that an ordinary user has elsewhere count along.
        file_size: Bytes of a file it writes.
        open_files: How many files it may have open.
        scratch: Bytes that fit into ``/tmp``, and as many into ``/dev/shm``.
        files: How many there may be in both together, and where states are left.
    """

    memory: int = 8 * GIB
    cpu_seconds: int = 24 * 3600
    processes: int = 512
    file_size: int = 16 * GIB
    open_files: int = 1024
    scratch: int = GIB
    files: int = 100_000

    @property
    def too_much_memory(self) -> str:
        """Message on a sandbox that exceeds its memory."""
        return f"uses more than {self.memory / GIB:g} GiB of memory, all processes together"

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
    """A sandbox for a process.

    Attributes:
        readable: Files and folders to show beside what is installed.
        states: A folder that it may write to, which it knows as `states_inside`.
        hidden: Files and folders to show nothing of, whatever shows them; `hidden` overrules
            `readable`. They must exist: what is made later below a shown folder is seen.
        limits: Limits of resources.
        gpu: Whether to let it at NVIDIA's devices.
    """

    readable: tuple[Path, ...] = ()
    states: Path | None = None
    hidden: tuple[Path, ...] = ()
    limits: Limits = Limits()
    gpu: bool = False
    states_inside = Path("/states")

    @staticmethod
    def environment() -> dict[str, str]:
        """Return the environment inside."""
        kept = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        importable = {str(path) for path in _importable()}
        path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
        kept["PYTHONPATH"] = os.pathsep.join(x for x in path if x in importable)
        return kept | {"HOME": "/tmp", "USER": "nobody", "LOGNAME": "nobody"}  # caches are by user

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

    def group(self) -> Group | None:
        """Return a control group for it, in which its memory is counted; None without one."""
        return group(self.limits.memory)

    def _command(self, python: Sequence[str], uid: int) -> list[str]:
        settings = [f"{name}={n}" for name, n in self.limits.settings(self.gpu).items()]
        confine = [sys.executable, "-I", "-S", str(_CONFINE), str(uid), *settings, "--", *python]
        return [*self.surroundings(), *confine]

    def surroundings(self) -> list[str]:
        """Return bubblewrap's part of the command: what there is inside, and what is not."""
        hidden = _outermost(path.resolve() for path in self.hidden)
        shown = [path for path in _shown(self.readable) if not _is_within(path.resolve(), hidden)]
        own = ("--size", str(self.limits.scratch), "--perms", "1777", "--tmpfs")
        arguments = [str(shutil.which("bwrap")), "--die-with-parent", "--new-session"]
        arguments += [f"--unshare-{what}" for what in ("ipc", "pid", "net", "uts", "cgroup-try")]
        arguments += ["--hostname", "sandbox", *_user()]
        arguments += ["--proc", "/proc", "--dev", "/dev", *own, "/dev/shm", *own, "/tmp"]
        arguments += [each for path in _SYSTEM for each in _system(Path(path))]
        for path in _way_to(shown):
            arguments += ["--perms", "0755", "--dir", str(path)]
        arguments += [each for path in _SETTINGS for each in ("--ro-bind-try", path, path)]
        if self.gpu:
            arguments += [each for path in _gpu_devices() for each in ("--dev-bind", path, path)]
            arguments += ["--ro-bind", "/sys", "/sys"]
        arguments += [each for path in shown for each in ("--ro-bind", str(path), str(path))]
        arguments += [each for path in _masked(shown, hidden) for each in _mask(path)]
        if self.states is not None:
            arguments += ["--bind", str(self.states), str(self.states_inside)]
        return [*arguments, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


def too_much(sandbox: Sandbox, holder: int, *, memory_too: bool) -> str:
    """Return which limit all processes together exceed; empty if none.

    Args:
        sandbox: Has the limits.
        holder: The number of bubblewrap's process.
        memory_too: Whether to look at memory, which takes longest; a control group does it else.
    """
    limits, inside = sandbox.limits, list(_below(holder))
    memory, files = sum(map(_memory_of, inside)) if memory_too else 0, 0
    for name in ("tmp", "dev/shm") if len(inside) > 2 else ():  # the first is outside, and its own
        with suppress(OSError):
            found = os.statvfs(f"/proc/{inside[2]}/root/{name}")
            memory += (found.f_blocks - found.f_bfree) * found.f_frsize
            files += found.f_files - found.f_ffree
    if sandbox.states is not None:
        left = _left_in(sandbox.states, inside)
        if left is None:
            return "leaves more than files where states are kept"
        files += len(left)
        if sum(left.values()) > 4 * limits.file_size:
            return f"leaves states of more than {4 * limits.file_size / GIB:g} GiB"
    if memory_too and memory > limits.memory:
        return limits.too_much_memory
    return f"makes more than {limits.files:,} files" if files > limits.files else ""


def _left_in(folder: Path, processes: Iterable[int]) -> dict[int, int] | None:
    """Return bytes on the disk of each file of a folder, by its number; None where not all is seen.

    Among them are those that some processes hold open, but that have no name any more.
    """
    left = {}
    try:
        device = folder.stat().st_dev
        with os.scandir(folder) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        return None
                    left[found.st_ino] = found.st_blocks * 512
    except FileNotFoundError:  # it is over, and the folder is removed
        return {}
    except OSError:  # one that this user may not read
        return None
    for process in processes:
        for found in _open_files(process, "(deleted)"):
            if found.st_dev == device and stat.S_ISREG(found.st_mode):
                left[found.st_ino] = found.st_blocks * 512
    return left


def _open_files(process: int, part: str) -> Iterator[os.stat_result]:
    """Yield what is known of each file that a process has open, with `part` in its path."""
    with suppress(OSError):
        for link in Path(f"/proc/{process}/fd").iterdir():
            with suppress(OSError):
                if part in str(link.readlink()):
                    yield link.stat()


def _below(process: int) -> Iterator[int]:
    """Yield a process and all that it and its descendants have started, as far as they live."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from _below(int(child))


def _memory_of(process: int) -> int:
    """Return bytes of memory that are a process's, with its part of what it shares."""
    memory = 0
    with suppress(OSError):
        rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        memory = 1024 * sum(map(int, re.findall(r"^(?:Pss|SwapPss): +(\d+) kB", rollup, re.M)))
    return memory + sum(found.st_blocks * 512 for found in _open_files(process, "/memfd:"))


@cache
def unavailable() -> str | None:
    """Return why no sandbox can be had here, and what to do; None where one can be had."""
    if sys.platform != "linux":
        return f"a sandbox needs bubblewrap, which is for Linux only; this is {sys.platform}"
    if shutil.which("bwrap") is None:
        return "a sandbox needs bubblewrap, and there is no 'bwrap'; try 'apt install bubblewrap'"
    error = _tried()
    return error and f"bubblewrap does not work here: {error}; {_next_step(error)}"


def _tried() -> str | None:
    """Start a sandbox that does nothing; return the error message if that fails."""
    python = [sys.executable, "-P", "-c", "import codonbench"]
    try:
        done = subprocess.run(
            Sandbox()._command(python, _uid()),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=Sandbox.environment(),
            timeout=_TO_START,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if done.returncode == 0:
        return None
    lines = done.stderr.strip().splitlines()
    return lines[-1].rstrip(".") if lines else f"it ended with exit code {done.returncode}"


def _next_step(error: str) -> str:
    if "nknown option" in error:
        return "it must be 0.8 or newer"
    if "ermission" in error or "not permitted" in error:
        return (
            "user namespaces may be forbidden to ordinary users, which "
            "'sysctl -w kernel.apparmor_restrict_unprivileged_userns=0' (Ubuntu) or "
            "'sysctl -w kernel.unprivileged_userns_clone=1' (Debian) allows; in a container, its "
            "host decides"
        )
    return "'bwrap --unshare-all --ro-bind / / true' should work"


def _uid() -> int:
    """Return the user id inside; for root another one each time, as processes count by user."""
    return NOBODYS + secrets.randbits(27) if is_root() else NOBODYS


def _check_readable(paths: Iterable[Path]) -> None:
    """Check that what is shown can be read by the user that root becomes.

    Raises:
        UsageError: Names the file or folder that cannot be.
    """
    for path in paths:
        needed = 0o005 if path.is_dir() else 0o004
        if is_root() and path.stat().st_mode & needed != needed:
            raise UsageError(
                f"{path} can be read by root alone, and no process is root in a sandbox; "
                f"try 'chmod o+rX {path}'"
            )
