"""Which plugins the commands of one line load: ``-p no:NAME`` and ``CODONBENCH_PLUGINS``."""

from __future__ import annotations

from collections.abc import Sequence
from contextvars import ContextVar
from typing import Annotated

import typer

from codonbench.errors import UsageError
from codonbench.plugins.selection import Selection, selection_from_environment

SWITCHES_HELP = """\
CODONBENCH_PLUGINS says which plugins to load beside the built-in ones:
  unset     all that are installed
  empty     none; the built-in ones stay, or there were no task to run
  a,b       those of the distributions or entry points a and b
Files given with --plugin and --plugins-dir are loaded whatever it says."""

SwitchOption = Annotated[
    list[str] | None,
    typer.Option(
        "-p",
        metavar="no:NAME",
        is_eager=True,  # what --help lists depends on it
        help="Do not load the entry point, module or distribution NAME; may be repeated.",
    ),
]

_off: ContextVar[tuple[str, ...]] = ContextVar("off", default=())


def hoist(arguments: Sequence[str]) -> list[str]:
    """Return a line with ``--debug`` and ``-p no:NAME`` first, wherever they stood.

    Both are thought of last, at the end of a line that has failed.
    """
    first: list[str] = []
    rest: list[str] = []
    words = iter(arguments)
    for word in words:
        if word == "--":
            rest += [word, *words]
        elif word == "-p":
            first += [word, next(words, "")]
        elif word == "--debug" or word.startswith("-pno:"):
            first.append(word)
        else:
            rest.append(word)
    return first + rest


def switch_off(switches: Sequence[str]) -> None:
    """Note what ``-p`` switches off, for `selection`.

    Raises:
        UsageError: One of them is not ``no:NAME``.
    """
    for switch in switches:
        if not switch.removeprefix("no:") or not switch.startswith("no:"):
            raise UsageError(f"-p {switch!r}: expected no:NAME, which switches a plugin off")
    _off.set(tuple(switch.removeprefix("no:") for switch in switches))


def switched_off() -> list[str]:
    """Return what ``-p`` was given, for a process that this one starts."""
    return [f"no:{name}" for name in _off.get()]


def selection() -> Selection:
    """Return what this line and its environment select."""
    return selection_from_environment(_off.get())
