"""`--plugin FILE` and `--plugins-dir FOLDER`: a stranger's model in one file, good or bad."""

import os
import re
import shutil
import textwrap
from importlib.util import find_spec
from pathlib import Path

import pytest

from codonbench.contracts import from_function
from codonbench.contracts.run_record import RunRecord
from codonbench.execution.describe import ask_new_worker
from codonbench.plugins.beside import MOST_SOURCE
from codonbench.plugins.discovery import load_registry

GOOD = """
import torch
from codonbench import GradientConfig, Model, ModelInfo, hookimpl


class Single(Model):
    info = ModelInfo(name="single", version="1", summary="One layer")
    Config = GradientConfig
    encoding = "codon_onehot"

    def build(self, task):
        return torch.nn.Linear(task.n_inputs, task.n_classes)


@hookimpl
def register_models(register):
    register(Single)
"""


@pytest.fixture
def file(tmp_path, trust):
    """Write a plugin's file, which the settings trust."""

    def write(code, name="mine.py"):
        path = tmp_path / name
        trust(path.name, "a.py", "b.py")
        path.write_text(code)
        return str(path)

    return write


def test_a_model_in_one_file_is_run_and_its_record_names_the_file(file, bench, tmp_path):
    command = ["run", "--plugin", file(GOOD), "--model", "single", "--pairs", "640", "--json"]
    done = bench(*command, "--results", str(tmp_path / "results"))
    assert done.code == 0, done.err
    (line,) = done.out.splitlines()
    record = RunRecord.model_validate_json(line)
    assert (record.model, record.status) == ("single", "done")
    assert record.plugin.distribution == "mine.py"


def test_a_file_with_one_model_stands_for_it(file, bench, tmp_path):
    words = ("--pairs", "640", "--json", "--results", tmp_path / "results")
    done = bench("run", "--model", file(GOOD), *words)
    assert done.code == 0, done.err
    assert RunRecord.model_validate_json(done.out).model == "single"
    assert bench("run", "--model", "single", "--plugin", "mine.py", *words).out == done.out
    two = GOOD + "    register(Other)\n\n\nclass Other(Single):\n    info = ModelInfo("
    two = file(two + "name='other', version='1', summary='-')\n")
    for command in ("run", "check", "tune"):
        refused = bench(command, "--model", two)
        assert (refused.code, refused.out) == (2, "")
        assert "mine.py registers other, single; expected one model" in refused.err


def test_a_changed_file_is_run_again(file, bench, tmp_path):
    results = str(tmp_path / "results")
    command = ["run", "--model", "single", "--pairs", "640", "--results", results]
    bench(*command, "--plugin", file(GOOD))
    assert "already" in bench(*command, "--plugin", file(GOOD)).err
    changed = file(GOOD.replace("n_classes)", "n_classes, bias=False)"))
    assert "already" not in bench(*command, "--plugin", changed).err


READS = """
from pathlib import Path
import codonbench, torch

@codonbench.model(encoding="codon_onehot"{files})
def reader(task):
    scale = float(Path(__file__).with_name("ck.txt").read_text())
    layer = torch.nn.Linear(task.n_inputs, task.n_classes)
    torch.nn.init.constant_(layer.weight, scale)
    return layer
"""


def test_an_exchanged_file_that_a_model_declares_is_another_run(file, bench, tmp_path):
    code = READS.format(files=', files=("ck.txt",)')
    words = ["run", "-m", "reader", "--pairs", "640", "--json", "--plugin", file(code)]
    weights = []
    for scale in ("0.1", "0.1", "0.2"):
        (tmp_path / "ck.txt").write_text(scale)
        answer = bench(*words)
        weights += [record.weights_sha256 for record in answer.records]
        assert ("already" in answer.err) == (len(weights) == 2)
    assert weights[0] == weights[1] != weights[2]
    assert (
        "different" in bench("verify", "reader-s0", "--plugin", file(f"{code}\n# else")).out or True
    )


