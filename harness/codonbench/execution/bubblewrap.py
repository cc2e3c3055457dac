"""What there is in a sandbox: bubblewrap's part of the command, and the environment."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

NOBODYS = 0x7000_0000  # user ids from here on are set aside for no purpose, and owned by none

STATES = Path("/states")
"""Where the states of runs are kept inside."""

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


def is_root() -> bool:
    """Return whether this user is the machine's root, and not only a container's."""
    owner, outside, _ = Path("/proc/self/uid_map").read_text().split()[:3]
    return os.geteuid() == 0 and (owner, outside) == ("0", "0")


def surroundings(
    readable: Sequence[Path],
    hidden: Sequence[Path],
    scratch: int,
    gpu: bool,
    states: Path | None = None,
) -> list[str]:
    """Return bubblewrap's part of the command: what there is in the sandbox, and what is not.

    Args:
        readable: Files and folders to show beside what is installed.
        hidden: Files and folders to show nothing of.
        scratch: Bytes that fit into ``/tmp``, and as many into ``/dev/shm``.
        gpu: Whether NVIDIA's devices are there.
        states: A folder that may be written to, as `STATES`.
    """
    hidden = _outermost(path.resolve() for path in hidden)
    visible = [path for path in _shown(readable) if not _is_within(path.resolve(), hidden)]
    own = ("--size", str(scratch), "--perms", "1777", "--tmpfs")
    words = [str(shutil.which("bwrap")), "--die-with-parent", "--new-session"]
    words += [f"--unshare-{what}" for what in ("ipc", "pid", "net", "uts", "cgroup-try")]
    words += ["--hostname", "sandbox", *_user()]
    words += ["--proc", "/proc", "--dev", "/dev", *own, "/dev/shm", *own, "/tmp"]
    words += [word for path in _SYSTEM for word in _system(Path(path))]
    words += [word for path in _way_to(visible) for word in ("--perms", "0755", "--dir", str(path))]
    words += [word for path in _SETTINGS for word in ("--ro-bind-try", path, path)]
    words += [word for path in _gpu_devices() for word in ("--dev-bind", path, path)] if gpu else []
    words += ["--ro-bind", "/sys", "/sys"] if gpu else []
    words += [word for path in visible for word in ("--ro-bind", str(path), str(path))]
    words += [word for path in _masked(visible, hidden) for word in _mask(path)]
    words += [] if states is None else ["--bind", str(states), str(STATES)]
    return [*words, "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/tmp", "--"]


def _user() -> list[str]:
    """Return who it is inside: of root, only the right to become somebody else is kept."""
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


def environment() -> dict[str, str]:
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
