"""`bench verify` and `bench audit`: recorded runs made again."""

import json
import re
from pathlib import Path
from shutil import copytree

import pytest

from codonbench.cli import bars
from codonbench.contracts.run_record import Environment, RunRecord

ROOT = Path(__file__).parents[2]


@pytest.fixture
def record_file(run, tmp_path):
    assert run("--model", "mlp-64").code == 0
    (path,) = (tmp_path / "results").glob("*.json")
    return path


def test_a_run_made_again_on_the_same_machine_is_identical(bench, record_file):
    answer = bench("verify", record_file)
    assert (answer.code, answer.out) == (0, f"{record_file.stem}: identical\n")


def test_a_run_made_again_is_followed(bench, record_file, monkeypatch):
    monkeypatch.setattr(bars, "FIRST_LINE", 0.0)
    assert re.search(r"^seed 0 +\d[\d,]* of [\d,]+ pairs, ", bench("verify", record_file).err, re.M)


def test_runs_are_named_as_for_show_or_by_their_folder(bench, board):
    names = sorted(path.stem for path in board.glob("*.json"))
    (first,) = [name for name in names if name.startswith("mlp-64-s0-")]
    once = ["mlp-64-s0", first, board / f"{first}.json"]
    for words, named in (([board], names), (once, [first])):
        answer = bench("verify", *words, "--results", board)
        assert answer.code == 0, answer.err
        assert sorted(answer.out.splitlines()) == [f"{name}: identical" for name in named]


def test_no_run_is_repeated_where_one_of_a_folder_cannot_be(bench, record_file):
    (record_file.parent / "stray.json").write_text("{")
    answer = bench("verify", record_file.parent)
    assert (answer.code, answer.out) == (2, "")
    assert f"{record_file.parent / 'stray.json'}: is not JSON: " in answer.err


def test_a_record_that_the_code_does_not_give_ends_with_code_1(bench, record_file):
    record = RunRecord.model_validate_json(record_file.read_bytes())
    metrics = {**record.metrics, "test_accuracy": 1.0}
    seen = "\x1b]0;owned\x07 ##[error]owned\n::error::owned"
    info = record.info.model_copy(update={"pretrained_on": seen})
    forged = record.model_copy(update={"metrics": metrics, "info": info, "checksum": ""}).sealed()
    record_file.write_text(json.dumps(forged.model_dump(mode="json")))
    for words in (["verify", record_file], ["audit", "--results", record_file.parent]):
        answer = bench(*words)
        assert answer.code == 1
        assert f"{record_file.stem}: different" in answer.out
        assert "test_accuracy: 1.0 was recorded" in answer.out
        assert "owned was recorded" in answer.out
        assert not re.search(r"\x1b|\x07|##\[|^::", answer.out + answer.err, re.M)


def test_packages_that_a_record_of_codonbenchs_own_names_are_not_installed(bench, record_file):
    record = RunRecord.model_validate_json(record_file.read_bytes())
    lock = Environment.of(["nobody-has-this==1.0"], "cpython-311-linux-x86_64")
    forged = record.model_copy(update={"environment": lock, "checksum": ""}).sealed()
    record_file.write_text(json.dumps(forged.model_dump(mode="json")))
    answer = bench("verify", record_file)
    assert (answer.code, answer.out) == (2, "")
    assert "codonbench's own have none" in answer.err


@pytest.mark.parametrize(
    ("revised", "words", "named"),
    [
        ({}, (), "theirs/evil"),
        ({"revision": "refs/pr/7"}, ("--trust", "theirs/evil"), "theirs/evil@refs/pr/7"),
    ],
    ids=["any", "a revision, which anybody may propose"],
)
@pytest.mark.parametrize("field", ["trust_remote_code", "allow_pickle"])
def test_no_code_of_a_checkpoint_that_a_record_names_runs_before_it_is_allowed(
    bench, tmp_path, field, revised, words, named
):
    source = next((ROOT / "leaderboard" / "results").glob("hf-s0-*.json"))
    record = RunRecord.model_validate_json(source.read_bytes())
    config = record.run_spec.config | {"checkpoint": "theirs/evil", field: True, **revised}
    spec = record.run_spec.model_copy(update={"config": config})
    forged = record.model_copy(update={"run_spec": spec, "run_id": spec.run_id}).sealed()
    (tmp_path / f"{forged.name}.json").write_text(forged.model_dump_json())
    for command in "verify", "explain":
        answer = bench(command, tmp_path / f"{forged.name}.json", *words)
        assert (answer.code, answer.out) == (2, "")
        assert f"allow it by --trust {named}" in answer.err


