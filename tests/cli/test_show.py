"""`bench show`: one run found by name or id, and drawn."""

import json
import shutil
from dataclasses import replace

import pytest

from codonbench.contracts.run_record import RunRecord, hash_trajectory
from codonbench.records.store import Store


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


NAMES = ("id", "beginning of the id", "name", "beginning of the name", "model and seed")


@pytest.mark.parametrize("how", [*NAMES, "file", "path"])
def test_a_run_is_found_by_any_of_its_names(show, record, board, how):
    wanted = {
        "id": record.run_id,
        "beginning of the id": record.run_id[:8],
        "name": record.name,
        "beginning of the name": record.name[:-8],
        "file": f"{record.name}.json",
        "path": board / f"{record.name}.json",
        "model and seed": "mlp-64-s1",
    }[how]
    assert record.weights_sha256 in show(wanted).out


def test_what_fits_several_runs_names_them(show, record):
    answer = show("")
    assert answer.code == 2
    assert "fits 4 runs" in answer.err
    assert f"{record.name} (human-codon)" in answer.err


def test_runs_of_one_name_are_told_apart_by_their_control(bench, record, tmp_path):
    options = record.run_spec.task_options | {"control": "shuffled"}
    run_spec = record.run_spec.model_copy(update={"task_options": options})
    other = record.model_copy(update={"run_spec": run_spec, "run_id": run_spec.run_id})
    for each in (record, other.sealed()):
        Store(tmp_path / "results").save(each, None)
    answer = bench("show", "mlp-64-s1", "--results", "results")
    assert "(human-codon), " in answer.err
    assert "(human-codon, control shuffled)" in answer.err


def test_a_file_is_shown_from_wherever_it_lies(bench, board, record, tmp_path):
    shutil.copytree(board, tmp_path / "elsewhere")
    answer = bench("show", f"elsewhere/{record.name}.json")
    assert answer.code == 0
    assert record.weights_sha256 in answer.out
    assert len(matrix_rows(answer.out)) == 64
    answer = bench("show", "elsewhere")
    assert (answer.code, answer.err) == (2, "bench: elsewhere is a folder; give one record in it\n")


def test_the_beginning_of_a_name_cuts_no_number(bench, record, tmp_path):
    run_spec = record.run_spec.model_copy(update={"seed": 12})
    tenth = record.model_copy(
        update={"seed": 12, "run_spec": run_spec, "run_id": run_spec.run_id}
    ).sealed()
    Store(tmp_path / "results").save(tenth, None)
    assert bench("show", "mlp-64", "--results", "results").code == 0
    answer = bench("show", "mlp-64-s1", "--results", "results")
    assert answer.code == 2
    assert "no run 'mlp-64-s1' in results; did you mean 'mlp-64-s12'? " in answer.err


def test_what_fits_no_run_says_how_to_name_one(show):
    answer = show("nonsense")
    assert answer.code == 2
    assert "no run 'nonsense'" in answer.err
    assert "beginning of its id" in answer.err
    assert "did you mean" not in answer.err
    assert "did you mean 'mlp-64-s1' or 'mlp-64-s0'? " in show("mpl-64-s1").err


def test_without_its_trace_the_facts_are_shown_and_what_is_missing_is_said(
    bench, board, record, tmp_path
):
    folder = shutil.copytree(board, tmp_path / "results")
    shutil.rmtree(folder / "trajectories")
    answer = bench("show", record.name, "--results", folder)
    assert answer.code == 0
    assert record.weights_sha256 in answer.out
    remedy = f"'bench verify {folder / record.name}.json --keep-trajectory' makes it again"
    assert f"no trajectory of {record.name} in {folder / 'trajectories'}: {remedy}\n" in answer.out
    assert matrix_rows(answer.out) == []


