"""What a process that `launch` starts does first: hold on to its lifeline, then import the rest."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def take_hold() -> tuple[int, int]:
    """End this process with its parent, and let that ask it to stop by SIGTERM.

    Returns:
        The pipes it hears and speaks by.
    """
    hears, speaks, lifeline = fds = [int(word) for word in sys.argv[1:4]]
    for fd in fds:
        os.set_inheritable(fd, False)  # what a plugin starts has no part in this
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    if sys.platform == "linux":  # even while something here lets no other thread run
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_hold, args=(lifeline,), daemon=True).start()
    return hears, speaks


def _hold(lifeline: int) -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    while os.read(lifeline, 1):
        signal.pthread_kill(main_thread, signal.SIGTERM)  # which wakes it, whatever it waits for
    os._exit(1)
