"""The consoles that commands write to: results to standard output, the rest to standard error."""

from __future__ import annotations

from rich.console import Console


def output() -> Console:
    """Return the console for results; wide enough for a table when nobody is watching."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 200
    return console


def messages() -> Console:
    """Return the console for progress and remarks."""
    return Console(stderr=True, highlight=False)
