"""Plain tables on standard output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from codonbench.cli.console import output


def new_table(show_header: bool = True) -> Table:
    """Return an empty table in the style of all our tables: no frame, one rule."""
    return Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, show_header=show_header)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows of text; the first column is never wrapped."""
    table = new_table()
    for i, header in enumerate(headers):
        table.add_column(header, no_wrap=i == 0, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    output().print(table)
