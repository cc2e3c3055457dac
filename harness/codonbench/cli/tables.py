"""Boards and records as tables in the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table as RichTable
from rich.text import Text

from codonbench.cli.console import messages, output
from codonbench.leaderboard import Row, Table, build_board
from codonbench.markdown import label, median_text, success_text
from codonbench.records import RunRecord
from codonbench.store import Store


def print_standing(records: Sequence[RunRecord], store: Store, against: Store | None) -> None:
    """Print the tables in which `records` count, their own rows in bold."""
    keys = {(r.comparability_key, r.machine.device) for r in records}
    mine = {(r.model, r.plugin.distribution) for r in records}
    found = list(store.scan())
    names = {r.name for r in found if isinstance(r, RunRecord)}
    if against is not None:
        found += [r for r in against.scan() if isinstance(r, RunRecord) and r.name not in names]
    board = build_board(found)
    for table in board.tables:
        if (table.key, table.device) in keys:
            output().print(_standing(table, mine))
    for record in records:
        for flag in record.flags:
            messages().print(f"{record.model} seed {record.seed}: {flag}", markup=False)


def _standing(table: Table, mine: set[tuple[str, str]]) -> RichTable:
    simulated = " (simulated)" if table.simulated else ""
    grid = RichTable(
        title=f"{table.task} on {table.data}{simulated}, {table.device}; "
        f"medians over seeds, 95 % intervals",
        title_justify="left",
    )
    for header in ("#", "model", "success", "excess pairs", "pairs consumed", "confident 0.9"):
        grid.add_column(header, justify="left" if header == "model" else "right")
    for header in ("parameters", "seeds", "notes"):
        grid.add_column(header, justify="left" if header == "notes" else "right")
    for row in (*table.rows, *table.references):
        own = (row.model, row.distribution) in mine
        grid.add_row(*_cells(row, table), style="bold green" if own else "")
    return grid


def _cells(row: Row, table: Table) -> list[Text]:
    cells = [
        "ref" if row.rank is None else str(row.rank),
        label(row),
        success_text(row),
        *(
            median_text(row.medians[name], table.budget_pairs)
            for name in ("excess_pairs", "pairs_consumed", "confident_pairs")
        ),
        f"{row.parameters:,}",
        str(len(row.seeds)),
        "; ".join(row.notes),
    ]
    return [Text(cell) for cell in cells]
