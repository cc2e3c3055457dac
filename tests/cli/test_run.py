"""`bench run`: what it prints, what it records, what it runs again."""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.records.store import read_record

UNTRAINED = ("--model", "untrained")


def stored(folder="results"):
    """The records in a results folder, by seed."""
    records = [RunRecord.model_validate_json(p.read_bytes()) for p in Path(folder).glob("*.json")]
    return {record.seed: record for record in records}


def rewrite(**changes):
    """Change the one record in ``results`` and seal it again, as another version might have."""
    (path,) = Path("results").glob("*.json")
    record = RunRecord.model_validate_json(path.read_bytes())
    changed = record.model_copy(update={**changes, "checksum": ""}).sealed()
    path.write_text(json.dumps(changed.model_dump(mode="json")))


@pytest.mark.parametrize("model", ["untrained", "majority"])
def test_never_deciphering_is_a_result(run, model):
    answer = run("--model", model)
    assert answer.code == 0
    assert "seed 0   not deciphered within 2,000 pairs" in answer.err
    assert stored()[0].status == "done"
    assert stored()[0].metrics["pairs_consumed"] is None


def test_a_run_that_deciphers_says_when_and_where_it_stands(bench):
    answer = bench("run", "--model", "mlp-64", "--seeds", "6", "--results", "results")
    assert answer.code == 0
    record = stored()[6]
    pairs = f"{record.metrics['pairs_consumed']:,} pairs"
    excess = f"excess {record.metrics['excess_pairs']:,}"
    assert f"seed 6   deciphered after {pairs}, {excess}\n" in answer.err
    assert "human-codon on usage (simulated), cpu" in answer.out
    assert "mlp-64   1/1" in answer.out
    assert "mlp-64: fewer than 10 seeds" in answer.out


def test_the_line_that_shows_a_run_works(bench, run):
    line = run(*UNTRAINED).err.splitlines()[-1]
    words = line.rpartition("bench ")[2].split()
    assert words == ["show", stored()[0].run_id[:8], "--results", "results"]
    assert bench(*words).code == 0


@pytest.mark.parametrize("terminal", [False, True])
def test_json_is_one_record_a_seed_and_nothing_else(run, monkeypatch, terminal):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    answer = run("--model", "mlp-64", "--seeds", "3,1", "--json")
    assert answer.code == 0
    assert sorted(record.seed for record in answer.records) == [1, 3]  # as they end
    for facts in answer.facts:
        assert facts["model"] == "mlp-64"
        assert facts["task"] == "human-codon"
        assert facts["status"] == "done"
        assert len(facts["weights_sha256"]) == 64
        assert {"pairs_consumed", "excess_pairs", "sustained_pairs"} <= set(facts["metrics"])
        allowed = (bool, int, float, type(None))
        assert all(isinstance(value, allowed) for value in facts["metrics"].values())
    assert {r.seed: r for r in answer.records} == stored()


def test_json_stays_pure_where_progress_reuse_errors_and_plugins_talk(
    bench, strangers, monkeypatch
):
    strangers()
    monkeypatch.setenv("FORCE_COLOR", "1")
    words = ("run", "--pairs", "2000", "--results", "results", "--json", "--model")
    first = bench(*words, "chatty", "--workers", "1")
    assert first.records[0].status == "done"
    assert "loading" in first.err
    assert "learning" in first.err
    again = bench(*words, "chatty")
    assert again.records == first.records
    assert "already recorded" in again.err
    anew = bench(*words, "chatty", "--force")  # in this process, where it talks as well
    assert anew.records[0].weights_sha256 == first.records[0].weights_sha256
    assert "learning" in anew.err
    failed = bench(*words, "boom")
    assert failed.records[0].status == "error"
    assert "the fuse blew" in failed.err


def read_to_the_end(terminal):
    """What processes write to a terminal, until the last of them has let go of it."""
    parts = []
    with suppress(OSError):  # which is how Linux tells of the end
        while part := os.read(terminal, 1 << 16):
            parts.append(part)
    return b"".join(parts).decode()


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="no terminals here")
def test_json_to_a_pipe_leaves_the_bar_on_the_terminal(start, strangers):
    strangers()
    ours, theirs = pty.openpty()
    words = ("run", "--model", "endless", "--pairs", "6400", "--results", "results", "--json")
    with start(*words, stderr=theirs) as child:
        os.close(theirs)
        shown = read_to_the_end(ours)
        out, _ = child.communicate(timeout=250)
    os.close(ours)
    assert child.returncode == 0
    assert RunRecord.model_validate_json(out).status == "done"
    assert out.count("\n") == 1
    assert "seed 0" in shown
    assert "/64 codons" in shown
    assert "/3 stop" in shown


