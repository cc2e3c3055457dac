"""`bench check`: what it prints, writes and exits with, and what it survives."""

import itertools
import json
import re
import textwrap
from pathlib import Path

import pytest

from codonbench.testing.checks import Report
from samples import run_here

ROOT = Path(__file__).resolve().parent.parent.parent

SOUND = """
import torch
from codonbench import GradientConfig, Model, ModelInfo, hookimpl


class Single(Model):
    info = ModelInfo(name="single", version="1", summary="One layer", row_independent=True)
    Config = GradientConfig
    encoding = "codon_onehot"

    def build(self, task):
        return torch.nn.Linear(task.n_inputs, task.n_classes)


@hookimpl
def register_models(register):
    register(Single)
"""
BUILD = "        return torch.nn.Linear(task.n_inputs, task.n_classes)\n"


def with_build(code):
    assert BUILD in SOUND
    return SOUND.replace(BUILD, textwrap.indent(textwrap.dedent(code), " " * 8))


@pytest.fixture
def here(monkeypatch):
    """Have the checks made in this process, where the other is beside the point."""
    monkeypatch.setattr("codonbench.cli.check.run_apart", run_here)


@pytest.fixture
def check(bench, tmp_path):
    """`bench check` of the model `single` in a file with this code."""

    def check(code, *words):
        (tmp_path / "mine.py").write_text(code)
        return bench("check", "--plugin", tmp_path / "mine.py", "-m", "single", *words)

    return check


def test_a_sound_model_passes_with_exit_zero(check, here):
    done = check(SOUND)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[0] == "single, version 1 of mine.py, on human-codon, data usage"
    assert "✓ size           parameters are counted: 1,365 trainable parameters" in lines
    assert lines[-1] == "25 checks: 25 passed"


def test_an_embedding_of_too_few_rows_is_told_how_many_it_takes(check, here, tmp_path):
    pairs = ["".join(pair) for pair in itertools.product("ACGT", repeat=2)]
    rows = [f"ACG{pair}{pair[: i % 2]},{i % 2}\n" for i, pair in enumerate(pairs)]
    (tmp_path / "data.csv").write_text("sequence,label\n" + "".join(rows))
    code = with_build("return Mean(ROWS)").replace("codon_onehot", "symbol_index")
    code += """

class Mean(torch.nn.Module):
    def __init__(self, rows):
        super().__init__()
        self.letters = torch.nn.Embedding(rows, 2)

    def forward(self, letters):
        return self.letters(letters).mean(1)
"""
    code = code.replace(", row_independent=True", "")
    few = check(code.replace("ROWS", "len(task.alphabet)"), "--data", tmp_path / "data.csv")
    assert (few.code, "runs from 0 to 5, which pads: nn.Embedding(6, ...)" in few.out) == (1, True)
    enough = check(code.replace("ROWS", "task.padding_index + 1"), "--data", tmp_path / "data.csv")
    assert "✓ shape" in enough.out


def test_a_failure_is_told_with_got_and_expected_and_written_for_a_pull_request(
    check, tmp_path, here
):
    words = ("--set", "learning_rate=0.01", "--report", tmp_path / "report.md")
    done = check(with_build("return torch.nn.Linear(task.n_inputs, 20)"), *words)
    assert done.code == 1
    assert "✗ shape          one row of outputs for each input" in done.out
    assert "gave shape (64, 20), expected logits (64, 21)" in done.out
    assert "– gradient" in done.out
    assert "it needs 'shape', which did not pass" in done.out
    assert re.search(r"25 checks: \d+ passed, 1 failed, \d+ skipped", done.out)
    page = (tmp_path / "report.md").read_text()
    assert page.startswith("# single: 25 checks: ")
    assert "| model | `single`, version 1 |" in page
    assert "learning\\_rate 0.01" in page
    assert re.search(r"\| source \(SHA-256\) \| `[0-9a-f]{64}` \|", page)
    assert "| ✗ | shape | one row of outputs for each input | " in page
    assert "expected logits (64, 21): one row an input, one column a class |" in page
    command = "bench check --model single --plugin mine.py --set learning_rate=0.01"
    assert f"Made by `{command}`." in page
    assert str(tmp_path) not in page
    assert not re.search(r"20\d\d-\d\d-\d\d", page)


def test_a_code_that_is_built_in_is_found_before_the_first_pair(bench, here):
    plugin = ROOT / "tests" / "exploits" / "plugins" / "hard_coded_table.py"
    done = bench("check", "--plugin", plugin, "-m", "hard-coded-table")
    assert done.code == 1
    (line,) = [line for line in done.out.splitlines() if line.startswith("✗")]
    assert line.startswith("✗ untaught")