def test_with_a_damaged_trace_the_facts_are_shown_and_what_makes_it_again(
    bench, board, record, tmp_path
):
    folder = shutil.copytree(board, tmp_path / "results")
    trajectory = folder / "trajectories" / f"{record.name}.npz"
    trajectory.write_bytes(trajectory.read_bytes()[:500])
    answer = bench("show", record.name, "--results", folder)
    assert answer.code == 0
    assert record.weights_sha256 in answer.out
    assert f"trajectory {record.name}.npz cannot be read: File is not a zip file; " in answer.out
    path = folder / f"{record.name}.json"
    assert f"'bench verify {path} --keep-trajectory' makes it again\n" in answer.out
    assert bench("verify", path, "--keep-trajectory").code == 0
    assert len(matrix_rows(bench("show", path).out)) == 64


@pytest.mark.parametrize("cut", [None, 1_000])
def test_a_damaged_record_is_named_by_any_of_its_names(bench, board, record, tmp_path, cut):
    folder = shutil.copytree(board, tmp_path / "results")
    path = folder / f"{record.name}.json"
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2')[:cut])
    for name in (record.name, "mlp-64-s1", record.run_id[:8], path):
        answer = bench("show", name, "--results", folder)
        assert answer.code == 2
        why = "is not JSON: " if cut else "its run_id is not the hash of its spec"
        assert answer.err.startswith(f"bench: {path}: {why}")
        assert answer.err.count("\n") == 1


def test_a_copy_of_a_record_does_not_make_its_name_ambiguous(bench, board, record, tmp_path):
    folder = shutil.copytree(board, tmp_path / "results")
    shutil.copy(folder / f"{record.name}.json", folder / "copy.json")
    assert bench("show", "mlp-64-s1", "--results", folder).code == 0
    assert record.weights_sha256 in bench("show", "copy", "--results", folder).out


def test_a_computed_row_has_neither_matrix_nor_curve(bench):
    assert bench("run", "--model", "bound", "--pairs", "2000", "--results", "r").code == 0
    answer = bench("show", "bound-s0", "--results", "r")
    assert answer.code == 0
    assert "computed, not trained" in answer.out
    assert "nothing was evaluated" in answer.out


def test_what_a_record_says_steers_no_terminal_and_no_log_of_a_build(
    bench, board, record, tmp_path
):
    error = "\x1b]0;owned\x07\u202e ##[error]boom\n::error::boom"
    forged = record.model_copy(update={"status": "error", "error": error}).sealed()
    path = tmp_path / f"{record.name}.json"
    path.write_text(forged.model_dump_json())
    said = bench("show", path).out
    assert "boom" in said
    assert all(line.isprintable() for line in said.splitlines())
    assert "##[" not in said
    assert not any(line.strip().startswith("::") for line in said.splitlines())


def test_what_a_trajectory_says_steers_no_terminal_and_no_log_of_a_build(
    bench, board, record, tmp_path
):
    trajectory = Store(board).load_trajectory(record)
    task = trajectory.task
    names = tuple(f"\x1b[2J##[error]{name}" for name in task.target.names)
    target = task.target.model_copy(update={"names": names})
    trajectory = replace(trajectory, task=task.model_copy(update={"target": target}))
    hashed = {"trajectory_sha256": hash_trajectory(trajectory)}
    path = Store(tmp_path).save(record.model_copy(update=hashed).sealed(), trajectory)
    said = bench("show", path).out
    assert "[2J" in said
    assert [bad for bad in ("\x1b", "##[") if bad in said] == []


def test_where_a_run_was_taken_up_a_thousand_times_fills_no_screen(bench, record, tmp_path):
    forged = record.model_copy(update={"resumed": (0,) * 1_000}).sealed()
    path = tmp_path / f"{record.name}.json"
    path.write_text(forged.model_dump_json())
    said = " ".join(bench("show", path).out.split())
    assert said.count("from its beginning") == 20
    assert "980 times more" in said


def test_json_of_a_record_of_others_steers_no_terminal_and_no_log_of_a_build(
    bench, record, tmp_path
):
    path = tmp_path / f"{record.name}.json"
    path.write_text(json.dumps({"##[error]\x9b\u202e": 1}))
    said = bench("validate", "--json", path).out
    assert json.loads(said)["problems"]
    assert all(line.isprintable() for line in said.splitlines())
    assert "##" not in said
