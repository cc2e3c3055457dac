"""A process of its own: what it sends arrives, and what hangs or dies is ended and told of."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from codonbench.testing.apart import CLOCK, Stopped, run_apart

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _importable(monkeypatch, tmp_path):
    """Let the other process find this file's functions."""
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.chdir(tmp_path)  # nothing is imported from the current folder


def counts(send, argument):
    send((CLOCK, 60))
    for i in range(argument):
        send(("number", i))


def hangs(send, argument):
    send((CLOCK, 2))
    send(("begun", os.getpid()))
    while True:
        time.sleep(0.01)


def dies(send, argument):
    send((CLOCK, 60))
    os._exit(7)


def leaves_a_thread(send, argument):
    threading.Thread(target=time.sleep, args=(300,)).start()
    send(("done", None))


def prints(send, argument):
    print("not a result", flush=True)
    os.write(1, b"nor is this\n")


def tells_whether_it_is_deaf(send, argument):
    send(("deaf", signal.getsignal(signal.SIGINT) is signal.SIG_IGN and os.getpgrp() != argument))


def test_messages_arrive_in_order():
    assert list(run_apart(counts, 3)) == [("number", i) for i in range(3)]


def test_what_does_not_end_is_killed():
    messages = run_apart(hangs, None)
    _, pid = next(messages)
    with pytest.raises(Stopped, match=r"^did not finish within 2 s$"):
        next(messages)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_reader_that_leaves_early_leaves_no_process():
    messages = run_apart(hangs, None)
    _, pid = next(messages)
    messages.close()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_dies_is_told_with_its_exit_code():
    with pytest.raises(Stopped, match="ended its process with exit code 7"):
        list(run_apart(dies, None))


def test_a_thread_left_behind_holds_nothing_up():
    started = time.monotonic()
    assert list(run_apart(leaves_a_thread, None)) == [("done", None)]
    assert time.monotonic() - started < 60


def test_nothing_reaches_standard_output(capfd):
    assert list(run_apart(prints, None)) == []
    out, err = capfd.readouterr()
    assert out == ""
    assert {"not a result", "nor is this"} <= set(err.splitlines())


def test_ctrl_c_does_not_reach_it():
    assert list(run_apart(tells_whether_it_is_deaf, os.getpgrp())) == [("deaf", True)]
