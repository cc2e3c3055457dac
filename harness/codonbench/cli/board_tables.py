"""Tables of a board in the terminal, after a run and in `bench ls rows`."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Literal

from rich.text import Text

from codonbench.cli.console import new_table, output, say
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.leakage.verdict import KEPT
from codonbench.plugins.registry import Registry
from codonbench.ranking.board import (
    Board,
    BoardTable,
    build_board,
    gain_cell,
    merit,
    official_tables,
)
from codonbench.ranking.curves import Curves
from codonbench.ranking.items import gather_tested
from codonbench.ranking.rows import (
    NONE,
    Row,
    figure_text,
    name_text,
    parameters_text,
    rank_text,
    ratio_text,
    score_text,
    success_text,
    without_interval,
)
from codonbench.ranking.statistics import Mean
from codonbench.records.files import board_folder, cache_folder, visible
from codonbench.records.store import Store

if TYPE_CHECKING:
    from codonbench.leakage.verdict import DataAudit

_Column = tuple[str, Callable[[Row], str]]
"""A heading, and what stands below it for a row."""

_Intervals = Literal["all", "leading", "none"]
"""Which figures have them: all, the first and the gain, none."""

_SHORTEST_NAME, _GAP, _MOST_ROWS = 12, 3, 100
_WHOLE_WORD = 25  # letters of a word of a name that is not folded
_MOST_TABLES = 3  # named where rows stand elsewhere
_LONGEST_WORDS = 600


def print_tables_of(
    records: Sequence[RunRecord], store: Store, against: Store | None, registry: Registry
) -> None:
    """Print the tables in which `records` count, their own rows in bold.

    Args:
        records: The runs just made or reused.
        store: The folder they are in; its other rows are ranked with them.
        against: A folder of other records to rank them with, read only.
        registry: For tasks, which say how rows are ranked, and metrics.
    """
    finished = [record for record in records if record.status in FINISHED]
    board, tasks = _board_of(finished, store, against, registry), registry.known_tasks
    mine, data = {_row_of(r) for r in finished}, {_data_of(r) for r in finished}
    shown = {row[:2] for row in mine}
    on_subsets = [record for record in finished if record.run_spec.subset is not None]
    for table in board.tables:
        part = table.key in {record.comparability_key for record in on_subsets}
        if (table.key, table.device) in shown and not part:
            print_table_of(table, mine)
    for curves in board.curves:
        if (curves.task, curves.data_checksum) in {_data_of(record) for record in on_subsets}:
            print_curves(curves)
    for table in board.tables:
        _print_contrasts(table, mine)
        if (table.task, table.data_checksum) in data:
            _print_held(table, mine)
    shipped: Sequence[BoardTable] = ()
    if against is None:
        ran = {record.task for record in finished}
        shipped = official_tables({name: tasks[name] for name in ran if name in tasks})
        official = {(table.key, table.device): table for table in shipped}
        for table in board.tables:
            if (table.key, table.device) in shown & official.keys():
                print_standing(table, official[table.key, table.device], mine)
    for line in other_tables(board.tables, shipped, finished):
        say(line, console=output())


def _board_of(
    finished: Sequence[RunRecord], store: Store, against: Store | None, registry: Registry
) -> Board:
    """Return the board of one or two folders, with what audits say of the data.

    Args:
        finished: Those of the runs just made or reused that count: where they were tested on items,
            rows on the same data are compared over items, too.
        store: The folder that they are in.
        against: Another folder, of whose rows those in `store` too are left out.
        registry: The plugins.
    """
    folders = [(store, store.records())]
    if against is not None:
        own = {_row_of(record) for record in folders[0][1]}
        folders.append((against, [r for r in against.records() if _row_of(r) not in own]))
    tasks, tested = registry.known_tasks, None
    if any(record.selected_pairs is not None for record in finished):
        # Also under a control, or without it.
        data = {_data_of(record) for record in finished}
        tested = gather_tested(
            [(folder, [r for r in found if _data_of(r) in data]) for folder, found in folders],
            registry,
        )
    audits: dict[str, DataAudit] = {}
    for beside in (board_folder(folder.folder) for folder, _ in folders):
        if (beside / KEPT).is_dir() or (cache_folder() / KEPT).is_dir():
            from codonbench.leakage.boards import read_audits, with_audits, with_rules

            audits |= read_audits(beside, tasks)
    if audits and tested is not None:
        tested = with_rules(tested, audits)
    board = build_board([record for _, found in folders for record in found], tasks, tested)
    return with_audits(board, audits) if audits else board


def other_tables(
    tables: Sequence[BoardTable], shipped: Sequence[BoardTable], made: Sequence[RunRecord]
) -> list[str]:
    """Return a line for each task that has rows on the same data beside the tables of some runs.

    As where one was run on folds and others on the published split. Of a task whose tables differ
    by budget there are too many to tell of.

    Args:
        tables: Tables of the runs' own board.
        shipped: Tables of the official board.
        made: The runs.
    """
    shown = {_row_of(record)[:2] for record in made}
    there: dict[tuple[str, str], dict[str, int]] = {}
    official = {table.title for table in shipped}
    for table in (*tables, *shipped):
        about = table.task, table.data_checksum
        kept_apart = table.held_in or table.of_subset or table.ranking.budget_divides
        if about in {_data_of(r) for r in made} and not kept_apart and table.rows:
            there.setdefault(about, {})[table.title] = len(table.rows)
            if (table.key, table.device) in shown:
                there[about][table.title] = 0  # it has just been printed
    lines = []
    for (task, _), sizes in there.items():
        there_too = [title for title, n in sizes.items() if n > 0]
        others = [f"{visible(t)} ({sizes[t]} row{'s'[: sizes[t] - 1]})" for t in there_too]
        if others:
            more = ", ..." if len(others) > _MOST_TABLES else ""
            how = "'bench leaderboard' writes all"
            if official.issuperset(there_too):
                how = f"'bench ls rows --task {task}'"
            lines.append(
                f"{task} has other tables, whose rows are not ranked with these: "
                f"{', '.join(others[:_MOST_TABLES])}{more}; {how}"
            )
    return lines


def _data_of(record: RunRecord) -> tuple[str, str]:
    """Return on which task and data a run was made."""
    return record.task, record.run_spec.data_checksum


def _row_of(record: RunRecord) -> tuple[str, ...]:
    """Return what makes two runs count in one row of one table; first the table's own two."""
    config = content_hash(record.run_spec.config)
    table = (record.comparability_key, record.machine.device_kind)
    return (*table, record.model, config, record.plugin.distribution)


