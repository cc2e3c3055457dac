"""`bench leaderboard`, `compare`, `site`, `curves`: the board, two of its rows, its curves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import MofNCompleteColumn

from codonbench.cli.bars import bar_shown
from codonbench.cli.board_tables import print_curves
from codonbench.cli.console import print_list
from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    insist_on,
    load_plugins,
    print_failures,
)
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StaleError, StoreError, UsageError
from codonbench.leakage.boards import near_copies, read_audits, with_audits, with_rules
from codonbench.plugins.registry import Registry
from codonbench.ranking.board import (
    Board,
    BoardTable,
    board_with_outputs,
)
from codonbench.ranking.curves import learning_curves
from codonbench.ranking.items import gather_tested
from codonbench.ranking.overview import build_overview
from codonbench.ranking.pairwise import compare_pair
from codonbench.ranking.published import shipped_published
from codonbench.records.files import (
    board_folder,
    cache_folder,
    plain_json,
    shipped,
    visible,
    write_atomically,
)
from codonbench.records.store import BadRecord, Store
from codonbench.report import markdown
from codonbench.report.by_category import FILE as CHART
from codonbench.report.by_category import render_by_category
from codonbench.report.item_facts import FOLDER as FACTS
from codonbench.report.item_facts import read_facts
from codonbench.report.site import files
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.files import all_figures

_LONGEST_REASON = 400

FailedOption = Annotated[
    bool,
    typer.Option("--with-failed", help="Include tasks whose data audit is FAIL in summaries."),
]

CheckOption = Annotated[
    bool, typer.Option("--check", help="Write nothing; exit 3 if a file is out of date.")
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
    page: Annotated[
        bool, typer.Option("--site", help="Also write the page, as 'bench site' does.")
    ] = False,
    with_failed: FailedOption = False,
) -> None:
    """Write the board to README.md, as Markdown, and to leaderboard.json.

    The board is between markers; a missing README.md is made, one without the markers is left
    alone. The same records give the same bytes. Each task says how its rows are ranked; records
    of tasks that are not installed are not counted.
    """
    folder = board_folder(results) if out is None else out
    made = _board(results, plugin, plugins_dir, board_folder(results), with_failed)
    board, outputs = made.board, made.outputs
    unrun = board.unrun(made.registry.known_tasks) if made.known.official else ()
    wanted = _files(board, folder, unrun)
    stale = [path for path, content in wanted.items() if _content(path) != content]
    _refuse_stale([*outputs, *stale], f"leaderboard{_asked(made)} --results {results}", check)
    for path, content in {**outputs, **{path: wanted[path] for path in stale}}.items():
        if content is None:
            path.unlink()
        else:
            write_atomically(path, content)
    done = [*map(str, stale), *([f"{len(outputs)} files of test outputs"] if outputs else [])]
    _say_done(board, f"wrote {' and '.join(done)}" if done else "")
    if page:
        _write_page(made, folder / "site", results, check=check)


def compare(
    first: Annotated[str, typer.Argument(help="A model, a preset, or a row's whole name.")],
    second: Annotated[str, typer.Argument(help="Another.")],
    results: ResultsOption = RESULTS,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Compare two models on the same seeds and test items: difference, interval, p.

    Prints a line for each table of the board that has both. The difference is the first's score
    minus the second's; its 95 % interval and its two-sided p are over seeds and test items. p is
    not corrected for the number of comparisons, and needs three seeds. Clean is the difference on
    the test items without a near-copy in training, if the data audit found one.
    """
    store = Store(results)
    store.require_folder()
    registry = load_plugins(plugin, plugins_dir)
    audits = read_audits(board_folder(results), registry.known_tasks)
    folders = [(store, store.records())]
    made = compare_pair(folders, registry, first, second, task, near_copies(audits))
    if as_json:
        typer.echo(plain_json(json.dumps([each.model_dump() for each in made], indent=1)))
        return
    typer.echo(f"{made[0].first} - {made[0].second}")
    columns = {
        "table": [each.table for each in made],
        "metric": [each.metric for each in made],
        "difference": [_difference(each.difference, each.low, each.high) for each in made],
        "p": [
            "-" if each.p is None else f"{each.p:.3f}" if each.p >= 0.001 else "< 0.001"
            for each in made
        ],
        "clean": [
            _difference(each.clean_difference, each.clean_low, each.clean_high) for each in made
        ],
        "first": [f"{each.first_score:.3f}" for each in made],
        "second": [f"{each.second_score:.3f}" for each in made],
        "seeds": [str(each.seeds) for each in made],
        "items": [f"{each.items:,}" for each in made],
        "clean items": [
            "-" if each.clean_items is None else f"{each.clean_items:,}" for each in made
        ],
    }
    if all(each.clean_difference is None for each in made):
        del columns["clean"], columns["clean items"]
    rows = list(zip(*columns.values(), strict=True))
    print_list(tuple(columns), rows, spare=("metric", "first", "second", "clean items"))


