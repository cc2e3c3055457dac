"""The Python door: what it takes for a model, where it works, and what it returns."""

import json
import re
import subprocess
import sys
import threading
import types
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

import codonbench
from codonbench.cli.main import app
from codonbench.errors import ConfigError, NameClashError, PluginError, StoreError, UnknownNameError
from codonbench.records.store import Store
from codonbench.records.table import export

FAST = {"pairs": 300, "full": True}

CODE = '''
import codonbench
from torch import nn

WIDTH = 8


class Net(nn.Module):
    def __init__(self, task):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(task.n_inputs, WIDTH), nn.Linear(WIDTH, task.n_classes)
        )

    def forward(self, inputs):
        return self.layers(inputs)


class Typed(codonbench.Model):
    info = codonbench.ModelInfo(name="typed", version="1", summary="Two layers")
    Config = codonbench.GradientConfig
    encoding = "codon_onehot"

    def build(self, task):
        return Net(task)


@codonbench.model(encoding="codon_onehot")
def marked(task, hidden: int = 8):
    """Two layers."""
    return nn.Sequential(nn.Linear(task.n_inputs, hidden), nn.Linear(hidden, task.n_classes))
'''
ONE_MODEL = CODE[: CODE.index("class Typed")] + CODE[CODE.index("@codonbench.model") :]


class Given(codonbench.Model):
    info = codonbench.ModelInfo(name="given", version="1", summary="One layer")
    Config = codonbench.GradientConfig
    encoding = "codon_onehot"

    def build(self, task):
        return torch.nn.Linear(task.n_inputs, task.n_classes)


class Broken(Given):
    info = codonbench.ModelInfo(name="broken", version="1", summary="Never builds")

    def build(self, task):
        raise ValueError("the fuse blew")


@codonbench.model(encoding="codon_onehot")
def two_layers(task, hidden: int = 8):
    """Two linear layers."""
    return torch.nn.Sequential(
        torch.nn.Linear(task.n_inputs, hidden), torch.nn.Linear(hidden, task.n_classes)
    )


@pytest.fixture(autouse=True)
def _own_folder(tmp_path, monkeypatch, forked_workers):
    monkeypatch.chdir(tmp_path)


def typed(code=CODE):
    """What a notebook's cells leave behind: a namespace `__main__` without a file."""
    space = {"__name__": "__main__"}
    exec(code, space)
    return types.SimpleNamespace(**space)


# What may be given


def test_a_name_is_trained_on_the_default_task_in_a_worker():
    (record,) = codonbench.run("mlp-64", **FAST)
    assert (record.model, record.task, record.seed) == ("mlp-64", "human-codon", 0)
    assert (record.status, record.pairs, record.confinement) == ("done", 300, "process")
    (record,) = records = codonbench.load_records("runs")
    assert repr(records).splitlines()[1].endswith(f"seed 0: done, {record.run_id}")


def test_a_class_is_trained_in_this_process():
    (record,) = codonbench.run(Given, config={"learning_rate": 0.05}, **FAST)
    assert (record.model, record.confinement) == ("given", "none")
    assert record.run_spec.config["learning_rate"] == 0.05
    assert record.plugin.module == Given.__module__


def test_a_pretrained_models_random_twin_follows_unless_it_is_left_out():
    class Config(codonbench.GradientConfig):
        init: str = "pretrained"

    class Seen(Given):
        info = codonbench.ModelInfo(name="seen", version="1", summary="", pretrained_on="all")

    Seen.Config = Config
    records = codonbench.run(Seen, seeds=(1, 0), **FAST)
    told = [(record.run_spec.config["init"], record.seed) for record in records]
    assert told == [("pretrained", 1), ("pretrained", 0), ("random", 1), ("random", 0)]
    assert len(codonbench.run(Seen, seeds=(1, 0), no_twin=True, **FAST)) == 2


def test_a_marked_function_is_a_model():
    (record,) = codonbench.run(two_layers, config={"hidden": 4}, **FAST)
    assert (record.model, record.parameters) == ("two-layers", 64 * 4 + 4 + 4 * 21 + 21)


def test_a_file_is_a_model_by_its_path(tmp_path):
    (tmp_path / "mine.py").write_text(ONE_MODEL)
    for file in (tmp_path / "mine.py", "mine.py"):
        (record,) = codonbench.run(file, **FAST)
        assert (record.model, record.plugin.file) == ("marked", "mine.py")


