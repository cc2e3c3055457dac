"""`bench leaderboard`: the board from the records, written or checked."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli.folders import RESULTS, ResultsOption


def leaderboard(
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of README.md and leaderboard.json.  [default: above --results]"),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 3 where a file is out of date.")
    ] = False,
) -> None:
    """Write the board as Markdown, between markers of README.md, and as leaderboard.json.

    The same records give the same bytes. Nothing but the records is needed.
    """
    import json

    from codonbench.errors import StaleError, StoreError
    from codonbench.leaderboard import build_board
    from codonbench.markdown import insert_between_markers, render_board
    from codonbench.store import Store, write_atomically

    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    folder = results.parent if out is None else out
    board = build_board(Store(results).scan())
    page_path, json_path = folder / "README.md", folder / "leaderboard.json"
    page = page_path.read_text() if page_path.is_file() else "# Leaderboard\n"
    wanted = {
        page_path: insert_between_markers(page, render_board(board)),
        json_path: json.dumps(board.model_dump(mode="json"), indent=1, sort_keys=True) + "\n",
    }
    stale = [p for p, text in wanted.items() if not p.is_file() or p.read_text() != text]
    if check:
        if stale:
            names = " and ".join(str(path) for path in stale)
            raise StaleError(f"{names} out of date; run 'bench leaderboard' and commit")
        typer.echo("the leaderboard is what its records give")
        return
    for path in stale:
        write_atomically(path, wanted[path].encode())
    rows = sum(len(table.rows) + len(table.references) for table in board.tables)
    typer.echo(f"{rows} rows in {len(board.tables)} tables; wrote {len(stale)} of 2 files")
    for item in board.excluded:
        typer.echo(f"not counted: {item.name}: {item.reason}", err=True)
