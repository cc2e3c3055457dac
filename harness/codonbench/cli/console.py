"""What commands print: results to standard output, the rest to standard error; tables, words."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from codonbench.contracts import Ranking, Task
    from codonbench.contracts.run_record import RunRecord

_LONGEST_LINE = 4_096  # characters of others' lines on standard error
_LINES_AT_ONCE, _PAUSE = 100, 0.1  # of them, and seconds between: a flood costs runs no time
_UNWATCHED_WIDTH = 200  # for files and pipes: no cell of a table should wrap there
_GAP, _SHORTEST_LAST = 3, 40  # of a list: between columns; the last one, before others go


class _Console(Console):
    """A console that leaves a closed pipe to `codonbench.cli.main`."""

    def on_broken_pipe(self) -> None:
        """Let the exception travel on, where rich would exit with code 1."""
        raise


def output() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


def messages() -> Console:
    """Return the console for progress and remarks."""
    return _terminal or _console(stderr=True)


_terminal: Console | None = None
"""The one console that prints to the terminal, while `terminal_kept` holds it."""


@contextmanager
def terminal_kept() -> Iterator[None]:
    """Let nothing but `messages` print to the terminal that standard error is, if it is one.

    What plugins, workers and libraries write to standard error meanwhile, as warnings, is printed
    line by line by the same console, so above what is drawn there.
    """
    global _terminal
    if not sys.stderr.isatty() or sys.stderr.fileno() != 2:
        yield
        return
    sys.stderr.flush()
    ours = os.dup(2)
    reads, writes = os.pipe()
    os.dup2(writes, 2)
    os.close(writes)
    with os.fdopen(ours, "w", 1, encoding="utf-8", errors="backslashreplace") as terminal:
        console = _terminal = _console(stderr=True, file=terminal)
        thread = threading.Thread(target=_pass_on, args=(reads, console), daemon=True)
        thread.start()
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(ours, 2)
            thread.join(timeout=1)  # a process that a plugin left behind may hold the pipe
            _terminal = None


def _pass_on(reads: int, console: Console) -> None:
    """Print the lines that come through a pipe; a process that writes faster has to wait."""
    with os.fdopen(reads, encoding="utf-8", errors="backslashreplace") as lines:
        for n, line in enumerate(iter(lambda: lines.readline(_LONGEST_LINE), ""), 1):
            console.print(Text.from_ansi(line.rstrip("\n")), soft_wrap=True)
            if n % _LINES_AT_ONCE == 0:
                time.sleep(_PAUSE)


def say(text: str, style: str = "", console: Console | None = None) -> None:
    """Print a remark, cleaned: wrapped at words in a terminal, on one line elsewhere."""
    from codonbench.records.files import printable_lines  # `bench --help` need not

    console = console or messages()
    console.print(printable_lines(text), style=style, soft_wrap=not console.is_terminal)


def _console(*, stderr: bool, file: TextIO | None = None) -> Console:
    console = _Console(stderr=stderr, file=file, highlight=False, markup=False, emoji=False)
    if not _is_watched(console):
        console.width = _UNWATCHED_WIDTH
    return console


def _is_watched(console: Console) -> bool:
    """Return whether output goes to a terminal, not to a file or pipe."""
    return console.is_terminal or "COLUMNS" in os.environ


def new_table(show_header: bool = True) -> Table:
    """Return an empty table in the style of all our tables: no frame, one rule."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=show_header)


def print_table(
    headers: Sequence[str], rows: Iterable[Sequence[str]], spare: Sequence[str] = ()
) -> None:
    """Print rows of text; the first column is never wrapped.

    Columns headed `spare` go, in that order, where the last one would have fewer than 40 letters.
    """
    lines = [[*map(printable, line)] for line in rows]
    table, (kept, _) = new_table(), _fitting(output(), [headers, *lines], spare)
    for i in kept:
        table.add_column(headers[i], no_wrap=i == 0, overflow="fold")
    for line in lines:
        table.add_row(*(Text(line[i]) for i in kept))
    output().print(table)


def print_list(
    headers: Sequence[str], rows: Iterable[Sequence[str]], spare: Sequence[str] = ()
) -> None:
    """Print rows of text, a line each.

    Columns headed `spare` go as in `print_table`; then what the last one holds is cut, an ellipsis
    in its place. In a file or a pipe nothing is.
    """
    console, lines = output(), [[*map(printable, line)] for line in rows]
    watched = _is_watched(console)
    kept, room = _fitting(console, [headers, *lines], spare if watched else ())
    if not watched:
        longest = max(cell_len(line[-1]) for line in [headers, *lines])
        console.width, room = console.width - room + longest, longest
    table = new_table()
    for i in kept:
        table.add_column(headers[i], no_wrap=True)
    columns = [[Text(line[i]) for line in lines] for i in kept]
    for text in columns[-1]:
        text.truncate(max(room, 1), overflow="ellipsis")
    if lines:  # in one row: rich takes as long for a cell of a line as for one of all of them
        table.add_row(*(Text("\n").join(column) for column in columns))
    console.print(table)


def _fitting(
    console: Console, lines: Sequence[Sequence[str]], spare: Sequence[str]
) -> tuple[list[int], int]:
    """Return which columns stay, and how many characters the last of them has."""
    widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
    kept, room = list(range(len(widths))), 0
    for heading in (None, *spare):
        kept = [i for i in kept if lines[0][i] != heading]
        room = console.width - sum(widths[i] + _GAP for i in kept[:-1])
        if room >= min(widths[-1], _SHORTEST_LAST):
            break
    return kept, room


def cell(text: str) -> Text:
    """Return text for a table, cleaned."""
    return Text(printable(text))


def printable(text: str) -> str:
    """Return text without what it could do to a terminal."""
    from codonbench.records.files import printable_lines

    return printable_lines(text)


def number(value: bool | int | float) -> str:
    """Return a metric's value as a person writes it: ``yes``, ``5,632``, ``0.9876``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:,.4g}"


def ending(record: RunRecord, task: Task | None) -> str:
    """Return how a run ended: in its task's words, or with the figures that it is ranked by.

    Args:
        record: Record of the run.
        task: Its task; None where that is not installed.
    """
    from codonbench.plugins.registry import ask_task  # `bench --help` need not

    after = f"after {record.pairs:,} {'examples' if task is None else task.counted_in}"
    if record.status == "error":
        return f"error {after}: {record.error}"
    if record.status == "interrupted":
        return f"interrupted {after}; the same command goes on from its last checkpoint, if any"
    if record.status != "done":
        return f"{record.status} {after}"
    if record.trajectory_sha256 is None:
        return "computed, not trained"
    if task is not None and (words := ask_task(task.ending, record)):
        return words
    figures = "" if task is None else _figures(record, task.ranking)
    return f"done {after}: {figures}" if figures else f"done {after}"


def _figures(record: RunRecord, ranking: Ranking) -> str:
    """Return ``MCC 0.573``; nothing where there is no figure."""
    columns = map(ranking.column, ranking.brief or (ranking.metric,))
    values = [(column.title, record.metrics.get(column.metric)) for column in columns]
    shown = [f"{title} {number(value)}" for title, value in values if value is not None]
    return ", ".join(shown)
