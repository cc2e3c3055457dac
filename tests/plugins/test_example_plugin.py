"""A stranger's distribution with a model, a metric and a task, held in `tests/example_plugin`."""

import json
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.plugins.discovery import load_registry
from codonbench.testing import check_metric, check_model, check_task

EXAMPLE = Path(__file__).resolve().parents[1] / "example_plugin"
PROJECT = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]

FEW = ("--seeds", "0-2", "--pairs", "6400", "--workers", "1")


# Not installed: the modules alone


@pytest.fixture
def registry(monkeypatch):
    """What is installed, and the example's modules as its entry point names them."""
    monkeypatch.syspath_prepend(EXAMPLE / "src")
    registry = load_registry()
    (package,) = PROJECT["entry-points"]["codonbench"].values()
    for name in ("letter_votes", "half_right", "hydrogen_bonds"):
        registry.add(import_module(f"{package}.{name}"), PROJECT["name"], PROJECT["version"])
    yield registry
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_it_offers_a_model_with_a_preset_a_metric_and_a_task(registry):
    tables = {"model": registry.models, "metric": registry.metrics, "task": registry.tasks}
    own = {
        kind: [n for n, entry in table.items() if entry.origin.distribution == PROJECT["name"]]
        for kind, table in tables.items()
    }
    assert own == {
        "model": ["letter-votes", "letter-votes-slow"],
        "metric": ["half_right"],
        "task": ["hydrogen-bonds"],
    }
    assert registry.failures == []


def test_its_model_learns_its_task_and_its_metric_says_when(registry, toys):
    record, trajectory = toys.run("letter-votes", registry=registry, task="hydrogen-bonds")
    assert record.status == "done"
    assert record.metrics["sustained_pairs"] is not None
    assert record.metrics["most_right"] == 16
    half = int(trajectory.pairs.tolist().index(record.metrics["half_right"]))
    assert trajectory.right[half].sum() >= 8
    assert trajectory.right[:half].sum(axis=1).max(initial=0) < 8


def test_its_task_is_what_the_double_helix_says(registry):
    task = registry.task("hydrogen-bonds").task
    dataset = task.load("random", task.Options(gc=0.5), cache=Path("none"))
    spec = dataset.spec
    bonds = {"AU": "four", "UU": "four", "AC": "five", "GU": "five", "CG": "six"}
    for word, answer in bonds.items():
        assert (
            spec.target.names[spec.evaluation.targets[spec.evaluation.inputs.index(word)]] == answer
        )
    assert dataset.frequencies.tolist() == [1 / 16] * 16


def test_it_keeps_what_codonbench_asks_of_a_plugin(registry):
    model = registry.model("letter-votes").cls
    check_model(model)
    check_model(model, preset="letter-votes-slow")
    check_metric(registry.metrics["half_right"].metric)
    check_task(registry.task("hydrogen-bonds").task)


# Built, installed where nothing else is, and run


@pytest.fixture(scope="module")
def stranger(clean_environment, tmp_path_factory):
    """The clean environment with the example's wheel in it; taken out again at the end."""
    clean_environment.install(
        clean_environment.build(EXAMPLE, tmp_path_factory.mktemp("example-dist"))
    )
    yield clean_environment
    clean_environment.uninstall(PROJECT["name"])


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """The folder a stranger works in."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def bench(stranger, place):
    cache = str(place / "cache")
    trust = ["--trust", PROJECT["name"]]  # its metric and its encoding run beside what is right
    return lambda *words: stranger.call(["bench", *words, *trust], place, CODONBENCH_CACHE=cache)


@pytest.fixture(scope="module")
def records(bench):
    """The example's model on the genetic code, run by `bench run`."""
    said = bench("run", "--model", "letter-votes", *FEW, "--json")
    return [RunRecord.model_validate_json(line) for line in said.splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_installed_it_is_listed_beside_ours(bench):
    assert "letter-votes" in bench("ls", "models")
    listed = bench("plugins")
    assert f"{PROJECT['name']} {PROJECT['version']}" in listed
    for file in ("letter_votes.py", "half_right.py", "hydrogen_bonds.py"):
        assert file in listed


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_its_model_is_run_and_its_metric_is_in_the_record(records):
    assert sorted(record.seed for record in records) == [0, 1, 2]  # they come as they end
    for record in records:
        assert record.status == "done"
        assert (record.plugin.distribution, record.plugin.version) == (
            PROJECT["name"],
            PROJECT["version"],
        )
        assert record.metric_versions["half_right"] == "1"
        assert 0 < record.metrics["most_right"] < 64  # letters that vote cannot tell all codons


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_its_row_is_on_the_leaderboard(bench, records, place):
    bench("leaderboard")
    board = json.loads((place / "runs" / "board" / "leaderboard.json").read_text())
    (table,) = [table for table in board["tables"] if table["task"] == "human-codon"]
    assert table["key"] == records[0].comparability_key
    (row,) = table["rows"]
    assert (row["model"], row["distribution"]) == ("letter-votes", PROJECT["name"])
    assert "letter-votes" in (place / "runs" / "board" / "README.md").read_text()


@pytest.mark.nightly("its model is run and on the board on each push")
@pytest.mark.timeout(1500)
def test_its_task_is_run_with_its_model_and_with_ours(bench):
    for model in ("letter-votes", "mlp-64"):
        words = ("run", "--task", "hydrogen-bonds", "--model", model, "--task-set", "gc=0.5")
        (line,) = bench(*words, "--json").splitlines()
        record = RunRecord.model_validate_json(line)
        assert (record.status, record.task) == ("done", "hydrogen-bonds")
        assert record.metrics["sustained_pairs"] is not None
        assert record.metrics["half_right"] <= record.metrics["pairs_consumed"]


@pytest.mark.nightly("its model is run and on the board on each push")
@pytest.mark.timeout(1500)
def test_its_metric_scores_what_was_run_before_it_was_there(bench, records, place):
    """As if the example had come later: its values taken out of the records, then scored."""
    folder = place / "runs"
    path = folder / f"{records[0].name}.json"
    old = records[0].model_copy(
        update={
            "metrics": {k: v for k, v in records[0].metrics.items() if not k.endswith("_right")},
            "metric_versions": {
                k: v for k, v in records[0].metric_versions.items() if k != "half_right"
            },
        }
    )
    path.write_text(old.sealed().to_line())
    assert f"{old.name}: scored anew: half_right 1 is new" in bench("score", str(path))
    assert RunRecord.model_validate_json(path.read_text()) == records[0]
