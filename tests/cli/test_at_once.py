"""Several `bench run` at once, killed ones, damaged records: each run is made once, and kept."""

import re
import time
from pathlib import Path

import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.records.store import Store

WORDS = ("run", "--model", "mlp-64", "--seeds", "0-3", "--pairs", "6400", "--full")


def trained(text):
    """The seeds that a `bench run` made itself, by its lines on their ends in standard error."""
    lines = re.findall(r"^seed (\d+) +(?! |[\d,]+ of )(.*)$", text, re.M)
    return [int(seed) for seed, rest in lines if "already recorded" not in rest]


def reused(text):
    return [int(seed) for seed in re.findall(r"^seed (\d+) .*already recorded", text, re.M)]


def sound(folder="results"):
    found = list(Store(Path(folder)).scan())
    assert all(isinstance(item, RunRecord) for item in found)
    return sorted((record.seed, record.status) for record in found)


@pytest.mark.nightly("one waits for another, and takes over what it leaves, on each push")
def test_two_at_once_on_one_folder_train_each_seed_once(start, record_property):
    words = (*WORDS, "--workers", "0", "--results", "results")
    children = [start(*words) for _ in range(2)]
    said = [child.communicate(timeout=1000)[1] for child in children]
    assert [child.returncode for child in children] == [0, 0], said
    assert sorted(trained(said[0]) + trained(said[1])) == [0, 1, 2, 3]
    assert sorted(trained(said[0]) + reused(said[0])) == [0, 1, 2, 3]
    assert sorted(trained(said[1]) + reused(said[1])) == [0, 1, 2, 3]
    assert sound() == [(seed, "done") for seed in range(4)]
    record_property("`bench run` at once on one folder", len(children))
    record_property("seeds trained twice or lost by them", 0)


@pytest.mark.slow
def test_after_a_kill_another_takes_over_what_was_not_made(start, strangers):
    """The one that is killed would never end; the other waits for it, then takes its run."""
    strangers()
    words = ("run", "--model", "stuck", "--pairs", "6400", "--results", "results")
    words += ("--workers", "0", "--engine", "eager")
    with start(*words) as first, start_when(Path("learning"), start, words) as second:
        line = next((line for line in second.stderr if line.endswith("; waiting\n")), "")
        assert f"being run by process {first.pid} (since " in line
        first.kill()
        Path("hurry").touch()
        said = second.communicate(timeout=250)[1]
    assert second.returncode == 0, said
    assert sound() == [(0, "done")]


def start_when(there, start, words):
    deadline = time.monotonic() + 60
    while not there.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    return start(*words)


def test_a_damaged_record_is_set_aside_named_and_its_run_made_again(bench, run):
    assert run("--model", "untrained").code == 0
    (path,) = Path("results").glob("*.json")
    whole = path.read_text()
    path.write_text(whole[:300])
    board = bench("leaderboard", "--results", "results", "--out", "out")
    assert board.code == 0
    assert f"not counted: {path.name}: is not JSON: " in board.err
    assert "rows: 0" in board.out
    assert path.read_text() == whole[:300]
    again = run("--model", "untrained")
    assert again.code == 0
    assert f"set aside: {path.name}: is not JSON: " in again.err
    (aside,) = Path("results/set-aside").glob("*.json")
    assert aside.read_text() == whole[:300]
    assert sound() == [(0, "done")]
    assert "not counted" not in bench("leaderboard", "--results", "results", "--out", "out").err


def test_an_exclusive_run_says_so_in_its_record(run):
    (record,) = run("--model", "untrained", "--exclusive", "--json").records
    assert record.machine.circumstances.alone is True


def test_processors_in_use_are_refused_with_exit_code_2_where_there_is_no_waiting(run):
    from codonbench.execution.machine import Terms, occupied

    with occupied("cpu", Terms(alone=True), print):
        answer = run("--model", "untrained", "--no-wait")
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("bench: the processors are used by process ")
    assert list(Path("results").glob("*.json")) == []