def test_a_file_with_several_models_or_none_is_refused(tmp_path):
    (tmp_path / "two.py").write_text(CODE)
    with pytest.raises(ConfigError, match=r"two.py registers marked, typed; expected one model"):
        codonbench.run("two.py", **FAST)
    (record,) = codonbench.run("typed", plugin="two.py", workers=0, trust=("two.py",), **FAST)
    assert record.status == "done"


def test_what_is_no_model_is_refused():
    with pytest.raises(PluginError, match=r"needs @codonbench\.model"):
        codonbench.run(lambda task: None, **FAST)
    with pytest.raises(PluginError, match="register the class itself"):
        codonbench.run(Given(None), **FAST)
    for module in (torch.nn.Linear(2, 3), torch.nn.Linear):
        with pytest.raises(PluginError, match=r"function that builds it, with @codonbench\.model"):
            codonbench.run(module, **FAST)
    with pytest.raises(UnknownNameError, match="did you mean 'mlp-64'"):
        codonbench.run("mlp-46", workers=0, **FAST)


def test_a_class_whose_name_an_installed_model_has_is_refused():
    class Impostor(Given):
        info = codonbench.ModelInfo(name="lstm", version="1", summary="Not the real one")

    with pytest.raises(NameClashError, match="'lstm' is registered twice"):
        codonbench.run(Impostor, **FAST)


def test_an_installed_model_may_be_given_as_its_class():
    from codonbench_models.mlp import Mlp

    (record,) = codonbench.run(Mlp, **FAST)
    assert (record.model, record.plugin.distribution) == ("mlp-64", "codonbench")


@pytest.mark.parametrize(
    ("seeds", "expected"),
    [(3, [3]), ("0-1,4", [0, 1, 4]), (range(2), [0, 1]), (np.arange(2), [0, 1]), ({5}, [5])],
)
def test_seeds_are_one_or_several_or_a_text(seeds, expected):
    records = codonbench.run(Given, seeds=seeds, **FAST)
    assert [record.seed for record in records] == expected


@pytest.mark.parametrize("seeds", [[], -1, "a", [0, 2**40]])
def test_seeds_that_are_none_are_refused(seeds):
    with pytest.raises(ConfigError, match="seeds"):
        codonbench.run(Given, seeds=seeds, **FAST)


@pytest.mark.parametrize(
    ("further", "said"),
    [
        (
            {"epoch": 3},
            "no argument 'epoch'; did you mean 'epochs'.*there is checkpoint_every, config",
        ),
        ({"seed": 3}, "did you mean 'seeds'"),
        ({"set": {"hidden": 3}}, "did you mean 'config'"),
        ({"overrides": {"hidden": 3}}, "did you mean 'config'"),
        ({"task_set": {}}, "did you mean 'task_options'"),
        ({"epochs": 0}, "'epochs'"),
        ({"epochs": 3}, "epochs or in pairs"),
        ({"workers": 2}, "put it in a file"),
        ({"sandbox": True}, "put it in a file"),
        ({"config": {"hiden": 3}}, "no field 'hiden'"),
        ({"task": "human-codons"}, "human-codon"),
    ],
)
def test_what_cannot_be_done_is_said(further, said):
    with pytest.raises(codonbench.errors.UsageError, match=said):
        codonbench.run(Given, **FAST | further)


@pytest.mark.parametrize(
    ("said", "in_python"),
    [
        ("name it: --task-set target=a,b, or", "name it: task_options={'target': 'a,b'}, or"),
        ("give --set accumulate=8 or less", "give config={'accumulate': 8} or less"),
        ("leave out --workers 0", "leave out workers=0"),
        ("use --device cpu", "use device='cpu'"),
        ("which --seconds alone leaves", "which seconds= alone leaves"),
        ("'bench data fetch x --force', --agree", "'bench data fetch x --force', --agree"),
    ],
)
def test_messages_name_arguments_and_no_options_of_the_command_line(said, in_python, monkeypatch):
    def refuse(*args):
        raise ConfigError(said)

    monkeypatch.setattr("codonbench.api.Executor", refuse)
    with pytest.raises(ConfigError, match=f"^{re.escape(in_python)}$"):
        codonbench.run("mlp-64")


# What becomes of it


