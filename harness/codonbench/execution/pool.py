"""The parent's side: work shared out to processes, watched, timed, and taken in again."""

from __future__ import annotations

import math
import signal
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from multiprocessing.connection import Connection, wait
from types import FrameType

from codonbench.execution.in_process import TOGETHER, Work
from codonbench.execution.orders import File
from codonbench.execution.processes import Process, Start, start
from codonbench.execution.worker import serve
from codonbench.execution.worker_process import Post
from codonbench.protocols.referee import Watch
from codonbench.protocols.setup import Setting
from codonbench.training.result import Lab

_TICK = 0.2  # seconds between two looks at the clock


class Crew:
    """Worker processes that train.

    Args:
        size: How many work at once; one for each core that the runs' threads leave.
        files: Name and path of each plugin module that is no installed one.
        timeout: Seconds that a run may take; None for as long as it likes.
        start: Starts a worker: a fork by default, or a process in a sandbox.

    Attributes:
        interrupted: Whether Ctrl-C has been pressed.
    """

    def __init__(
        self,
        size: int,
        files: Sequence[File] = (),
        timeout: float | None = None,
        start: Start | None = None,
    ) -> None:
        self.size = size
        self._start = start or _forked
        self._files = tuple(files)
        self._timeout = timeout
        self.interrupted = False

    def learn(self, work: Work, watch: Watch) -> Iterator[tuple[Setting, Lab]]:
        """Train the model once for each spec; yield each as it ends.

        A worker that dies ends its run in status ``error``; where it had several under way,
        each is begun again in a worker of its own, so that one cannot take the others along.
        One that overruns ends in ``timeout``. After Ctrl-C those under way end in
        ``interrupted``, and no more follow.

        Raises:
            UsageError: The model cannot serve this task.
        """
        told = False
        with self._ctrl_c_noted():
            for setting, lab in self._trained(work, watch):
                told = told or lab.status == "interrupted"
                yield setting, lab
        if self.interrupted and not told:  # else the records tell
            raise KeyboardInterrupt

    def _trained(self, work: Work, watch: Watch) -> Iterator[tuple[Setting, Lab]]:
        """Keep as many workers busy as there may be; yield each run as it ends."""
        waiting = deque(_shared_out(work, self.size))
        busy: dict[Connection, Post] = {}
        try:
            while busy or (waiting and not self.interrupted):
                while waiting and len(busy) < self.size and not self.interrupted:
                    post = Post(waiting.popleft(), watch, self._files, self._start)
                    busy[post.connection] = post
                if self.interrupted:
                    for post in busy.values():
                        post.ask_to_stop()
                for connection in wait(list(busy), timeout=_TICK):
                    assert isinstance(connection, Connection)
                    yield from busy[connection].hear()
                for post in list(busy.values()):
                    post.look_at_the_clock(self._timeout)
                    if post.gone:
                        del busy[post.connection]
                        yield from post.ruins()
                        waiting.extendleft(reversed(post.left_over()))
        finally:
            for post in busy.values():
                post.kill()

    @contextmanager
    def _ctrl_c_noted(self) -> Iterator[None]:
        """Let the first Ctrl-C ask the workers to stop, and only the second one interrupt us."""

        def note(number: int, frame: FrameType | None) -> None:
            self.interrupted = True
            signal.signal(signal.SIGINT, signal.default_int_handler)

        ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN  # as in the background
        if ignored or threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _forked(connection: Connection) -> Process:
    return start(serve, (connection,))


def _shared_out(work: Work, size: int) -> list[Work]:
    """Return the work in parts, of as equal size as can be, at most `TOGETHER` specs each."""
    rounds = math.ceil(len(work.run_specs) / size / TOGETHER)
    parts = min(rounds * size, len(work.run_specs))
    bounds = [len(work.run_specs) * i // parts for i in range(parts + 1)]
    return [replace(work, run_specs=work.run_specs[a:b]) for a, b in pairwise(bounds)]