def test_a_bar_is_for_terminals_and_a_line_a_seed_for_everyone(run, monkeypatch):
    words = (*UNTRAINED, "--seeds", "0-2")
    quiet = run(*words).err
    assert [line[:6] for line in quiet.splitlines()[3:6]] == ["seed 0", "seed 1", "seed 2"]
    assert "━" not in quiet
    monkeypatch.setenv("FORCE_COLOR", "1")
    lively = run(*words, "--force").err
    assert "━" in lively


def test_the_same_request_again_reuses_what_is_recorded(run):
    words = (*UNTRAINED, "--seeds", "0-1", "--json")
    first = run(*words)
    again = run(*words)
    assert again.code == 0
    assert again.records == first.records
    assert again.err.count("already recorded; --force runs it again") == 2


def test_force_runs_again_and_gives_the_same_weights_and_figures(run):
    first = run("--model", "mlp-64", "--json").records[0]
    again = run("--model", "mlp-64", "--json", "--force").records[0]
    assert again.timings != first.timings
    assert again.weights_sha256 == first.weights_sha256
    assert again.result() == first.result()


@pytest.mark.parametrize("what", ["status", "metric versions", "source of the plugin"])
def test_a_record_that_is_not_todays_result_is_run_again(run, what):
    record = run(*UNTRAINED, "--json").records[0]
    changes = {
        "status": {"status": "interrupted"},
        "metric versions": {"metric_versions": {**record.metric_versions, "test_accuracy": "0"}},
        "source of the plugin": {
            "plugin": record.plugin.model_copy(update={"source_sha256": "0" * 64})
        },
    }[what]
    rewrite(**changes)
    again = run(*UNTRAINED, "--json")
    assert "already recorded" not in again.err
    assert again.records[0].result() == record.result()
    assert stored()[0] == again.records[0]


def test_a_damaged_record_is_run_again(run):
    run(*UNTRAINED)
    (path,) = Path("results").glob("*.json")
    path.write_text(path.read_text()[:100])
    assert "already recorded" not in run(*UNTRAINED).err
    assert stored()[0].status == "done"


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_plugin_that_fails_in_training_leaves_a_record_and_exit_code_1(run, strangers, workers):
    source = (strangers() / "strange_plugins.py").read_text().splitlines()
    line = source.index('    raise ValueError("the fuse blew")') + 1
    words = f"ValueError: the fuse blew (strange_plugins.py:{line})"
    failing = ("--model", "boom", "--seeds", "0-1", "--workers", workers)
    answer = run(*failing)
    assert answer.code == 1
    assert f"seed 0   error after 0 pairs: {words}" in answer.err
    assert [(r.status, r.error) for r in stored().values()] == [("error", words)] * 2
    assert "Traceback" not in answer.err
    debugged = run("--debug", *failing, "--json")
    assert [record.error for record in debugged.records] == [words] * 2
    assert "Traceback (most recent call last):" in debugged.err
    assert f'strange_plugins.py", line {line}, in boom' in debugged.err


@pytest.mark.parametrize(
    "workers", ["1", pytest.param("0", marks=pytest.mark.nightly("a worker's run ends likewise"))]
)
def test_ctrl_c_leaves_an_interrupted_record_that_is_run_again(start, bench, strangers, workers):
    strangers()
    words = ("run", "--model", "endless", "--pairs", "100000", "--results", "results")
    words += ("--workers", workers)
    with start(*words, "--seeds", "0-1") as child:
        deadline = time.monotonic() + 60
        while not Path("learning").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=250)
    assert child.returncode == 130
    assert "Traceback" not in err
    assert "seed 0   interrupted after" in err
    assert "last checkpoint, if any" in " ".join(err.split())
    assert stored()[0].status == "interrupted"
    assert list(stored()) == [0]
    name = stored()[0].name
    files = {str(p.relative_to("results")) for p in Path("results").rglob("*") if p.is_file()}
    assert files == {f"{name}.json", f"trajectories/{name}.npz", ".locks/ledger.lock"}
    Path("hurry").touch()
    answer = bench(*words, "--workers", "0", "--json")
    assert "already recorded" not in answer.err
    assert [r.status for r in answer.records] == ["done"]