def print_table_of(table: BoardTable, mine: Collection[tuple[str, ...]] = ()) -> None:
    """Print a table, the rows in `mine` in bold; notes of these, and of ranks in doubt.

    Of many ranked rows the first are printed, and those in `mine`.
    """
    console = output()
    ranked = [r for i, r in enumerate(table.rows) if i < _MOST_ROWS or key_of(table, r) in mine]
    rows = (*ranked, *table.references)
    columns, intervals, left_out = _fitting(table, rows, console.width)
    whole_headings = _width(columns, rows, whole_headings=True) <= console.width
    grid = new_table()
    for header, _ in columns:
        if header == "model":
            grid.add_column(header, overflow="fold")
        else:
            heading = header if whole_headings else header.replace(" ", "\n")
            grid.add_column(heading, justify="right", no_wrap=True)
    notes = []
    for row in rows:
        key = key_of(table, row)
        grid.add_row(*(Text(cell(row)) for _, cell in columns), style="bold" if key in mine else "")
        if (key in mine or row.doubted) and row.notes:
            doubt = f"{rank_text(row)} is in doubt: " if row.doubted else ""
            row_notes = "; ".join(visible(note, _LONGEST_WORDS) for note in row.notes)
            notes.append(f"{doubt}{_name(row)}: {row_notes}")
    primary = table.ranking.primary
    for name, figure in table.beside.items():
        shown = without_interval(figure) if intervals == "none" else figure
        cells = {"model": name, primary.title: score_text(shown, primary)}
        grid.add_row(*(cells.get(header, "") for header, _ in columns))
    statistic = "mean" if primary.statistic == "mean" else "median"
    console.print(f"\n{visible(table.title)}; {statistic}s over seeds")
    console.print(grid)
    _say_left_out(left_out)
    if len(ranked) < len(table.rows):
        say(f"{len(table.rows) - len(ranked):,} more rows", console=console)
    if table.gain_words and "gain" in (header for header, _ in columns):
        say(visible(table.gain_words, _LONGEST_WORDS), console=console)
    for note in notes:
        say(note, console=console)


def _say_left_out(columns: Sequence[str]) -> None:
    if columns:
        how = "a wider terminal shows all, as does '| cat'"
        say(f"left out: {', '.join(columns)}; {how}", console=output())


