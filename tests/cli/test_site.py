"""`bench site`: pictures made from trajectories, kept without them, checked without either."""

import shutil

import pytest

OFFICIAL = ("--results", "leaderboard/results")
SITE = ("site", *OFFICIAL)


@pytest.fixture
def folder(board, tmp_path):
    """A board's folder with results and trajectories in it; nothing generated yet."""
    shutil.copytree(board, tmp_path / "leaderboard" / "results")
    return tmp_path / "leaderboard"


def generated(folder):
    site = folder / "site"
    return {p.relative_to(site): p.read_bytes() for p in site.rglob("*") if p.is_file()}


def forget_traces(folder):
    shutil.rmtree(folder / "results" / "trajectories")


def test_the_page_is_written_beside_the_results(bench, folder):
    answer = bench(*SITE)
    assert answer.code == 0, answer.err
    assert "rows: 2, " in answer.out
    assert "with pictures: 2; open leaderboard/site/index.html" in answer.out
    assert (folder / "site" / "index.html").read_text().startswith("<!doctype html>")
    assert len(list((folder / "site" / "rows").glob("*.js"))) == 2
    assert (folder / "site" / "data" / "board.js").read_text().startswith("codonbench.board({")
    assert (folder / "site" / "assets" / "core" / "vendor" / "LICENSES.txt").exists()


def test_the_same_records_give_the_same_bytes_with_and_without_traces(bench, folder):
    bench(*SITE)
    first = generated(folder)
    assert "everything is up to date" in bench(*SITE).out
    assert bench(*SITE, "--redraw").code == 0
    assert generated(folder) == first
    forget_traces(folder)
    assert bench(*SITE, "--check").code == 0
    assert "everything is up to date" in bench(*SITE).out
    assert generated(folder) == first


def test_the_board_and_its_page_are_made_and_checked_together(bench, folder):
    both = ("leaderboard", "--site", *OFFICIAL)
    assert bench(*both).code == 0
    made = generated(folder)
    assert "everything is up to date" in bench(*SITE).out
    assert bench(*both, "--check").code == 0
    row = next((folder / "site" / "rows").glob("*.js"))
    row.write_bytes(row.read_bytes() + b"alert(1);\n")
    assert bench("leaderboard", *OFFICIAL, "--check").code == 0
    answer = bench(*both, "--check")
    assert answer.code == 3
    assert f"{row.name} out of date" in answer.err
    assert bench(*both).code == 0
    assert generated(folder) == made


def test_what_has_no_trace_is_kept_when_everything_is_drawn_anew(bench, folder):
    bench(*SITE)
    first = generated(folder)
    forget_traces(folder)
    assert "everything is up to date" in bench(*SITE, "--redraw").out
    assert generated(folder) == first


def test_an_embedding_is_kept_when_everything_is_drawn_anew(bench, folder):
    words = ("--seeds", "0", "--pairs", "2000", "--results", folder / "results")
    assert bench("run", "-m", "embedding2-tanh", *words).code == 0
    assert bench(*SITE, "--embeddings").code == 0
    first = generated(folder)
    assert sum(b'"dimensions":2' in content for content in first.values()) == 1
    assert "everything is up to date" in bench(*SITE, "--redraw").out
    assert generated(folder) == first


@pytest.mark.parametrize("change", ["row", "script", "foreign row", "record gone"])
def test_check_fails_where_a_row_is_stale_and_writes_nothing(bench, folder, change):
    bench(*SITE)
    forget_traces(folder)
    site = folder / "site"
    row = sorted((site / "rows").glob("*.js"))[0]
    if change == "row":
        row.write_bytes(row.read_bytes().replace(b'"seed":0', b'"seed":5'))
    elif change == "script":
        row.write_bytes(row.read_bytes() + b"alert(1);\n")
    elif change == "foreign row":
        row.rename(row.with_name("0" * 16 + ".js"))
    else:
        next((folder / "results").glob("mlp-64-s1-*.json")).unlink()
    before = generated(folder)
    answer = bench(*SITE, "--check")
    assert answer.code == 3
    assert "out of date; run 'bench site --results leaderboard/results'" in answer.err
    assert generated(folder) == before


