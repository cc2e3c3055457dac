"""The consoles that commands write to: results to standard output, the rest to standard error."""

from __future__ import annotations

import os

from rich.console import Console

_UNWATCHED_WIDTH = 200  # for files and pipes: no cell of a table should wrap there


class _Console(Console):
    """A console that leaves it to `codonbench.cli.endings` what a reader gone means."""

    def on_broken_pipe(self) -> None:
        """Let the exception travel on, where rich would exit with code 1."""
        raise


def output() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def messages() -> Console:
    """Return the console for progress and remarks."""
    return _console(stderr=True)


def say(text: str, style: str = "", console: Console | None = None) -> None:
    """Print a remark: wrapped at words in a terminal, on one line elsewhere."""
    console = console or messages()
    console.print(text, style=style, soft_wrap=not console.is_terminal)


def _console(*, stderr: bool) -> Console:
    console = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = _UNWATCHED_WIDTH
    return console
