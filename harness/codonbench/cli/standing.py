"""Where the runs just made stand: a board's tables, cut to the width of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rich.text import Text

from codonbench.cli.console import new_table, output, say
from codonbench.contracts import Task
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.ranking.board import Row, Table, build_board
from codonbench.ranking.statistics import Mean, Median
from codonbench.records.files import visible
from codonbench.records.store import Store
from codonbench.report.markdown import (
    NONE,
    figure_text,
    label,
    name_text,
    rank_text,
    ratio_text,
    success_text,
)

_Column = tuple[str, Callable[[Row], str]]

_WITH_WHOLE_HEADINGS = 72
_WITH_THIRD, _WITH_PARAMETERS, _WITH_INTERVALS = 92, 110, 170
"""Columns that a terminal must have for the wider tables."""
_SHORTEST_NAME, _GAP = 12, 3


def print_standing(
    records: Sequence[RunRecord],
    store: Store,
    against: Store | None,
    tasks: Mapping[str, Task],
) -> None:
    """Print the tables in which `records` count, their own rows in bold.

    Args:
        records: The runs just made or reused.
        store: The folder they are in; what else is there is ranked with them.
        against: A folder of other records to rank them with, read only.
        tasks: By name, those that say how their rows are ranked.
    """
    finished = [r for r in records if r.status in FINISHED]
    mine = {_row_key(r) for r in finished}
    found = [r for r in store.scan() if isinstance(r, RunRecord)]
    if against is not None:  # where it holds the same row, the one just made speaks
        own = {_row_key(r) for r in found}
        others = (r for r in against.scan() if isinstance(r, RunRecord))
        found += [r for r in others if _row_key(r) not in own]
    tables = {(r.comparability_key, r.machine.device) for r in finished}
    board = build_board(found, tasks)
    for table in board.tables:
        if (table.key, table.device) in tables:
            _print_table(table, mine)
    for table in board.tables:
        _print_contrasts(table, mine)


def _row_key(record: RunRecord) -> tuple[str, ...]:
    """Return what makes two runs count in one row of one table."""
    config = content_hash(record.run_spec.config)
    table = (record.comparability_key, record.machine.device)
    return (*table, record.model, config, record.plugin.distribution)


def _print_table(table: Table, mine: set[tuple[str, ...]]) -> None:
    console = output()
    narrow = console.width < _WITH_WHOLE_HEADINGS
    columns = _fitting(_columns(table, console.width), table, console.width)
    grid = new_table()
    for header, _ in columns:
        if header == "model":
            grid.add_column(header, overflow="fold", min_width=_SHORTEST_NAME if narrow else None)
        else:
            heading = header.replace(" ", "\n") if narrow else header
            grid.add_column(heading, justify="right", no_wrap=True)
    own_notes = []
    for row in (*table.rows, *table.references):
        key = (table.key, table.device, row.model, row.config_sha256, row.distribution)
        grid.add_row(*(Text(cell(row)) for _, cell in columns), style="bold" if key in mine else "")
        if key in mine and row.notes:
            own_notes.append(f"{_name(row)}: {'; '.join(map(visible, row.notes))}")
    simulated = " (simulated)" if table.simulated else ""
    control = f", control {table.control}" if table.control else ""
    where = f"{table.task} on {table.data}{simulated}{control}, {table.device}"
    console.print(
        f"\n{visible(where)}; {table.ranking.primary.statistic.split('_')[-1]}s over seeds"
    )
    console.print(grid)
    for note in own_notes:
        say(note, console=console)


def _print_contrasts(table: Table, mine: set[tuple[str, ...]]) -> None:
    """Say how own rows stand beside their controls."""
    control = table.ranking.control
    if control is None:
        return
    for contrast in table.contrasts:
        row = (table.device, contrast.model, contrast.config_sha256, contrast.distribution)
        if mine & {(table.key, *row), (contrast.key, *row)}:
            name = visible(name_text(contrast.model, contrast.overrides, contrast.distribution))
            ratio, seeds = ratio_text(contrast.ratio), len(contrast.seeds)
            flag = f"; {control.flag}" if contrast.faster else ""
            say(
                f"{name}: {control.headings[2]} {visible(contrast.control)}, "
                f"over {seeds} seeds: {ratio}{flag}",
                console=output(),
            )


def _columns(table: Table, width: int) -> list[_Column]:
    """Return the columns that fit into `width`, most important first."""
    ranking, intervals = table.ranking, width >= _WITH_INTERVALS
    # "never" where there is no room for "> 23,040,000"
    budget = table.budget_pairs if width >= _WITH_PARAMETERS else None

    def success(row: Row) -> str:
        text = success_text(row, ranking)
        return text if intervals else text.split()[0]

    def declared(name: str) -> _Column:
        column = ranking.column(name)

        def cell(row: Row) -> str:
            figure = row.figure(name)
            return figure_text(figure if intervals else _bare(figure), column, budget)

        return column.title, cell

    brief = [declared(name) for name in ranking.brief or (ranking.metric,)]
    columns: list[_Column] = [
        ("#", lambda row: "ref" if row.role == "reference" else rank_text(row)),
        ("tier", lambda row: NONE if row.tier is None else str(row.tier)),
        ("model", _name),
        *([] if ranking.success is None else [("success", success)]),
        *brief[: 2 if width < _WITH_THIRD else 3],
    ]
    if width >= _WITH_PARAMETERS:
        columns.append(("parameters", lambda row: f"{row.parameters:,}"))
    return columns


def _fitting(columns: list[_Column], table: Table, width: int) -> list[_Column]:
    """Return the columns that leave room for the model's name; the first figure always stays."""
    rows = (*table.rows, *table.references)

    def needed(column: _Column) -> int:
        heading, cell = column
        words = max(map(len, heading.split()))
        return _GAP + (
            _SHORTEST_NAME if heading == "model" else max(words, *(len(cell(row)) for row in rows))
        )

    first = next(i for i in range(3, len(columns)) if columns[i][0] != "success")
    spare = [*reversed(columns[first + 1 :]), columns[1], *columns[3:first]]
    kept = list(columns)
    while spare and sum(map(needed, kept)) > width + _GAP:
        kept.remove(spare.pop(0))
    return kept


def _bare(figure: Median | Mean | None) -> Median | Mean | None:
    """Return a figure without its interval."""
    return figure and figure.model_copy(update={"low": figure.value, "high": figure.value})


def _name(row: Row) -> str:
    """Return a row's label, without what a record could do to a terminal."""
    return visible(label(row))
