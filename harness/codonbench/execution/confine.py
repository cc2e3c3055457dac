"""Inside a sandbox, before anything else runs there: set limits, give up root, and hand over.

Run as a script by a bare interpreter, so it imports the standard library only:
``confine.py UID NAME=NUMBER ... -- COMMAND ...``. What it is told comes from `sandbox`.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

_REFUSED = {
    "x86_64": {
        **{"unshare": 272, "setns": 308, "clone": 56, "clone3": 435},
        **{"add_key": 248, "request_key": 249, "keyctl": 250},
        **{"shmget": 29, "semget": 64, "msgget": 68},
        "socket": 41,
        **{"bpf": 321, "io_uring_setup": 425, "perf_event_open": 298, "userfaultfd": 323},
    },
    "aarch64": {
        **{"unshare": 97, "setns": 268, "clone": 220, "clone3": 435},
        **{"add_key": 217, "request_key": 218, "keyctl": 219},
        **{"shmget": 194, "semget": 190, "msgget": 186},
        "socket": 198,
        **{"bpf": 280, "io_uring_setup": 425, "perf_event_open": 241, "userfaultfd": 282},
    },
}
"""Calls of the kernel that nothing here needs, by machine: new namespaces, which may hold memory
that nobody sees and lead to more of the kernel; keys; shared memory that is no process's own; and
sockets that no namespace of the network holds, as those that reach what runs a virtual machine."""

_FAMILIES = (1, 2, 10, 16)
"""Of sockets: within a machine, IPv4, IPv6, netlink. A namespace of the network holds these."""

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}  # as the kernel names them
_SECOND_NUMBERS = 0x4000_0000  # from here on the kernel has x86-64's calls once more
_NEW_USER_NAMESPACE = 0x1000_0000
_SET_SECCOMP, _FILTER = 22, 2  # of prctl
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _ERROR = 0x7FFF_0000, 0x0005_0000
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # where they are in what a filter looks at

_GRACE = 2  # seconds between the signal that may be heard and the one that may not
_FIRST_TO_GO = "1000"  # should the machine run out of memory all the same


def main() -> None:
    """Confine this process, and become the command."""
    uid, *limits = sys.argv[1 : sys.argv.index("--")]
    command = sys.argv[sys.argv.index("--") + 1 :]
    with suppress(OSError):  # not to be had everywhere
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    for limit in limits:
        name, _, number = limit.partition("=")
        _limit(name, int(number))
    _drop_root(int(uid))
    _refuse_calls()
    os.execv(command[0], command)


def _limit(name: str, number: int) -> None:
    """Set a limit of `resource`, or leave it where it is lower already."""
    kind = getattr(resource, name)
    spare = _GRACE if kind == resource.RLIMIT_CPU else 0
    _, hard = resource.getrlimit(kind)
    most = number + spare if hard == resource.RLIM_INFINITY else min(number + spare, hard)
    resource.setrlimit(kind, (min(number, most), most))


def _drop_root(uid: int) -> None:
    """Turn root into a user who owns nothing; the kernel then takes its capabilities away."""
    if os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


def _refuse_calls() -> None:
    """Have the kernel refuse calls, for this process and all that it becomes and starts."""
    machine = platform.machine()
    if machine not in _REFUSED:
        return
    program = list(_filter(_ARCHITECTURES[machine], dict(_REFUSED[machine])))
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    held = ctypes.create_string_buffer(code, len(code))
    filter_of = struct.pack("HP", len(program), ctypes.addressof(held))
    if ctypes.CDLL(None, use_errno=True).prctl(_SET_SECCOMP, _FILTER, filter_of, 0, 0):
        raise OSError(ctypes.get_errno(), "the kernel takes no filter of calls")


def _filter(architecture: int, refused: dict[str, int]) -> Iterator[tuple[int, int, int, int]]:
    """Yield a filter: operation, steps to leave out where it holds and where not, and a number."""
    no, unknown = _ERROR | errno.EPERM, _ERROR | errno.ENOSYS
    clone, clone3, socket = (refused.pop(name) for name in ("clone", "clone3", "socket"))
    yield _LOAD, 0, 0, _ARCHITECTURE
    yield _EQUAL, 1, 0, architecture  # a process may use another one's calls, under other numbers
    yield _RETURN, 0, 0, no
    yield _LOAD, 0, 0, _NUMBER
    yield _AT_LEAST, 0, 1, _SECOND_NUMBERS
    yield _RETURN, 0, 0, no
    for number in refused.values():
        yield _EQUAL, 0, 1, number
        yield _RETURN, 0, 0, no
    yield _EQUAL, 0, 1, clone3  # no filter can look at what it is asked for; libc then uses clone
    yield _RETURN, 0, 0, unknown
    yield _EQUAL, 0, len(_FAMILIES) + 3, socket
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    for left in range(len(_FAMILIES), 0, -1):
        yield _EQUAL, left, 0, _FAMILIES[-left]
    yield _RETURN, 0, 0, no
    yield _RETURN, 0, 0, _ALLOW
    yield _EQUAL, 0, 3, clone
    yield _LOAD, 0, 0, _FIRST_ARGUMENT
    yield _ANY_BIT, 0, 1, _NEW_USER_NAMESPACE
    yield _RETURN, 0, 0, no
    yield _RETURN, 0, 0, _ALLOW


if __name__ == "__main__":
    main()
