"""Where worker processes come from: an ancestor that may come to its end at any time."""

import os
import sys
import time
from multiprocessing import forkserver

import pytest

from codonbench.errors import WorkerError
from codonbench.execution import processes

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no process is forked there")


def upset_the_ancestor():
    """What a plugin can do to it by writing to every descriptor there is."""
    os.write(forkserver._forkserver._forkserver_alive_fd, b"nonsense")


def test_an_ancestor_that_is_about_to_end_is_replaced(capfd):
    for _ in range(3):
        processes.warm_up()
        time.sleep(0.1)
        upset_the_ancestor()
        process = processes.start(os.getpid, ())
        process.join()
        assert process.exitcode == 0


def test_where_none_lasts_that_is_said_in_words(monkeypatch):
    def fork(target, arguments):
        raise EOFError("it has ended")

    monkeypatch.setattr(processes, "_fork", fork)
    monkeypatch.setattr(processes, "_PATIENCE", 0.2)
    with pytest.raises(WorkerError, match=r"no worker process can be started: EOFError.*ended"):
        processes.start(os.getpid, ())
