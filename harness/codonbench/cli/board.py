"""`bench leaderboard` and `bench site`: the board as Markdown, JSON, a page, and in a terminal."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError
from rich.text import Text

from codonbench.cli.console import new_table, output, say
from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    board_folder,
    load_plugins,
)
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.errors import StaleError, StoreError, UsageError
from codonbench.leakage.verdict import DataAudit
from codonbench.plugins.registry import Registry
from codonbench.ranking.board import (
    BestRule,
    Board,
    Row,
    Table,
    board_with_outputs,
    build_board,
    merit,
    official_tables,
)
from codonbench.ranking.curves import Curves
from codonbench.ranking.items import gather_tested
from codonbench.ranking.published import shipped_published
from codonbench.ranking.rows import name_text
from codonbench.ranking.statistics import Mean, Median
from codonbench.records.files import cache_folder, visible, write_atomically
from codonbench.records.store import BadRecord, Store
from codonbench.report import markdown
from codonbench.report.item_facts import FOLDER as FACTS
from codonbench.report.item_facts import read_facts
from codonbench.report.site import files
from codonbench.report.site.by_item import Known
from codonbench.report.site.figures import all_figures

_LONGEST_REASON = 400

CheckOption = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit 3 where a file is out of date.")
]


def leaderboard(
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of README.md and leaderboard.json.  "
            "[default: board, in --results; above it where that is called results]"
        ),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    check: CheckOption = False,
) -> None:
    """Write the board as Markdown, within README.md, and as leaderboard.json.

    It stands between markers. A README.md that is not there is made; one
    without the markers is left alone. The same records give the same bytes.
    Each task says how its rows are ranked: records of a task that is not
    installed are not counted.
    """
    folder = board_folder(results) if out is None else out
    _, _, board, outputs, _ = _board(results, plugin, plugins_dir, folder)
    wanted = _files(board, folder)
    stale = [path for path, content in wanted.items() if _content(path) != content]
    _refuse_stale([*outputs, *stale], f"leaderboard --results {results}", check)
    for path, content in {**outputs, **{path: wanted[path] for path in stale}}.items():
        if content is None:
            path.unlink()
        else:
            write_atomically(path, content)
    done = [*map(str, stale), *([f"{len(outputs)} files of test outputs"] if outputs else [])]
    _say_done(board, f"wrote {' and '.join(done)}" if done else "")


def site(
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page.  [default: site, beside the board]"),
    ] = None,
    check: CheckOption = False,
    redraw: Annotated[
        bool, typer.Option("--redraw", help="Make the pictures of every trajectory at hand anew.")
    ] = False,
    embeddings: Annotated[
        bool,
        typer.Option(
            "--embeddings", help="Make a run of each row that has an embedding again, to draw it."
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(help="For --embeddings: where the sequences are that records name by a file."),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Write the board as a page with pictures that any browser opens from disk.

    Open site/index.html. Pictures are made from trajectories, where these are at hand, and kept
    from then on: one file a row, for as long as it belongs to the records. --check needs
    committed files only.
    """
    folder = board_folder(results) / "site" if out is None else out
    found, registry, board, _, known = _board(results, plugin, plugins_dir, folder.parent)
    runs, figures = files.runs_by_id(found), all_figures(registry)
    old = files.committed_rows(folder, figures)
    if check:
        drawn = files.fitting_rows(board, runs, old)
    else:
        rows = files.drawn_rows(board, runs, old, Store(results), figures, anew=redraw)
        drawn = [_with_embedding(row, runs, registry, data) if embeddings else row for row in rows]
    wanted = files.wanted_files(board, runs, drawn, figures, known)
    stale = files.stale_files(folder, wanted)
    wrong = files.out_of_date(stale)
    _refuse_stale([folder / path for path in wrong], f"site --results {results}", check)
    if check:
        _say_done(board, "", f"with pictures: {len(drawn)}")
        return
    files.insist_on_ours(folder, stale, wanted)
    written = [path for path in stale if path in wanted]
    for path in written:
        write_atomically(folder / path, wanted[path])
    for path in set(stale) - set(written):  # pictures of rows that are no more
        (folder / path).unlink()
    deleted = f", deleted {len(stale) - len(written)}" if written != stale else ""
    _say_done(
        board,
        f"wrote {len(written)} of {len(wanted)} files{deleted}" if stale else "",
        f"with pictures: {len(drawn)}; open {folder / 'index.html'}",
    )


