"""Promises of `docs/security.md` about workers and input, by the command line that a user types."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCH = Path(sys.executable).with_name("bench")

MISBEHAVING = """
import os, signal, time
import codonbench
import torch


class Module(torch.nn.Module):
    def __init__(self, task, misdeed):
        super().__init__()
        self.register_buffer("seen", torch.zeros(task.n_inputs, task.n_classes))
        self.misdeed = misdeed

    def forward(self, inputs):
        return self.seen[inputs]

    def update(self, inputs, labels):
        self.misdeed()


def interrupt():
    raise KeyboardInterrupt


def fork():
    if os.fork():
        os._exit(3)
    time.sleep(600)  # and holds on to the pipe


def hang():
    time.sleep(600)


@codonbench.model(encoding="input_index")
def dies(task):
    return Module(task, lambda: os.kill(os.getpid(), signal.SIGSEGV))


@codonbench.model(encoding="input_index")
def says_ctrl_c(task):
    return Module(task, interrupt)


@codonbench.model(encoding="input_index")
def forks(task):
    return Module(task, fork)


@codonbench.model(encoding="input_index")
def closes_its_pipes(task):
    return Module(task, lambda: os.closerange(3, 64))


@codonbench.model(encoding="input_index")
def hangs(task):
    return Module(task, hang)
"""

SUITE = """
[suite]
name = "misdeeds"
title = "Each becomes a record, and the honest model goes on"
[[run]]
model = ["dies", "says-ctrl-c", "forks", "closes-its-pipes", "hangs", "mlp-64"]
"""


def test_whatever_a_worker_does_is_a_record_and_the_others_go_on(run, tmp_path, monkeypatch):
    monkeypatch.setattr("codonbench.execution.pool._PATIENCE", 2.0)
    (tmp_path / "misbehaving.py").write_text(MISBEHAVING)
    (tmp_path / "misdeeds.toml").write_text(SUITE)
    words = ("--suite", "misdeeds.toml", "--plugin", "misbehaving.py", "--workers", "1")
    answer = run(*words, "--timeout", "6", "--json")
    assert answer.code == 1, answer.err
    ended = {record.model: record.status for record in answer.records}
    failed = dict.fromkeys(("dies", "says-ctrl-c", "forks", "closes-its-pipes"), "error")
    assert ended == {**failed, "hangs": "timeout", "mlp-64": "done"}


def test_nothing_is_imported_from_the_current_folder_nor_instead_of_what_is_installed(tmp_path):
    names = ["torch", "numpy", "json", "codonbench", "sitecustomize"]
    for name in (*names, "random", "types", "struct", "queue", "copy", "token"):
        (tmp_path / f"{name}.py").write_text(f"raise SystemExit('imported {name} from here')")
    (tmp_path / "mine.py").write_text(MISBEHAVING.replace("self.misdeed()", "pass"))
    words = ("run", "--plugin", "mine.py", "-m", "hangs", "--pairs", "640", "--results", "r")
    done = subprocess.run(
        [BENCH, *words], cwd=tmp_path, capture_output=True, text=True, timeout=250, check=False
    )
    assert (done.returncode, "from here" in done.stderr) == (0, False), done.stderr


def test_a_salt_of_ones_own_decides_where_a_module_begins(run):
    def begins(*words):
        (record,) = run("-m", "untrained", "--force", "--json", *words).records
        return record.run_spec.rules, record.weights_sha256

    (rules, public), (salted, one), (_, other) = (
        begins(),
        begins("--salt", "one"),
        begins("--salt", "other"),
    )
    assert (rules, salted) == ("1", "2")
    assert len({public, one, other}) == 3
    assert begins("--salt", "one") == (salted, one)


DOTS = "a" + ".a" * 100_000 + " = 1\n"


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("mine.py", f"# /// script\n# {DOTS}# ///\n", ("run", "--plugin", "mine.py", "-m", "mine")),
        ("preset.toml", DOTS, ("run", "--preset-file", "preset.toml")),
        ("suite.toml", DOTS, ("run", "--suite", "suite.toml")),
        ("settings/codonbench/settings.toml", DOTS, ("run", "-m", "mlp-64")),
        ("data.toml", DOTS, ("run", "--data", "data.toml", "-m", "majority")),
    ],
)
def test_what_is_nested_without_end_is_a_sentence(bench, tmp_path, file, text, words):
    (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / file).write_text(text)
    answer = bench(*words, "--results", "results")
    assert answer.code in (1, 2), answer.out
    assert "nested" in answer.err
    assert "Traceback" not in answer.err
    assert not (tmp_path / "results").exists()
