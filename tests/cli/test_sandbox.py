"""`bench run --sandbox`, as it is typed."""

import pytest

from codonbench.contracts.run_record import Environment
from codonbench.contracts.run_spec import RunOptions
from codonbench.errors import ConfigError
from codonbench.execution import sandbox
from codonbench.execution.executor import Executor, load_plugins

MODEL = """
import codonbench
from torch import nn

@codonbench.model(encoding="codon_onehot", learning_rate=0.05)
def two_layers(task, hidden: int = 64):
    return nn.Linear(task.n_inputs, task.n_classes)
"""

SANDBOXED = ("--sandbox", "--workers", "1")


def test_a_sandbox_needs_a_process_to_hold(run):
    answer = run("-m", "mlp-64", "--sandbox", "--workers", "0")
    assert answer.code == 2
    assert "--sandbox holds worker processes" in answer.err


def test_where_there_is_no_sandbox_nothing_is_run_and_the_next_step_is_named(
    run, tmp_path, monkeypatch
):
    monkeypatch.setattr(sandbox.shutil, "which", lambda name: None)
    sandbox.unavailable.cache_clear()
    try:
        answer = run("-m", "mlp-64", *SANDBOXED)
    finally:
        sandbox.unavailable.cache_clear()
    assert answer.code == 2
    assert "apt install bubblewrap" in answer.err
    assert not (tmp_path / "results").exists()


