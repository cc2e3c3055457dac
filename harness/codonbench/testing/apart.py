"""Run a function in a process of its own, with a time limit."""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from pydantic_core import to_json

from codonbench.execution import process
from codonbench.execution.process import attach_to_parent, importable, launch

Message = tuple[str, Any]
Send = Callable[[Message], None]

CLOCK = "clock"
"""The message ``(CLOCK, seconds)`` starts or restarts the clock: the time until the next one or the
end. It is first sent once the harness has loaded, which must not count for the plugin."""


_TO_START = 600.0  # seconds, before the first `CLOCK`
_TO_END = 10.0  # seconds to wait for the exit code


class Stopped(Exception):  # noqa: N818 - not an error in itself: the caller decides
    """The process exceeded its time, or ended without a final message."""


def run_apart(function: Callable[[Send, Any], None], argument: Any) -> Iterator[Message]:
    """Yield the messages that `function` sends from a process of its own, until it returns.

    The process is newly started, not forked, and is killed when the iterator is closed.

    Args:
        function: Called with a function to send messages, and `argument`; a module-level function.
        argument: Its argument, which must survive JSON.

    Raises:
        Stopped: The process exceeded the time of its last `CLOCK`, or died.
    """
    other = launch("codonbench.testing.apart", [function.__module__, function.__name__])
    try:
        inbox, seconds = process.Inbox(other.incoming), _TO_START
        process.send(other.outgoing, process.framed(to_json([importable(), argument])), _TO_START)
        deadline = time.monotonic() + seconds
        while (message := json.loads(inbox.wait(deadline - time.monotonic())[0])) is not None:
            kind, content = message
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
    """Run the function in the new process."""
    incoming, outgoing = attach_to_parent()
    path, argument = json.loads(process.Inbox(incoming).wait()[0])
    sys.path += [folder for folder in path if folder not in sys.path]

    def send(message: Message | None) -> None:
        process.send(outgoing, process.framed(to_json(message)))

    module, name = sys.argv[4:]
    getattr(importlib.import_module(module), name)(send, argument)
    send(None)


if __name__ == "__main__":
    main()