def test_what_is_recorded_is_not_run_again():
    first = codonbench.run(Given, seeds="0-1", **FAST)
    again = codonbench.run(Given, seeds="0-2", **FAST)
    assert first == again[:2]
    assert codonbench.run(Given, **FAST, force=True)[0].timings != first[0].timings


def test_a_model_that_fails_is_a_record_of_that():
    with pytest.warns(UserWarning, match=r"seed 0: error: .*the fuse blew.*test_api\.py:\d+"):
        (record,) = codonbench.run(Broken, **FAST)
    assert record.status == "error"
    assert "the fuse blew" in record.error


def test_ctrl_c_is_recorded_and_ends_the_script_too():
    class Interrupted(Given):
        info = codonbench.ModelInfo(name="interrupted", version="1", summary="as by Ctrl-C")

        def build(self, task):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match="interrupted-s0"):
        codonbench.run(Interrupted, seeds="0-1", **FAST)
    assert {record.status for record in codonbench.load_records("runs")} == {"interrupted"}


def test_global_settings_and_generators_are_left_as_they_were():
    threads, state = torch.get_num_threads(), torch.get_rng_state()
    strict = torch.are_deterministic_algorithms_enabled()
    codonbench.run(Given, threads=threads + 1, **FAST)
    assert torch.get_num_threads() == threads
    assert torch.are_deterministic_algorithms_enabled() is strict
    assert torch.equal(state, torch.get_rng_state())


def test_records_are_a_table_with_a_column_a_metric():
    codonbench.run(Given, seeds="0-1", config={"momentum": 0.5, "optimizer": "sgd"}, **FAST)
    frame = codonbench.load_records("runs").to_frame()
    assert frame["seed"].tolist() == [0, 1]
    assert set(frame["overrides"]) == {"momentum=0.5 optimizer=sgd"}
    assert {"model", "task", "status", "weights_sha256", "pairs_consumed"} <= set(frame)
    (record, _) = codonbench.load_records("runs")
    for column, whole in (
        ("source_sha256", record.plugin.source_sha256),
        ("data_checksum", record.dataset.checksum),
    ):
        assert set(frame[column]) == {whole[:12]}
    with pytest.raises(StoreError, match="no folder of records"):
        codonbench.load_records("nowhere")


@pytest.mark.parametrize("kind", ["csv", "json", "parquet"])
def test_the_table_is_exported(tmp_path, kind, finished):
    if kind == "parquet":
        pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    export([finished[0]], tmp_path / "table", kind)
    read = {"csv": pd.read_csv, "json": pd.read_json, "parquet": pd.read_parquet}[kind]
    (row,) = read(tmp_path / "table").to_dict("records")
    assert row["model"] == "mlp-64"
    assert row["test_accuracy"] == pytest.approx(finished[0].metrics["test_accuracy"])


def test_files_that_are_no_sound_records_are_told_of(tmp_path, finished):
    Store(tmp_path / "runs").save(finished[0], None)
    sound = (tmp_path / "runs" / f"{finished[0].name}.json").read_text()
    (tmp_path / "runs" / "a.json").write_text("{")
    (tmp_path / "runs" / "b.json").write_text(sound.replace('"done"', '"error"'))
    said = r"2 files are left out; a\.json: \w"
    with pytest.warns(UserWarning, match=said):
        assert len(codonbench.load_records("runs")) == 1
    with pytest.warns(UserWarning, match=said):
        codonbench.board("runs")
    told = CliRunner().invoke(app, ["export", "x.csv", "--results", "runs"])
    assert (told.exit_code, bool(re.search(said, told.stderr))) == (0, True)
    assert "1 run is in x.csv" in told.stderr


@pytest.mark.parametrize("kind", ["csv", "json"])
def test_a_table_that_cannot_be_written_says_why(finished, kind):
    with pytest.raises(StoreError, match=rf"nowhere/x\.{kind} cannot be written: (?!None)"):
        export([finished[0]], Path("nowhere", f"x.{kind}"), kind)


def test_a_table_without_pyarrow_is_refused_with_the_remedy(tmp_path, finished, monkeypatch):
    def fail(*args, **options):
        raise ImportError("Unable to find a usable engine")

    monkeypatch.setattr(pd.DataFrame, "to_parquet", fail)
    with pytest.raises(ConfigError, match=r"codonbench\[parquet\]"):
        export([finished[0]], tmp_path / "table", "parquet")


