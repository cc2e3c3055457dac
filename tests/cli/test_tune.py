"""`bench tune`: a study that is killed, interrupted and shared; what it writes and says."""

import json
import re
import signal
import sys
import time
from pathlib import Path

import pytest

from codonbench.cli import tune
from codonbench.execution.prepare import read_preset

PLUGIN = """
import time
from pathlib import Path

import codonbench
import numpy as np


class Guess:
    def __init__(self, place):
        self.place = place

    def fit(self, items, classes):
        Path(f"trial-{time.time_ns()}").touch()
        while len([*Path().glob("trial-*")]) > 2 and not Path("hurry").exists():
            time.sleep(0.01)
        self.classes_ = np.unique(classes)

    def predict_proba(self, items):
        return np.tile([self.place, 1 - self.place], (len(items), 1))


@codonbench.estimator(encoding="text", summary="As likely as its field says")
def guess(task, place: float = 0.5):
    return Guess(place)
"""
WORDS = ("tune", "-m", "guess", "--plugin", "guess.py", "--data", "My Table.csv")
WORDS = (*WORDS, "--space", "place=0.1..0.9", "--trials", "5")
HERE = "tuning/guess-my-table"


@pytest.fixture
def table(trust):
    trust("guess.py")  # a stranger's trial has a worker of its own, which takes seconds to come up
    write_files()


def write_files():
    Path("guess.py").write_text(PLUGIN)
    rows = [f"{'ACGT'[i % 4] * 6}{'ACGT'[i // 4 % 4] * 4},{'ab'[i % 3 > 0]}" for i in range(90)]
    Path("My Table.csv").write_text("\n".join(["sequence,label", *rows]))


def cut_short(start, number):
    """Start a study; send it a signal in its third trial, or the first since; return its ending."""
    before = len([*Path().glob("trial-*")])
    with start(*WORDS) as child:
        deadline = time.monotonic() + 120
        while len([*Path().glob("trial-*")]) < max(3, before + 1):
            assert time.monotonic() < deadline
            assert child.poll() is None, child.stderr.read()
            time.sleep(0.05)
        child.send_signal(number)
        return child.communicate(timeout=120)[1], child.returncode


@pytest.mark.slow
def test_a_study_that_was_killed_and_interrupted_goes_on_where_it_was(table, start, bench):
    said, code = cut_short(start, signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert re.findall(r"trial (\d) of 5", said) == ["1", "2"]
    said, code = cut_short(start, signal.SIGINT)
    assert code == 130
    assert said.splitlines()[-1] == "bench: interrupted"
    assert not Path(f"{HERE}.toml").exists()
    Path("hurry").touch()
    answer = bench(*WORDS, "--plot", "study.svg")
    assert answer.code == 0, answer.err
    assert re.findall(r"trial (\d) of 5", answer.err) == ["3", "4", "5"]
    assert re.search(r"trial 3 of 5: best mcc \d", answer.err)
    preset = read_preset(Path(f"{HERE}.toml"))
    assert (preset.tuning.trials, preset.tuning.unfinished) == (5, 2)
    assert (preset.tuning.space, preset.tuning.tests_unseen) == (("place=0.1..0.9",), False)
    assert Path("study.svg").read_text().count("<svg") == 1
    assert not [*Path("tuning").glob("*-journal")]
    (again,) = re.findall(r"bench (run --preset-file .*)$", answer.err, re.M)
    assert "--data 'My Table.csv'" in again
    assert again.endswith("--seeds 0-9 --plugin guess.py")


@pytest.mark.slow
def test_several_processes_work_on_one_study(table, bench):
    Path("hurry").touch()
    Path("optuna.py").write_text("open('imported', 'w')")  # nobody asks for that one
    answer = bench(*WORDS, "--jobs", "2")
    assert answer.code == 0, answer.err
    tuning = read_preset(Path(f"{HERE}.toml")).tuning
    assert 5 <= tuning.trials <= 6  # either may end one as the other ends the last
    begun = len([*Path().glob("trial-*")])
    assert tuning.trials <= begun <= tuning.trials + tuning.unfinished
    assert not Path("imported").exists()


PRESET = """
[preset]
name = "found"
model = "guess"

[config]
place = 0.25

[tuning]
name = "found"
task = "my-table"
data_checksum = "unknown"
trials = 3
pruned = 0
seeds = [1000]
device = "cpu"
seconds = 7.5
metric = "mcc"
best = 0.5
median = 0.25
study = "one"
tests_unseen = false
"""
RUN = ("run", "--preset-file", "found.toml", "--plugin", "guess.py", "--data", "My Table.csv")
RUN = (*RUN, "--folds", "0", "--seeds", "0", "--json", "--results", "results")


@pytest.mark.parametrize(
    ("settings", "place", "changed"),
    [
        ((), 0.25, []),
        (("--set", "place=0.250"), 0.25, []),
        (("--set", "place=0.5"), 0.5, ["place"]),
        (("--set", "other=2"), 0.25, ["other"]),
    ],
)
def test_a_tuned_row_owes_what_tuning_cost_whatever_is_set_by_hand(
    table, bench, settings, place, changed
):
    Path("hurry").touch()
    Path("guess.py").write_text(PLUGIN.replace("0.5):", "0.5, other: int = 1):"))
    Path("found.toml").write_text(PRESET)
    answer = bench(*RUN, *settings)
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert record["run_spec"]["config"]["place"] == place
    assert record["tuning"]["seconds"] == 7.5
    assert record["tuning"].get("changed", []) == changed
    bench("leaderboard", "--results", "results", "--out", "board")
    said = " ".join(Path("board/README.md").read_text().split())
    assert "preset found, tuned on my-table" in said
    assert ("set by hand since" in said) == bool(changed)


def test_a_preset_that_was_tuned_on_official_seeds_is_refused(bench):
    Path("found.toml").write_text(PRESET.replace("[1000]", "[1000, 9]"))
    answer = bench(*RUN)
    assert (answer.code, answer.out) == (2, "")
    assert "found.toml was tuned on seeds [1000, 9]" in answer.err


def test_a_strangers_preset_runs_with_what_its_file_says(bench):
    write_files()
    Path("hurry").touch()
    Path("found.toml").write_text(PRESET)
    answer = bench(*RUN, "--workers", "1")
    assert answer.code == 0, answer.err
    record = json.loads(answer.out)
    assert record["confinement"] == "process"
    assert record["run_spec"]["config"]["place"] == 0.25


def test_where_no_trial_comes_to_an_end_the_plugins_fault_is_named(table, bench):
    fault = "raise RuntimeError('my fault')\n        self.classes_ ="
    code = PLUGIN.replace("self.classes_ =", fault)
    Path("guess.py").write_text(code)
    answer = bench(*WORDS[:-1], "1")
    assert answer.code == 2
    assert "nothing to choose: RuntimeError: my fault (guess.py:" in answer.err


def test_a_constant_answer_has_no_correlation_to_choose_by(bench):
    rows = [f"{'ACGT'[i % 4]}{'ACGT'[i // 4 % 4]}{'ACGT'[i // 16]},{i}.5" for i in range(64)]
    Path("table.csv").write_text("\n".join(["sequence,label", *rows]))
    words = ("--model", "majority", "--data", "table.csv", "--space", "batch_size=32,64")
    answer = bench("tune", *words, "--trials", "1")
    assert answer.code == 2
    assert "pearson" in answer.err
    assert "nothing to choose" in answer.err
    assert not [*Path().glob("tuning/*.toml")]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--seeds", "1000,9"], "seed 9 is used by official rows"),
        (["--plot", "study.xyz"], "study.xyz should end in .svg or .png"),
    ],
)
def test_what_no_study_is_made_of_is_refused_before_its_first_trial(table, bench, words, said):
    answer = bench(*WORDS[:-1], "1", *words)
    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert not [*Path().glob("trial-*")]