def test_ctrl_c_before_the_first_pair_is_quiet(bench, monkeypatch):
    def interrupt(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr("codonbench.execution.executor.prepare", interrupt)
    answer = bench("run", *UNTRAINED, "--results", "results")
    assert (answer.code, answer.out, answer.err) == (130, "", "bench: interrupted\n")


def test_settings_reach_the_record_and_the_name_on_the_board(run):
    answer = run("--model", "mlp-64", "--set", "hidden=8", "--set", "learning_rate=0.01")
    assert stored()[0].overrides == {"hidden": [8], "learning_rate": 0.01}
    assert "learning_rate=0.01" in answer.out


def test_sequences_from_a_file_are_reported_and_named_without_their_folder(run, fasta, tmp_path):
    path = fasta("AUGGCUUAA", "AUGGCUUAA", "AUGNNNUAA", "GCUGCUUAA")
    answer = run(*UNTRAINED, "--data", path)
    assert "1 ORF kept (3 codons)" in answer.err
    assert "1 record dropped: duplicate of an earlier sequence" in answer.err
    assert stored()[0].dataset.source == "orfs.fa"
    (record,) = Path("results").glob("*.json")
    assert str(tmp_path) not in record.read_text()


def test_the_genetic_code_has_an_option_of_its_own(run, fasta):
    path = fasta("AUGUGAAGA")  # UGA is tryptophan and AGA stop in vertebrate mitochondria
    answer = run(*UNTRAINED, "--data", path, "--genetic-code", "2", "--json")
    assert answer.records[0].run_spec.task_options["genetic_code"] == 2


CONTROL = ("--model", "mlp-64", "--seeds", "0-1", "--control", "shuffled")


def test_the_control_has_an_option_of_its_own_and_says_what_it_does(run):
    answer = run(*CONTROL)
    assert "control: each seed has a shuffled genetic code of its own" in answer.err
    assert "human-codon on usage (simulated), control shuffled, cpu" in answer.out
    short = stored()[0]
    assert short.run_spec.task_options["control"] == "shuffled"
    assert any(note.startswith("Control: ") for note in short.dataset.notes)
    long = run("--model", "mlp-64", "--task-set", "control=shuffled", "--json").records[0]
    assert long.run_id == short.run_id


def test_a_run_under_a_control_is_held_against_the_one_without(run):
    plain = run(*CONTROL[:4])
    assert "control shuffled" not in plain.out
    answer = run(*CONTROL)
    said = " ".join(answer.out.split())
    assert "mlp-64: real / control shuffled, over 2 seeds: -" in said


def test_a_control_that_does_not_exist_is_refused(run):
    answer = run("--model", "mlp-64", "--control", "reversed")
    assert answer.code == 2
    assert "'reversed'" in answer.err
    assert "it has shuffled" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("run -m mlp-64 -m lstm-64", "--model is given twice, and one is taken; a list of runs"),
        ("run -m mlp-64 --data a.csv --data=b.csv", "--data is given twice"),
        ("run --suite official --suite supervised", "--suite is given twice, and one is taken\n"),
        ("check --model mlp-64 --model cnn", "--model is given twice, and one is taken\n"),
    ],
)
def test_two_models_of_which_one_would_be_run_are_refused(bench, tmp_path, words, said):
    answer = bench(*words.split())
    assert (answer.code, answer.out) == (2, "")
    assert f"bench: {said}" in answer.err
    assert not [*tmp_path.iterdir()]


def test_computed_rows_say_that_nothing_was_trained(run):
    answer = run("--model", "bound", "--json")
    assert answer.records[0].weights_sha256 is None
    assert answer.records[0].metrics["pairs_consumed"] > 64
    assert "computed, not trained" in run("--model", "bound").err


@pytest.mark.nightly("tests/kills kills a run of each engine")
def test_kill_dash_nine_leaves_no_half_file_and_the_run_is_made_again(tmp_path):
    command = [sys.executable, "-m", "codonbench.cli.main", "run", "--model", "lstm-64"]
    command += ["--seeds", "0-1", "--pairs", "30000", "--results", str(tmp_path), "--json"]
    for delay in (4.0, 6.0, 8.0):
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
        child.wait()
        for path in tmp_path.glob("*.json"):
            assert isinstance(read_record(path), RunRecord)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    records = [RunRecord.model_validate_json(line) for line in done.stdout.splitlines()]
    assert sorted(record.seed for record in records) == [0, 1]
    assert {record.status for record in records} == {"done"}


def test_a_new_row_is_told_where_it_would_stand_among_the_official_ones(bench):
    words = ("--model", "mlp-64", "--set", "learning_rate=0.02")
    answer = bench("run", *words)
    assert answer.code == 0
    (line,) = [line for line in answer.out.splitlines() if "among the official rows" in line]
    assert line.startswith("mlp-64 (learning_rate=0.02) would be number ")
    assert " by excess pairs, " in line
    assert "'bench ls rows --task human-codon'" in line
    assert "official rows" not in bench("run", *words, "--pairs", "2000").out  # another table
