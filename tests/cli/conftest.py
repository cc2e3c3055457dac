"""The command line called in this process or in one of its own, and a stranger's plugins."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from answers import Answer, call
from codonbench.plugins.selection import settings_file

FAST = ("--pairs", "2000", "--engine", "eager")
"""A budget of milliseconds: too small to decipher anything, and to make up for a faster engine."""


@pytest.fixture(autouse=True)
def _own_world(tmp_path, monkeypatch, forked_workers):
    """Give each test a cache, settings, a working folder and an environment of its own."""
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("CODONBENCH_WORKERS", "0")  # quicker, where workers are beside the point
    for name in ("CODONBENCH_OFFLINE", "COLUMNS", "FORCE_COLOR", "TTY_COMPATIBLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def trust():
    """Have the settings trust some plugins by name, so that commands load them themselves."""

    def trust(*names):
        file = settings_file()
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"trust = {json.dumps(names)}")

    return trust


@pytest.fixture(scope="session")
def bench():
    return call


@pytest.fixture
def run(bench):
    """`bench run` with a tiny budget, into the folder `results`."""
    return lambda *words: bench("run", *FAST, "--results", "results", *words)


@pytest.fixture(scope="session")
def start():
    """`bench` as a process of its own, not waited for."""

    def start(*words, **options):
        command = [sys.executable, "-P", "-m", "codonbench.cli.main", *map(str, words)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, **(pipes | options))

    return start


@pytest.fixture(scope="session")
def process(start):
    """`bench` as a process of its own, to its end."""

    def process(*words, **options):
        with start(*words, **options) as child:
            out, err = child.communicate(timeout=250)
        return Answer(child.returncode, out or "", err or "")

    return process


@pytest.fixture(scope="session")
def board(bench, made_once):
    """A results folder with two models of two seeds each; not to be written to."""

    def make(folder):
        for model in ("untrained", "mlp-64"):
            words = ("--seeds", "0-1", "--workers", "0", "--results", folder / "results")
            answer = bench("run", "--model", model, *FAST, *words)
            assert answer.code == 0, answer.err

    return made_once("board", make) / "results"


_STRANGE = """
import time
from pathlib import Path

import torch

from codonbench import Model, ModelInfo, hookimpl


class Learner(torch.nn.Module):
    def __init__(self, update):
        super().__init__()
        self.update = update

    def forward(self, inputs):
        return torch.zeros(len(inputs), 21)


def model(model_name, learn):
    class Strange(Model):
        info = ModelInfo(name=model_name, version="1", summary="strange")
        encoding = "symbol_index"

        def build(self, task):
            return Learner(learn)

    return Strange


print("loading")


def boom(inputs, labels):
    raise ValueError("the fuse blew")


def chatty(inputs, labels):
    print("learning", end=" ")


def endless(inputs, labels):
    Path("learning").touch()
    if not Path("hurry").exists():
        time.sleep(0.005)


def stuck(inputs, labels):
    Path("learning").touch()
    while not Path("hurry").exists():
        time.sleep(0.01)


@hookimpl
def register_models(register):
    learners = ("boom", boom), ("chatty", chatty), ("endless", endless), ("stuck", stuck)
    for name, learn in learners:
        register(model(name, learn))
"""


@pytest.fixture
def strangers(tmp_path, monkeypatch, trust):
    """Install a stranger's plugins for this test, here and in processes it starts.

    Called with the source of a module, and whether he is trusted; returns the folder that holds it.
    """

    def install(source=_STRANGE, *, trusted=True):
        if trusted:
            trust("strange")
        folder = tmp_path / "site"
        info = folder / "strange-1.0.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: strange\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[codonbench]\nstrange = strange_plugins\n")
        (folder / "strange_plugins.py").write_text(source)
        monkeypatch.syspath_prepend(folder)
        monkeypatch.delitem(sys.modules, "strange_plugins", raising=False)
        monkeypatch.setenv("PYTHONPATH", str(folder), prepend=os.pathsep)
        return folder

    yield install
    sys.modules.pop("strange_plugins", None)


@pytest.fixture
def fasta(tmp_path):
    """Write a FASTA of the given sequences; return its path."""

    def write(*sequences, name="orfs.fa"):
        path = Path(tmp_path / name)
        path.write_text("".join(f">orf{i}\n{s}\n" for i, s in enumerate(sequences)))
        return path

    return write
