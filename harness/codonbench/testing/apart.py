"""Something run in a process of its own, watched, and ended if it does not end."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from pydantic_core import to_json

from codonbench.execution import process
from codonbench.execution.process import importable, launch, take_hold

Message = tuple[str, Any]
Send = Callable[[Message], None]

CLOCK = "clock"
"""The message ``(CLOCK, seconds)`` starts the clock, or starts it anew: so much time until the
next or until the end. The harness's own loading is nobody's fault and goes before the first."""


_TO_START = 600.0  # seconds until the clock is started
_TO_END = 10.0  # seconds for an end to be known


class Stopped(Exception):  # noqa: N818 - it says what happened; the caller knows whose fault it is
    """The process was ended for taking too long, or ended by itself without a last word."""


def run_apart(function: Callable[[Send, Any], None], argument: Any) -> Iterator[Message]:
    """Yield what `function` sends from a process of its own, until it returns.

    The process is started afresh, so it holds nothing of this one; it is killed when the iterator
    is closed.

    Args:
        function: Takes a function to send with, and `argument`; defined at the top of a module.
        argument: Anything that JSON can say, as the function is to be given it.

    Raises:
        Stopped: It took longer than it said it would, or the process died.
    """
    other = launch("codonbench.testing.apart", [function.__module__, function.__name__])
    try:
        inbox, seconds = process.Inbox(other.speaks), _TO_START
        process.send(other.hears, process.framed(to_json([importable(), argument])), _TO_START)
        deadline = time.monotonic() + seconds
        while (said := json.loads(inbox.wait(deadline - time.monotonic())[0])) is not None:
            kind, content = said
            if kind == CLOCK:
                seconds = float(content)
                deadline = time.monotonic() + seconds
            else:
                yield kind, content
    except TimeoutError:
        raise Stopped(f"did not finish within {seconds:g} s") from None
    except (EOFError, OSError):
        other.join(_TO_END)
        raise Stopped(f"ended its process with exit code {other.exitcode}") from None
    finally:
        other.kill()


def main() -> None:
    """Run the function, in the new process."""
    hears, speaks = take_hold()
    path, argument = json.loads(process.Inbox(hears).wait()[0])
    sys.path += [folder for folder in path if folder not in sys.path]

    def send(message: Message | None) -> None:
        process.send(speaks, process.framed(to_json(message)))

    module, name = sys.argv[4:]
    getattr(importlib.import_module(module), name)(send, argument)
    send(None)


if __name__ == "__main__":
    main()
