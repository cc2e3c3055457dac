"""`bench run --suite`: what is run, what is reused, what failed and how it ends."""

import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from codonbench.cli import suites
from codonbench.contracts.run_spec import RunRequest
from codonbench.execution import environment
from codonbench.execution.run import Outcome
from codonbench.execution.suites import Suite
from codonbench.records.store import Store

HEAD = '[suite]\nname = "mine"\ntitle = "Mine"\n[defaults]\npairs = 2000\n'


@pytest.fixture
def suite(bench):
    """Run a suite of these tables into the folder `results`."""

    def suite(tables, *words):
        Path("mine.toml").write_text(HEAD + tables)
        return bench("run", "--suite", "mine.toml", "--results", "results", *words)

    return suite


def run_of(*models, **fields):
    lines = [f"model = {list(models)}", *(f"{name} = {value}" for name, value in fields.items())]
    return "\n".join(("[[run]]", *lines, ""))


def summary(text):
    """Done, reused and failed of the table at the end, by the name of the run."""
    rows = re.findall(r"^(\S.*?) {2,}(\d+) +(\d+) +(\d+)", text.rpartition("\nmine ")[2], re.M)
    return {name: tuple(map(int, counts)) for name, *counts in rows}


def stored():
    return list(Store(Path("results")).scan())


def test_every_run_is_made_recorded_ranked_and_summed_up(suite):
    answer = suite(run_of("untrained", "majority", seeds='"0-1"'))
    assert answer.code == 0, answer.err
    assert "mine 1 of 2: untrained\n" in answer.err
    assert re.search(r"mine 2 of 2: majority, about 0:\d\d:\d\d left\n", answer.err)
    assert summary(answer.out) == {
        "untrained": (2, 0, 0),
        "majority": (2, 0, 0),
        "all": (4, 0, 0),
    }
    assert "human-codon on usage (simulated), cpu" in answer.out
    assert sorted((r.model, r.seed) for r in stored()) == [
        (model, seed) for model in ("majority", "untrained") for seed in (0, 1)
    ]


def test_time_left_is_by_the_seeds_of_what_was_made_and_not_told_before(monkeypatch, capsys):
    now, reused = [0.0], Outcome(SimpleNamespace(status="done"), reused=True)
    monkeypatch.setattr(suites.time, "monotonic", lambda: now[0])

    def run_one(request):
        if request.model == "recorded":
            return [reused]
        now[0] += 20
        return [replace(reused, reused=False)]

    asked = [("recorded", 9), ("a", 2), ("b", 2), ("c", 6)]
    requests = tuple(RunRequest(model=name, seeds=range(n)) for name, n in asked)
    suites.run_suite(Suite(name="mine", title="Mine", requests=requests), run_one)
    lines = [line for line in capsys.readouterr().err.splitlines() if line]
    assert [line.partition(", about ")[2] for line in lines] == [
        "",
        "",
        "0:01:20 left",
        "0:01:00 left",
    ]


def test_what_is_recorded_is_reused_and_force_runs_it_again(suite):
    suite(run_of("untrained"))
    again = suite(run_of("untrained", "majority"))
    assert summary(again.out) == {
        "untrained": (0, 1, 0),
        "majority": (1, 0, 0),
        "all": (1, 1, 0),
    }
    assert summary(suite(run_of("untrained"), "--force").out)["untrained"] == (1, 0, 0)


_BROKEN = """
from codonbench import GradientConfig, Model, ModelInfo, hookimpl
from pydantic import model_validator
import torch

class Fragile(GradientConfig):
    @model_validator(mode="after")
    def fall_over(self):
        if self.batch_size == 7:
            raise RuntimeError("no config today")
        return self

def model(model_name, failing, Config=GradientConfig):
    class Broken(Model):
        info = ModelInfo(name=model_name, version="1", summary="broken")
        encoding = "codon_onehot"

        def build(self, task):
            return failing(task)

    Broken.Config = Config
    return Broken

def boom(task):
    raise ValueError("no build today")

def leave(task):
    raise SystemExit(3)

def fine(task):
    return torch.nn.Linear(task.n_inputs, task.n_classes)

@hookimpl
def register_models(register):
    register(model("boom", boom))
    register(model("leaves", leave))
    register(model("fragile", fine, Fragile))
"""


