"""Scores by training examples, and long tables, of committed records, in Markdown and terminal."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from codonbench.cli import board_tables
from codonbench.contracts.run_record import RunRecord
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import Board, build_board
from codonbench.ranking.overview import build_overview
from codonbench.records.store import read_record
from codonbench.report.markdown import render_board, render_curves, render_table

RESULTS = Path(__file__).parents[2] / "leaderboard" / "results"


@pytest.fixture(scope="module")
def board() -> Board:
    """Of ecoli-promoter's split, whole and on subsets: three models and `majority`, three seeds."""
    names = r"(cnn|kmer-linear|nearest|majority)-s[012]-[0-9a-f]+\.json"
    asked = [path for path in RESULTS.glob("*-s[012]-*.json") if re.fullmatch(names, path.name)]
    found = [read_record(p) for p in asked if '"task": "ecoli-promoter"' in p.read_text()]
    records = [r for r in found if isinstance(r, RunRecord)]
    records = [r for r in records if not r.run_spec.control and r.run_spec.protocol != "folds"]
    return build_board(records, load_registry().known_tasks)


def test_rows_on_subsets_stand_in_curves_and_not_in_tables_of_their_own(board: Board) -> None:
    (table,) = board.shown
    assert not table.of_subset
    assert [t.asked for t in board.tables if t.of_subset] != []
    (line,) = build_overview(board).lines
    assert (line.key, line.apart) == (table.key, "")
    (curves,) = board.curves
    assert curves.sizes == (100, 300, 1_000, 3_000, 4_118)
    page = render_board(board)
    assert page.count("### ") == 2


def test_rows_on_subsets_alone_have_tables(board: Board) -> None:
    alone = board.model_copy(update={"tables": tuple(t for t in board.tables if t.of_subset)})
    assert len(alone.shown) == 5


def test_many_sizes_fit_a_line_of_markdown(board: Board) -> None:
    (curves,) = board.curves
    page = render_curves(curves)
    assert "\n\n| model" in page  # or it would be no table
    many = curves.model_copy(
        update={
            "sizes": tuple(range(1, 13)),
            "rows": tuple(
                row.model_copy(update={"points": (row.points * 3)[:12], "ranks": (1,) * 12})
                for row in curves.rows
            ),
        }
    )
    for text in (page, render_curves(many)):
        lines = [line for line in text.splitlines() if line.startswith("|")]
        assert max(map(len, lines)) <= 120
        assert lines[0].count("|") - 1 <= 8
    assert re.split(r"\s*\|\s*", lines[0])[2:7] == ["1", "4", "7", "9", "12"]


@pytest.mark.parametrize("width", [80, 60])
def test_many_sizes_fit_the_terminal(
    board: Board, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Intervals go, then sizes; what a line holds is never broken but in a model's name."""
    (curves,) = board.curves
    seen = io.StringIO()
    console = Console(file=seen, width=width, color_system=None)
    monkeypatch.setattr(board_tables, "output", lambda: console)
    board_tables.print_curves(curves)
    *lines, left_out, _ = seen.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert left_out.startswith("left out: intervals")
    (cnn,) = [line for line in lines if line.startswith("cnn")]
    assert re.findall(r"0\.\d{3}", cnn)[-1] == "0.547"
    shown = re.findall(r"\d\.\d{3} #1", cnn)
    assert shown[0] == "0.513 #1"
    assert shown[-1] == "0.586 #1"
    assert len(shown) + left_out.count("size ") == 5


def test_of_ten_thousand_rows_the_first_hundred_are_listed(
    board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    (table,) = board.shown
    row = table.rows[0]
    rows = [
        row.model_copy(update={"rank": i, "model": f"model-{i}", "overrides": {}})
        for i in range(1, 10_001)
    ]
    long = table.model_copy(update={"rows": tuple(rows)})
    page = render_table(long)
    assert len(page.splitlines()) < 300
    assert "9,900 more rows are in `leaderboard.json` and on the page." in page
    assert "| model-100 " in page
    assert "model-101 " not in page
    seen = io.StringIO()
    console = Console(file=seen, width=80, color_system=None)
    monkeypatch.setattr(board_tables, "output", lambda: console)
    board_tables.print_table_of(long, [board_tables.key_of(long, rows[-1])])
    lines = seen.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) < 120
    assert any("model-10000" in line for line in lines)
    assert "9,899 more rows" in lines


def test_one_size_is_a_table_too(board: Board) -> None:
    (curves,) = board.curves
    rows = [row.model_copy(update={"points": row.points[:1]}) for row in curves.rows]
    one = curves.model_copy(update={"sizes": curves.sizes[:1], "rows": tuple(rows)})
    (heading,) = re.findall(r"^\| model.*", render_curves(one), re.M)
    assert " 100 |" in heading
