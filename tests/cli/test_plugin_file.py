"""`--plugin FILE`: a stranger's model in one file, good or bad."""

import pytest

from codonbench.discovery import load_registry
from codonbench.records import RunRecord

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
def file(tmp_path):
    def write(code, name="mine.py"):
        path = tmp_path / name
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


def test_a_changed_file_is_run_again(file, bench, tmp_path):
    results = str(tmp_path / "results")
    command = ["run", "--model", "single", "--pairs", "640", "--results", results]
    bench(*command, "--plugin", file(GOOD))
    assert "already" in bench(*command, "--plugin", file(GOOD)).err
    changed = file(GOOD.replace("n_classes)", "n_classes, bias=False)"))
    assert "already" not in bench(*command, "--plugin", changed).err


def test_a_files_model_is_listed(file, bench):
    assert "single" in bench("ls", "models", "--plugin", file(GOOD)).out


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import nothing_of_that_name", "ModuleNotFoundError"),
        ("def broken(:", "SyntaxError"),
        ("import sys; sys.exit(3)", "SystemExit: 3"),
        ("x = 1", "registers nothing"),
        (GOOD.replace("register(Single)", "register(3)"), "AttributeError"),
        (GOOD.replace("def register_models(register)", "def register_models(wrong)"), "wrong"),
    ],
)
def test_a_broken_file_is_named_with_its_last_line_and_exit_one(file, bench, code, reason):
    done = bench("run", "--plugin", file(code, "bad.py"), "--model", "single")
    assert done.code == 1
    assert "bad.py" in done.err
    assert reason in done.err
    assert "Traceback" not in done.err


def test_a_missing_file_is_named(bench):
    done = bench("run", "--plugin", "nowhere.py", "--model", "single")
    assert done.code == 1
    assert "no Python file 'nowhere.py'" in done.err


def test_a_built_in_name_is_taken(file, bench):
    done = bench("run", "--plugin", file(GOOD.replace('"single"', '"mlp-64"')), "--model", "mlp-64")
    assert done.code == 1
    assert "mine.py" in done.err
    assert "codonbench" in done.err
    assert "registered twice" in done.err


def test_files_leave_no_trace_in_the_next_registry(file, bench):
    bench("ls", "models", "--plugin", file(GOOD))
    assert "single" not in load_registry().models