def test_whatever_fails_is_named_with_its_reason_and_the_rest_goes_on(suite, trust):
    Path("broken.py").write_text(_BROKEN)
    trust("broken.py")
    tables = run_of("lsmt", "boom", "leaves")
    tables += run_of("fragile", overrides="{ batch_size = 7 }")
    tables += run_of("mlp-64", overrides="{ hiden = 8 }")
    tables += run_of("mlp-64", data='"nowhere.fa"')
    tables += run_of("mlp-64", preset_file='"nowhere.toml"')
    tables += run_of("mlp-64", task='"protein-folding"')
    tables += run_of("untrained")
    answer = suite(tables, "--plugin", "broken.py")
    assert answer.code == 1
    assert "Traceback" not in answer.err
    for reason in (
        "unknown model 'lsmt'; did you mean",
        "ValueError: no build today",
        "SystemExit: 3",
        "no config today",
        "model 'mlp-64': no field 'hiden'; did you mean 'hidden'? it has",
        "no file 'nowhere.fa'",
        "preset nowhere.toml cannot be read",
        "unknown task 'protein-folding'",
    ):
        assert reason in answer.out.rpartition("\nmine ")[2], reason
    counts = summary(answer.out)
    assert counts["untrained"] == (1, 0, 0)
    assert counts["all"] == (1, 0, 8)
    assert {(r.model, r.status) for r in stored()} == {
        ("boom", "error"),
        ("leaves", "error"),
        ("untrained", "done"),
    }


def test_a_suite_in_which_all_failed_still_ends_in_its_table(suite):
    answer = suite(run_of("lsmt", seeds='"0-4"'))
    assert answer.code == 1
    assert summary(answer.out) == {"lsmt": (0, 0, 5), "all": (0, 0, 5)}


def test_what_a_suite_names_is_cleaned_before_it_is_printed(suite):
    answer = suite('[[run]]\nmodel = "no\\u001b[31m\\u202e##[error]"\n')
    assert answer.code == 1
    assert not set("\x1b\u202e") & set(answer.out + answer.err)
    assert "##[" not in answer.out + answer.err


def test_json_is_records_alone_and_the_table_goes_to_standard_error(suite):
    answer = suite(run_of("untrained", "lsmt"), "--json")
    assert answer.code == 1
    assert [record.model for record in answer.records] == ["untrained"]
    assert summary(answer.err)["all"] == (1, 0, 1)


def test_what_is_typed_stands_in_for_the_defaults_and_not_for_a_runs_own(suite):
    tables = run_of("untrained") + run_of("majority", seeds=7)
    answer = suite(tables, "--seeds", "1-2", "--pairs", "640", "--salt", "mine", "--json")
    assert [(r.model, r.seed) for r in answer.records] == [
        ("untrained", 1),
        ("untrained", 2),
        ("majority", 7),
    ]
    assert {(r.run_spec.budget_pairs, r.run_spec.salt) for r in answer.records} == {(640, "mine")}


def test_set_and_genetic_code_reach_every_run(suite, fasta):
    path = fasta("AUGUGAAGA")
    words = ("--set", "hidden=8", "--genetic-code", "2", "--data", path, "--json")
    (record,) = suite(run_of("mlp-64"), *words).records
    assert record.run_spec.config["hidden"] == [8]
    assert record.run_spec.task_options["genetic_code"] == 2
    assert record.dataset.source == "orfs.fa"


def test_a_control_reaches_every_run(suite):
    answer = suite(run_of("mlp-64") + run_of("mlp-128"), "--control", "shuffled", "--json")
    assert [r.run_spec.task_options["control"] for r in answer.records] == ["shuffled"] * 2


