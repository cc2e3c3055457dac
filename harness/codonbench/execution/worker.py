"""A worker process: holds on to its lifeline before anything else, then serves its parent."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading

_PR_SET_PDEATHSIG = 1


def main() -> None:
    """Serve until the parent hangs up: ``python -P -m codonbench.execution.worker FDS [gpu]``."""
    hears, speaks, lifeline = fds = [int(word) for word in sys.argv[1:4]]
    for fd in fds:
        os.set_inheritable(fd, False)  # what a plugin starts has no part in this
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    if sys.platform == "linux":  # even while something here lets no other thread run
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_hold, args=(lifeline,), daemon=True).start()

    from codonbench.execution.serving import serve  # takes seconds: PyTorch

    serve(hears, speaks, gpu="gpu" in sys.argv[4:])


def _hold(lifeline: int) -> None:
    """Pass on what asks this process to stop; end it when the parent has, however that came."""
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    while os.read(lifeline, 1):
        signal.pthread_kill(main_thread, signal.SIGTERM)  # which wakes it, whatever it waits for
    os._exit(1)


if __name__ == "__main__":
    main()
