"""`bench audit-data`: what it prints, writes and ends with, and where else its verdict is said."""

import io
import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console
from rich.progress import Progress

import codonbench
from codonbench.cli import audit_data, bars
from leaks import rows, write

VERDICTS = {"PASS", "WARN", "FAIL"}


@pytest.fixture
def tables(tmp_path):
    """Tables that are clean, of which four test items are copies, and fifty."""
    rng = random.Random(0)
    train, test = rows(rng, 300), rows(rng, 150)
    for name, n in (("clean", 0), ("doubtful", 4), ("leaky", 50)):
        found = [(*row, "train") for row in train]
        found += [(*row, "test") for row in [*test[n:], *train[:n]]]
        write(tmp_path / f"{name}.csv", found, "sequence,label,split")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "verdict", "code", "strict"),
    [("clean", "PASS", 0, 0), ("doubtful", "WARN", 0, 1), ("leaky", "FAIL", 1, 1)],
)
def test_the_verdict_comes_first_once_and_decides_the_exit_code(
    bench, tables, name, verdict, code, strict
):
    shown = bench("audit-data", f"{name}.csv")
    markdown = bench("audit-data", f"{name}.csv", "--format", "markdown", "--strict")
    for answer, expected in ((shown, code), (markdown, strict)):
        assert answer.code == expected, answer.err
        words = [word.strip(":") for word in answer.out.split()]
        assert [word for word in words if word in VERDICTS] == [words[0]] == [verdict]
    assert bench("audit-data", f"{name}.csv").out == shown.out


def test_json_holds_the_whole_audit(bench, tables):
    (tables / "train.csv").write_text("sequence,label\nACGT,a\nACGA,b\nAGGA,b\nACCA,a\nAACT,b\n")
    (tables / "other.csv").write_text("sequence,label\nACGT,a\nACTA,b\nAGGT,a\n")
    answer = bench("audit-data", "train.csv", "other.csv", "--json")
    found = json.loads(answer.out)
    assert found["verdict"] == "PASS"  # one copy of three is too few to say
    assert (found["test"], found["copied"]) == (3, [0])
    copies = next(each for each in found["findings"] if each["check"] == "copies")
    assert (copies["grade"], copies["value"]) == ("clear", 0.3333)


def test_what_is_not_there_ends_with_2(bench, tables):
    for words, said in (
        (["no-such-task"], "no-such-task"),
        (["clean.cs"], "no file 'clean.cs'"),
        (["gone.csv"], "gone.csv"),
        (["a", "b", "c", "d"], "4 tables"),
        (["human-codon"], "draws its examples anew"),
    ):
        answer = bench("audit-data", *words)
        assert (answer.code, answer.out) == (2, "")
        assert said in answer.err
        assert len(answer.err.strip().splitlines()) == 1


def test_a_safe_split_and_the_clean_ids_are_written(bench, tables):
    split, clean = tables / "safe.csv", tables / "clean.txt"
    answer = bench("audit-data", "leaky.csv", "--write-split", split, "--write-clean", clean)
    assert answer.code == 1
    assert answer.err.count("wrote ") == 2
    assert clean.read_text().splitlines() == ["id", *map(str, range(301, 401))]
    again = bench("audit-data", split)
    assert (again.code, again.out[:4]) == (0, "PASS")
    assert "400 sequences" not in again.out


def test_a_run_on_a_table_says_its_verdict_in_a_line(bench, tables):
    ran = bench("run", "--model", "majority", "--data", "leaky.csv", "--epochs", "1")
    assert ran.code == 0, ran.err
    (line,) = (line for line in ran.err.splitlines() if "data audit" in line)
    assert "FAIL: 33.3% of test items (50 of 150)" in line
    audits = tables / "runs" / "board" / "audits"
    (kept,) = audits.iterdir()
    assert kept.read_text() == bench("audit-data", "leaky.csv", "--json").out
    assert bench("leaderboard").code == 0  # which says it, too
    page = " ".join((tables / "runs" / "board" / "README.md").read_text().split())
    assert "Data audit: FAIL: 33.3% of test items (50 of 150) stand in training" in page
    assert "over tasks does not include its rows. 50 of 150 test items stand in train." in page
    kept.write_text("{}")
    broken = bench("leaderboard")
    assert (broken.code, kept.name in broken.err) == (2, True)