@pytest.mark.parametrize("how", ["option", "environment"])
def test_no_run_of_a_suite_uses_the_network_where_that_is_forbidden(suite, monkeypatch, how):
    if how == "environment":
        monkeypatch.setenv("CODONBENCH_OFFLINE", "1")
    words = ("--offline",) if how == "option" else ()
    answer = suite(run_of("untrained", data='"joiret2023"'), *words)
    assert answer.code == 1
    assert "network access is switched off" in " ".join(answer.out.split())


def test_ctrl_c_ends_the_suite_and_says_what_was_not_begun(suite, strangers):
    strangers("""
import torch
from codonbench import Model, ModelInfo, hookimpl

class Learner(torch.nn.Module):
    def forward(self, inputs):
        return torch.zeros(len(inputs), 21)

    def update(self, inputs, labels):
        raise KeyboardInterrupt

class Interrupted(Model):
    info = ModelInfo(name="interrupted", version="1", summary="as by Ctrl-C")
    encoding = "symbol_index"

    def build(self, task):
        return Learner()

@hookimpl
def register_models(register):
    register(Interrupted)
""")
    answer = suite(run_of("untrained", "interrupted", "majority", "mlp-64"))
    assert answer.code == 130
    assert summary(answer.out)["all"] == (1, 0, 1)
    assert "2 more not begun" in answer.out


def test_a_folder_that_cannot_be_written_ends_the_suite_at_once(bench):
    Path("mine.toml").write_text(HEAD + run_of("untrained", "majority"))
    Path("taken").write_text("")
    answer = bench("run", "--suite", "mine.toml", "--results", "taken")
    assert answer.code == 2
    assert answer.err.count("results folder taken cannot be written") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((), "give --model NAME, or --suite NAME"),
        (("--model", "lstm", "--suite", "official"), "give --model or --suite, not both"),
        (("--suite", "nonsense"), "shipped are expression, gue, joiret2023"),
        (("--suite", "official", "--epochs", "0"), "run: field 'epochs': got 0"),
        (("--suite", "official", "--epochs", "1", "--pairs", "1"), "not both"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence_and_exit_code_2(bench, words, sentence):
    answer = bench("run", *words)
    assert (answer.code, answer.out) == (2, "")
    assert sentence in answer.err
    assert answer.err.startswith("bench: ")
    assert answer.err.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a." * 20_000 + "a = 1\n", "nested too deeply"),
        ("".join(f"k{i}{'.a' * 1_900} = 1\n" for i in range(60)), "nested too deeply"),
        ('[[run]]\nmodel = "mlp-64"\n' * 20_000, "262,144 bytes"),
        ('[[run]]\nmodel = "mlp-64"\nseeds = "0-60000"\n' * 2, "100,000 runs, each seed"),
    ],
    ids=["deep", "deep in many lines", "20,000 runs", "120,002 seeds"],
)
def test_a_suite_without_end_is_a_sentence(bench, tmp_path, text, why):
    (tmp_path / "bomb.toml").write_text('[suite]\nname = "bomb"\ntitle = "b"\n' + text)
    answer = bench("run", "--suite", "bomb.toml")
    assert answer.code == 2
    assert re.fullmatch(f"bench: suite bomb.toml .*{why}.*\n", answer.err), answer.err


def test_a_mistake_in_the_file_is_exit_code_2_before_anything_runs(suite):
    answer = suite(run_of("untrained") + run_of("untrained", seed=3))
    assert answer.code == 2
    assert "suite mine.toml, [[run]] 2: no field 'seed'; it has" in answer.err
    assert not Path("results").exists()


def test_a_shipped_suite_is_found_by_its_name(bench):
    answer = bench("run", "--suite", "official", "--data", "nowhere.fa", "--results", "results")
    assert answer.code == 1
    assert "official 29 of 29: bound, on nowhere.fa" in answer.err
    assert answer.out.count("no file 'nowhere.fa'") == 29


