"""`bench reproduce`: runs what is missing, writes a page, says where it is stale."""

from pathlib import Path

import pytest

from codonbench.records.store import Store

PUBLICATION = """
[publication]
name = "mine"
title = "Mine"
reference = "Somebody (2026)"
doi = "10.1/1"
suite = "runs.toml"
task = "human-codon"
task_options = { genetic_code = 1 }
budget_epochs = 1

[instrument]
epoch = "paper_epoch"
pairs = "paper_pairs"
criteria = ["unique"]
epoch_pairs = 576_000
frames = [192_000, 384_000, 576_000]
frame_inputs = 64

[[cell]]
configuration = "Never trained"
condition = ""
printed = "not within 1"
censored = true
readings = [{ protocol = "as is", model = "untrained" }]

[[reference]]
label = "knows"
role = "oracle"
model = "oracle"
"""
SUITE = """
[suite]
name = "runs"
title = "Runs"
[defaults]
epochs = 1
full = true
seeds = "0-2"
[[run]]
model = ["oracle", "untrained"]
"""


@pytest.fixture
def folder(tmp_path):
    """A publication and its suite in a folder of their own; the command runs beside it."""
    folder = tmp_path / "published"
    folder.mkdir()
    (folder / "mine.toml").write_text(PUBLICATION)
    (folder / "runs.toml").write_text(SUITE)
    return folder


@pytest.fixture
def reproduce(bench, folder):
    return lambda *words: bench("reproduce", folder / "mine.toml", *words)


def recorded():
    return sorted((r.model, r.seed) for r in Store(Path("runs")).scan())


def test_what_is_missing_is_run_and_the_page_is_written(reproduce):
    answer = reproduce("--seeds", "0-1")
    assert answer.code == 0, answer.err
    assert recorded() == [(model, s) for model in ("oracle", "untrained") for s in (0, 1)]
    page = Path("runs/board/mine.md").read_text()
    assert "Published figures: 1 (agrees: 1)." in page
    last = answer.out.splitlines()[-1]
    assert last == (
        "wrote runs/board/mine.md; figures: 1, agrees: 1, differs: 0, unknown: 0, "
        "too few: 0, partly run: 0, not run: 0"
    )


def test_what_is_recorded_is_not_run_again(reproduce):
    reproduce("--seeds", "0")
    before = {p.name: p.stat().st_mtime_ns for p in Path("runs").glob("*.json")}
    answer = reproduce("--seeds", "0")
    assert answer.code == 0
    assert "runs/board/mine.md is up to date" in answer.out
    after = {p.name: p.stat().st_mtime_ns for p in Path("runs").glob("*.json")}
    assert before == after


def test_no_run_only_writes_and_keeps_what_people_wrote(reproduce):
    page = Path("runs/board/mine.md")
    page.parent.mkdir(parents=True)
    page.write_text(
        "# By hand\n\n<!-- reproduce:verdicts:begin -->\n<!-- reproduce:verdicts:end -->\n"
    )
    assert reproduce("--no-run").code == 0
    assert recorded() == []
    assert page.read_text().startswith("# By hand\n")
    assert "Published figures: 1 (not run yet: 1)." in page.read_text()


def test_check_passes_then_fails_with_3_and_writes_nothing(reproduce):
    reproduce("--seeds", "0")
    page = Path("runs/board/mine.md")
    assert reproduce("--check").code == 0
    page.write_text(page.read_text().replace("(agrees: 1)", "(does not agree: 1)"))
    before = page.read_bytes()
    answer = reproduce("--check")
    assert answer.code == 3
    assert "runs/board/mine.md is out of date; run 'bench reproduce" in answer.err
    assert page.read_bytes() == before


def test_check_fails_where_a_record_is_gone_or_there_is_no_page(reproduce):
    reproduce("--seeds", "0-1")
    next(Path("runs").glob("untrained-s1-*.json")).unlink()
    assert reproduce("--check").code == 3
    Path("runs/board/mine.md").unlink()
    assert reproduce("--check").code == 3
    assert not Path("runs/board/mine.md").exists()


def test_out_puts_the_page_elsewhere_and_a_page_with_wrong_markers_is_named(reproduce):
    Path("runs").mkdir()
    assert reproduce("--no-run", "--out", "here.md").code == 0
    assert not Path("runs/board").exists()
    Path("here.md").write_text("no markers\n")
    answer = reproduce("--no-run", "--out", "here.md")
    assert answer.code == 2
    assert "here.md: it has no marker" in answer.err


def test_a_run_that_fails_ends_the_command_with_1_after_the_page(reproduce, folder):
    (folder / "runs.toml").write_text(SUITE.replace('"oracle", ', '"oracle", "nobody", '))
    answer = reproduce("--seeds", "0")
    assert answer.code == 1
    assert "unknown model 'nobody'" in answer.err
    assert "wrote runs/board/mine.md" in answer.out


def test_what_cannot_be_asked_ends_with_2(bench, reproduce):
    answer = bench("reproduce", "joiret2032")
    assert answer.code == 2
    assert "did you mean 'joiret2023'?" in answer.err
    answer = reproduce("--no-run")
    assert answer.code == 2
    assert "no results folder runs" in answer.err


def test_data_choose_what_the_page_is_about(reproduce):
    reproduce("--seeds", "0")
    assert reproduce("--no-run", "--data", "some/folder/orfs.fa", "--out", "other.md").code == 0
    assert "not run yet: 1" in Path("other.md").read_text()
    assert reproduce("--check", "--data", "usage").code == 0
