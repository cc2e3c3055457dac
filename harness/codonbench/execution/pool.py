"""Work shared out to worker processes, which stay for more."""

from __future__ import annotations

import math
import selectors
import signal
import threading
import weakref
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Self

from codonbench.contracts.machine import TorchFacts
from codonbench.execution.in_process import TOGETHER
from codonbench.execution.messages import File
from codonbench.execution.prepare import Job
from codonbench.execution.run_group import RunGroup
from codonbench.execution.sandbox import Sandbox
from codonbench.execution.worker_process import Launch, WorkerProcess, launch_worker
from codonbench.protocols.referee import Referee, Watch
from codonbench.records.checkpoint_files import Checkpoints
from codonbench.training.result import TrainResult

_TICK = 0.2  # seconds between two looks at the clock


class WorkerPool:
    """Worker processes that train; they end with `close`, with this object, or with this process.

    A worker that has served is given more work of the same distribution, whose plugins trust one
    another; other plugins get a worker of their own.

    Args:
        size: How many work at once; one for each core that the runs' threads leave.
        files: Name and path of each plugin module that is no installed one.
        timeout: Seconds that a run may take; None for as long as it likes.
        states: A folder in which workers keep states of runs on their way to the checkpoints,
            best on the same file system; None for no checkpoints.
        gpu: Whether workers may use a GPU.
        sandbox: Where to hold them; None for nowhere.
        launch: Starts a worker; by default as the other arguments say.

    Attributes:
        interrupted: Whether Ctrl-C has been pressed.
    """

    def __init__(
        self,
        size: int,
        files: Sequence[File] = (),
        timeout: float | None = None,
        states: Path | None = None,
        *,
        gpu: bool = False,
        sandbox: Sandbox | None = None,
        launch: Launch | None = None,
    ) -> None:
        self.size = size
        self.files = tuple(files)
        self._timeout = timeout
        self._states = states
        self._sandboxed = sandbox is not None
        self._launch = launch or partial(launch_worker, gpu=gpu, sandbox=sandbox)
        self._idle: list[WorkerProcess] = []
        self._end = weakref.finalize(self, _end_all, self._idle)
        self.interrupted = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the workers that are left."""
        _end_all(self._idle)

    def start(self, count: int) -> None:
        """Start workers, so that they import PyTorch beside whatever is done here meanwhile."""
        while len(self._idle) < min(count, self.size):
            self._idle.append(self._new())

    def facts(self) -> TorchFacts:
        """Wait until a worker has come up; return what PyTorch says there.

        Raises:
            WorkerError: It does not come up.
        """
        self.start(1)
        return self._idle[0].greeting()

    def train(
        self, job: Job, watch: Watch, checkpoints: Checkpoints | None = None
    ) -> Iterator[tuple[Referee, TrainResult]]:
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
            for referee, result in self._trained(job, watch, checkpoints):
                told = told or result.status == "interrupted"
                yield referee, result
        if self.interrupted and not told:  # else the records tell
            raise KeyboardInterrupt

    def _trained(
        self, job: Job, watch: Watch, checkpoints: Checkpoints | None
    ) -> Iterator[tuple[Referee, TrainResult]]:
        """Keep as many workers busy as there may be; yield each run as it ends."""
        waiting = deque(_shared_out(job, self.size))
        busy: list[RunGroup] = []
        try:
            while busy or (waiting and not self.interrupted):
                while waiting and len(busy) < self.size and not self.interrupted:
                    part = waiting.popleft()
                    worker = self._worker_for(part.entry.origin.distribution)
                    busy.append(RunGroup(part, watch, checkpoints, self.files, worker))
                if self.interrupted:
                    for group in busy:
                        group.ask_to_stop()
                for group in _heard_of([group for group in busy if not group.gone]):
                    yield from group.hear()
                for group in list(busy):
                    group.look_at_the_clock(self._timeout)
                    if group.gone or group.served:
                        busy.remove(group)
                        if group.served and group.in_order:
                            self._idle.append(group.worker)
                        else:
                            group.worker.end()
                        yield from group.cut_short()
                        waiting.extendleft(reversed(group.left_over()))
        finally:
            for group in busy:
                group.worker.end()

    def _worker_for(self, owner: str) -> WorkerProcess:
        """Return a worker that is idle or coming up and has loaded nobody else's plugin."""
        for worker in list(self._idle):
            if worker.process.exitcode is not None:
                self._idle.remove(worker)
                worker.end()
            elif worker.owner in (None, owner):
                self._idle.remove(worker)
                return worker
        _end_all(self._idle)
        return self._new()

    def _new(self) -> WorkerProcess:
        return WorkerProcess(self._launch, self._states, sandboxed=self._sandboxed)

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


def _end_all(workers: list[WorkerProcess]) -> None:
    while workers:
        workers.pop().end()


def _heard_of(groups: Sequence[RunGroup]) -> list[RunGroup]:
    """Return those whose worker has spoken, after a while at most."""
    with selectors.DefaultSelector() as selector:
        for group in groups:
            selector.register(group.worker.fd, selectors.EVENT_READ, group)
        return [key.data for key, _ in selector.select(_TICK)]


def _shared_out(job: Job, size: int) -> list[Job]:
    """Return a job in parts, of as equal size as can be, at most `TOGETHER` specs each."""
    rounds = math.ceil(len(job.run_specs) / size / TOGETHER)
    parts = min(rounds * size, len(job.run_specs))
    bounds = [len(job.run_specs) * i // parts for i in range(parts + 1)]
    return [replace(job, run_specs=job.run_specs[a:b]) for a, b in pairwise(bounds)]