@pytest.mark.nightly("29 rows; other tests run small suites")
def test_a_shipped_suite_runs_to_its_end(bench):
    words = ("--seeds", "0", "--pairs", "640", "--results", "results", "--json")
    answer = bench("run", "--suite", "official", *words)
    assert answer.code == 0, answer.err
    assert len(answer.records) == 29


PRETRAINED = """
from typing import Literal
import torch
import codonbench

class Config(codonbench.GradientConfig):
    init: Literal["pretrained", "random"] = "pretrained"

class Seen(codonbench.Model):
    info = codonbench.ModelInfo(name="seen", version="1", summary="", pretrained_on="the genome")
    Config = Config
    encoding = "codon_onehot"

    def build(self, task):
        module = torch.nn.Linear(task.n_inputs, task.n_classes)
        if self.config.init == "pretrained":
            torch.nn.init.zeros_(module.weight)
        return module
"""


def test_a_pretrained_model_without_a_field_init_is_not_asked_for_a_twin(suite):
    field = '    init: Literal["pretrained", "random"] = "pretrained"'
    source = PRETRAINED.replace(field, "    pass").replace("self.config.init", '"pretrained"')
    Path("seen.py").write_text(source)
    alone = suite(run_of("seen"), "--plugin", "seen.py")
    assert alone.code == 0, alone.err
    assert "it can have no random twin, so the gain from pretraining is not known" in alone.out


def test_a_pretrained_model_is_run_with_its_random_twin_unless_told_otherwise(suite):
    Path("seen.py").write_text(PRETRAINED)
    alone = suite(run_of("seen", seeds='"0-1"'), "--plugin", "seen.py", "--no-twin")
    assert alone.code == 0, alone.err
    assert summary(alone.out) == {"seen": (2, 0, 0), "all": (2, 0, 0)}
    assert "no random twin was run" in alone.out
    both = suite(run_of("seen", seeds='"0-1"'), "--plugin", "seen.py")
    assert summary(both.out) == {"seen": (2, 2, 0), "all": (2, 2, 0)}
    assert "no random twin was run" not in both.out
    found = sorted((record.run_spec.config["init"], record.seed) for record in stored())
    assert found == [(init, seed) for init in ("pretrained", "random") for seed in (0, 1)]


NEEDY = """
# /// script
# {need}
# ///
import codonbench


@codonbench.model(encoding="nucleotide_onehot_flat", learning_rate=0.01)
def {name}(task):
    from torch import nn

    return nn.Linear(task.length * len(task.alphabet), task.n_classes)
"""


@pytest.mark.parametrize("env", ["auto", "own"])
def test_plugins_whose_needs_cannot_be_met_are_named_and_the_others_go_on(suite, monkeypatch, env):
    needs = {
        "newer": 'requires-python = ">=3.99"',
        "garbled": 'dependencies = ["numpy<<2"]',
        "uvless": 'dependencies = ["numpy<1"]',
    }
    monkeypatch.setattr(environment, "find_spec", lambda name: None)  # uv is not installed
    plugins = []
    for name, need in needs.items():
        Path(f"{name}.py").write_text(NEEDY.format(name=name, need=need))
        plugins += ["--plugin", f"{name}.py"]
    models = run_of(*needs, "untrained", seeds='"0"')
    answer = suite(models, "--workers", "1", "--env", env, *plugins)
    assert answer.code == 1, answer.err
    assert summary(answer.out) == {
        **dict.fromkeys(needs, (0, 0, 1)),
        "untrained": (1, 0, 0),
        "all": (1, 0, 3),
    }
    assert "newer.py needs Python >=3.99, and this is 3." in answer.err
    assert re.search(r"garbled\.py.*cannot be read", answer.err)
    assert re.search(r"uvless\.py.*pip install 'codonbench\[env\]'", answer.err)