@pytest.mark.skipif(
    sandbox.unavailable() is not None, reason=f"no sandbox: {sandbox.unavailable()}"
)
class TestWithASandbox:
    def test_the_record_says_how_the_run_was_kept_and_has_the_same_weights(self, run):
        inside = run("-m", "mlp-64", *SANDBOXED, "--json")
        (kept,) = inside.records
        assert kept.status == "done", kept.error
        assert kept.confinement == "sandbox"
        assert "a sandbox has 8 GiB of memory, " in inside.err  # and who sees to it
        (free,) = run("-m", "mlp-64", "--json", "--force").records
        assert free.confinement == "none"
        assert free.weights_sha256 == kept.weights_sha256
        assert free.result() == kept.result()

    def test_a_run_outside_is_not_taken_for_one_inside(self, run):
        run("-m", "mlp-64")
        again = run("-m", "mlp-64", *SANDBOXED, "--json")
        assert [record.confinement for record in again.records] == ["sandbox"]
        reused = run("-m", "mlp-64", "--json")
        assert [record.confinement for record in reused.records] == ["sandbox"]

    def test_a_strangers_file_runs_inside_with_its_fields_set(self, run, tmp_path):
        (tmp_path / "mine.py").write_text(MODEL)
        words = ("--plugin", "mine.py", "-m", "two-layers", "--set", "hidden=8", *SANDBOXED)
        (record,) = run(*words, "--json").records
        assert record.status == "done", record.error
        assert record.run_spec.config["hidden"] == 8
        assert record.overrides == {"hidden": 8}

    def test_what_belongs_to_a_file_is_there_and_the_data_beside_it_are_not(
        self, run, fasta, tmp_path
    ):
        for name in ("ck.txt", "other.txt"):
            (tmp_path / name).touch()
        (tmp_path / "helper_of_mine.py").write_text("import os\n")
        fasta("AUGGCUUAA", name="mine.fa")
        look = "import helper_of_mine as h\nSEEN = h.os.listdir(h.os.path.dirname(__file__))\n"
        model = MODEL.replace("0.05)", '0.05, files=("ck.txt", "mine.fa"), version=VERSION)')
        there = ["ck.txt", "helper_of_mine.py", "mine.py"]
        say = f"VERSION = '7' if sorted(SEEN) == {there} else '8'\n"
        (tmp_path / "mine.py").write_text(look + say + model.replace('"mine.fa"', ""))
        words = ("--plugin", "mine.py", "-m", "two-layers", "--data", "mine.fa", *SANDBOXED)
        answer = run(*words, "--json")
        assert answer.code == 0, answer.err
        assert answer.records[0].info.version == "7"
        (tmp_path / "mine.py").write_text(look + say + model)
        assert "there is no such file" in run(*words).err

    @pytest.mark.parametrize("kind", ["declared", "module", "of a folder"])
    def test_a_link_beside_a_plugin_shows_nothing_of_a_home(self, run, tmp_path, kind):
        (folder := tmp_path / "theirs").mkdir()
        (secret := tmp_path / "key").write_text("secret")
        name = {"declared": "ck.txt", "module": "helper_of_mine.py", "of a folder": "zz.py"}[kind]
        (folder / name).symlink_to(secret)
        source = MODEL.replace("0.05)", '0.05, files=("ck.txt",))') if kind == "declared" else MODEL
        (folder / "mine.py").write_text(("import helper_of_mine\n" * (kind == "module")) + source)
        where = (
            ("--plugins-dir", folder) if kind == "of a folder" else ("--plugin", folder / "mine.py")
        )
        answer = run(*where, "-m", "two-layers", *SANDBOXED)
        assert answer.code == 2
        assert f"{name} is a link to" in answer.err

    def test_of_a_folder_of_plugins_its_data_are_not_there(self, run, tmp_path):
        rows = "".join(f"{'ACGT'[i % 4] * 9},{i % 3 // 2}\n" for i in range(40))
        for name in ("train.csv", "test.csv"):
            (tmp_path / name).write_text(f"sequence,label\n{rows}")
        look = "import os\nSEEN = os.listdir(os.path.dirname(__file__))\n"
        model = MODEL.replace("codon_onehot", "symbol_onehot_flat")
        model = model.replace("n_inputs", "length * 4").replace("n_classes", "n_outputs")
        told = model.replace("0.05)", "0.05, version='7' if SEEN == ['mine.py'] else '8')")
        (tmp_path / "mine.py").write_text(look + told)
        words = ("--plugins-dir", ".", "-m", "two-layers", "--data", "train.csv,test.csv")
        answer = run(*words, *SANDBOXED, "--json")
        assert answer.code == 0, answer.err
        assert answer.records[0].info.version == "7"
        (tmp_path / "mine.py").write_text(model.replace("0.05)", '0.05, files=("test.csv",))'))
        assert "there is no such file" in run(*words, *SANDBOXED).err

    def test_a_file_that_fails_in_training_is_named_with_its_line(self, run, tmp_path):
        (tmp_path / "mine.py").write_text(f"{MODEL}\nnn.Linear.forward = lambda *_: 1 / 0\n")
        answer = run("--debug", "--plugin", "mine.py", "-m", "two-layers", *SANDBOXED, "--json")
        assert answer.records[0].error == "ZeroDivisionError: division by zero (mine.py:9)"
        assert 'mine.py", line 9, in <lambda>' in answer.err

    def test_a_record_is_repeated_inside_and_comes_out_the_same(self, run, bench, tmp_path):
        (tmp_path / "mine.py").write_text(MODEL)
        mine = ("--plugin", "mine.py")
        words = ("-m", "two-layers", "--set", "hidden=8", "--set", "learning_rate=0.1")
        run(*mine, *words, "--workers", "1")
        (record,) = (tmp_path / "results").glob("two-layers-*.json")
        for where in ("--sandbox",), ():
            answer = bench("verify", record, *mine, *where)
            assert answer.code == 0, answer.err
            assert answer.out.splitlines()[-1].endswith(": identical")

    def test_no_packages_that_a_record_names_are_installed_outside_for_it(self, run, tmp_path):
        (record,) = run("-m", "untrained", "--json").records
        lock = Environment.of(["nobody-has-this==1.0"], "cpython-311-linux-x86_64")
        mine = record.plugin.model_copy(update={"distribution": "mine.py"})
        named = {"environment": lock, "model": "two-layers", "plugin": mine}
        record = record.model_copy(update=named)
        executor = Executor(RunOptions(workers=1, sandbox=True), None, load_plugins)
        with pytest.raises(ConfigError, match="leave out --sandbox"):
            executor.train_as(record)

    def test_a_record_whose_file_is_not_given_names_it(self, run, bench, tmp_path):
        (tmp_path / "mine.py").write_text(MODEL)
        run("--plugin", "mine.py", "-m", "two-layers", "--workers", "1")
        answer = bench("verify", "two-layers-s0", "--sandbox", "--results", "results")
        assert answer.code == 2
        assert "unknown model 'two-layers'" in answer.err
        assert "; its record came from mine.py: add --plugin mine.py" in answer.err

    def test_a_file_that_hangs_is_ended_in_the_time_that_was_given(self, run, tmp_path):
        (tmp_path / "mine.py").write_text("import time\ntime.sleep(600)")
        answer = run("--plugin", "mine.py", "-m", "two-layers", "--timeout", "1", *SANDBOXED)
        assert answer.code == 1
        assert "plugin file mine.py: does not load within 1 s" in answer.err

    def test_a_file_that_is_not_there_is_named(self, run):
        answer = run("--plugin", "nowhere.py", "-m", "two-layers", *SANDBOXED)
        assert answer.code == 2
        assert "no file 'nowhere.py': expected a Python file" in answer.err

    def test_a_computed_row_needs_no_sandbox(self, run):
        (record,) = run("-m", "oracle", *SANDBOXED, "--json").records
        assert record.confinement == "none"


