"""The pages of tasks say what tasks say of themselves; the suites name what exists."""

import runpy
import sys
from pathlib import Path

import pytest

from codonbench.execution.suites import read_suite
from codonbench.plugins.discovery import load_registry
from codonbench.plugins.shipped_files import shipped_files

ROOT = Path(__file__).resolve().parent.parent
SUITES = ("gue", "regulatory", "expression", "variants", "known-truth", "smoke")


def test_the_pages_are_up_to_date_and_there_is_one_for_each_task():
    wanted = runpy.run_path(str(ROOT / "scripts" / "write_tasks.py"))["pages"]()
    there = {path: path.read_text() for path in (ROOT / "docs" / "tasks").glob("*.md")}
    stale = sorted(p.name for p in {*wanted, *there} if wanted.get(p) != there.get(p))
    assert not stale, "write them with: python scripts/write_tasks.py"
    assert {path.stem for path in there} == {*load_registry().tasks, "README"}


def test_no_page_is_left_out_in_silence_where_a_plugin_is_broken(monkeypatch):
    monkeypatch.setitem(sys.modules, "codonbench_datasets.gue_tf", None)  # cannot be imported
    with pytest.raises(
        SystemExit, match=r"codonbench_datasets\.gue_tf of codonbench .*did not load"
    ):
        runpy.run_path(str(ROOT / "scripts" / "write_tasks.py"))["pages"]()


@pytest.mark.parametrize("name", SUITES)
def test_a_suite_names_tasks_models_and_options_that_exist(name):
    registry = load_registry()
    for request in read_suite(shipped_files("suites", "suite")[name]).requests:
        assert request.model in registry.models
        task = registry.tasks[request.task].task
        assert set(request.task_overrides) <= set(task.Options.model_fields)
