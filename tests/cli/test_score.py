"""`bench score`: stored trajectories scored with today's metrics, nothing trained."""

import json
import shutil

import pytest

METRIC = """
from codonbench import NOT_MEASURED, Metric, Output, hookimpl


class Half(Metric):
    name = "half_right"
    version = "1"
    summary = "Pairs until half of the inputs are right"

    def outputs(self, task):
        return {self.name: Output(unit="pairs", direction="lower", summary=self.summary)}

    def compute(self, trajectory, task):
        print("a metric talks")
        enough = trajectory.right.mean(axis=1) >= 0.5
        if not enough.any():
            return {self.name: NOT_MEASURED}
        return {self.name: int(trajectory.pairs[enough.argmax()])}


@hookimpl
def register_metrics(register):
    register(Half())
"""


@pytest.fixture
def metric(tmp_path, trust):
    (tmp_path / "half.py").write_text(METRIC)
    trust("half.py")
    return "half.py"


@pytest.fixture
def results(board, tmp_path):
    """Two records of mlp-64 and two of untrained, with their trajectories."""
    shutil.copytree(board, tmp_path / "results")
    return tmp_path / "results"


@pytest.fixture(autouse=True)
def _no_training(monkeypatch):
    """Whatever asks a module for anything, fails."""
    monkeypatch.setattr("torch.nn.Module.__call__", None)


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.glob("*.json"))}


def record_of(results, beginning):
    (path,) = results.glob(f"{beginning}-*.json")
    return json.loads(path.read_text())


def test_a_plugins_metric_scores_what_is_stored(bench, results, metric):
    answer = bench("score", "--results", results, "--plugin", metric)
    assert (answer.code, len(answer.out.splitlines())) == (0, 4)
    value = record_of(results, "mlp-64-s0")["metrics"]["half_right"]
    assert 0 < value <= 2_000
    assert f": scored anew: half_right 1 is new; new: half_right {value:,}\n" in answer.out
    assert "a metric talks" not in answer.out
    assert "4 scored anew; nothing was trained; 'bench leaderboard' ranks them anew" in answer.err


def test_the_second_time_there_is_nothing_to_do(bench, results, metric):
    words = ("score", "--results", results, "--plugin", metric)
    bench(*words)
    before = contents(results)
    answer = bench(*words)
    assert answer.code == 0
    assert answer.out.count(": up to date\n") == 4
    assert contents(results) == before


def test_a_run_with_the_plugin_then_finds_its_record(bench, run, results, metric):
    bench("score", "--results", results, "--plugin", metric)
    words = ("--model", "mlp-64", "--seeds", "0-1", "--plugin", metric)
    answer = run(*words, "--results", results)
    assert (answer.code, answer.err.count("already recorded")) == (0, 2)


def test_check_writes_nothing_and_ends_with_code_3(bench, results, metric):
    before = contents(results)
    answer = bench("score", "--results", results, "--plugin", metric, "--check")
    assert answer.code == 3
    assert answer.out.count(": would be scored anew: half_right 1 is new") == 4
    assert "4 of 4 records are not what today's metrics give" in answer.err
    assert contents(results) == before


def test_check_passes_where_all_is_today_s(bench, results):
    answer = bench("score", "--results", results, "--check")
    assert (answer.code, answer.out.count(": up to date\n")) == (0, 4)


def test_records_can_be_named(bench, results, metric):
    (path,) = results.glob("mlp-64-s1-*.json")
    answer = bench("score", path, "--plugin", metric)
    assert (answer.code, len(answer.out.splitlines())) == (0, 1)
    assert "half_right" in record_of(results, "mlp-64-s1")["metrics"]
    assert "half_right" not in record_of(results, "mlp-64-s0")["metrics"]


def test_one_metric_can_be_named(bench, results, metric):
    changed = METRIC.replace('"1"', '"2"').replace(">= 0.5", ">= 0")
    bench("score", "--results", results, "--plugin", metric)
    (results.parent / metric).write_text(changed)
    bench("score", "--results", results, "--plugin", metric, "--metric", "test_accuracy")
    assert record_of(results, "mlp-64-s0")["metric_versions"]["half_right"] == "1"
    answer = bench("score", "--results", results, "--plugin", metric, "--metric", "half_right")
    assert "half_right 1 -> 2; changed: half_right " in answer.out
    assert record_of(results, "mlp-64-s0")["metrics"]["half_right"] == 0


def test_json_is_one_object_a_record_and_nothing_else(bench, results, metric):
    answer = bench("score", "--results", results, "--plugin", metric, "--json")
    assert answer.code == 0
    assert [fact["outcome"] for fact in answer.facts] == ["scored anew"] * 4
    fact = answer.facts[0]
    assert fact["versions"] == {"half_right": [None, "1"]}
    assert fact["added"] == {"half_right": record_of(results, "mlp-64-s0")["metrics"]["half_right"]}


def test_what_cannot_be_scored_is_named_the_rest_is_scored_and_the_code_is_1(
    bench, results, metric
):
    (path,) = (results / "trajectories").glob("mlp-64-s0-*.npz")
    path.unlink()
    (path,) = (results / "trajectories").glob("mlp-64-s1-*.npz")
    path.write_bytes(b"no trajectory")
    before = contents(results)
    answer = bench("score", "--results", results, "--plugin", metric)
    assert answer.code == 1
    first, second, *others = answer.out.splitlines()
    assert "failed: its trajectory is not in " in first
    assert "failed: trajectory mlp-64-s1-" in second
    assert "cannot be read" in second
    assert all("scored anew" in line for line in others)
    assert {name for name, text in contents(results).items() if text == before[name]} == {
        name for name in before if name.startswith("mlp-64")
    }
    assert "2 failed, 2 scored anew" in answer.err


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["--results", "nowhere"], "no results folder nowhere; 'bench run' makes one"),
        (["--results", "."], "no record in .; 'bench run --results .' makes them"),
        (["--results", "results", "--metric", "nil"], "unknown metric 'nil'; 'bench ls metrics'"),
    ],
    ids=["no folder", "no record", "no metric"],
)
def test_what_is_not_there_is_named(bench, results, words, named):
    answer = bench("score", *words)
    assert answer.code == 2
    assert named in answer.err


def test_a_plugin_that_did_not_load_does_not_cost_its_metrics_values(bench, results, strangers):
    strangers("import nothing_of_that_name")
    before = contents(results)
    answer = bench("score", "--results", results)
    assert answer.code == 1
    assert "strange_plugins did not load, and values of its metrics would be dropped" in answer.err
    assert contents(results) == before
    assert bench("score", "--results", results, "--metric", "test_accuracy").code == 0