REFUSES_ONE = """
import codonbench, torch
from codonbench.errors import UsageError

@codonbench.model(encoding="codon_onehot")
def refuses(task):
    if torch.initial_seed() == 745_470_182_815_633_045:  # seed 0 under the public salt
        raise UsageError("not this seed")
    return torch.nn.Linear(task.n_inputs, task.n_classes)
"""


IN_A_SANDBOX = pytest.param("sandbox", marks=pytest.mark.nightly("a process stands for it"))


@pytest.mark.parametrize("mode", ["none", "process", IN_A_SANDBOX])
def test_a_seed_that_a_strangers_model_refuses_does_not_end_the_others(bench, tmp_path, mode):
    if mode == "sandbox" and (why := sandbox.unavailable()):
        pytest.skip(why)
    (tmp_path / "refuses.py").write_text(REFUSES_ONE)
    own = ("--sandbox",) if mode == "sandbox" else ()
    workers = "0" if mode == "none" else "1"
    words = ("run", "--model", "refuses.py", "--pairs", "640", "--workers", workers, "--json", *own)
    answer = bench(*words, "--seeds", "0-1")
    assert answer.code == 1, answer.err
    said = sorted((record.status, record.error or "") for record in answer.records)
    assert [status for status, _ in said] == ["done", "error"]
    assert "refuses this seed: not this seed" in said[1][1]
    assert {record.confinement for record in answer.records} == {mode}


UNSTORABLE = """
from typing import Any
import torch
from codonbench import GradientConfig, Model, ModelInfo, hookimpl


class C(GradientConfig):
    x: Any = VALUE


class M(Model):
    info = ModelInfo(name="unstorable", version="1", summary="bad")
    Config = C
    encoding = "codon_onehot"

    def build(self, task):
        return torch.nn.Linear(task.n_inputs, task.n_classes)


@hookimpl
def register_models(register):
    register(M)
"""

UNSTORABLE_VALUES = {
    "deep.py": 'eval("[" * 30 + "]" * 30)',
    "half.py": '"\\ud800"',
    "long.py": '"x" * 300_000',
}


@pytest.mark.parametrize("mode", ["process", IN_A_SANDBOX])
def test_what_no_record_can_hold_is_refused_before_training(bench, tmp_path, mode):
    if mode == "sandbox" and (why := sandbox.unavailable()):
        pytest.skip(why)
    own = ("--sandbox",) if mode == "sandbox" else ()
    for name, value in UNSTORABLE_VALUES.items():
        (tmp_path / name).write_text(UNSTORABLE.replace("VALUE", value))
        asked = ("--plugin", name, "--model", "unstorable", "--seeds", "0", "--pairs", "640")
        answer = bench("run", *asked, "--results", "results", "--workers", "1", *own)
        assert answer.code == 2, answer.err
        assert "model 'unstorable'" in answer.err
        assert "Traceback" not in answer.err
    assert not list(tmp_path.glob("results/*.json"))
