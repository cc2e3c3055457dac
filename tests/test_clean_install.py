"""The wheel and the clone, installed where nothing else is: what a stranger gets."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codonbench.contracts.run_record import RunRecord

ROOT = Path(__file__).resolve().parent.parent

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]


def call(command: list[str | Path], cwd: Path, **environment: str) -> str:
    """Run a command outside this environment; return what it wrote to standard output."""
    kept = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=kept | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def test_the_built_wheel_runs_from_another_folder(clean_environment, tmp_path: Path) -> None:
    command = ["bench", "run", "--model", "mlp-64"]
    said = clean_environment.call(command, tmp_path, CODONBENCH_CACHE=str(tmp_path / "cache"))
    assert "mlp-64 would be number " in said
    (path,) = (tmp_path / "runs").glob("*.json")
    record = RunRecord.model_validate_json(path.read_bytes())
    assert record.status == "done"
    assert record.plugin.distribution == "codonbench"
    assert record.harness.commit is None  # not a checkout, whatever folder it is called from
    assert path.name == f"{record.name}.json"
    assert "human-codon" in clean_environment.call(["bench", "ls", "tasks"], tmp_path)
    assert "lstm-64" in clean_environment.call(["bench", "ls", "rows"], tmp_path)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so there is nothing to clone")
    call(["git", "clone", "--quiet", ROOT, tmp_path / "codonbench"], tmp_path)
    return tmp_path / "codonbench"


@pytest.mark.nightly("the wheel is installed into a clean environment, and .ci/run begins so")
def test_make_run_works_as_the_first_command_on_a_fresh_clone(clone: Path) -> None:
    python = shutil.which("python3", path=os.defpath) or sys.executable
    python = python if _new_enough(python) else sys.executable
    cache = str(clone.parent / "cache")
    said = call(["make", "run", f"PYTHON={python}"], clone, CODONBENCH_CACHE=cache, MAKEFLAGS="")
    assert "mlp-64" in said
    assert len(list((clone / "runs").glob("mlp-64-s*.json"))) == 10
    assert call(["git", "status", "--porcelain"], clone) == ""
    plot = [clone / ".venv" / "bin" / "bench", "plot", "mlp-64-s0", "--kind", "curves"]
    assert "mlp-64-s0" in call(plot, clone)  # what the README's commands need is installed


def _new_enough(python: str) -> bool:
    """Return whether an interpreter may run codonbench and can make environments."""
    probe = "import sys, ensurepip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([python, "-c", probe], check=False, capture_output=True).returncode == 0
