"""What the page's folder should hold, and where it does not.

::

    site/index.html        the page
    site/assets/           its code, its style and the plotting library, as they lie in the wheel
    site/data/board.js     the board
    site/rows/<row id>.js  one row's pictures, loaded when the row is opened
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.ranking.board import Board
from codonbench.records.store import Store
from codonbench.report.site.page import build_page
from codonbench.report.site.pictures import RowPicture
from codonbench.report.site.rows import Records, kept_part, picture_row, row_id
from codonbench.report.site.scripts import as_script, from_script

Files = dict[PurePosixPath, bytes]
"""Contents by path within the page's folder."""

_INDEX = "index.html"
_OURS = ("assets", "data", "rows")
_ROW_FILE = re.compile(r"[0-9a-f]{16}\.js")
_TITLE = b"<title>codonbench leaderboard</title>"
_MARKS = MappingProxyType({"data": b"codonbench.board(", "rows": b"codonbench.row("})
"""What each file of ours has held in every version, by folder; the page has its title."""


def committed_rows(folder: Path) -> dict[str, RowPicture]:
    """Return the pictures in a page's folder, by row; what is none of ours is left out."""
    found = {}
    for path in sorted((folder / "rows").glob("*.js")):
        try:
            picture = from_script("row", path.read_bytes(), RowPicture)
        except (OSError, StoreError):
            continue
        if picture.row == path.stem:
            found[path.stem] = picture
    return found


def fitting_rows(board: Board, runs: Records, old: Mapping[str, RowPicture]) -> list[RowPicture]:
    """Return the committed pictures that belong, whole, to the board's rows."""
    return [
        old[row]
        for row, records in rows_of(board, runs)
        if row in old and kept_part(old[row], records) == old[row]
    ]


def pictured_rows(
    board: Board,
    runs: Records,
    old: Mapping[str, RowPicture],
    store: Store,
    *,
    anew: bool = False,
) -> Iterator[RowPicture]:
    """Yield the pictures of each row that has any: kept where they fit, made where trajectories are.

    Args:
        board: The leaderboard.
        runs: The records that its rows count.
        old: What was made before.
        store: Where trajectories lie, if anywhere.
        anew: Make what trajectories are at hand for again, though it was made before.

    Raises:
        StoreError: A trajectory is unreadable, or is not its record's.
    """
    for row, records in rows_of(board, runs):
        kept = kept_part(old[row], records) if row in old else None
        picture = picture_row(records, store, kept, anew=anew)
        if picture is not None:
            yield picture


def wanted_files(board: Board, runs: Records, pictures: Iterable[RowPicture]) -> Files:
    """Return all that the page's folder should hold."""
    content: Files = dict(_assets())
    drawn = set()
    for picture in pictures:
        content[PurePosixPath("rows", f"{picture.row}.js")] = as_script("row", picture)
        drawn.add(picture.row)
    page = build_page(board, runs, frozenset(drawn))
    return content | {PurePosixPath("data", "board.js"): as_script("board", page)}


def stale_files(folder: Path, wanted: Files) -> list[PurePosixPath]:
    """Return which files are missing, differ, or should not be there, in order."""
    there = {
        PurePosixPath(path.relative_to(folder).as_posix())
        for part in _OURS
        for path in (folder / part).rglob("*")
        if path.is_file()
    }
    differ = {path for path, content in wanted.items() if _content(folder / path) != content}
    return sorted(differ | (there - wanted.keys()))


def insist_on_ours(folder: Path, stale: Iterable[PurePosixPath], wanted: Files) -> None:
    """Make sure that nothing of somebody else's is in the way, before anything is written.

    Args:
        folder: The page's.
        stale: What is to be written or deleted.
        wanted: All that the folder should hold.

    Raises:
        StoreError: Names what 'bench site' did not write.
    """
    for place in (folder, *(folder / part for part in _OURS)):
        if place.exists() and not place.is_dir():
            raise StoreError(f"{place} is no folder; move it elsewhere or give another --out")
    for path in stale:
        if path not in wanted and not _is_row_file(path):
            raise StoreError(f"{folder / path} is no part of the page; move it elsewhere")
        if (folder / path).exists() and not _is_ours(folder, path):
            raise StoreError(
                f"{folder / path} was not written by 'bench site'; "
                "move it elsewhere or give another --out"
            )


def _is_row_file(path: PurePosixPath) -> bool:
    """Return whether a file is one of ours by its name, and may go when its row has gone."""
    return path.parent.name == "rows" and _ROW_FILE.fullmatch(path.name) is not None


def _is_ours(folder: Path, path: PurePosixPath) -> bool:
    """Return whether some 'bench site' wrote a file; of the assets the page itself tells."""
    if path.parts[0] == "assets":
        path = PurePosixPath(_INDEX)
    return _MARKS.get(path.parent.name, _TITLE) in (_content(folder / path) or b"")


def rows_of(board: Board, runs: Records) -> Iterator[tuple[str, Records]]:
    """Yield each row's id and its records by run_id, in the board's order."""
    for table in board.tables:
        for row in (*table.rows, *table.references):
            records = {run_id: runs[run_id] for run_id in row.run_ids}
            yield row_id(next(iter(records.values()))), records


def _assets() -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the page itself and what it is made of."""
    root = files("codonbench.report.site") / "assets"
    for path, content in _walk(root, PurePosixPath("assets")):
        yield (PurePosixPath(_INDEX) if path.name == _INDEX else path), content


def _walk(folder: Traversable, at: PurePosixPath) -> Iterator[tuple[PurePosixPath, bytes]]:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            yield from _walk(item, at / item.name)
        elif not item.name.startswith("."):
            yield at / item.name, item.read_bytes()


def _content(path: Path) -> bytes | None:
    return path.read_bytes() if path.is_file() else None


def runs_by_id(found: Iterable[object]) -> dict[str, RunRecord]:
    """Return the sound records of a folder by run_id."""
    return {item.run_id: item for item in found if isinstance(item, RunRecord)}
