"""The parent's side: work shared out to processes, watched, timed, and taken in again."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import pairwise
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import FrameType

import numpy as np

from codonbench.config import RunPlan
from codonbench.errors import UsageError
from codonbench.lab import Lab
from codonbench.learning import TOGETHER, Watch, Work
from codonbench.relabelling import relabelling
from codonbench.setting import Setting
from codonbench.stopping import right_rows
from codonbench.training import OnProbe, Probes
from codonbench.workers.messages import Began, Ended, Logits, Seen, Unusable, unpack
from codonbench.workers.processes import start
from codonbench.workers.worker import Orders, serve

_TICK = 0.2  # seconds between two looks at the clock
_GRACE = 10.0  # seconds a worker has to tell what it has once asked to stop

File = tuple[str, Path]


class Crew:
    """Worker processes that train.

    Args:
        size: How many work at once; one for each core that the runs' threads leave.
        files: Name and path of each plugin module that is no installed one.
        timeout: Seconds that a run may take; None for as long as it likes.

    Attributes:
        interrupted: Whether Ctrl-C has been pressed.
    """

    def __init__(self, size: int, files: Sequence[File] = (), timeout: float | None = None) -> None:
        self.size = size
        self._files = tuple(files)
        self._timeout = timeout
        self.interrupted = False

    def learn(self, work: Work, watch: Watch) -> Iterator[tuple[Setting, Lab]]:
        """Train the model once for each plan; yield each as it ends.

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
        busy: dict[Connection, _Post] = {}
        try:
            while busy or (waiting and not self.interrupted):
                while waiting and len(busy) < self.size and not self.interrupted:
                    post = _Post(waiting.popleft(), watch, self._files)
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

        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = signal.signal(signal.SIGINT, note)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, before)


