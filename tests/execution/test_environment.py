"""Environments of plugins: locked, built from wheels that are made here, and what fails."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from answers import call
from codonbench.contracts.run_record import Environment
from codonbench.errors import ConfigError, PluginError, UnmetNeedError
from codonbench.execution import environment
from codonbench.execution.environment import (
    Step,
    _Downloads,
    _platform,
    built,
    conflict,
    environment_for,
    needs_of,
    needs_of_distribution,
)
from wheels import only_shop, wheel

PLUGIN = "# /// script\n# dependencies = {needs}\n# ///\n"


@pytest.fixture
def shop(tmp_path, monkeypatch):
    return only_shop(tmp_path, monkeypatch)


def needs(tmp_path, *dependencies, python=""):
    file = tmp_path / "mine.py"
    listed = "[" + ", ".join(f'"{d}"' for d in dependencies) + "]"
    more = f'\n# requires-python = "{python}"' if python else ""
    file.write_text(PLUGIN.format(needs=listed + more))
    return needs_of(file)


def said_by(python, code):
    return subprocess.run(
        [python, "-P", "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.mark.nightly("a distribution runs in an environment of its own on each push")
def test_each_plugin_has_its_versions_with_ours_behind(tmp_path, shop, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("uv.py").write_text("raise SystemExit('not the one that is installed')")
    folder, found = tmp_path / "environments", {}
    for need in ("tinypack<2", "tinypack>=2"):
        asked = needs(tmp_path, need)
        assert "tinypack" in conflict(asked)
        steps = []
        found[need] = environment_for(asked, folder, offline=False, show=steps.append)
        named = {"tinypack<2": "1.0", "tinypack>=2": "2.0"}[need]
        said = ["resolving what it needs", f"installing 1 package: tinypack=={named}"]
        assert [step.words for step in steps] == said
    code = (
        "import tinypack, numpy, codonbench.contracts; print(tinypack.version, numpy.__version__)"
    )
    told = [said_by(python, code).split() for python, _ in found.values()]
    assert told == [["1.0", np.__version__], ["2.0", np.__version__]]
    locks = [lock for _, lock in found.values()]
    assert [lock.packages for lock in locks] == [("tinypack==1.0",), ("tinypack==2.0",)]
    for file in shop.iterdir():  # nothing is to be had any more
        file.unlink()
    again = environment_for(needs(tmp_path, "tinypack<2"), folder, offline=True, show=steps.append)
    assert len(steps) == 2  # nothing is built
    assert again == found["tinypack<2"]
    assert built(locks[1], "mine.py", folder, offline=True) == found["tinypack>=2"][0]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["tinypack>=3"], ["what plugin mine.py needs cannot be resolved", "tinypack"]),
        (["tinypack<2", "tinypack>=2"], ["cannot be resolved", "tinypack"]),
        (["nobody-has-this"], ["cannot be resolved", "nobody-has-this"]),
    ],
)
def test_needs_that_cannot_be_met_are_one_sentence(tmp_path, shop, asked, words):
    with pytest.raises(PluginError) as caught:
        environment_for(needs(tmp_path, *asked), tmp_path / "environments", offline=True)
    assert [word for word in words if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)
    assert not [*(tmp_path / "environments").rglob("complete")]


@pytest.mark.parametrize("package", ["pydantic", "torch"])
def test_what_codonbench_cannot_be_imported_beside_is_one_sentence(tmp_path, shop, package):
    wheel(shop, "0.1", package)
    with pytest.raises(PluginError) as caught:
        environment_for(needs(tmp_path, f"{package}<1"), tmp_path / "environments", offline=True)
    said = str(caught.value)
    assert said.startswith("codonbench cannot be imported beside what plugin mine.py needs: ")
    assert package in said.partition(": ")[2]
    assert "\n" not in said
    assert not [*(tmp_path / "environments").rglob("complete")]


def test_a_lock_whose_versions_are_gone_is_one_sentence(tmp_path, shop):
    lock = Environment.of(["tinypack==0.9"], _platform())
    with pytest.raises(PluginError, match=r"locked environment of plugin mine\.py.*tinypack"):
        built(lock, "mine.py", tmp_path / "environments", offline=True)
    other = Environment.of(["tinypack==1.0"], "cpython-399-plan9")
    with pytest.raises(ConfigError, match=r"locked on cpython-399-plan9, and this is"):
        built(other, "mine.py", tmp_path / "environments", offline=True)


def test_what_cannot_be_is_said_before_anything_is_built(tmp_path, monkeypatch):
    assert conflict(needs(tmp_path, "numpy>=1.26")) == ""
    assert "needs numpy<1" in conflict(needs(tmp_path, "numpy<1"))
    assert needs_of(Path(__file__)) is None
    with pytest.raises(UnmetNeedError, match=r"mine\.py needs Python <3, and this is"):
        conflict(needs(tmp_path, "numpy>=1.26", python="<3"))
    for unread in ("numpy<<2", "tinypack @ file:///shop/tinypack-1.0-py3-none-any.whl"):
        with pytest.raises(UnmetNeedError, match=f"script metadata cannot be read: '{unread}'"):
            needs(tmp_path, unread)
    assert needs(tmp_path, "codonbench>=0.1", "tinypack").dependencies == ("tinypack",)
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    with pytest.raises(UnmetNeedError, match=r"pip install 'codonbench\[env\]'"):
        environment_for(needs(tmp_path, "numpy<2"), tmp_path / "e", offline=True)


def test_what_uv_says_of_downloads_is_how_far_it_has_come():
    steps = []
    downloads = _Downloads(steps.append)
    for line in (
        "Resolved 3 packages in 695ms\n",
        "Downloading numpy (17.4MiB)\n",
        "Downloading torch (1.5GiB)\n",
        "   Building docopt==0.6.2\n",
        " Downloaded numpy\n",
    ):
        downloads.read_line(line)
    assert steps == [
        Step("downloading numpy, 17.4 MiB", 0.0, 17.4),
        Step("downloading torch, 1536.0 MiB", 0.0, 1553.4),
        Step("building docopt==0.6.2", 0.0, 1553.4),
        Step("downloaded numpy: 17.4 of 1553.4 MiB", 17.4, 1553.4),
    ]


MODEL = """
import codonbench
import numpy as np