def test_a_board_ranks_the_records_of_folders():
    codonbench.run(Given, seeds="0-1", results="a", **FAST)
    codonbench.run("untrained", results="b", workers=0, **FAST)
    board = codonbench.board("a", "b")
    (table,) = board.tables
    assert {row.model for row in (*table.rows, *table.references)} == {"given", "untrained"}
    assert "| model " in str(board)
    assert str(board) == repr(board) == board._repr_markdown_()
    with pytest.raises(StoreError, match="runs is no folder"):
        codonbench.board()


# Supervised tasks


def write_splits(folder, n=40):
    """A third of a task: 101 letters, bound where the first is A."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for split in ("train", "dev", "test"):
        rows = ["".join(rng.choice(list("ACGT"), 101)) for _ in range(n)]
        lines = [f"{row},{int(row[0] == 'A')}" for row in rows]
        (folder / f"{split}.csv").write_text("\n".join(["sequence,label", *lines]) + "\n")
    return folder


def test_a_supervised_run_has_bare_test_scores_and_those_on_validation_apart(tmp_path):
    data = write_splits(tmp_path / "tf")
    (record,) = codonbench.run("cnn", task="gue-tf-0", data=data, epochs=1, workers=0)
    scores = ["accuracy", "balanced_accuracy", "mcc", "macro_f1", "auroc", "auprc"]
    scores += ["log_loss", "brier", "ece"]
    assert set(scores) <= set(record.metrics)
    assert all(isinstance(record.metrics[score], float) for score in scores)
    assert set(scores) <= set(record.validation_metrics)
    content = json.loads(record.to_line())
    assert {"model", "task", "seed", "status", "weights_sha256", "metrics"} <= set(content)
    frame = codonbench.load_records("runs").to_frame()
    assert frame["mcc"].tolist() == [record.metrics["mcc"]]
    assert frame["validation_mcc"].tolist() == [record.validation_metrics["mcc"]]
    (table,) = codonbench.board("runs").tables
    assert (table.task, table.ranking.metric) == ("gue-tf-0", "mcc")


# Where it works


def test_it_works_in_a_thread():
    found = []
    thread = threading.Thread(target=lambda: found.extend(codonbench.run("mlp-64", **FAST)))
    thread.start()
    thread.join()
    assert [record.status for record in found] == ["done"]


def script(*models):
    """A program that runs some models, each in a worker of its own."""
    return CODE + "".join(
        f"(record,) = codonbench.run({model}, pairs=300, full=True)\n"
        "print(record.model, record.seed, record.status)\n"
        for model in models
    )


def test_it_works_in_a_script_without_a_main_guard(tmp_path):
    (tmp_path / "script.py").write_text(script("Typed", "marked"))
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True)
    assert (done.stdout.splitlines(), done.stderr) == (["typed 0 done", "marked 0 done"], "")


@pytest.mark.nightly("a script without a main guard is as hard")
def test_it_works_under_python_c():
    command = [sys.executable, "-c", script("'mlp-64'", "Typed", "marked")]
    done = subprocess.run(command, capture_output=True, text=True)
    said = ["mlp-64 0 done", "typed 0 done", "marked 0 done"]
    assert (done.stdout.splitlines(), done.stderr) == (said, "")


def test_it_works_with_classes_typed_into_a_notebook():
    space = typed()
    (first,) = codonbench.run(space.Typed, **FAST)
    (second,) = codonbench.run(space.marked, **FAST)
    assert (first.status, second.status) == ("done", "done")
    assert first.plugin.module == "__main__"


@pytest.mark.parametrize(
    "change", [("nn.Linear(WIDTH", "nn.ReLU(), nn.Linear(WIDTH"), ("WIDTH = 8", "WIDTH = 9")]
)
def test_what_was_typed_anew_is_run_anew(change):
    """Be it only the module that the model builds, or a constant that that one reads."""
    (first,) = codonbench.run(typed().Typed, **FAST)
    (same,) = codonbench.run(typed("\n\n" + CODE).Typed, **FAST)
    assert same == first
    with pytest.warns(UserWarning, match="other code of the model"):
        (other,) = codonbench.run(typed(CODE.replace(*change)).Typed, **FAST)
    assert other.weights_sha256 != first.weights_sha256


def test_importing_codonbench_is_light():
    code = "import sys, codonbench; print({'torch', 'numpy', 'pydantic'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "set()"
