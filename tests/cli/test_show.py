"""`bench show`: one run found by name or id, and drawn."""

import shutil

import pytest

from codonbench.records import RunRecord


@pytest.fixture
def show(bench, board):
    return lambda *words: bench("show", *words, "--results", board)


@pytest.fixture
def record(board):
    (path,) = board.glob("mlp-64-s1-*.json")
    return RunRecord.model_validate_json(path.read_bytes())


def matrix_rows(out):
    """The rows of the matrix: a codon and 21 figures, which may touch."""
    bases = set("UCAG")
    lines = [line for line in out.splitlines() if line[3:4] == " "]
    return [line for line in lines if set(line[:3]) <= bases]


def test_a_run_is_shown_with_its_facts_its_matrix_and_its_curve(show, record):
    answer = show(record.name)
    assert answer.code == 0
    for fact in (
        record.name,
        record.weights_sha256,
        "done: not deciphered within 2,000 pairs",
        "human-codon on usage (simulated)",
        "2,000 of 2,000",
        "never, or not applicable",
    ):
        assert fact in answer.out
    rows = matrix_rows(answer.out)
    assert len(rows) == 64
    assert all(len(row.split()) == 22 for row in rows)
    assert rows[0].startswith("UUU")
    assert "p(class | codon) in percent after 2,000 pairs" in answer.out
    assert "codons right of 64, log scale" in answer.out
    assert set(answer.out.splitlines()[-2]) <= set(" ▁▂▃▄▅▆▇█")
    assert answer.out.splitlines()[-1].endswith("2,000 pairs")


def test_the_matrix_fits_eighty_columns(show, record, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    answer = show(record.name)
    assert len(matrix_rows(answer.out)) == 64
    assert max(len(line) for line in answer.out.splitlines()) <= 80


@pytest.mark.parametrize("how", ["id", "beginning of the id", "name", "file", "model and seed"])
def test_a_run_is_found_by_any_of_its_names(show, record, how):
    wanted = {
        "id": record.run_id,
        "beginning of the id": record.run_id[:8],
        "name": record.name,
        "file": f"{record.name}.json",
        "model and seed": "mlp-64-s1",
    }[how]
    assert record.weights_sha256 in show(wanted).out


def test_what_fits_several_runs_names_them(show, record):
    answer = show("")
    assert answer.code == 2
    assert "fits 4 runs" in answer.err
    assert record.name in answer.err


def test_what_fits_no_run_says_how_to_name_one(show):
    answer = show("nonsense")
    assert answer.code == 2
    assert "no run 'nonsense'" in answer.err
    assert "beginning of its id" in answer.err


def test_without_its_trace_the_facts_are_shown_and_what_is_missing_is_said(
    bench, board, record, tmp_path
):
    folder = shutil.copytree(board, tmp_path / "results")
    shutil.rmtree(folder / "traces")
    answer = bench("show", record.name, "--results", folder)
    assert answer.code == 0
    assert record.weights_sha256 in answer.out
    assert "No trace in" in answer.out
    assert "--force" in answer.out
    assert matrix_rows(answer.out) == []


def test_a_damaged_trace_and_a_damaged_record_are_named(bench, board, record, tmp_path):
    folder = shutil.copytree(board, tmp_path / "results")
    trace = folder / "traces" / f"{record.name}.npz"
    trace.write_bytes(trace.read_bytes()[:500])
    answer = bench("show", record.name, "--results", folder)
    assert (answer.code, answer.out) == (2, "")
    assert f"{record.name}.npz" in answer.err
    path = folder / f"{record.name}.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    answer = bench("show", record.name, "--results", folder)
    assert answer.code == 2
    assert f"{record.name}.json" in answer.err


def test_a_computed_row_has_neither_matrix_nor_curve(bench):
    assert bench("run", "--model", "bound", "--pairs", "2000", "--results", "r").code == 0
    answer = bench("show", "bound-s0", "--results", "r")
    assert answer.code == 0
    assert "computed, not trained" in answer.out
    assert "nothing was probed" in answer.out