def test_without_optuna_a_sentence_names_the_extra(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    answer = bench("tune", "-m", "cnn", "-t", "gue-tf-0")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "bench: this needs optuna, which is not installed: pip install 'codonbench[tune]'\n"
    )


class Going:
    """A study of which a trial is under way."""

    lower, metric, under_way = False, "mcc", 0.0

    def __init__(self):
        self.ended = []

    def finished(self):
        return self.ended

    def scores(self):
        return iter([(score, 1.0) for score in self.ended])


def test_a_study_tells_a_time_left_before_its_first_trial_ends(monkeypatch, capsys):
    now, study = [0.0], Going()
    monkeypatch.setattr(tune.time, "monotonic", lambda: now[0])
    with tune._StudyDisplay(study, 4) as shown:
        (bar,) = shown._progress.tasks
        shown.move()
        assert not capsys.readouterr().err  # nothing is known yet
        now[0], study.under_way = 10.0, 0.01  # its worker is up
        shown.move()
        assert capsys.readouterr().err.strip() == "0.01 of 4 trials"
        now[0], study.under_way = 30.0, 0.26
        shown.move()
        assert capsys.readouterr().err.strip() == "0.26 of 4 trials: ≤ 0:04:59 left"
        now[0], study.under_way = 30.5, 0.27
        shown.move()
        assert bar.completed == 0.27
        assert not capsys.readouterr().err  # nor is anybody flooded
        now[0], study.under_way = 90.0, 0.0
        study.ended.append(0.5)
        shown.count()
        assert "trial 1 of 4: best mcc 0.5000, 0:04:0" in capsys.readouterr().err


def test_the_trials_of_other_processes_are_taken_to_be_as_far(monkeypatch, capsys):
    now, study = [0.0], Going()
    monkeypatch.setattr(tune.time, "monotonic", lambda: now[0])
    with tune._StudyDisplay(study, 3, 2) as shown:
        (bar,) = shown._progress.tasks
        study.under_way = 0.25
        shown.move()
        assert bar.completed == 0.5
        study.ended += [0.5, 0.5]
        shown.count()
        shown.move()
        assert bar.completed == 2.25  # nobody waits for a fourth
        study.ended += [0.5, 0.5]  # but two began the last at once
        shown.count()
        assert "trial 4 of 4" in capsys.readouterr().err
        assert (bar.completed, bar.total) == (4, 4)