@pytest.mark.parametrize(("workers", "inner"), [("0", "ck.txt"), ("1", "below/ck.txt")])
def test_a_file_that_is_read_and_not_declared_is_refused_before_training(
    workers, inner, file, bench, tmp_path
):
    (tmp_path / "below").mkdir()
    (tmp_path / inner).write_text("0.1")
    code = READS.format(files="").replace('with_name("ck.txt")', f'parent.joinpath("{inner}")')
    words = ("--pairs", "640", "--workers", workers)
    answer = bench("run", "-m", "reader", *words, "--plugin", file(code))
    assert answer.code == 2
    assert f"mine.py reads {inner}, which is not declared" in answer.err
    assert f"files = ('{inner}',)" in answer.err
    assert not [*(tmp_path / "runs").glob("*.json")]


def test_a_file_that_changes_the_folder_changes_it_for_nobody_else(file, bench, fasta, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    move = f"import os\nos.chdir({str(tmp_path / 'elsewhere')!r})\n"
    code = GOOD.replace("        return", f"        {move.splitlines()[1]}\n        return")
    fasta("AUGGCUUAA", name="mine.fa")
    words = ("-m", "single", "--plugin", file(move + code), "--data", "mine.fa", "-r", "rc")
    for seed in ("0", "1"):
        assert bench("run", *words, "--pairs", "640", "--seeds", seed).code == 0
    assert len([*(tmp_path / "rc").glob("*.json")]) == 2
    assert not [*(tmp_path / "elsewhere").iterdir()]


def test_a_record_whose_file_is_not_given_names_it(file, bench):
    words = ("--plugin", file(GOOD), "--model", "single", "--pairs", "640", "--results", "results")
    assert bench("run", *words).code == 0
    embedding = ("plot", "single-s0", "--kind", "embedding")
    for words in (("verify", "single-s0"), ("explain", "single-s0"), embedding):
        answer = bench(*words, "--results", "results")
        assert answer.code == 2
        assert "unknown model 'single'; 'bench ls models' lists all " in answer.err
        assert "; its record came from mine.py: add --plugin mine.py" in answer.err
        assert answer.err.endswith(" --trust mine.py\n") == (words[0] == "explain")


def test_a_file_edited_since_is_said_before_the_figures(file, bench):
    words = ("--plugin", file(GOOD), "--model", "single", "--pairs", "640", "--results", "results")
    assert bench("run", *words).code == 0
    again = ("verify", "single-s0", "--results", "results", "--plugin")
    assert "identical" in bench(*again, file(f"{GOOD}# a remark\n")).out
    answer = bench(*again, file(GOOD.replace("n_classes)", "n_classes, bias=False)")))
    assert answer.code == 1
    name, source, *figures = answer.out.splitlines()
    assert name.endswith(": different")
    assert source.startswith("  source: ")
    assert "mine.py is not what the record was made with" in source
    assert any("weights_sha256" in figure for figure in figures)


def test_a_field_that_an_edited_file_no_longer_has_is_named(file, bench):
    code = GOOD.replace(
        "Config = GradientConfig", "class Config(GradientConfig):\n        x: int = 1"
    )
    words = ("--plugin", file(code), "--model", "single", "--pairs", "640", "--results", "results")
    assert bench("run", *words).code == 0
    answer = bench("verify", "single-s0", "--results", "results", "--plugin", file(GOOD))
    assert answer.code == 2
    assert "as its model is now: no field 'x'; it has " in answer.err


def test_a_files_model_is_listed(file, bench):
    assert "single" in bench("ls", "models", "--plugin", file(GOOD)).out


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "registers nothing"),
        (
            GOOD.replace("register(Single)", "register(3)"),
            "given 3 (int); expected a subclass of Model",
        ),
        (GOOD.replace("def register_models(register)", "def register_models(wrong)"), "wrong"),
        (
            GOOD.replace("register_models(register)", "register_models()").replace(
                "register(Single)", "return [Single]"
            ),
            "`register` as argument",
        ),
    ],
)
def test_a_broken_file_is_named_with_its_last_line_and_exit_one(file, bench, code, reason):
    done = bench("run", "--plugin", file(code, "bad.py"), "--model", "single")
    assert done.code == 1
    assert "bad.py" in done.err
    assert reason in done.err
    assert "Traceback" not in done.err


