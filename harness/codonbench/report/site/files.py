"""What the page's folder should hold, and where it does not.

::

    site/index.html        the page
    site/assets/core/      its code, its style and the plotting library, as they lie in the wheel
    site/assets/<figures>/ likewise those of each plugin that draws figures of a row
    site/data/board.js     what it shows at first: tasks by models
    site/data/tables/      one file a table, loaded when its task is opened
    site/data/models/      one file a model, likewise
    site/data/questions/   of a table, what is right for each test item
    site/data/rest/        of a long table, the rows that are not among its first
    site/data/answers/     of a row, what it answered, to lay two of them side by side
    site/rows/<row id>.js  what one row's figures are drawn from, loaded when the row is opened

All but ``rows`` is built from records at any time; that folder is kept, and so is committed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import NameClashError, PluginError, StoreError
from codonbench.plugins.registry import Registry
from codonbench.ranking.board import Board
from codonbench.records.store import Store
from codonbench.report.site.by_item import PageSources
from codonbench.report.site.figures import Figures, Records, RowContent, row_id
from codonbench.report.site.learning_curves import LearningCurves
from codonbench.report.site.models import build_models
from codonbench.report.site.page import build_front, build_table, ids_of
from codonbench.report.site.scripts import as_script, from_script

Files = dict[PurePosixPath, bytes]
"""Contents by path within the page's folder."""

_INDEX = "index.html"
_OURS = ("assets", "data", "rows")
_KEPT = "rows"
_NUMBERED = re.compile(r"[0-9a-f]{16}\.js")
_TITLE = b"<title>codonbench leaderboard</title>"
_FUNCTIONS = MappingProxyType(
    {
        "data": "board",
        "tables": "table",
        "models": "model",
        "questions": "questions",
        "answers": "answers",
        "rest": "rest",
        "rows": "row",
    }
)
"""What files of a folder call."""


@dataclass(frozen=True)
class Drawn:
    """What a row's file holds, and whose figures are drawn from it."""

    figures: Figures
    content: RowContent


AllFigures = Mapping[str, Figures]
"""Those of all plugins, by name."""


_NO_NAMES = ("core", "learning")  # of a plugin's figures


def all_figures(registry: Registry) -> AllFigures:
    """Return the figures of all plugins by name, and after them the core's own.

    Raises:
        PluginError: A plugin fails, or gives its figures no usable name.
        NameClashError: Two have one name.
    """
    found: dict[str, Figures] = {}
    for figures in registry.ask("row_figures"):
        if not re.fullmatch(r"[a-z][a-z0-9_]{0,39}", figures.name) or figures.name in _NO_NAMES:
            raise PluginError(
                f"figures {figures.name!r} of {type(figures).__module__}: expected a name of "
                f"lower-case letters, digits and _, other than {' and '.join(map(repr, _NO_NAMES))}"
            )
        if figures.name in found:
            first = type(found[figures.name]).__module__
            raise NameClashError(
                f"figures {figures.name!r} are registered twice: by {first} and by "
                f"{type(figures).__module__}; switch one off: -p no:NAME"
            )
        found[figures.name] = figures
    own = LearningCurves(registry.known_tasks, registry.known_metrics)
    return {**dict(sorted(found.items())), own.name: own}


def committed_rows(folder: Path, figures: AllFigures) -> dict[str, Drawn]:
    """Return the rows in a page's folder by id; what is none of ours is left out."""
    found = {}
    for path in sorted((folder / "rows").glob("*.js")):
        for own in figures.values():
            try:
                content = from_script("row", path.read_bytes(), own.Content)
            except (OSError, StoreError):
                continue
            if content.row == path.stem:
                found[path.stem] = Drawn(own, content)
    return found


def fitting_rows(board: Board, runs: Records, old: Mapping[str, Drawn]) -> list[Drawn]:
    """Return what was committed and belongs, whole, to the board's rows."""
    return [
        old[row]
        for row, records in rows_of(board, runs)
        if row in old and old[row].figures.kept(old[row].content, records) == old[row].content
    ]


def drawn_rows(
    board: Board,
    runs: Records,
    old: Mapping[str, Drawn],
    store: Store,
    figures: AllFigures,
    *,
    anew: bool = False,
) -> Iterator[Drawn]:
    """Yield what each row is drawn from: kept where it fits, made where trajectories are.

    Args:
        board: The leaderboard.
        runs: The records that its rows count.
        old: What was made before.
        store: Has trajectories; None for none.
        figures: Whose turn it is, in this order; the first that has something draws the row.
        anew: Make what trajectories are at hand for again, though it was made before.

    Raises:
        StoreError: A trajectory is unreadable, or is not its record's.
    """
    for row, records in rows_of(board, runs):
        for own in figures.values():
            kept = None
            if row in old and old[row].figures is own:
                kept = own.kept(old[row].content, records)
            content = own.make(records, store, kept, anew=anew)
            if content is not None:
                yield Drawn(own, content)
                break