def test_check_does_not_miss_what_is_only_built(bench, folder):
    bench(*SITE)
    shutil.rmtree(folder / "site" / "data")
    (folder / "site" / "assets" / "core" / "words.js").write_text("of another version")
    (folder / "site" / "index.html").unlink()
    forget_traces(folder)
    assert bench(*SITE, "--check").code == 0


def test_pictures_of_a_row_that_has_gone_go_with_it(bench, folder):
    bench(*SITE)
    for path in (folder / "results").glob("mlp-64-*.json"):
        path.unlink()
    answer = bench(*SITE)
    assert answer.code == 0
    assert "files, deleted 2;" in answer.out  # and its model's page
    assert len(list((folder / "site" / "rows").glob("*.js"))) == 1
    assert bench(*SITE, "--check").code == 0


def test_what_somebody_put_among_the_files_is_named_and_left(bench, folder):
    bench(*SITE)
    mine = folder / "site" / "data" / "mine.txt"
    mine.write_text("mine")
    answer = bench(*SITE)
    assert answer.code == 2
    assert "mine.txt is no part of the page; move it elsewhere" in answer.err
    assert mine.read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("index.html", "was not written by 'bench site'"),
        ("assets/core/style.css", "was not written by 'bench site'"),
        ("data/board.js", "was not written by 'bench site'"),
        ("data/mine.json", "is no part of the page"),
        ("rows/mine.js", "is no part of the page"),
        ("rows/0123456789abcdef.js", "was not written by 'bench site'"),
        ("assets", "is no folder"),
    ],
)
def test_what_somebody_else_wrote_is_refused_before_anything_is_written(bench, folder, path, why):
    precious = folder / "site" / path
    precious.parent.mkdir(parents=True, exist_ok=True)
    precious.write_text("precious")
    answer = bench(*SITE)
    assert answer.code == 2
    assert f"leaderboard/site/{path} {why}; move it elsewhere" in answer.err
    assert list(generated(folder).values()) == [b"precious"]


def test_a_page_of_another_version_is_written_anew(bench, folder):
    bench(*SITE)
    first = generated(folder)
    for path in ("index.html", "assets/core/style.css", "data/board.js"):
        with (folder / "site" / path).open("a") as file:
            file.write("of an older version")
    assert "wrote 3 of" in bench(*SITE).out
    assert generated(folder) == first


def test_what_is_not_counted_is_said_as_on_the_board(bench, folder):
    (folder / "results" / "stray.json").write_text("{}")
    answer = bench(*SITE)
    assert answer.code == 0
    assert answer.err.startswith("not counted: stray.json: is not a record")
    assert answer.err == bench("leaderboard", *OFFICIAL).err


def test_out_puts_the_page_elsewhere(bench, folder, tmp_path):
    assert bench(*SITE, "--out", "page").code == 0
    assert (tmp_path / "page" / "index.html").exists()
    assert not (folder / "site").exists()


def test_no_results_is_an_error_and_an_empty_folder_an_empty_page(bench, tmp_path):
    assert bench("site", "--results", "nowhere").code == 2
    (tmp_path / "leaderboard" / "results").mkdir(parents=True)
    assert "rows: 0, tables: 0, with pictures: 0" in bench(*SITE).out
    assert bench(*SITE, "--check").code == 0


def test_a_trace_that_is_not_its_records_is_an_error(bench, folder):
    trajectories = sorted((folder / "results" / "trajectories").glob("mlp-64-*.npz"))
    shutil.copy(trajectories[1], trajectories[0])
    answer = bench(*SITE)
    assert answer.code == 2
    assert "is not the one its record was made from" in answer.err


def test_without_a_plugin_that_draws_rows_the_board_is_there(bench, folder, monkeypatch):
    monkeypatch.setattr("codonbench.cli.board.all_figures", lambda registry: {})
    answer = bench(*SITE)
    assert answer.code == 0
    assert "rows: 2, tables: 1, with pictures: 0" in answer.out
    (table,) = (folder / "site" / "data" / "tables").iterdir()
    assert '"title":"excess pairs, upper quartile"' in table.read_text()
    assert "figures.js" not in (folder / "site" / "index.html").read_text()