class Same:
    def fit(self, items, classes):
        import {package}

        version = getattr({package}, "__version__", None) or {package}.version
        assert version.startswith({version!r})
        self.classes_ = np.unique(classes)

    def predict_proba(self, items):
        return np.full((len(items), len(self.classes_)), 1 / len(self.classes_))


@codonbench.estimator(encoding="text", summary="All the same")
def {name}(task):
    return Same()
"""


def write_table():
    """Write a table with splits: of folds each would have a worker to itself."""
    rows = [
        f"{'ACGT'[i % 4] * 6}{'ACGT'[i // 4 % 4] * 4},{'ab'[i % 2]},{'train' if i % 3 else 'test'}"
        for i in range(48)
    ]
    Path("t.csv").write_text("\n".join(["sequence,label,split", *rows]))


def run_suite(package, versions):
    """Run a plugin for each version that a package is needed in, all in one suite.

    Args:
        package: The package.
        versions: By the plugin's name, how the version begins, and what is asked for.

    Returns:
        How it ended, and what runs `bench` with the same plugins.
    """
    plugins = []
    for name, (version, asked) in versions.items():
        code = MODEL.format(package=package, version=version, name=name)
        Path(f"{name}.py").write_text(PLUGIN.format(needs=f'["{package}{asked}"]') + code)
        plugins += ["--plugin", f"{name}.py"]
    write_table()
    Path("s.toml").write_text(
        '[suite]\nname = "s"\ntitle = "s"\n'
        f'[[run]]\nmodel = {json.dumps([*versions])}\ndata = "t.csv"\n'
    )

    def bench(*words):
        command = [sys.executable, "-m", "codonbench.cli.main", *words, *plugins]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    return bench("run", "--suite", "s.toml", "--json", "--env", "own"), bench


@pytest.mark.nightly("a distribution runs in an environment of its own on each push")
def test_plugins_that_need_different_versions_run_in_one_suite(tmp_path, shop, monkeypatch):
    """The third one's need cannot be met; it is named, and the others are done and verified."""
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    versions = {"one": ("1.0", "<2"), "none": ("3.0", ">=3"), "two": ("2.0", ">=2")}
    done, bench = run_suite("tinypack", versions)
    assert done.returncode == 1, done.stderr
    assert "what plugin none.py needs cannot be resolved" in done.stderr
    assert done.stdout.count('"status":"done"') == 2
    assert done.stdout.count('"packages":["tinypack==1.0"]') == 1
    record = next(Path("runs").glob("one-*.json"))
    again = bench("verify", str(record))
    assert "identical" in again.stdout, again.stderr


@pytest.mark.nightly("a package that is made here stands for it on each push")
@pytest.mark.skipif(sys.version_info >= (3, 13), reason="numpy<2 has no wheel for this Python")
def test_plugins_that_need_numpy_before_2_and_from_2_on_run_in_one_suite(tmp_path, monkeypatch):
    compiled = ["pip", "compile", "-", "--quiet", "--python", sys.executable]
    asked = {"input": "numpy", "capture_output": True, "text": True, "check": False}
    if subprocess.run([sys.executable, "-m", "uv", *compiled], **asked).returncode:
        pytest.skip("needs an index of packages")
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    done, _ = run_suite("numpy", {"old": ("1.", "<2"), "new": ("2.", ">=2")})
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"status":"done"') == 2
    assert '"packages":["numpy==1.' in done.stdout
    assert '"packages":["numpy==2.' in done.stdout


