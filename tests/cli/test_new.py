"""`bench new`: a project that is ready to install, and whose own tests pass as written."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from codonbench.plugins.discovery import load_registry

PROJECTS = {
    "model": ("rival", "codonbench-rival", "RivalModel"),
    "metric": ("half_known", "codonbench-half-known", "HalfKnownMetric"),
    "task": ("bonds", "codonbench-bonds", "BondsTask"),
}
ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def project(bench, tmp_path):
    """Write a project of a kind; return its folder and what the command said."""

    def write(kind, name=None):
        before = set((tmp_path / "work").glob("*"))
        answer = bench("new", kind, name or PROJECTS[kind][0], "--into", "work")
        assert answer.code == 0, answer.err
        (folder,) = set((tmp_path / "work").iterdir()) - before
        return folder, answer

    return write


def call(folder, *command, **environment):
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.mark.parametrize("kind", PROJECTS)
def test_a_project_holds_all_that_it_takes(project, kind):
    folder, answer = project(kind)
    name, distribution, cls = PROJECTS[kind]
    package = distribution.replace("-", "_")
    assert folder.name == distribution
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == [
        ".github/workflows/test.yml",
        ".gitignore",
        "README.md",
        "pyproject.toml",
        f"src/{package}/__init__.py",
        f"tests/test_{package}.py",
    ]
    settings = tomllib.loads((folder / "pyproject.toml").read_text())
    assert settings["project"]["name"] == distribution
    assert settings["project"]["entry-points"] == {"codonbench": {package: package}}
    assert f"class {cls}(" in (folder / "src" / package / "__init__.py").read_text()
    assert answer.out.startswith(f"wrote the {kind} {name}: ")


@pytest.mark.parametrize("kind", PROJECTS)
def test_no_placeholder_is_left(project, kind):
    folder, _ = project(kind)
    for path in (path for path in folder.rglob("*") if path.is_file()):
        text = path.read_text()
        assert "PACKAGE" not in f"{path}{text}"
        left = text.replace("${{", "").replace('"${CODONBENCH:?', "")
        assert "$" not in left, path
    workflow = (folder / ".github/workflows/test.yml").read_text()
    assert "python-version: ${{ matrix.python }}" in workflow


def test_the_tasks_next_step_makes_its_row_zero(project):
    folder, answer = project("task")
    model = re.search(r"--model (\S+)", answer.out)[1]
    assert load_registry().models[model].cls.info.role == "reference"
    assert f"--model {model}" in (folder / "README.md").read_text()


def test_the_metrics_readme_gives_the_trust_without_which_no_command_loads_it(project):
    folder, _ = project("metric")
    lines = (folder / "README.md").read_text().splitlines()
    commands = [line for line in lines if line.startswith("bench ")]
    assert {line.split()[1] for line in commands} == {"ls", "run", "score"}
    assert all("--trust codonbench-half-known" in line for line in commands)


@pytest.mark.parametrize("kind", PROJECTS)
@pytest.mark.parametrize("name", ["", "x", "9" * 24])
def test_what_is_written_is_in_the_style_of_this_repository(project, kind, name):
    folder, _ = project(kind, name)
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    theirs = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["ruff"]
    assert theirs["line-length"] == ours["line-length"]
    assert theirs["lint"]["select"] == ours["lint"]["select"]
    assert set(theirs["lint"]["ignore"]) <= set(ours["lint"]["ignore"])
    ruff = (sys.executable, "-m", "ruff")
    call(folder, *ruff, "check", "--no-cache", ".")
    call(folder, *ruff, "format", "--no-cache", "--check", ".")


def test_their_own_tests_pass_as_written_beside_one_another(project, monkeypatch):
    for kind in PROJECTS:
        folder, _ = project(kind)
        package = folder.name.replace("-", "_")
        info = folder / "src" / f"{package}-0.1.0.dist-info"  # found as if it were installed
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {folder.name}\nVersion: 0.1.0\n"
        )
        (info / "entry_points.txt").write_text(f"[codonbench]\n{package} = {package}\n")
        monkeypatch.setenv("PYTHONPATH", str(folder / "src"), prepend=os.pathsep)
    words = ("-q", "-rp", "-W", "error", "-p", "no:cacheprovider")
    said = call(folder.parent, sys.executable, "-m", "pytest", *words)
    for _, distribution, _ in PROJECTS.values():
        file = f"{distribution}/tests/test_{distribution.replace('-', '_')}.py"
        assert f"PASSED {file}::test_it_keeps_what_a_" in said


def test_the_model_serves_a_table_of_sequences_of_several_lengths(bench, project, tmp_path, trust):
    folder, _ = project("model")
    written = folder / "src" / "codonbench_rival" / "__init__.py"
    (tmp_path / "rival.py").write_text(written.read_text())
    trust("rival.py")
    rows = [f"{'ACGT'[i % 4] * (20 + i)},{i % 3 // 2}" for i in range(60)]
    (tmp_path / "mine.csv").write_text("\n".join(["sequence,label", *rows]))
    checked = bench("check", "--model", "rival.py", "--data", "mine.csv")
    assert checked.code == 0, checked.out


# Names


@pytest.mark.parametrize(
    ("kind", "name", "package", "cls"),
    [
        ("model", "lstm-64x2", "codonbench_lstm_64x2", "Lstm64x2Model"),
        ("model", "3mer", "codonbench_3mer", "Model3mer"),
        ("model", "a..b-", "codonbench_a_b", "ABModel"),
        ("model", "class", "codonbench_class", "ClassModel"),
        ("metric", "GC_skew", "codonbench_gc_skew", "GcSkewMetric"),
        ("task", "torch", "codonbench_torch", "TorchTask"),
    ],
)
def test_any_name_gives_a_package_and_a_class_that_python_takes(project, kind, name, package, cls):
    folder, _ = project(kind, name)
    code = (folder / "src" / package / "__init__.py").read_text()
    compile(code, package, "exec")
    assert f"class {cls}(" in code
    assert f'"{name}"' in code


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("model", "MyLSTM", "model name 'MyLSTM': expected lower-case letters, digits and any"),
        ("model", "../up", "model name '../up': expected "),
        ("task", "", "task name '': expected "),
        ("metric", "half-known", "metric name 'half-known': expected letters, digits and _"),
        ("model", "x" * 65, "at most 64 of them"),
        ("model", "lstm-64", "model 'lstm-64' is there already, from codonbench"),
        ("metric", "test_accuracy", "metric 'test_accuracy' is there already"),
        ("task", "human-codon", "task 'human-codon' is there already"),
        ("model", "models", "package codonbench_models is installed already"),
        ("modle", "mine", "cannot make a 'modle'; choose model, metric or task"),
    ],
)
def test_a_name_that_will_not_do_is_refused_and_nothing_is_written(
    bench, tmp_path, kind, name, reason
):
    answer = bench("new", kind, name, "--into", "work")
    assert answer.code == 2
    assert reason in answer.err
    assert not (tmp_path / "work").exists()


# Folders


def test_a_folder_that_is_there_is_not_touched(bench, tmp_path):
    folder = tmp_path / "codonbench-rival"
    folder.mkdir()
    answer = bench("new", "model", "rival")
    assert answer.code == 2
    assert "codonbench-rival exists already; remove it or choose" in answer.err
    assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_made_is_named(bench, tmp_path):
    (tmp_path / "file").write_text("")
    answer = bench("new", "model", "rival", "--into", "file")
    assert answer.code == 2
    assert "cannot be written: Not a directory" in answer.err


def test_a_folder_with_a_space_can_be_pasted_into_a_shell(bench, tmp_path):
    answer = bench("new", "model", "rival", "--into", "my work")
    assert "  cd 'my work/codonbench-rival' && pip install -e '.[test]'\n" in answer.out


# In a clean environment


@pytest.mark.nightly("a project's tests are run as written, and a wheel elsewhere, on each push")
@pytest.mark.timeout(1500)
@pytest.mark.parametrize("kind", PROJECTS)
def test_the_three_commands_it_names_work_where_only_the_wheel_is(
    clean_environment, tmp_path, kind, monkeypatch
):
    monkeypatch.delenv("CODONBENCH_WORKERS")  # a stranger's model takes a worker
    name, distribution, _ = PROJECTS[kind]
    cache = {"CODONBENCH_CACHE": str(tmp_path / "cache")}
    said = clean_environment.call(["bench", "new", kind, name], tmp_path)
    commands = [line.strip() for line in said.splitlines() if line.startswith("  ")]
    assert len(commands) == 3
    try:
        done = clean_environment.call(["bash", "-ec", "\n".join(commands)], tmp_path, **cache)
        assert " passed" in done
        assert {"model": "human-codon", "metric": name, "task": name}[kind] in done
    finally:
        clean_environment.uninstall(distribution)


def test_a_table_becomes_a_description_that_runs(bench, tmp_path):
    rows = "".join(f"{'ACGT' * 3}{'ACGT'[i % 4]}{'ACGT'[i // 4]},{i % 2}\n" for i in range(16))
    (tmp_path / "mine.csv").write_text(f"dna,kind\n{rows}")
    made = bench("new", "task", "--from", "mine.csv", "--task-set", "epochs=2")
    assert made.code == 0, made.err
    values = tomllib.loads((tmp_path / "mine.toml").read_text())
    assert (values["sequence"], values["target"], values["epochs"]) == (["dna"], ["kind"], 2)
    again = bench("new", "task", "--from", "mine.csv")
    assert (again.code, "mine.toml exists" in again.err) == (2, True)
    ran = bench("run", "--model", "majority", "--data", "mine.toml", "--folds", "0", "--json")
    assert (ran.code, ran.facts[0]["task"], ran.facts[0]["run_spec"]["budget_pairs"]) == (
        0,
        "mine",
        32,
    )