def test_a_file_that_takes_long_to_load_is_named_while_it_does(file, bench, monkeypatch):
    monkeypatch.setattr("codonbench.cli.options._LONG", 0.2)
    slow = bench("ls", "models", "--plugin", file(f"import time\ntime.sleep(1)\n{GOOD}"))
    assert slow.err.count("still loading mine.py; Ctrl-C ends it") == 1
    assert "single" in slow.out
    assert "still loading" not in slow.out


STRANGE = {
    "latin.py": "# -*- coding: latin-1 -*-\n# \xe9".encode("latin-1") + GOOD.encode(),
    "deep.py": f"{GOOD}\nx = {'-' * 200_000}1".encode(),
    "long.py": GOOD.encode() + b"#" * MOST_SOURCE,
}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("latin.py", ""),
        ("deep.py", "plugin file deep.py: MemoryError"),
        ("long.py", "bytes, and a plugin's source 2,097,152 at most"),
    ],
)
def test_a_source_that_is_hard_to_read_is_run_or_named(bench, tmp_path, name, reason):
    (tmp_path / name).write_bytes(STRANGE[name])
    done = bench("run", "--plugin", name, "-m", "single", "--pairs", "640", "--workers", "1")
    assert (done.code, reason in done.err) == (1 if reason else 0, True), done.err


def test_a_missing_file_is_named(bench):
    done = bench("run", "--plugin", "nowhere.py", "--model", "single")
    assert done.code == 2
    assert done.err == "bench: no file 'nowhere.py': expected a Python file\n"


@pytest.mark.parametrize("model", ["motif_sca.py", "motif_scan", "motif-scan"])
def test_a_model_file_that_is_typed_nearly_right_is_proposed(bench, tmp_path, model):
    (tmp_path / "motif_scan.py").write_text(GOOD)
    done = bench("run", "--model", model)
    assert done.code == 2
    assert "did you mean" in done.err
    assert "motif_scan.py" in done.err
    assert "--plugin" not in done.err


def test_a_folder_in_place_of_a_file_is_told_its_own_option(bench):
    done = bench("run", "--plugin", ".", "--model", "single")
    assert done.code == 2
    assert "a folder of them is given with --plugins-dir" in done.err


def test_a_built_in_name_is_taken(file, bench):
    done = bench("run", "--plugin", file(GOOD.replace('"single"', '"mlp-64"')), "--model", "mlp-64")
    assert done.code == 1
    assert "mine.py" in done.err
    assert "codonbench" in done.err
    assert "registered twice" in done.err


def test_files_leave_no_trace_in_the_next_registry(file, bench):
    bench("ls", "models", "--plugin", file(GOOD))
    assert "single" not in load_registry().models


README = Path(__file__).parents[2] / "README.md"


@pytest.mark.parametrize(
    ("page", "pattern"),
    [
        (from_function.__doc__, r"::\n\n(.*?)\n\n\S"),
        (README.read_text(encoding="utf-8"), r"```python\n(.*?)```"),
    ],
    ids=["docstring", "README"],
)
def test_the_smallest_complete_model_has_fifteen_lines(page, pattern):
    code = textwrap.dedent(re.search(pattern, page, re.S)[1]).strip()
    assert len([line for line in code.splitlines() if line.strip()]) <= 15


def test_a_model_that_is_a_function_runs_as_its_docstring_has_it(file, bench, tmp_path):
    code = textwrap.dedent(re.search(r"::\n\n(.*?)\n\n\S", from_function.__doc__, re.S)[1])
    command = ["run", "--plugin", file(code), "--model", "two-layers", "--set", "hidden=8"]
    done = bench(*command, "--pairs", "640", "--json", "--results", str(tmp_path / "results"))
    assert done.code == 0, done.err
    (record,) = done.records
    assert (record.model, record.status) == ("two-layers", "done")
    assert record.overrides == {"hidden": 8}
    assert record.parameters == 4 * 8 + 8 + 8 * 21 + 21
    assert record.plugin.distribution == "mine.py"


