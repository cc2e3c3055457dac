"""`bench validate`: what it says of records, and how it ends."""

import json
from pathlib import Path

import pytest


@pytest.fixture
def record(run):
    """The file of one sound record."""
    assert run("--model", "untrained").code == 0
    (path,) = Path("results").glob("*.json")
    return path


def test_sound_records_are_counted(bench, record):
    for words in ((record,), (record.parent,)):
        answer = bench("validate", *words)
        assert answer.code == 0
        assert "records: 1, invalid: 0" in answer.out.splitlines()[-1]


def test_an_edited_record_is_named_with_its_field_and_exit_code_1(bench, record):
    content = json.loads(record.read_text())
    content["metrics"]["test_accuracy"] = 1.0
    record.write_text(json.dumps(content))
    answer = bench("validate", record.parent)
    assert answer.code == 1
    assert f"{record}: checksum does not match the content" in answer.out
    assert "records: 1, invalid: 1" in answer.out


def test_strict_takes_a_warning_for_a_problem(bench, run):
    assert run("--model", "untrained", "--threads", "2").code == 0
    (path,) = Path("results").glob("*.json")
    lax, strict = bench("validate", path), bench("validate", "--strict", path)
    assert (lax.code, strict.code) == (0, 1)
    assert f"{path}: warning: run_spec.threads is 2; official rows use 1" in lax.out
    assert f"{path}: run_spec.threads is 2; official rows use 1" in strict.out


def test_json_is_one_object_and_nothing_else(bench, record):
    Path("results/bad.json").write_text("{")
    answer = bench("validate", "results", "--json")
    assert answer.code == 1
    facts = json.loads(answer.out)
    assert (facts["records"], facts["invalid"]) == (2, 1)
    (problem,) = [p for p in facts["problems"] if not p["warning"]]
    assert problem["file"] == "results/bad.json"
    assert problem["message"].startswith("is not JSON: ")


@pytest.mark.parametrize("where", ["nowhere", "empty"])
def test_nothing_to_validate_is_exit_code_2(bench, where):
    Path("empty").mkdir()
    answer = bench("validate", where)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith("bench: ")


def test_the_plugin_that_a_record_names_is_not_loaded(bench, run, trust):
    """Tasks that are installed are asked about their records; nothing else is run."""
    Path("mine.py").write_text(
        "import codonbench\nfrom torch import nn\n\nprint('loaded')\n\n\n"
        '@codonbench.model(encoding="input_onehot")\n'
        "def mine(task):\n    return nn.Linear(task.n_inputs, task.n_classes)\n"
    )
    trust("mine.py")
    assert run("--plugin", "mine.py", "--model", "mine", "--pairs", "128").code == 0
    answer = bench("validate", "results")
    assert answer.code == 0
    assert "loaded" not in answer.out + answer.err


def test_a_task_of_a_file_is_asked_where_the_file_is_given(bench, record):
    content = json.loads(record.read_text())
    content["task"] = content["run_spec"]["task"] = "elsewhere"
    record.write_text(json.dumps(content))
    assert "'elsewhere' is not installed" in bench("validate", record).out