def _shared_out(work: Work, size: int) -> list[Work]:
    """Return the work in parts, of as equal size as can be, at most `TOGETHER` plans each."""
    rounds = math.ceil(len(work.plans) / size / TOGETHER)
    parts = min(rounds * size, len(work.plans))
    bounds = [len(work.plans) * i // parts for i in range(parts + 1)]
    return [replace(work, plans=work.plans[a:b]) for a, b in pairwise(bounds)]


class _Post:
    """One worker process, and what is known of its runs."""

    def __init__(self, work: Work, watch: Watch, files: tuple[File, ...]) -> None:
        self._work = work
        self._watch = watch
        self._labs = [Lab(Probes()) for _ in work.plans]
        self._began: dict[int, float] = {}
        self._follow: dict[int, OnProbe] = {}
        self._ended: set[int] = set()
        self._overdue: float | None = None
        self._asked: float | None = None
        self._why = ""
        self.gone = False
        self.connection, theirs = Pipe(duplex=False)
        self._process = start(serve, (theirs, Orders.of(work, files)))
        theirs.close()

    def hear(self) -> Iterator[tuple[Setting, Lab]]:
        """Take in one message; yield the run it ends."""
        try:
            message, logits = unpack(self.connection.recv_bytes())
        except (EOFError, OSError):
            self._bury()
        except ValueError:
            self._bury("sent what is no message")
        else:
            if isinstance(message, Unusable):
                raise UsageError(message.error)
            if not self._makes_sense(message):
                self._bury("sent a message out of turn")
            else:
                yield from self._note(message, logits)

    def _makes_sense(self, message: Began | Seen | Ended) -> bool:
        if message.run >= len(self._labs) or message.run in self._ended:
            return False
        if isinstance(message, Seen):
            spec = self._work.dataset.spec
            shape = (len(message.pairs), len(spec.probe_inputs), len(spec.classes))
            return message.run in self._follow and message.shape == shape
        return True

    def _note(self, message: Began | Seen | Ended, logits: Logits) -> Iterator[tuple[Setting, Lab]]:
        run, plan = message.run, self._work.plans[message.run]
        if isinstance(message, Began):
            self._labs[run] = Lab(Probes())
            self._began[run] = time.monotonic()
            self._follow[run] = self._watch(plan)
        elif isinstance(message, Seen):
            self._look(run, plan, message.pairs, logits)
        else:
            self._ended.add(run)
            yield self._setting(plan), _filled(self._labs[run], message)

    def _look(self, run: int, plan: RunPlan, positions: Sequence[int], logits: Logits) -> None:
        """Keep what a run showed, and show it to whoever watches."""
        dataset, lab = self._work.dataset, self._labs[run]
        labels = relabelling(len(dataset.spec.classes), plan.salt, plan.seed)
        hidden = labels.hide(dataset.labels)[dataset.probe]
        for position, shown in zip(positions, logits, strict=True):
            lab.probes.pairs.append(position)
            lab.probes.logits.append(shown)
            lab.probes.position = position
            self._follow[run](position, right_rows(shown, hidden), shown)

    def look_at_the_clock(self, timeout: float | None) -> None:
        """End the process if a run has been going on for too long."""
        now = time.monotonic()
        running = [t for run, t in self._began.items() if run not in self._ended]
        if self._asked is not None and now - self._asked > _GRACE:
            self._bury()
        elif timeout is not None and any(now - t > timeout for t in running):
            self._overdue = timeout
            self._bury()

    def ask_to_stop(self) -> None:
        """Let it tell what it has so far, and end."""
        if self._asked is None and not self.gone:
            self._asked = time.monotonic()
            self._process.terminate()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self._process.join()
        self.connection.close()

    def _bury(self, why: str | None = None) -> None:
        if not self.gone:
            self.gone = True
            self._process.join(timeout=1)  # it may just be about to end by itself
            self._why = why or _how(self._process.exitcode)
            self.kill()

    def ruins(self) -> Iterator[tuple[Setting, Lab]]:
        """Yield the runs that the worker's end cut short, unless they are left over."""
        for run in self._unfinished():
            if run in self._begun_anew() or (self._asked is not None and run not in self._began):
                continue
            lab = self._labs[run]
            where = f"at {lab.probes.position:,} pairs"
            if self._asked is not None:
                lab.status, lab.error = "interrupted", None
            elif self._overdue is not None:
                lab.status = "timeout"
                lab.error = f"not over after {self._overdue:g} seconds, {where}"
            else:
                lab.status = "error"
                lab.error = f"the worker process {self._why}, {where}"
            self._ended.add(run)
            yield self._setting(self._work.plans[run]), lab

    def left_over(self) -> list[Work]:
        """Return what is to be handed to other workers: each run that may be no culprit."""
        return [replace(self._work, plans=(self._work.plans[run],)) for run in self._begun_anew()]

    def _unfinished(self) -> list[int]:
        return [run for run in range(len(self._labs)) if run not in self._ended]

    def _begun_anew(self) -> list[int]:
        """Return the runs that are tried again: none alone, none asked to stop, none overdue."""
        unfinished = self._unfinished()
        if self._asked is not None or len(self._work.plans) == 1:
            return []
        if self._overdue is not None:
            return [run for run in unfinished if run not in self._began]
        return unfinished

    def _setting(self, plan: RunPlan) -> Setting:
        return Setting(plan, self._work.dataset, self._work.config.batch_size)


def _filled(lab: Lab, message: Ended) -> Lab:
    """Return the lab with what the worker says of its end."""
    lab.probes.position = message.position
    lab.probes.seconds = message.probe_seconds
    lab.probes.frame_pairs = list(message.frame_pairs)
    lab.probes.frame_inputs = [np.asarray(batch) for batch in message.frame_inputs]
    lab.status, lab.error = message.status, message.error
    lab.build_seconds, lab.train_seconds = message.build_seconds, message.train_seconds
    lab.engine = message.engine
    lab.parameters, lab.weights_sha256 = message.parameters, message.weights_sha256
    return lab


def _how(exitcode: int | None) -> str:
    """Return ``was killed by SIGSEGV`` or ``ended with exit code 3``."""
    if exitcode is None:
        return "no longer answers"
    if exitcode < 0:
        return f"was killed by {signal.Signals(-exitcode).name}"
    return f"ended with exit code {exitcode}"