def test_the_python_door_audits_a_table_once_and_warns_of_what_is_wrong(tables, monkeypatch):
    monkeypatch.chdir(tables)
    with pytest.warns(UserWarning, match=r"data audit: FAIL: .*\(50 of 150\)") as told:
        codonbench.run("majority", data="leaky.csv", epochs=1, workers=0)
    assert told[0].filename == __file__
    with pytest.warns(UserWarning, match="data audit: FAIL") as told:
        codonbench.run("majority", data=pd.read_csv("leaky.csv"), results="r", epochs=1, workers=0)
    assert told[0].filename == __file__
    shutil.rmtree(tables / "cache" / "audits")
    (table,) = codonbench.board("runs").tables
    assert (table.verdict, table.best_rule is None) == ("FAIL", False)
    codonbench.run("majority", data="clean.csv", epochs=1, workers=0)  # warnings are errors
    monkeypatch.setattr("codonbench.leakage.audit.audit", None)
    codonbench.run("majority", data="clean.csv", epochs=1, workers=0)
    monkeypatch.setattr("codonbench.leakage.own_table._QUICK", 0)
    with pytest.warns(UserWarning, match=r"not audited; codonbench\.audit_data"):
        codonbench.run("majority", data="doubtful.csv", epochs=1, workers=0)


def test_a_board_says_what_the_cache_has_unless_it_has_audits_of_tasks(bench, tables, tmp_path):
    """The latter is published with these, and the same on every machine."""
    ran = bench("run", "--model", "majority", "--data", "leaky.csv", "--epochs", "1")
    assert ran.code == 0, ran.err
    board = tables / "runs" / "board"
    shutil.rmtree(board)

    def page():
        assert bench("leaderboard").code == 0
        return " ".join((board / "README.md").read_text().split())

    assert "Data audit: FAIL: 33.3% of test items (50 of 150) stand in training" in page()
    of_task = Path(__file__).parents[2] / "leaderboard" / "audits" / "golub.json"
    (board / "audits").mkdir()
    shutil.copy(of_task, board / "audits")
    alone = page()
    assert "Data audit" not in alone
    shutil.rmtree(tmp_path / "cache" / "audits")
    assert bench("leaderboard", "--check").code == 0


def test_an_audit_that_cannot_be_kept_is_told_of(bench, tables, tmp_path):
    (tmp_path / "cache" / "audits").parent.mkdir(exist_ok=True)
    (tmp_path / "cache" / "audits").write_text("no folder")
    told = bench("audit-data", "clean.csv")
    assert told.code == 0, told.err
    assert told.err.startswith("the audit of clean is not kept: ")
    assert len(told.err.splitlines()) == 1


def test_the_bar_tells_how_long_what_is_looked_at_still_takes(monkeypatch):
    now, made, seen = [0.0], [], io.StringIO()
    console = Console(file=io.StringIO(), force_terminal=True)
    monkeypatch.setattr(bars.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(bars, "messages", lambda: console)
    monkeypatch.setattr(bars, "Progress", lambda *a, **k: made.append(Progress(*a, **k)) or made[0])
    with audit_data._shown() as progress:
        for what, seconds, done in (
            ("copies", 5, 0),
            ("near-copies", 9, 0),
            ("near-copies", 29, 0.25),
        ):
            now[0] = seconds
            progress(what, done)
        Console(file=seen, width=100).print(made[0].get_renderable())
    assert "near-copies" in seen.getvalue()
    assert "0:01:00 left" in seen.getvalue()
