"""docs/reference.md says what the code says, and leaves nothing out."""

import re
import sys
from pathlib import Path

import pytest

from codonbench import contracts
from codonbench.cli.main import SUMMARIES
from codonbench.contracts.run_record import RunRecord
from codonbench.plugins import hookspecs
from codonbench.plugins.discovery import import_file

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def writer():
    name = "write_reference"
    yield import_file(name, ROOT / "scripts" / f"{name}.py")
    del sys.modules[name]


def test_the_page_is_up_to_date(writer, capsys):
    code = writer.main(["--check"])
    assert (code, capsys.readouterr().out) == (0, "")


def test_a_page_that_is_out_of_date_is_told_with_what_writes_it(
    writer, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(writer, "PAGE", tmp_path / "reference.md")
    assert writer.main(["--check"]) == 3
    assert "python scripts/write_reference.py" in capsys.readouterr().out
    assert not any(tmp_path.iterdir())
    assert writer.main([]) == 0
    assert writer.main(["--check"]) == 0


def test_every_hook_is_there():
    hooks = {name for name, thing in vars(hookspecs).items() if hasattr(thing, "codonbench_spec")}
    assert len(hooks) >= 6
    assert hooks <= headings()


def test_every_command_is_there_with_its_options():
    names = {*SUMMARIES, "plot", "reproduce"}  # the last two of our own plugins
    names |= {"data fetch", "data ls", "data verify", "data describe", "cluster slurm"}
    assert {f"bench {name}" for name in names - {"data", "cluster"}} <= headings()
    run = section("bench run")
    assert "| `--model`, `-m` | text |  | A model or preset, or a Python file of one. |" in run
    assert "| `--json` |  |  | Print one JSON record a line and nothing else. |" in run
    assert "bench new KIND [NAME] [OPTIONS]" in PAGE
    assert "bench score [RECORD...] [OPTIONS]" in PAGE


def test_every_contract_is_there():
    left_out = {"Frozen", "NotMeasured"}
    classes = {name for name, value in vars(contracts).items() if isinstance(value, type)}
    assert {"Model", "Task", "Metric", "Trajectory"} <= classes - left_out <= headings()


def test_every_field_of_a_record_is_there():
    rows = set(re.findall(r"^\| `(\w+)` \|", section("RunRecord"), re.M))
    assert rows == set(RunRecord.model_fields)


def test_a_field_is_there_with_type_bounds_default_and_meaning():
    row = "| `batch_size` | `int, ≥ 1, ≤ 1,048,576` | `64` | pairs in a training batch |"
    assert row in section("ModelConfig")


def test_encodings_are_there_with_the_shapes_that_they_have():
    assert "| `nucleotide_onehot` | `symbol_onehot` | (B, 3, 4) | float32 |" in PAGE
    assert "| `codon_index` | `input_index` | (B,) | int64 |" in PAGE


def test_every_environment_variable_is_there():
    found = set()
    for path in (ROOT / "harness").rglob("*.py"):
        found |= set(re.findall(r"CODONBENCH_[A-Z_]*[A-Z]", path.read_text(encoding="utf-8")))
    assert len(found) >= 4
    assert found == set(re.findall(r"^\| `(CODONBENCH_\w+)` \|", PAGE, re.M))


def test_text_is_not_taken_for_markdown(writer):
    assert writer.escape("each *.py `*.py` <b>") == r"each \*.py `*.py` \<b>"
    assert writer.table(("a", "b"), [("x|y", ""), ("z", "")]) == "| a |\n| --- |\n| x\\|y |\n| z |"


def headings():
    return set(re.findall(r"^### `(.+)`$", PAGE, re.M))


def section(title):
    (found,) = re.findall(rf"^### `{title}`\n(.*?)^##", PAGE, re.M | re.S)
    return found
