"""One worker process as its parent sees it: heard, watched, timed, and taken in when it ends."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from multiprocessing import Pipe

import numpy as np

from codonbench.errors import UsageError
from codonbench.lab import Lab
from codonbench.learning import Watch, Work
from codonbench.setting import Setting
from codonbench.stopping import right_rows
from codonbench.training import OnProbe, Probes
from codonbench.workers.messages import Began, Ended, Logits, Seen, Unusable, unpack
from codonbench.workers.orders import File, Orders
from codonbench.workers.processes import start
from codonbench.workers.worker import serve

GRACE = 10.0  # seconds a worker has to tell what it has once asked to stop


class Post:
    """One worker process, and what is known of its runs.

    Args:
        work: What it is to do.
        watch: Called as each of its runs begins.
        files: Name and path of each plugin module that is no installed one.

    Attributes:
        connection: From it.
        gone: Whether it has ended, or has been ended.
    """

    def __init__(self, work: Work, watch: Watch, files: Sequence[File]) -> None:
        self._work = work
        self._watch = watch
        self._labs = [Lab(Probes()) for _ in work.plans]
        self._settings: dict[int, Setting] = {}
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
        if isinstance(message, Ended):
            size, inputs = self._work.config.batch_size, len(self._work.dataset.inputs)
            batches = message.frame_inputs
            return len(batches) == len(message.frame_pairs) and all(
                len(batch) == size and min(batch) >= 0 and max(batch) < inputs for batch in batches
            )
        return True

    def _note(self, message: Began | Seen | Ended, logits: Logits) -> Iterator[tuple[Setting, Lab]]:
        run = message.run
        if isinstance(message, Began):
            self._labs[run] = Lab(Probes())
            self._began[run] = time.monotonic()
            self._follow[run] = self._watch(self._work.plans[run])
        elif isinstance(message, Seen):
            self._look(run, message.pairs, logits)
        else:
            self._ended.add(run)
            yield self._setting(run), _filled(self._labs[run], message)

    def _look(self, run: int, positions: Sequence[int], logits: Logits) -> None:
        """Keep what a run showed, and show it to whoever watches."""
        lab, setting = self._labs[run], self._setting(run)
        dataset = setting.dataset
        hidden = setting.labels.hide(dataset.labels)[dataset.probe]
        for position, shown in zip(positions, logits, strict=True):
            lab.probes.pairs.append(position)
            lab.probes.logits.append(shown)
            lab.probes.position = position
            self._follow[run](position, right_rows(shown, hidden), shown)

    def look_at_the_clock(self, timeout: float | None) -> None:
        """End the process if a run has been going on for too long."""
        now = time.monotonic()
        running = [t for run, t in self._began.items() if run not in self._ended]
        if self._asked is not None and now - self._asked > GRACE:
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
            yield self._setting(run), lab

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

    def _setting(self, run: int) -> Setting:
        if run not in self._settings:
            batch_size = self._work.config.batch_size
            self._settings[run] = Setting(self._work.plans[run], self._work.dataset, batch_size)
        return self._settings[run]


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