def test_what_a_plugin_says_of_itself_does_not_steer_the_terminal(check, here):
    done = check(with_build(r'raise ValueError("\x1b[31mred\x1b[0m ##[error]mine")'))
    assert done.code == 1
    assert "[31mred" in done.out
    assert not re.search(r"\x1b|##\[", done.out + done.err)


def test_json_is_one_report_and_nothing_else_whatever_is_printed(check):
    done = check(with_build('print("x" * 1_000_000)\n' + BUILD.strip()), "--json")
    assert done.code == 0, done.err
    (line,) = done.out.splitlines()
    assert "x" * 200 not in line + done.err
    report = Report.model_validate_json(line)
    assert report.ok
    assert report.parameters == 1365
    assert report.facts.distribution == "mine.py"
    assert json.loads(line)["findings"][0]["id"] == "identity"
    (quiet,) = [finding for finding in report.findings if finding.status == "warning"]
    assert re.search(r"it printed \d+,\d\d\d,\d\d\d characters", quiet.words)


def test_an_endless_build_is_ended_and_named(check):
    done = check(with_build("while True:\n    pass"), "--timeout", "2")
    assert done.code == 1
    assert "✗ build" in done.out
    assert "did not finish within 2 s; last check begun: build" in done.out
    assert "'build' did not finish" in done.out
    assert "1 failed" in done.out.splitlines()[-1]


def test_a_file_that_ends_the_process_is_named(check):
    done = check("import os\nos._exit(4)")
    assert done.code == 1
    assert "checking 'single' ended its process with exit code 4" in done.err
    assert "last check begun: loading the plugins" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "singel"], "unknown model 'singel'"),
        (["-m", "mlp-64", "--set", "hiden=3"], "no field 'hiden'"),
        (["-m", "mlp-64", "--set", "hidden"], "expected field=value"),
        (["-m", "mlp-64", "--timeout", "0"], "timeout"),
        (["-m", "mlp-64", "--report", "nowhere/report.md"], "in a folder that exists"),
    ],
)
def test_what_cannot_be_done_is_exit_two(bench, words, said, here):
    done = bench("check", *words)
    assert done.code == 2
    assert said in done.err
    assert done.out == ""


def test_a_broken_file_is_exit_one_and_named(check, here):
    done = check("def broken(:")
    assert done.code == 1
    assert "mine.py: SyntaxError" in done.err


BROKEN_TASK = """
from codonbench import Column, Ranking, Task, hookimpl


class Broken(Task):
    name, version, title, default_data = "broken", "1", "Broken", "dice"
    ranking = Ranking(metric="x", direction="lower", columns=(Column(metric="x", title="x"),))

    def load(self, data, options, *, cache, offline=False):
        raise KeyError("page 7")


@hookimpl
def register_tasks(register):
    register(Broken())
"""


def test_a_task_that_does_not_load_is_named_with_its_place(bench, tmp_path, here):
    (tmp_path / "task.py").write_text(BROKEN_TASK)
    words = ("--plugin", tmp_path / "task.py", "--task", "broken")
    done = bench("check", "-m", "mlp-64", *words)
    assert done.code == 1
    for part in ("task 'broken' of task.py", "KeyError('page 7')", "(task.py:10)"):
        assert part in done.err
    assert "Traceback" not in done.err


def test_a_preset_is_checked_under_its_own_name(bench, here):
    done = bench("check", "-m", "mlp-64-12bit-weighted")
    assert done.code == 0, done.err
    assert done.out.startswith("mlp-64-12bit-weighted (mlp, version 1 of codonbench ")
    assert "traced" in done.out


def test_a_computed_row_is_checked_too(bench, here):
    done = bench("check", "-m", "oracle")
    assert done.code == 0, done.err
    assert "✓ logits" in done.out


def test_a_model_is_checked_on_a_task_whose_data_are_given(bench, tmp_path, here):
    folder = tmp_path / "factor"
    folder.mkdir()
    rows = [f"{'ACGT'[i % 4] * 101},{i % 2}" for i in range(130)]
    for split in ("train", "dev", "test"):
        (folder / f"{split}.csv").write_text("\n".join(["sequence,label", *rows]) + "\n")
    words = ("-m", "cnn", "-t", "gue-tf-0")
    done = bench("check", *words, "--data", "factor", "--report", "report.md")
    assert done.code == 0, done.out + done.err
    assert "on gue-tf-0, data folder" in done.out.splitlines()[0]
    assert re.search(r"✓ engine .*eager, the plain loop: ", done.out)
    page = (tmp_path / "report.md").read_text()
    assert "Made by `bench check --model cnn --task gue-tf-0 --data factor`." in page
    done = bench("check", *words)
    assert done.code != 0
    assert "bench data fetch gue-tf-0" in done.err