def test_each_file_of_a_folder_is_loaded_but_for_those_with_an_underscore(file, bench, tmp_path):
    (tmp_path / "folder").mkdir()
    for name in ("b", "a"):
        file(GOOD.replace('"single"', f'"{name}"'), f"folder/{name}.py")
    file("raise RuntimeError", "folder/_helper.py")
    file("not Python", "folder/notes.txt")
    answer = bench("ls", "models", "--plugins-dir", "folder")
    assert (answer.code, answer.err) == (0, "")
    assert {"a", "b"} <= {line.split()[0] for line in answer.out.splitlines() if line}


@pytest.mark.parametrize(
    "words",
    [
        ["run", "--model", "single"],
        ["ls", "models"],
        ["plugins"],
        ["audit"],
        ["verify", "record.json"],
        ["data", "ls"],
        ["data", "fetch", "joiret2023"],
        ["data", "verify"],
    ],
    ids=" ".join,
)
def test_every_command_that_loads_plugins_takes_a_folder(bench, words, board, tmp_path):
    record = next(board.glob("*.json"))
    (tmp_path / "record.json").write_bytes(record.read_bytes())
    answer = bench(*words, "--plugins-dir", "nowhere")
    assert answer.code == 2
    assert answer.err == "bench: --plugins-dir nowhere: expected a folder of Python files\n"


def test_no_command_imports_a_strangers_file(bench, board, tmp_path, monkeypatch):
    """But a worker, of which those that only list or read share one here; it takes a second."""
    noting = "import os\nwith open('IMPORTED', 'a') as file:\n    print(os.getpid(), file=file)\n"
    noting = noting.replace("IMPORTED", str(tmp_path / "by"))
    reads_letters = GOOD.replace("codon_onehot", "symbol_onehot_flat")
    reads_letters = reads_letters.replace("n_inputs, task.n_classes", "length * 4, task.n_outputs")
    (tmp_path / "mine.py").write_text(noting + reads_letters)
    answers, asked = {}, []

    def ask_once(owner, message, up):
        asked.append(message)
        if message not in answers:
            answers[message] = ask_new_worker(owner, message, up)
        return answers[message]

    monkeypatch.setattr("codonbench.execution.describe.ask_new_worker", ask_once)
    rows = [f"{'ACGT'[i % 4] * 20},{i % 3 // 2}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label", *rows]))
    listing = [
        ("ls", "models"),
        ("plugins",),
        ("data", "ls"),
        ("data", "verify"),
        ("data", "describe", "mine.csv"),
        ("audit-data", "mine.csv"),
        ("submit", "mlp-64", "--results", board),
        ("validate", board),
        ("score", "--check", "--results", board),
        ("leaderboard", "--results", board, "--out", "board"),
        ("site", "--results", board, "--out", "site"),
    ]
    for words in listing:
        answer = bench(*words, "--plugin", "mine.py")
        assert "did not load" not in answer.err
    tune = ("tune", "-m", "single", "--set", "learning_rate=0.1", "--space", "batch_size=8,16")
    words = ("-t", "planted-motif", "--trials", 1, "--examples", 64, "--plugin", "mine.py")
    tuned = bench(*tune, *words)
    assert (tuned.code, "best accuracy" in tuned.err) == (0, True), tuned.err
    importers = (tmp_path / "by").read_text().split()
    assert (len(asked), len(importers)) == (len(listing), 2)
    assert str(os.getpid()) not in importers


def test_a_folder_without_plugins_is_remarked_on(bench, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = bench("ls", "models", "--plugins-dir", "empty")
    assert answer.code == 0
    assert answer.err == "--plugins-dir empty holds no file like mymodel.py\n"


def test_a_file_added_to_the_built_in_models_needs_no_list_edited(process, tmp_path):
    package = Path(find_spec("codonbench_models").origin).parent
    shutil.copytree(package, tmp_path / "models" / package.name)
    (tmp_path / "models" / package.name / "single.py").write_text(GOOD)
    env = {**os.environ, "PYTHONPATH": str(tmp_path / "models")}
    answer = process("run", "--model", "single", "--pairs", "640", "--json", env=env)
    assert answer.code == 0, answer.err
    (record,) = answer.records
    assert record.plugin.module == "codonbench_models.single"
    assert record.plugin.distribution == "codonbench"
