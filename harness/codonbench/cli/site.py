"""`bench site`: the leaderboard as a page that opens from disk, written or checked."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.board import say_what_is_not_counted
from codonbench.cli.folders import RESULTS, PluginOption, PluginsDirOption, ResultsOption
from codonbench.data.cache import cache_folder

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import PurePosixPath

    from codonbench.contracts.run_record import RunRecord
    from codonbench.plugins.registry import Registry
    from codonbench.report.site.files import Drawn, Files


def site(
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of the page.  [default: site, above --results]"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 3 where a file is out of date.")
    ] = False,
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
    from codonbench.cli.loading import load_plugins
    from codonbench.errors import StaleError, StoreError
    from codonbench.ranking.board import build_board
    from codonbench.records.store import Store
    from codonbench.report.site import files
    from codonbench.report.site.figures import all_figures

    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    folder = results.parent / "site" if out is None else out
    store = Store(results)
    found = list(store.scan())
    registry = load_plugins(plugin, plugins_dir)
    board, runs = build_board(found, registry.known_tasks), files.runs_by_id(found)
    say_what_is_not_counted(board)
    figures = all_figures(registry)
    old = files.committed_rows(folder, figures)
    drawn = (
        files.fitting_rows(board, runs, old)
        if check
        else list(files.drawn_rows(board, runs, old, store, figures, anew=redraw))
    )
    if embeddings and not check:
        drawn = [_with_embedding(each, runs, registry, data) for each in drawn]
    wanted = files.wanted_files(board, runs, drawn, figures)
    stale = files.stale_files(folder, wanted)
    if check and stale:
        raise StaleError(
            f"{_some(folder, stale)} out of date; run 'bench site' and commit what it writes"
        )
    files.insist_on_ours(folder, stale, wanted)
    _write(folder, wanted, stale)
    rows = sum(len(table.rows) + len(table.references) for table in board.tables)
    done = _done(stale, wanted) if stale else "everything is up to date"
    typer.echo(f"{done}; rows: {rows}, with pictures: {len(drawn)}; open {folder / 'index.html'}")


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


def _write(folder: Path, wanted: Files, stale: Iterable[PurePosixPath]) -> None:
    """Write what is missing or differs; delete the pictures of rows that are no more."""
    from codonbench.records.store import write_atomically

    for path in stale:
        if path in wanted:
            write_atomically(folder / path, wanted[path])
        else:
            (folder / path).unlink()


def _done(stale: list[PurePosixPath], wanted: Files) -> str:
    """Return ``wrote 3 of 80 files, deleted 1``."""
    written = sum(path in wanted for path in stale)
    deleted = f", deleted {len(stale) - written}" if written < len(stale) else ""
    return f"wrote {written} of {len(wanted)} files{deleted}"


def _some(folder: Path, paths: list[PurePosixPath]) -> str:
    first = ", ".join(str(folder / path) for path in paths[:3])
    return first + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
