"""A control group for each sandbox, where this process may make one.

In it the kernel counts all memory of all processes at any moment, what they share, files in memory,
pipes and sockets among it. Groups of version 2 are made where this process is alone in one that it
may write to, as by ``systemd-run --user --scope -p Delegate=yes``; of version 1 where it may write
to its own, as root may. Elsewhere there are none, and `sandbox.too_much` looks at memory.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from itertools import count
from pathlib import Path

_ENTER = 'echo 0 >"$0/cgroup.procs" && exec "$@"'
_NAMES = "codonbench-"
_TO_BE_EMPTY = 1.0  # seconds in which what was killed has gone
_numbers = count()


class Group:
    """A control group for a sandbox.

    Args:
        within: Folder of the parent group.
        memory: Bytes for all its processes together.

    Raises:
        OSError: It cannot be made.
    """

    def __init__(self, within: Path, memory: int) -> None:
        self.folder = within / f"{_NAMES}{os.getpid()}-{next(_numbers)}"
        second = (within / "cgroup.controllers").exists()
        limit = "memory.max" if second else "memory.limit_in_bytes"
        swap = {"memory.swap.max": 0} if second else {"memory.memsw.limit_in_bytes": memory}
        self.folder.mkdir()
        try:
            (self.folder / limit).write_text(f"{memory}\n")
        except OSError:
            self.remove()
            raise
        for file, number in {**swap, "memory.oom.group": 1}.items():
            with suppress(OSError):  # version 1, or a kernel that counts no swap, lacks it
                (self.folder / file).write_text(f"{number}\n")

    def command(self, command: Sequence[str]) -> list[str]:
        """Return what runs a command in it: a shell that enters it, and becomes the command."""
        return ["/bin/sh", "-c", _ENTER, str(self.folder), *command]

    def ran_out(self) -> bool:
        """Return whether the kernel has ended something in it for want of memory."""
        for file in ("memory.events", "memory.oom_control"):
            with suppress(OSError):
                events = (self.folder / file).read_text()
                return re.search(r"^oom_kill [1-9]", events, re.MULTILINE) is not None
        return False

    def remove(self) -> None:
        """Remove it, once all in it have ended."""
        deadline = time.monotonic() + _TO_BE_EMPTY
        while not _is_removed(self.folder) and time.monotonic() < deadline:
            time.sleep(0.005)


def _is_removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:  # something in it has not ended
        return False
    return True


def can_be_made() -> bool:
    """Return whether this process can make groups."""
    return _within() is not None


def group(memory: int) -> Group | None:
    """Return a new group in which so many bytes may be used; None where none can be had."""
    with suppress(OSError):
        return None if (within := _within()) is None else Group(within, memory)
    return None


@cache
def _within() -> Path | None:
    """Return where groups can be made; remove those that killed processes have left there."""
    found = None
    with suppress(OSError, ValueError):
        own = _own(Path("/proc/self"))
        if os.access(first := own.get("memory", ""), os.W_OK):
            found = Path(first)
        elif "" in own and _can_limit(own[""]):
            found = own[""]
    for left in [] if found is None else found.glob(f"{_NAMES}*"):
        if not Path("/proc", left.name.split("-")[1]).exists():
            _is_removed(left)
    return found


def _own(process: Path) -> dict[str, Path]:
    """Return the folder of the group that a process is in, by controller; version 2's by none."""
    groups: dict[str, Path] = {}
    for line in (process / "cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), Path(path))
    found = {}
    for line in (process / "mountinfo").read_text().splitlines():
        mount, _, what = line.partition(" - ")
        root, place = mount.split()[3:5]
        kind, *_, options = what.split()
        for name in {"cgroup": options.split(","), "cgroup2": [""]}.get(kind, []):
            if name in groups and groups[name].is_relative_to(root):
                found[name] = Path(place) / groups[name].relative_to(root)
    return found


def _can_limit(own: Path) -> bool:
    """Return whether a group of version 2 limits memory of others, once we have left it for one."""
    alone = (own / "cgroup.procs").read_text().split() == [str(os.getpid())]
    if not alone or "memory" not in (own / "cgroup.controllers").read_text().split():
        return False
    (leaf := own / f"{_NAMES}{os.getpid()}").mkdir()
    (leaf / "cgroup.procs").write_text("0\n")
    (own / "cgroup.subtree_control").write_text("+memory\n")
    return True