def test_a_row_does_not_keep_to_itself_where_it_departs_from_its_name(bench, run, tmp_path):
    assert run("--model", "mlp-64", "--set", "hidden=8").code == 0
    (path,) = (tmp_path / "results").glob("*.json")
    record = RunRecord.model_validate_json(path.read_bytes())
    assert record.overrides == {"hidden": [8]}
    assert bench("verify", path).code == 0
    silent = record.model_copy(update={"overrides": {}, "checksum": ""}).sealed()
    path.write_text(json.dumps(silent.model_dump(mode="json")))
    answer = bench("verify", path)
    assert answer.code == 1
    assert "overrides: {} was recorded, now {'hidden': [8]}" in answer.out


def test_the_trace_of_an_identical_repetition_can_be_kept(bench, record_file):
    (trajectory,) = (record_file.parent / "trajectories").glob("*.npz")
    content = trajectory.read_bytes()
    trajectory.unlink()
    answer = bench("verify", record_file)
    assert (answer.code, trajectory.exists()) == (0, False)
    answer = bench("verify", record_file, "--keep-trajectory")
    assert answer.out == f"{record_file.stem}: identical\n  trajectory: {trajectory}\n"
    assert trajectory.read_bytes() == content
    assert "codons right of 64" in bench("show", "mlp-64-s0", "-r", record_file.parent).out


def test_the_trace_of_another_run_is_not_kept(bench, record_file):
    record = RunRecord.model_validate_json(record_file.read_bytes())
    forged = record.model_copy(update={"weights_sha256": "0" * 64, "checksum": ""}).sealed()
    record_file.write_text(json.dumps(forged.model_dump(mode="json")))
    (trajectory,) = (record_file.parent / "trajectories").glob("*.npz")
    trajectory.unlink()
    assert bench("verify", record_file, "--keep-trajectory").code == 1
    assert not trajectory.exists()


def test_an_audit_names_the_seed_of_its_choice_and_can_be_repeated(bench, board):
    first = bench("audit", "--results", board, "--sample", "2")
    assert first.code == 0
    seed = first.out.splitlines()[0].rpartition(" ")[2]
    assert bench("audit", "--results", board, "--sample", "2", "--seed", seed).out == first.out


def test_a_fresh_seed_is_held_against_the_rows_band(bench, board, tmp_path):
    board = copytree(board, tmp_path / "board")
    words = ("audit", "--results", board, "--sample", "1", "--seed", "1", "--fresh-seeds")
    honest = bench(*words)
    assert honest.code == 0, honest.err
    name, _, outcome = honest.out.splitlines()[1].rpartition(": ")
    assert outcome == "within band"
    model, _, seed = name.rpartition("-")[0].rpartition("-s")
    assert int(seed) > 1
    for path in board.glob(f"{model}-s?-*.json"):  # as if it had known what its seeds would bring
        record = RunRecord.model_validate_json(path.read_bytes())
        metrics = record.metrics | {"excess_pairs": 1, "pairs_consumed": 2_001}
        changes = {"metrics": metrics, "checksum": ""}
        forged = record.model_copy(update=changes).sealed()
        path.write_text(json.dumps(forged.model_dump(mode="json")))
    answer = bench(*words)
    assert answer.code == 1
    assert f"excess_pairs: seed {seed} gives None, the row's own seeds 1, 1" in answer.out


def test_of_two_files_of_one_name_the_runs_on_the_one_that_is_given_are_repeated(run, bench, fasta):
    for folder, orf in (("a", "AUGGCUUAA"), ("b", "AUGUGGUAA")):
        Path(folder).mkdir()
        path = fasta(orf, name=f"{folder}/cds.fa")
        assert run("--model", "mlp-64", "--data", path, "--seeds", "0-1").code == 0
    words = ("--results", "results", "--sample", "4", "--data", "cds.fa", "--seed", "1")
    answer = bench("audit", *words, "--file", "a/cds.fa")
    assert answer.code == 0, answer.err
    first, *verdicts = answer.out.splitlines()
    assert first.startswith("2 of 2 runs")
    assert [verdict.rpartition(": ")[2] for verdict in verdicts] == ["identical"] * 2
    (left_out,) = (line for line in answer.err.splitlines() if "left out" in line)
    assert left_out.count("mlp-64-s") == 2
    assert not any(verdict.partition(":")[0] in left_out for verdict in verdicts)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["verify", "absent.json"], "absent.json: cannot be read: No such file"),
        (["verify", "."], "no results folder runs"),
        (["verify", "no/folder"], "no/folder: cannot be read: No such file"),
        (["audit", "--results", "nowhere"], "no finished run to repeat in nowhere"),
    ],
    ids=["file", "name", "folder", "audit"],
)
def test_what_cannot_be_repeated_is_named(bench, words, named):
    answer = bench(*words)
    assert answer.code == 2
    assert named in answer.err
    assert answer.err.count("\n") == 1
