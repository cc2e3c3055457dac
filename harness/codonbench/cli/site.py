"""`bench site`: the leaderboard as a page that opens from disk, written or checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.folders import RESULTS, ResultsOption

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import PurePosixPath

    from codonbench.site.files import Files


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
        bool, typer.Option("--redraw", help="Make the pictures of every trace at hand anew.")
    ] = False,
) -> None:
    """Write the board as a page with pictures: site/index.html opens in any browser, from disk.

    Pictures are made from traces, where these are at hand, and kept from then on: one file a row,
    for as long as it belongs to the records. --check needs committed files only.
    """
    from codonbench.errors import StaleError, StoreError
    from codonbench.leaderboard import build_board
    from codonbench.site import files
    from codonbench.store import Store

    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    folder = results.parent / "site" if out is None else out
    store = Store(results)
    found = list(store.scan())
    board, runs = build_board(found), files.runs_by_id(found)
    old = {} if redraw and not check else files.committed_rows(folder)
    pictures = (
        files.fitting_rows(board, runs, old)
        if check
        else list(files.pictured_rows(board, runs, old, store))
    )
    wanted = files.wanted_files(board, runs, pictures)
    stale = files.stale_files(folder, wanted)
    if check and stale:
        raise StaleError(
            f"{_some(folder, stale)} out of date; run 'bench site' and commit what it writes"
        )
    _write(folder, wanted, stale)
    rows = sum(len(table.rows) + len(table.references) for table in board.tables)
    done = f"wrote {len(stale)} of {len(wanted)} files" if stale else "everything is up to date"
    typer.echo(
        f"{done}; rows: {rows}, with pictures: {len(pictures)}; open {folder / 'index.html'}"
    )


def _write(folder: Path, wanted: Files, stale: Iterable[PurePosixPath]) -> None:
    """Write what is missing or differs; delete the pictures of rows that are no more."""
    from codonbench.errors import StoreError
    from codonbench.site.files import is_row_file
    from codonbench.store import write_atomically

    for path in stale:
        if path in wanted:
            write_atomically(folder / path, wanted[path])
        elif is_row_file(path):
            (folder / path).unlink()
        else:
            raise StoreError(f"{folder / path} is no part of the page; move it elsewhere")


def _some(folder: Path, paths: list[PurePosixPath]) -> str:
    first = ", ".join(str(folder / path) for path in paths[:3])
    return first + (f" and {len(paths) - 3} more" if len(paths) > 3 else "")