def _board(
    results: Path, plugin: list[Path] | None, plugins_dir: list[Path] | None, folder: Path
) -> tuple[list[RunRecord | BadRecord], Registry, Board, dict[Path, bytes | None], Known]:
    """Return what is in a results folder, the plugins, and the board; say what is not counted.

    Tables of data whose audit lies in a folder ``audits`` beside the board, as ``bench audit-data
    --json`` prints it, say its verdict first. Then come the files of test outputs that are to
    change: their content, None to delete them; and what else a page draws on.
    """
    store = Store(results)
    store.insist_on_folder()
    found, registry = list(store.scan()), load_plugins(plugin, plugins_dir)
    audits = _audits(folder / "audits")
    board, outputs, tested = board_with_outputs(
        store,
        found,
        registry.known_tasks,
        registry.known_metrics,
        {checksum: audit.copied for checksum, audit in audits.items()},
    )
    for item in board.excluded:
        said = f"not counted: {visible(item.name)}: {visible(item.reason, _LONGEST_REASON)}"
        typer.echo(said, err=True)
    board = _with_published(_with_audits(board, audits), registry)
    known = Known(
        tasks=registry.known_tasks,
        metrics=registry.known_metrics,
        outputs=tested.outputs,
        audits=audits,
        facts=read_facts(folder / FACTS),
    )
    return found, registry, board, outputs, known


def _with_published(board: Board, registry: Registry) -> Board:
    """Return a board whose tables know what others published on their tasks' own data."""
    published = shipped_published()

    def told(table: Table) -> Table:
        own = published.get(table.task, ())
        if not own or table.data != registry.tasks[table.task].task.default_data:
            return table
        return table.model_copy(update={"published": own})

    return board.model_copy(update={"tables": tuple(map(told, board.tables))})


def _audits(folder: Path) -> dict[str, DataAudit]:
    """Return the audits in a folder, by the checksum of their data."""
    audits = {}
    for path in sorted(folder.glob("*.json")):
        try:
            audit = DataAudit.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise StoreError(
                f"{path}: no audit of data; make it with 'bench audit-data --json'"
            ) from error
        audits[audit.checksum] = audit
    return audits


def _with_audits(board: Board, audits: Mapping[str, DataAudit]) -> Board:
    """Return a board whose tables note first what audits say of their data."""

    def told(table: Table) -> Table:
        audit = audits.get(table.data_checksum)
        if audit is None:
            return table
        failed = " Its rows count in no summary over tasks." if audit.verdict == "FAIL" else ""
        notes = (f"Data audit: {audit.line}.{failed}", *table.notes)
        best, rule = None, audit.best_rule
        if rule is not None and rule.value > 0:
            best = BestRule(check=rule.check, score=audit.score, value=rule.value)
        update = {"notes": notes, "verdict": audit.verdict, "best_rule": best}
        return table.model_copy(update=update)

    return board.model_copy(update={"tables": tuple(map(told, board.tables))})


def _refuse_stale(stale: Sequence[Path], command: str, check: bool) -> None:
    if check and stale:
        more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
        raise StaleError(
            f"{', '.join(map(str, stale[:3]))}{more} out of date; run 'bench {command}' and "
            "commit what it writes"
        )


def _say_done(board: Board, done: str, *more: str) -> None:
    rows = sum(len(table.rows) + len(table.references) for table in board.tables)
    facts = (f"rows: {rows}", f"tables: {len(board.tables)}", *more)
    typer.echo(f"{done or 'everything is up to date'}; {', '.join(facts)}")


