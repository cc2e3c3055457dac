"""Inside a sandbox, before anything else runs there: set the limits, give up root, hand over.

Run as a script by a bare interpreter, so it imports the standard library only:
``confine.py UID NAME=NUMBER ... -- COMMAND ...``. What it is told comes from `sandbox`.
"""

import ctypes
import os
import platform
import resource
import sys
from contextlib import suppress
from pathlib import Path

_KEYCTL = {"x86_64": 250, "aarch64": 219}  # of the kernel's calls, for which libc has no name
_JOIN_SESSION_KEYRING = 1
_LAST_WORDS = 2  # seconds between the signal that may be heard and the one that may not
_FIRST_TO_GO = "1000"  # should the machine run out of memory all the same


def main() -> None:
    """Confine this process, and become the command."""
    uid, *limits = sys.argv[1 : sys.argv.index("--")]
    command = sys.argv[sys.argv.index("--") + 1 :]
    with suppress(OSError):  # not to be had everywhere
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    _forget_keys()
    for limit in limits:
        name, _, number = limit.partition("=")
        _limit(name, int(number))
    _become(int(uid))
    os.execv(command[0], command)


def _forget_keys() -> None:
    """Begin a session keyring of its own, empty; that of the terminal's session holds keys."""
    if (number := _KEYCTL.get(platform.machine())) is not None:
        ctypes.CDLL(None, use_errno=True).syscall(number, _JOIN_SESSION_KEYRING, None)


def _limit(name: str, number: int) -> None:
    """Set a limit of `resource`, or leave it where it is lower already."""
    kind = getattr(resource, name)
    spare = _LAST_WORDS if kind == resource.RLIMIT_CPU else 0
    _, hard = resource.getrlimit(kind)
    most = number + spare if hard == resource.RLIM_INFINITY else min(number + spare, hard)
    resource.setrlimit(kind, (min(number, most), most))


def _become(uid: int) -> None:
    """Turn root into a user who owns nothing; the kernel then takes its capabilities away."""
    if os.getuid() != uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)


if __name__ == "__main__":
    main()
