"""Something run in a process of its own, watched, and ended if it does not end."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from typing import Any

from codonbench.execution.interrupts import unheard_by_children

Message = tuple[str, Any]
Send = Callable[[Message], None]

CLOCK = "clock"
"""The message ``(CLOCK, seconds)`` starts the clock, or starts it anew: so much time until the
next or until the end. The harness's own loading is nobody's fault and goes before the first."""


class Stopped(Exception):  # noqa: N818 - it says what happened; the caller knows whose fault it is
    """The process was ended for taking too long, or ended by itself without a last word."""


def run_apart(function: Callable[[Send, Any], None], argument: Any) -> Iterator[Message]:
    """Yield what `function` sends from a process of its own, until it returns.

    The process is started afresh (spawned), so it holds nothing of this one; it is killed when
    the iterator is closed.

    Args:
        function: Takes a function to send with, and `argument`; defined at the top of a module.
        argument: Anything that can be pickled.

    Raises:
        Stopped: It took longer than it said it would, or the process died.
    """
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(function, argument, sender), daemon=True)
    with unheard_by_children():
        process.start()
    sender.close()  # so that the child's end is the last one
    try:
        seconds, deadline = 0.0, None
        while True:
            wait = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not receiver.poll(wait):
                raise Stopped(f"did not finish within {seconds:g} s")
            message: Message | None = receiver.recv()
            if message is None:
                return
            if message[0] == CLOCK:
                seconds = float(message[1])
                deadline = time.monotonic() + seconds
            else:
                yield message
    except EOFError:
        process.join()
        raise Stopped(f"ended its process with exit code {process.exitcode}") from None
    finally:
        process.kill()
        process.join()
        receiver.close()


def _child(function: Callable[[Send, Any], None], argument: Any, sender: Connection) -> None:
    """Run in the new process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    os.dup2(2, 1)  # standard output is for results, whatever a plugin prints and how
    function(sender.send, argument)
    sender.send(None)