def _files(board: Board, folder: Path) -> dict[Path, bytes]:
    """Return what the board's two files should hold."""
    page_path = folder / "README.md"
    try:
        page = (_content(page_path) or markdown.NEW_PAGE.encode()).decode()
        page = markdown.insert_between_markers(page, markdown.render_board(board))
    except (UnicodeDecodeError, StoreError) as error:
        raise StoreError(
            f"{page_path}: {error}; add the markers where the board should stand, "
            "or give another folder with --out"
        ) from error
    board_json = json.dumps(board.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    return {page_path: page.encode(), folder / "leaderboard.json": board_json.encode()}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def _with_embedding(
    drawn: files.Drawn, runs: Mapping[str, RunRecord], registry: Registry, data: str | None
) -> files.Drawn:
    """Return what a row is drawn from with what only a run made again can tell."""
    try:
        content = drawn.figures.add_embedding(drawn.content, runs, registry, cache_folder(), data)
    except UsageError as error:
        typer.echo(f"no embedding: {error}", err=True)
        return drawn
    return replace(drawn, content=content)


# After a run, in the terminal

_Column = tuple[str, Callable[[Row], str]]
"""A heading, and what stands below it for a row."""

_SHORTEST_NAME, _GAP = 12, 3


def print_tables_of(
    records: Sequence[RunRecord], store: Store, against: Store | None, registry: Registry
) -> None:
    """Print the tables in which `records` count, their own rows in bold.

    Args:
        records: The runs just made or reused.
        store: The folder they are in; what else is there is ranked with them.
        against: A folder of other records to rank them with, read only.
        registry: For tasks, which say how rows are ranked, and metrics.
    """
    finished = [record for record in records if record.status in FINISHED]
    mine = {_row_of(record) for record in finished}
    shown = {row[:2] for row in mine}
    found = [record for record in store.scan() if isinstance(record, RunRecord)]
    others: list[RunRecord] = []
    if against is not None:  # where it holds the same row, the one just made speaks
        own = {_row_of(record) for record in found}
        there = (record for record in against.scan() if isinstance(record, RunRecord))
        others = [record for record in there if _row_of(record) not in own]
    folders = [(store, found), *([] if against is None else [(against, others)])]
    tasks, tested = registry.known_tasks, None
    if any(record.selected_pairs is not None for record in finished):  # these were tested on items
        asked = {_asked(record) for record in finished}  # under a control, too, or without it
        tested = gather_tested(
            [(folder, [r for r in own if _asked(r) in asked]) for folder, own in folders],
            registry.known_metrics,
            tasks,
        )
    board = build_board([*found, *others], tasks, tested)
    in_parts = {r.comparability_key for r in finished if r.run_spec.subset is not None}
    for table in board.tables:
        if (table.key, table.device) in shown and table.key not in in_parts:
            print_table_of(table, mine)
    tasks_run = {(r.task, r.dataset.checksum) for r in finished if r.run_spec.subset is not None}
    for curves in board.curves:
        if (curves.task, curves.data_checksum) in tasks_run:
            print_curves(curves)
    for table in board.tables:
        _print_contrasts(table, mine)
        if (table.task, table.data_checksum) in {_asked(record) for record in finished}:
            _print_held(table, mine)
    if against is None:
        ran = {record.task for record in finished}
        shipped = official_tables({name: tasks[name] for name in ran if name in tasks})
        official = {(table.key, table.device): table for table in shipped}
        for table in board.tables:
            if (table.key, table.device) in shown & official.keys():
                _print_standing(table, official[table.key, table.device], mine)


def _asked(record: RunRecord) -> tuple[str, str]:
    """Return on which task and data a run was made."""
    return record.task, record.run_spec.data_checksum


def _row_of(record: RunRecord) -> tuple[str, ...]:
    """Return what makes two runs count in one row of one table; first the table's own two."""
    config = content_hash(record.run_spec.config)
    table = (record.comparability_key, record.machine.device)
    return (*table, record.model, config, record.plugin.distribution)


def print_table_of(table: Table, mine: Collection[tuple[str, ...]] = ()) -> None:
    """Print a table, the rows in `mine` in bold and with their notes."""
    console, rows = output(), (*table.rows, *table.references)
    columns = _fitting(table, console.width)
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
        key = _key(table, row)
        grid.add_row(*(Text(cell(row)) for _, cell in columns), style="bold" if key in mine else "")
        if key in mine and row.notes:
            notes.append(f"{_name(row)}: {'; '.join(map(visible, row.notes))}")
    statistic = "mean" if table.ranking.primary.statistic == "mean" else "median"
    console.print(f"\n{visible(table.title)}; {statistic}s over seeds")
    console.print(grid)
    for note in notes:
        say(note, console=console)


def print_curves(curves: Curves) -> None:
    """Print learning curves as a table, with intervals where there is room for them."""
    console = output()
    for intervals in (True, False):
        headings, body = markdown.curve_cells(curves, intervals=intervals)
        widths = [max(map(len, cells)) for cells in zip(headings, *body, strict=True)]
        if sum(widths) + _GAP * len(widths) <= console.width:
            break
    grid = new_table()
    for i, heading in enumerate(headings):
        grid.add_column(heading, justify="right" if i else "left", overflow="fold")
    for line in body:
        grid.add_row(*(Text(visible(cell)) for cell in line))
    each = " of each class" if curves.per_class else ""
    where = f"{curves.task} on {curves.data}, {curves.device}"
    console.print(
        f"\n{visible(where)}: {curves.column.title} by training examples{each}, #rank at each size"
    )
    console.print(grid)
    if curves.row_zero:
        say(f"row zero: {visible(curves.row_zero)} with all of them", console=console)


def _key(table: Table, row: Row) -> tuple[str, ...]:
    return (table.key, table.device, row.model, row.config_sha256, row.distribution)


def _print_standing(table: Table, official: Table, mine: Collection[tuple[str, ...]]) -> None:
    """Say between which official rows own ones would stand; nothing where all are in the table."""
    ranking = table.ranking
    column, there = ranking.primary, {_key(table, row) for row in table.rows}
    if all(_key(official, row) in there for row in official.rows):
        return

    def named(row: Row) -> str:
        point = _point(row.figure(column.metric))
        return f"{_name(row)} ({markdown.figure_text(point, column, table.budget_pairs)})"

    for own in table.rows:
        if own.rank is None or _key(table, own) not in mine:
            continue
        others = [row for row in official.rows if _key(official, row) != _key(table, own)]
        ahead = [row for row in others if merit(row, ranking) < merit(own, ranking)]
        neighbours = [f"after {named(row)}" for row in ahead[-1:]]
        neighbours += [f"before {named(row)}" for row in others[len(ahead) :][:1]]
        doubt = " (in doubt: see its notes)" if own.doubted else ""
        say(
            f"{_name(own)} would be number {len(ahead) + 1} of {len(others) + 1} by "
            f"{column.title}{doubt}, among the official rows, {' and '.join(neighbours)}; "
            f"'bench ls rows --task {table.task}' shows them",
            console=output(),
        )


def _point(figure: Median | Mean | None) -> Median | Mean | None:
    """Return a figure without its interval."""
    if figure is None:
        return None
    return figure.model_copy(update={"low": figure.value, "high": figure.value})


def _print_contrasts(table: Table, mine: set[tuple[str, ...]]) -> None:
    """Say how own rows stand beside their controls."""
    control = table.ranking.control
    if control is None:
        return
    for contrast in table.contrasts:
        row = (table.device, contrast.model, contrast.config_sha256, contrast.distribution)
        if mine & {(table.key, *row), (contrast.key, *row)}:
            name = name_text(contrast.model, contrast.overrides, contrast.distribution)
            say(
                f"{visible(name)}: {control.headings[2]} {visible(contrast.control)}, over "
                f"{len(contrast.seeds)} seeds: {markdown.ratio_text(contrast.ratio)}"
                f"{f'; {control.flag}' if contrast.faster else ''}",
                console=output(),
            )


def _print_held(table: Table, mine: set[tuple[str, ...]]) -> None:
    """Say what own rows have under controls that leave a mean."""
    column, mine_anywhere = table.ranking.primary, {row[1:] for row in mine}
    for row in (*table.rows, *table.references):
        if _key(table, row)[1:] not in mine_anywhere:
            continue
        for name, figure in row.controls.items():
            value = markdown.score_text(figure.mean, column)
            same = "" if figure.agreement is None else f", {figure.agreement:.1%} answers the same"
            flag = f"; {figure.flag}" if figure.flag else ""
            say(
                f"{_name(row)}: {column.title} under control {name}: {value}{same}{flag}",
                console=output(),
            )


def _fitting(table: Table, width: int) -> list[_Column]:
    """Return the columns that fit: without intervals, then parameters, then one by one.

    Figures go from the last, the first stays; so do the rank and the model's name.
    """
    rows = (*table.rows, *table.references)
    for intervals, parameters in ((True, True), (False, True), (False, False)):
        columns = _columns(table, intervals, parameters)
        if _width(columns, rows) <= width:
            return columns
    figures = columns[3 if table.ranking.success is None else 4 :]
    spare = [*reversed(figures[1:]), columns[1], *columns[3 : len(columns) - len(figures)]]
    for column in spare:
        if _width(columns, rows) > width:
            columns.remove(column)
    return columns


def _columns(table: Table, intervals: bool, parameters: bool) -> list[_Column]:
    """Return the columns in their order; never is said so where parameters have no room."""
    ranking, budget = table.ranking, table.budget_pairs if parameters else None

    def success(row: Row) -> str:
        text = markdown.success_text(row, ranking)
        return text if intervals else text.split()[0]

    def declared(name: str) -> _Column:
        column = ranking.column(name)

        def cell(row: Row) -> str:
            figure = row.figure(name)
            figure = figure if intervals else _point(figure)
            return markdown.figure_text(figure, column, budget)

        return column.title, cell

    return [
        ("#", lambda row: "ref" if row.role == "reference" else markdown.rank_text(row)),
        ("tier", lambda row: markdown.NONE if row.tier is None else str(row.tier)),
        ("model", _name),
        *([] if ranking.success is None else [("success", success)]),
        *map(declared, (ranking.brief or (ranking.metric,))[:3]),
        *([("parameters", lambda row: f"{row.parameters:,}")] if parameters else []),
    ]


def _width(columns: Sequence[_Column], rows: Sequence[Row], *, whole_headings: bool = False) -> int:
    """Return how many characters columns need, names folded, headings broken unless `whole`."""

    def needed(heading: str, cell: Callable[[Row], str]) -> int:
        if heading == "model":
            return _SHORTEST_NAME
        longest = len(heading) if whole_headings else max(map(len, heading.split()))
        return max(longest, *(len(cell(row)) for row in rows))

    return sum(needed(*column) + _GAP for column in columns) - _GAP


def _name(row: Row) -> str:
    """Return a row's label, without what a record could do to a terminal."""
    return visible(row.label)
