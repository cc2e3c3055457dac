"""`bench leaderboard`: the board from the records, written or checked."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.folders import RESULTS, PluginOption, PluginsDirOption, ResultsOption

if TYPE_CHECKING:
    from codonbench.ranking.board import Board

_LONGEST_REASON = 400


def leaderboard(
    results: ResultsOption = RESULTS,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder of README.md and leaderboard.json.  [default: above --results]"),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 3 where a file is out of date.")
    ] = False,
) -> None:
    """Write the board as Markdown, between markers of README.md, and as leaderboard.json.

    A README.md that is not there is made; one without the markers is left
    alone. The same records give the same bytes. Each task says how its rows
    are ranked: records of a task that is not installed are not counted.
    """
    from codonbench.cli.loading import load_plugins
    from codonbench.errors import StaleError, StoreError
    from codonbench.ranking.board import build_board
    from codonbench.records.store import Store, write_atomically

    if not results.is_dir():
        raise StoreError(f"no results folder {results}; 'bench run' makes one")
    tasks = load_plugins(plugin, plugins_dir).known_tasks
    board = build_board(Store(results).scan(), tasks)
    wanted = _files(board, results.parent if out is None else out)
    stale = [path for path, content in wanted.items() if _content(path) != content]
    say_what_is_not_counted(board)
    if check and stale:
        names = " and ".join(str(path) for path in stale)
        raise StaleError(f"{names} out of date; run 'bench leaderboard' and commit what it writes")
    for path in stale:
        write_atomically(path, wanted[path])
    rows = sum(len(table.rows) + len(table.references) for table in board.tables)
    done = f"wrote {' and '.join(map(str, stale))}" if stale else "everything is up to date"
    typer.echo(f"{done}; rows: {rows}, tables: {len(board.tables)}")


def say_what_is_not_counted(board: Board) -> None:
    """Print a line on standard error for each file or run that the board leaves out."""
    from codonbench.records.printable import visible

    for item in board.excluded:
        said = f"not counted: {visible(item.name)}: {visible(item.reason, _LONGEST_REASON)}"
        typer.echo(said, err=True)


def _files(board: Board, folder: Path) -> dict[Path, bytes]:
    """Return what the board's two files should hold."""
    import json

    from codonbench.errors import StoreError
    from codonbench.report.markdown import NEW_PAGE, insert_between_markers, render_board

    page_path = folder / "README.md"
    try:
        page = (_content(page_path) or NEW_PAGE.encode()).decode()
        page = insert_between_markers(page, render_board(board))
    except UnicodeDecodeError as error:
        raise StoreError(f"{page_path}: {error}; give another folder with --out") from error
    except StoreError as error:
        raise StoreError(
            f"{page_path}: {error}; add them where the board should stand, "
            "or give another folder with --out"
        ) from error
    board_json = json.dumps(board.model_dump(mode="json"), indent=1, sort_keys=True) + "\n"
    return {page_path: page.encode(), folder / "leaderboard.json": board_json.encode()}


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None