def test_what_a_killed_process_has_left_is_no_hindrance_and_removed(tmp_path, shop):
    folder, lock = tmp_path / "environments", Environment.of(["tinypack==1.0"], _platform())
    name = lock.sha256[:16]
    for left in (f".building-{name}", name):
        (folder / left / "bin").mkdir(parents=True)
        (folder / left / "bin" / "python").touch()
    (folder / f"{name}.lock").touch()  # it is no longer held
    python = built(lock, "mine.py", folder, offline=True)
    assert said_by(python, "import tinypack; print(tinypack.version)") == "1.0"
    assert {path.name for path in folder.iterdir()} == {name, f"{name}.lock"}


def test_needs_nested_without_end_are_one_sentence_and_little_memory(tmp_path):
    (file := tmp_path / "mine.py").write_text(f"# /// script\n# a{'.a' * 100_000} = 1\n# ///\n")
    with pytest.raises(UnmetNeedError, match="cannot be read: is nested too deep"):
        needs_of(file)


@pytest.mark.timeout(60)
def test_needs_that_begin_without_end_take_no_time(tmp_path):
    (file := tmp_path / "mine.py").write_text("# /// script\n" * 20_000)
    assert needs_of(file) is None


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A distribution that lies on this process's path, and says what it needs."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))

    def install(name, *dependencies, python=">=3.11", code=""):
        info = folder / f"{name}-1.0.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        lines += [f"Requires-Python: {python}", *(f"Requires-Dist: {d}" for d in dependencies)]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        (info / "entry_points.txt").write_text(f"[codonbench]\nmine = {name}\n")
        (info / "RECORD").write_text(f"{name}.py,,\n")
        (folder / f"{name}.py").write_text(code)

    return install


def test_a_distribution_says_in_its_metadata_what_it_needs(tmp_path, shop, installed):
    installed("calm", "codonbench>=0.1", "tinypack<2", 'nobody-has-this; extra == "docs"')
    found = needs_of_distribution("calm")
    assert (found.python, found.dependencies) == (">=3.11", ("tinypack<2",))
    assert "tinypack" in conflict(found)
    _, lock = environment_for(found, tmp_path / "environments", offline=True)
    assert lock.packages == ("tinypack==1.0",)
    installed("content", "codonbench")
    assert needs_of_distribution("content") is None
    assert needs_of_distribution("not-there") is None
    installed("damaged", "numpy<<2")
    with pytest.raises(UnmetNeedError, match=r"plugin damaged: its metadata cannot be read"):
        needs_of_distribution("damaged")


def test_pytorch_is_ours_unless_another_is_asked_for(tmp_path):
    assert needs(tmp_path, "tinypack").takes_torch("2.6.0")
    assert needs(tmp_path, "torch>=2.4").takes_torch("2.6.0")
    assert not needs(tmp_path, "torch==2.4.*").takes_torch("2.6.0")


def test_what_comes_with_pytorch_is_left_out_unless_it_is_asked_for(tmp_path, shop):
    for package in ("nvidia-nccl-cu13", "cuda-toolkit", "nvidia-ml-py"):
        wheel(shop, "1.0", package)
    wheel(shop, "1.0", "builds", requires=["nvidia-nccl-cu13", "cuda-toolkit"])
    _, lock = environment_for(
        needs(tmp_path, "builds", "nvidia-ml-py"), tmp_path / "e", offline=True
    )
    assert lock.packages == ("builds==1.0", "nvidia-ml-py==1.0")


@pytest.mark.slow
def test_an_installed_distribution_runs_in_an_environment_of_its_own(
    tmp_path, shop, installed, monkeypatch
):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    code = MODEL.format(package="tinypack", version="1.0", name="mine")
    installed("mydist", "codonbench", "tinypack<2", code=code)
    write_table()
    done = call("run", "--model", "mine", "--data", "t.csv", "--json", "--offline")
    assert done.code == 0, done.err
    said = " ".join(done.err.split())
    assert "plugin mydist needs tinypack<2, which is not installed here: it gets an" in said
    assert "plugin mydist: installing 1 package: tinypack==1.0" in said
    assert re.search(r"plugin mydist: its environment is built, in 0:\d\d:\d\d", said)
    assert '"packages":["tinypack==1.0"]' in done.out
    for file in shop.iterdir():
        file.unlink()
    checked = call("verify", next(Path("runs").glob("mine-*.json")))
    assert "identical" in checked.out, checked.err