def _difference(value: float | None, low: float | None, high: float | None) -> str:
    """Return a difference with its interval; a dash for none."""
    return "-" if value is None else f"{value:+.3f} [{low:.3f}, {high:.3f}]"


def site(
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page.  [default: site, beside the board]"),
    ] = None,
    check: CheckOption = False,
    redraw: Annotated[
        bool,
        typer.Option(
            "--redraw", help="Redraw the figures of every row whose trajectories are there."
        ),
    ] = False,
    embeddings: Annotated[
        bool,
        typer.Option(
            "--embeddings", help="Repeat a run of each row that has an embedding, to draw it."
        ),
    ] = False,
    data: Annotated[
        str | None,
        typer.Option(help="For --embeddings: the path of the sequences, if records name a file."),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    with_failed: FailedOption = False,
) -> None:
    """Write the board as a web page that opens from disk.

    Open site/index.html. A row's figures are made from trajectories, if they are there, and
    then kept in one file per row as long as its records exist. --check needs committed files
    only.
    """
    beside = board_folder(results)
    folder = beside / "site" if out is None else out
    made = _board(results, plugin, plugins_dir, beside, with_failed)
    _write_page(made, folder, results, check=check, redraw=redraw, embeddings=embeddings, data=data)


def curves(
    results: ResultsOption = RESULTS,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Only this task.")] = None,
    target: Annotated[
        float | None,
        typer.Option(help="Also show how many examples each row needs to reach this score."),
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the curves into a file, .svg or .png.")
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Show scores by the number of training examples, and the examples to reach row zero.

    For runs made with --protocol sample_efficiency, whose subsets are nested and the same for
    every model. A row that never reaches row zero, the best reference row with all examples, is
    shown as beyond the largest size.
    """
    if plot is not None:
        insist_on("pictures", "matplotlib")
    store = Store(results)
    store.require_folder()
    found = [r for r in store.records() if task in (None, r.task)]
    registry = load_plugins(plugin, plugins_dir)
    made = learning_curves(found, registry.known_tasks, target)
    if not made:
        raise StoreError(
            f"{results} holds no runs on subsets; make some: "
            "bench run --protocol sample_efficiency --model NAME --task NAME"
        )
    if plot is not None:
        from codonbench.report.pictures import draw_curves

        draw_curves(made, plot)
    if as_json:
        content = [each.model_dump(mode="json") for each in made]
        typer.echo(plain_json(json.dumps(content, indent=1)))
        return
    for each in made:
        print_curves(each)


@dataclass(frozen=True)
class _Made:
    """A board, and what it and its page are made of.

    Attributes:
        found: What is in the results folder.
        registry: The plugins.
        board: The board.
        outputs: The files of test outputs that are to change: their content, None to delete them.
        known: What else a page draws on.
    """

    found: Sequence[RunRecord | BadRecord]
    registry: Registry
    board: Board
    outputs: Mapping[Path, bytes | None]
    known: PageSources


def _write_page(
    made: _Made,
    folder: Path,
    results: Path,
    *,
    check: bool,
    redraw: bool = False,
    embeddings: bool = False,
    data: str | None = None,
) -> None:
    """Write a board's page, or check it; the options are those of `site`."""
    registry, board = made.registry, made.board
    runs, figures = files.runs_by_id(made.found), all_figures(registry)
    old = files.committed_rows(folder, figures)
    if check:
        drawn = files.fitting_rows(board, runs, old)
    else:
        rows = files.drawn_rows(board, runs, old, Store(results), figures, anew=redraw)
        drawn = [_with_embedding(row, runs, registry, data) if embeddings else row for row in rows]
    wanted = files.wanted_files(board, runs, drawn, figures, made.known)
    stale = files.stale_files(folder, wanted)
    wrong = files.out_of_date(stale)
    _refuse_stale(
        [folder / path for path in wrong], f"site{_asked(made)} --results {results}", check
    )
    if check:
        _say_done(board, "", f"with pictures: {len(drawn)}")
        return
    files.check_written_here(folder, stale, wanted)
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


def _asked(made: _Made) -> str:
    return " --with-failed" if made.board.with_failed else ""


def _board(
    results: Path,
    plugin: list[Path] | None,
    plugins_dir: list[Path] | None,
    folder: Path,
    with_failed: bool,
) -> _Made:
    """Return the board of a results folder; print what is not counted.

    Tables of data whose audit lies in a folder ``audits`` beside the board, as ``bench audit-data
    --json`` prints it, say its verdict first; see `read_audits` for those that the cache has.
    """
    store = Store(results)
    store.require_folder()
    found, registry = list(store.scan()), load_plugins(plugin, plugins_dir)
    known_failures = len(registry.failures)
    audits = read_audits(folder, registry.known_tasks)
    tested = with_rules(gather_tested([(store, found)], registry), audits)
    facts = read_facts(folder / FACTS)
    tested = replace(tested, facts={name: own.values() for name, own in facts.items()})
    with bar_shown(MofNCompleteColumn()) as move:
        progress = partial(move, "tables")
        board, outputs = board_with_outputs(store, found, registry.known_tasks, tested, progress)
    print_failures(registry.failures[known_failures:])  # of what was imported to rank the rows
    for item in board.excluded:
        message = f"not counted: {visible(item.name)}: {visible(item.reason, _LONGEST_REASON)}"
        typer.echo(message, err=True)
    board = _with_published(with_audits(board, audits, with_failed), registry)
    known = PageSources(
        tasks=registry.known_tasks,
        metrics=registry.known_metrics,
        outputs={k: own for k, own in tested.outputs.items() if k not in tested.withheld},
        audits=audits,
        facts=facts,
        days=_days(folder / "days.json"),
        withheld=tested.withheld,
        official=_is_official(folder),
    )
    return _Made(found, registry, board, outputs, known)


def _is_official(folder: Path) -> bool:
    """Return whether it is the folder of the board that comes with codonbench."""
    board = shipped("leaderboard/leaderboard.json")
    return board is not None and board.resolve().parent == folder.resolve()


def _days(path: Path) -> dict[str, str]:
    """Return the day of each commit that a file names; none where there is no such file."""
    try:
        return dict(json.loads(path.read_bytes())) if path.is_file() else {}
    except (TypeError, ValueError) as error:
        raise StoreError(f"{path} holds no days of commits; delete it") from error


def _with_published(board: Board, registry: Registry) -> Board:
    """Return a board whose tables know what others published on their tasks' own data."""
    published = shipped_published()

    def with_published(table: BoardTable) -> BoardTable:
        own = published.get(table.task, ())
        if not own or table.data != registry.tasks[table.task].task.default_data:
            return table
        notes = tuple(note for note in table.notes if not any(each.says(note) for each in own))
        return table.model_copy(update={"published": own, "notes": notes})

    return board.model_copy(update={"tables": tuple(map(with_published, board.tables))})


def _refuse_stale(stale: Sequence[Path], command: str, check: bool) -> None:
    if check and stale:
        more = f" and {len(stale) - 3} more" if len(stale) > 3 else ""
        raise StaleError(
            f"{', '.join(map(str, stale[:3]))}{more} out of date; run 'bench {command}' and "
            "commit what it writes"
        )


def _say_done(board: Board, done: str, *more: str) -> None:
    rows = sum(len(table.all_rows) for table in board.tables)
    facts = (f"rows: {rows}", f"tables: {len(board.tables)}", *more)
    typer.echo(f"{done or 'everything is up to date'}; {', '.join(facts)}")


def _files(board: Board, folder: Path, unrun: Sequence[str]) -> dict[Path, bytes]:
    """Return what the board's files should hold: Markdown, JSON, and the chart by category."""
    page_path = folder / "README.md"
    try:
        page = (_content(page_path) or markdown.NEW_PAGE.encode()).decode()
        chart = render_by_category(build_overview(board))
        text = markdown.render_board(board, unrun, CHART if chart else "")
        page = markdown.insert_between_markers(page, text)
    except (UnicodeDecodeError, StoreError) as error:
        raise StoreError(
            f"{page_path}: {error}; add the markers where the board should stand, "
            "or give another folder with --out"
        ) from error
    board_json = json.dumps(board.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    drawn = {folder / CHART: chart.encode()} if chart else {}
    return {page_path: page.encode(), folder / "leaderboard.json": board_json.encode(), **drawn}


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
