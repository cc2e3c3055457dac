"""A process of its own: asked to stop, ended, and how it ended told."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from codonbench.errors import WorkerError
from codonbench.execution.describe import ask_new_worker, describe
from codonbench.execution.pool import WorkerProcess, launch_worker
from codonbench.execution.process import Inbox, launch
from codonbench.plugins.discovery import discover
from codonbench.plugins.selection import Selection

PRELUDE = """
import os, signal, sys, time
from codonbench.execution.process import framed, send, attach_to_parent
hears, speaks = attach_to_parent()
send(speaks, framed(b"there"))
"""


@pytest.fixture
def begin(tmp_path, monkeypatch):
    """Start a piece of code; return the process once it is there."""
    begun = []
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)

    def begin(code, **options):
        (tmp_path / "inside.py").write_text(PRELUDE + code)
        process = launch("inside", **options)
        begun.append(process)
        process.inbox = Inbox(process.incoming)
        assert process.inbox.wait(60)[0] == b"there"
        return process

    yield begin
    for process in begun:
        process.kill()


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(200)", 200),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("os.kill(os.getpid(), 40)", -40),
    ],
)
def test_how_it_ended_is_told(begin, ends, code):
    process = begin(ends)
    process.join(60)
    assert process.exitcode == code
    process.terminate()  # to no effect
    process.kill()
    process.kill()
    assert process.exitcode == code


def test_asked_to_stop_it_hears_sigterm_whatever_it_waits_for(begin):
    process = begin(
        "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n"
        "send(speaks, framed(b'ready'))\n"
        "time.sleep(600)"
    )
    assert process.inbox.wait(60)[0] == b"ready"
    process.terminate()
    process.join(60)
    assert process.exitcode == 7


def test_kill_ends_what_it_has_started_too(begin, tmp_path):
    process = begin(
        "child = os.fork()\n"
        "if child:\n"
        "    send(speaks, framed(str(child).encode()))\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "time.sleep(600)\n"
    )
    child = int(process.inbox.wait(60)[0])
    process.kill()
    assert process.exitcode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while _lives(child) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _lives(child)


def _lives(pid):
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()  # nobody may reap it
    except OSError:
        return False


def test_ctrl_c_in_our_terminal_is_not_for_it(begin):
    process = begin("os.kill(os.getpid(), signal.SIGINT)\ntime.sleep(600)")
    assert os.getpgid(process.pid) == os.getsid(process.pid) == process.pid
    assert process.exitcode is None


def test_its_standard_output_is_our_standard_error(begin, capfd):
    begin("print('not a result', flush=True)").join(60)
    assert capfd.readouterr() == ("", "not a result\n")


def test_it_imports_nothing_from_the_current_folder(begin, tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    (here / "random.py").write_text("raise SystemExit('a file is no plugin')")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PYTHONPATH", os.pathsep + os.environ["PYTHONPATH"] + os.pathsep + ".")
    process = begin("import random\nos._exit(5)")
    process.join(60)
    assert process.exitcode == 5


def test_it_can_be_another_interpreter(begin, tmp_path):
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nANOTHER=1 exec {sys.executable} "$@"\n')
    python.chmod(0o755)
    process = begin("os._exit(9 if 'ANOTHER' in os.environ else 1)", python=str(python))
    process.join(60)
    assert process.exitcode == 9


def test_an_interpreter_that_is_not_there_is_said_in_words():
    with pytest.raises(WorkerError, match=r"no worker process can be started: .*not-there"):
        launch("inside", python="/not-there/python")


def test_a_worker_tells_what_pytorch_says_and_ends_without_a_word(capfd):
    torch = pytest.importorskip("torch")
    worker = WorkerProcess(launch_worker)
    try:
        facts = worker.wait_until_up()
        assert (facts.torch, facts.gpu_name, facts.deterministic) == (torch.__version__, None, True)
        worker.process.terminate()
        worker.process.join(60)
        assert worker.process.exitcode == -signal.SIGTERM
    finally:
        worker.end()
    assert capfd.readouterr() == ("", "")


KNOWS = """
import sys
from pathlib import Path

loaded = sorted({name.partition(".")[0] for name in sys.modules} - sys.stdlib_module_names)
Path(__file__).with_suffix(".loaded").write_text(" ".join(n for n in loaded if n[0] != "_"))

import codonbench

class Fitted(codonbench.Estimator):
    info = codonbench.ModelInfo(name="fitted", version="1", summary="Needs no PyTorch")
    encoding = "sequence"
    fit = predict = None
"""


def test_a_plugin_that_is_asked_what_it_is_finds_numpy_and_its_contract_and_no_pytorch(tmp_path):
    (tmp_path / "knows.py").write_text(KNOWS)
    registry = discover([], Selection(trusted=()), [tmp_path / "knows.py"])
    describe(registry, list(registry.undescribed), ask_new_worker)
    assert registry.model("fitted").cls.info.summary == "Needs no PyTorch"
    found = set((tmp_path / "knows.loaded").read_text().split())
    contract = {"codonbench", "codonbench_file_knows", "numpy", "pydantic", "pluggy"}
    of_pydantic = {"pydantic_core", "annotated_types", "typing_extensions", "typing_inspection"}
    assert contract <= found <= contract | of_pydantic


def test_the_parent_needs_no_torch():
    modules = ("process", "pool", "run", "machine", "sandbox", "worker")
    names = ", ".join(["codonbench.api", *(f"codonbench.execution.{name}" for name in modules)])
    code = f"import sys, {names}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_worker_that_tests_fork_stands_as_one_that_is_started(request):
    def stands():
        worker = launch("codonbench.execution.worker")
        Inbox(worker.incoming).wait(60)
        seen = Path(f"/proc/{worker.pid}")
        files = [str(file.readlink()) for file in (seen / "fd").iterdir()]
        pipes = sum(file.startswith("pipe:") for file in files)
        status = dict(line.split(":\t", 1) for line in (seen / "status").read_text().splitlines())
        group = (os.getpgid(worker.pid), os.getsid(worker.pid)) == (worker.pid, worker.pid)
        worker.kill()
        parent = int(status["PPid"]) == os.getpid()
        return (
            pipes,
            files.count(os.devnull),
            parent,
            group,
            (seen / "cwd").exists(),
            worker.exitcode,
        )

    started = stands()
    request.getfixturevalue("forked_workers")
    assert stands() == started == (5, 1, True, True, False, -signal.SIGKILL)