def print_curves(curves: Curves) -> None:
    """Print learning curves as a table.

    Where the window is too narrow intervals go first, then sizes between the least and the
    greatest; a line says what is left out.
    """
    from codonbench.report.markdown import curve_cells  # which loads what writes pages

    console = output()
    fewer = range(len(curves.sizes), 1, -1)
    for intervals, n_sizes in ((True, None), *((False, n) for n in fewer)):
        headings, body = curve_cells(curves, intervals=intervals, n_sizes=n_sizes)
        widths = [max(map(len, cells)) for cells in zip(headings, *body, strict=True)]
        name = widths[0] if intervals else min(widths[0], _SHORTEST_NAME)
        if name + sum(widths[1:]) + _GAP * (len(widths) - 1) <= console.width:
            break
    grid = new_table()
    for i, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if i else "left", overflow="fold", no_wrap=i > 0)
    for line in body:
        grid.add_row(*(Text(visible(cell)) for cell in line))
    each = " of each class" if curves.per_class else ""
    own = curves.task if curves.data == curves.task else f"{curves.task} on {curves.data}"
    where = f"{own}, {curves.device}"
    rarer = ", of a rarer one all" if curves.per_class else ""
    console.print(
        f"\n{visible(where)}: {curves.column.title} by training examples{each}{rarer}, #rank at "
        "each size"
    )
    console.print(grid)
    bare = [curve_cells(curves, intervals=shown) for shown in (True, False)]
    absent = ["intervals"] if not intervals and bare[0] != bare[1] else []
    absent += [f"size {size:,}" for size in curves.sizes if f"{size:,}" not in headings]
    _say_left_out(absent)
    if curves.row_zero:
        most = f"{curves.sizes[-1]:,}{each}" if curves.per_class else "all of them"
        say(f"row zero: {visible(curves.row_zero)} with {most}", console=console)


def key_of(table: BoardTable, row: Row) -> tuple[str, ...]:
    """Return the key of a row, unique over all tables."""
    return (table.key, table.device, row.model, row.config_sha256, row.distribution)


def print_standing(
    table: BoardTable, official: BoardTable, mine: Collection[tuple[str, ...]]
) -> None:
    """Print between which official rows own ones would rank; nothing if all are in the table."""
    ranking = table.ranking
    column, there = ranking.primary, {key_of(table, row) for row in table.rows}
    if all(key_of(official, row) in there for row in official.rows):
        return

    def named(row: Row) -> str:
        point = without_interval(row.figure(column.metric))
        return f"{_name(row)} ({figure_text(point, column, table.budget_pairs)})"

    for own in table.rows:
        if own.rank is None or key_of(table, own) not in mine:
            continue
        others = [row for row in official.rows if key_of(official, row) != key_of(table, own)]
        ahead = [row for row in others if merit(row, ranking) < merit(own, ranking)]
        neighbours = [f"after {named(row)}" for row in ahead[-1:]]
        neighbours += [f"before {named(row)}" for row in others[len(ahead) :][:1]]
        doubt = " (in doubt: see its notes)" if own.doubted else ""
        place = f"would be number {len(ahead) + 1} of {len(others) + 1} by {column.title}{doubt}"
        floor = ""
        if official.references and column.statistic == "mean":
            best = min(official.references, key=lambda row: merit(row, ranking))
            side = "behind" if merit(best, ranking) < merit(own, ranking) else "ahead of"
            floor = f"; it is {side} the best reference row, {named(best)}"
        say(
            f"{_name(own)} {place}, among the official rows, {' and '.join(neighbours)}{floor}; "
            f"'bench ls rows --task {table.task}' shows them",
            console=output(),
        )


def _print_contrasts(table: BoardTable, mine: set[tuple[str, ...]]) -> None:
    """Print how own rows compare with their controls."""
    control = table.ranking.control
    if control is None:
        return
    for contrast in table.contrasts:
        row = (table.device, contrast.model, contrast.config_sha256, contrast.distribution)
        if mine & {(table.key, *row), (contrast.key, *row)}:
            name = name_text(contrast.model, contrast.overrides, contrast.distribution)
            say(
                f"{visible(name)}: {control.headings[2]} {visible(contrast.control)}, over "
                f"{len(contrast.seeds)} seeds: {ratio_text(contrast.ratio)}"
                f"{f'; {control.flag}' if contrast.faster else ''}",
                console=output(),
            )