def wanted_files(
    board: Board,
    runs: Records,
    drawn: Iterable[Drawn],
    figures: AllFigures,
    known: PageSources,
) -> Files:
    """Return all that the page's folder should hold.

    Args:
        board: The leaderboard.
        runs: The records that its rows count.
        drawn: Data of the rows' figures.
        figures: Those of all plugins.
        known: Further sources of the page.
    """
    content: Files = {PurePosixPath(_INDEX): _index(figures), **dict(_assets(figures))}
    drawn_by = {}
    for one in drawn:
        row = one.content.row
        content[PurePosixPath(_KEPT, f"{row}.js")] = as_script("row", one.content)
        drawn_by[row] = one.figures.name
    content[PurePosixPath("data", "board.js")] = as_script("board", build_front(board, runs, known))
    explained = _explained(board, runs, drawn_by)
    more = tuple(name for own in figures.values() for name in own.metrics)
    compared = set()
    for table in board.shown:
        by = explained.get(table.task, "")
        page, rest, answered, question = build_table(table, board, runs, drawn_by, by, more, known)
        content |= dict([_data("tables", page.id, page)])
        content |= dict([_data("rest", page.id, rest)] if rest else [])
        content |= dict(_data("answers", own.row, own) for own in answered)
        content |= dict([_data("questions", page.id, question)] if question else [])
        compared |= {page.id} if page.compared else set()
    models = build_models(board, runs, known, compared)
    return content | dict(_data("models", own.id, own) for own in models)


def _data(folder: str, name: str, content: Frozen) -> tuple[PurePosixPath, bytes]:
    return PurePosixPath("data", folder, f"{name}.js"), as_script(_FUNCTIONS[folder], content)


def _explained(board: Board, runs: Records, drawn_by: Mapping[str, str]) -> dict[str, str]:
    """Return whose figures rows of a task have, by the task."""
    found: dict[str, str] = {}
    for table in board.tables:
        for row in ids_of(table, runs).values():
            if row in drawn_by:
                found.setdefault(table.task, drawn_by[row])
    return found


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


def out_of_date(stale: Iterable[PurePosixPath]) -> list[PurePosixPath]:
    """Return which of these files are kept: the others are built anew whenever they are wanted."""
    return [path for path in stale if path.parts[0] == _KEPT]


def check_written_here(folder: Path, stale: Iterable[PurePosixPath], wanted: Files) -> None:
    """Check that no file of others would be overwritten, before anything is written.

    Args:
        folder: The page's.
        stale: Files to be written or deleted.
        wanted: All that the folder should hold.

    Raises:
        StoreError: Names what 'bench site' did not write.
    """
    for place in (folder, *(folder / part for part in _OURS)):
        if place.exists() and not place.is_dir():
            raise StoreError(f"{place} is no folder; move it elsewhere or give another --out")
    for path in stale:
        if path not in wanted and not _is_numbered(path):
            raise StoreError(f"{folder / path} is no part of the page; move it elsewhere")
        if (folder / path).exists() and not _is_ours(folder, path):
            raise StoreError(
                f"{folder / path} was not written by 'bench site'; "
                "move it elsewhere or give another --out"
            )


def _is_numbered(path: PurePosixPath) -> bool:
    """Return whether a file is one of ours by its name, and may go when its row has gone."""
    ours = path.parent.name in _FUNCTIONS and path.parent.name != "data"
    return ours and _NUMBERED.fullmatch(path.name) is not None


def _is_ours(folder: Path, path: PurePosixPath) -> bool:
    """Return whether some 'bench site' wrote a file; of the assets the page itself tells."""
    if path.parts[0] == "assets":
        path = PurePosixPath(_INDEX)
    function = _FUNCTIONS.get(path.parent.name)
    mark = _TITLE if function is None else f"codonbench.{function}(".encode()
    return mark in (_content(folder / path) or b"")


def rows_of(board: Board, runs: Records) -> Iterator[tuple[str, Records]]:
    """Yield each row's id and its records by run_id, in the board's order."""
    for table in board.shown:
        for row in table.all_rows:
            records = {run_id: runs[run_id] for run_id in row.run_ids}
            yield row_id(next(iter(records.values()))), records


def _index(figures: AllFigures) -> bytes:
    """Return the page itself, with a line for each script and style of the figures."""
    page = (files("codonbench.report.site") / _INDEX).read_text(encoding="utf-8")
    lines = []
    for name, own in figures.items():
        lines += [f'<link rel="stylesheet" href="assets/{name}/{file}">' for file in own.styles]
        lines += [f'<script defer src="assets/{name}/{file}"></script>' for file in own.scripts]
    return page.replace("<!-- figures -->", "\n".join(lines)).encode()


def _assets(figures: AllFigures) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield what the page and its figures are made of."""
    yield from _walk(files("codonbench.report.site") / "assets", PurePosixPath("assets", "core"))
    for name, own in figures.items():
        yield from _walk(own.assets, PurePosixPath("assets", name))


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
