"""`bench leaderboard` and `bench site`: the board as Markdown and JSON, and as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    board_folder,
)
from codonbench.data.cache import cache_folder

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord
    from codonbench.plugins.registry import Registry
    from codonbench.ranking.board import Board
    from codonbench.records.store import BadRecord
    from codonbench.report.site.files import Drawn

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
    """Write the board as Markdown, between markers of README.md, and as leaderboard.json.

    A README.md that is not there is made; one without the markers is left
    alone. The same records give the same bytes. Each task says how its rows
    are ranked: records of a task that is not installed are not counted.
    """
    from codonbench.records.files import write_atomically

    _, _, board, outputs = _board(results, plugin, plugins_dir)
    wanted = _files(board, board_folder(results) if out is None else out)
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
    """Write the board as a page with pictures: site/index.html opens in any browser, from disk.

    Pictures are made from trajectories, where these are at hand, and kept from then on: one file
    a row, for as long as it belongs to the records. --check needs committed files only.
    """
    from codonbench.records.files import write_atomically
    from codonbench.records.store import Store
    from codonbench.report.site import files
    from codonbench.report.site.figures import all_figures

    folder = board_folder(results) / "site" if out is None else out
    found, registry, board, _ = _board(results, plugin, plugins_dir)
    runs, figures = files.runs_by_id(found), all_figures(registry)
    old = files.committed_rows(folder, figures)
    if check:
        drawn = files.fitting_rows(board, runs, old)
    else:
        rows = files.drawn_rows(board, runs, old, Store(results), figures, anew=redraw)
        drawn = [_with_embedding(row, runs, registry, data) if embeddings else row for row in rows]
    wanted = files.wanted_files(board, runs, drawn, figures)
    stale = files.stale_files(folder, wanted)
    _refuse_stale([folder / path for path in stale], f"site --results {results}", check)
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
    results: Path, files: list[Path] | None, folders: list[Path] | None
) -> tuple[list[RunRecord | BadRecord], Registry, Board, dict[Path, bytes | None]]:
    """Return what is in a results folder, the plugins, and the board; say what is not counted.

    Last come the files of test outputs that are to change: their content, None to delete them.
    """
    from codonbench.cli.loading import load_plugins
    from codonbench.ranking.board import board_with_outputs
    from codonbench.records.files import visible
    from codonbench.records.store import Store

    store = Store(results)
    store.insist_on_folder()
    found, registry = list(store.scan()), load_plugins(files, folders)
    metrics = {name: entry.metric for name, entry in registry.metrics.items()}
    board, outputs = board_with_outputs(store, found, registry.known_tasks, metrics)
    for item in board.excluded:
        said = f"not counted: {visible(item.name)}: {visible(item.reason, _LONGEST_REASON)}"
        typer.echo(said, err=True)
    return found, registry, board, outputs


def _refuse_stale(stale: Sequence[Path], command: str, check: bool) -> None:
    from codonbench.errors import StaleError

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
    from codonbench.errors import StoreError
    from codonbench.report.markdown import NEW_PAGE, insert_between_markers, render_board

    page_path = folder / "README.md"
    try:
        page = (_content(page_path) or NEW_PAGE.encode()).decode()
        page = insert_between_markers(page, render_board(board))
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
    drawn: Drawn, runs: Mapping[str, RunRecord], registry: Registry, data: str | None
) -> Drawn:
    """Return what a row is drawn from with what only a run made again can tell."""
    from codonbench.errors import UsageError

    try:
        content = drawn.figures.add_embedding(drawn.content, runs, registry, cache_folder(), data)
    except UsageError as error:
        typer.echo(f"no embedding: {error}", err=True)
        return drawn
    return replace(drawn, content=content)