def _print_held(table: BoardTable, mine: set[tuple[str, ...]]) -> None:
    """Say what own rows have under controls that leave a mean."""
    column, mine_anywhere = table.ranking.primary, {row[1:] for row in mine}
    for row in table.all_rows:
        if key_of(table, row)[1:] not in mine_anywhere:
            continue
        for name, figure in row.controls.items():
            value = score_text(figure.mean, column)
            same = "" if figure.agreement is None else f", {figure.agreement:.1%} answers the same"
            flag = f"; {figure.flag}" if figure.flag else ""
            say(
                f"{_name(row)}: {column.title} under control {name}: {value}{same}{flag}",
                console=output(),
            )


def _fitting(
    table: BoardTable, rows: Sequence[Row], width: int
) -> tuple[list[_Column], _Intervals, list[str]]:
    """Return the columns that fit, with which intervals, and what is left out.

    What does not fit goes: parameters, intervals but those of the first figure and the gain, all
    intervals, then columns one by one. Figures go from the last, the first stays; so do the rank
    and the model's name.
    """
    choices: tuple[tuple[_Intervals, bool], ...] = (
        ("all", True),
        ("all", False),
        ("leading", False),
        ("none", True),
        ("none", False),
    )
    made = [(_columns(table, *choice), choice[0]) for choice in choices]
    fits = (own for own in made if _width(own[0], rows) <= width)
    columns, intervals = next(fits, made[-1])
    figures = columns[3 if table.ranking.success is None else 4 :]
    spare = [*reversed(figures[1:]), columns[1], *columns[3 : len(columns) - len(figures)]]
    for column in spare:
        if _width(columns, rows) > width:
            columns.remove(column)
    whole, bare = made[0][0], _columns(table, "none", parameters=True)
    there = _width(whole, rows) > _width(bare, rows)
    left = {"all": [], "leading": ["intervals of other figures"], "none": ["intervals"]}
    shown = {heading for heading, _ in columns}
    absent = [heading for heading, _ in whole if heading not in shown]
    return columns, intervals, [*(left[intervals] if there else []), *absent]


def _columns(table: BoardTable, intervals: _Intervals, parameters: bool) -> list[_Column]:
    """Return the columns in their order; without parameters a censored figure reads "never"."""
    ranking, budget = table.ranking, table.budget_pairs if parameters else None

    def success(row: Row) -> str:
        text = success_text(row, ranking)
        return text if intervals == "all" else text.split()[0]

    def declared(name: str) -> _Column:
        column = ranking.column(name)
        whole = intervals == "all" or (intervals == "leading" and name == names[0])

        def cell(row: Row) -> str:
            figure = row.figure(name)
            figure = figure if whole else without_interval(figure)
            if isinstance(figure, Mean):
                return score_text(figure, column)
            return figure_text(figure, column, budget)

        return column.title, cell

    def gain(row: Row) -> str:
        text = gain_cell(row, table)
        return text if intervals != "none" or row.gain is None else text.split()[0]

    names = (ranking.brief or (ranking.metric,))[:3]
    figures = [*map(declared, names)]
    if ranking.primary.statistic == "mean" and table.rows and (table.gain_over or table.figures):
        figures.insert(1, ("gain", gain))
    return [
        ("#", lambda row: "ref" if row.role == "reference" else rank_text(row)),
        ("tier", lambda row: NONE if row.tier is None else str(row.tier)),
        ("model", _name),
        *([] if ranking.success is None else [("success", success)]),
        *figures,
        *([("parameters", lambda row: parameters_text(row.parameters))] if parameters else []),
    ]


def _width(columns: Sequence[_Column], rows: Sequence[Row], *, whole_headings: bool = False) -> int:
    """Return how many characters columns need, names folded, headings broken unless `whole`."""

    def needed(heading: str, cell: Callable[[Row], str]) -> int:
        if heading == "model":
            words = (word for row in rows for word in cell(row).split())
            return max(_SHORTEST_NAME, min(max(map(len, words)), _WHOLE_WORD))
        longest = len(heading) if whole_headings else max(map(len, heading.split()))
        return max(longest, *(len(cell(row)) for row in rows))

    return sum(needed(*column) + _GAP for column in columns) - _GAP


def _name(row: Row) -> str:
    """Return a row's label, without what a record could do to a terminal."""
    return visible(row.label)
