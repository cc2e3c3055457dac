"""The runs that one worker has been ordered to make: led, timed, and taken in as they end."""

from __future__ import annotations

import stat
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from codonbench.errors import OutOfTurnError, UsageError
from codonbench.execution.in_process import Work, collected
from codonbench.execution.messages import (
    Arrays,
    Ask,
    Began,
    Directions,
    Ended,
    File,
    Hello,
    Kept,
    Message,
    Served,
    Taken,
    Unusable,
)
from codonbench.execution.orders import write_order
from codonbench.execution.worker_process import WorkerProcess
from codonbench.protocols.referee import Guides, Watch
from codonbench.protocols.setup import Setting
from codonbench.records.printable import harmless, visible
from codonbench.training.feed import Directions as Way
from codonbench.training.feed import Probes, Shown
from codonbench.training.result import Lab

GRACE = 10.0
"""Seconds a worker has to tell what it has once asked to stop, and to be done once all is told."""

TO_BEGIN = 60.0
"""Seconds beyond a run's own that a worker has until the run begins, where those are limited."""

_PATIENCE = 10.0  # seconds for an end to be known


class RunGroup:
    """Some runs of one model in one worker.

    Args:
        work: What the worker is to do.
        watch: Called as each run begins.
        files: Name and path of each plugin module that is no installed one.
        worker: Who trains; it is idle, or still coming up.

    Attributes:
        worker: The same.
        served: Whether the worker is done.
        in_order: Whether no run of it failed, so that it may be given more.
        gone: Whether it has ended, or has been ended.
    """

    def __init__(
        self, work: Work, watch: Watch, files: Sequence[File], worker: WorkerProcess
    ) -> None:
        self.worker = worker
        self._work = work
        self._files = files
        self._watch = watch
        self._guides: Guides | None = None
        self._began: dict[int, float] = {}
        self._ended: set[int] = set()
        self._overdue: float | None = None
        self._asked: float | None = None
        self._why = ""
        self._asked_for_pairs = self.served = self.gone = False
        self.in_order = True
        self._idle_since = time.monotonic()
        worker.owner = work.entry.origin.distribution
        if worker.facts is not None:
            self._attempt(self._order)

    def hear(self) -> Iterator[tuple[Setting, Lab]]:
        """Take in what has come, and answer it; yield the runs it ends.

        Raises:
            UsageError: The model cannot serve this task.
        """
        try:
            for message, arrays in self.worker.heard():
                if self.gone:
                    return
                if isinstance(message, Ended):
                    yield from self._end(message)
                else:
                    self._answer(message, arrays)
        except OutOfTurnError as error:
            self._bury(f"sent a message out of turn: {error}")
        except ValueError:
            self._bury("sent what is no message")
        except (EOFError, OSError):  # it is ending, which on a busy machine takes a while
            self._bury(patience=_PATIENCE)

    @property
    def _leading(self) -> Guides:
        if self._guides is None:
            raise OutOfTurnError("speaks before it is spoken to")
        return self._guides

    def _order(self) -> None:
        """Send the order, now that it is known which machine the runs are made on."""
        assert self.worker.facts is not None
        work, worker = self._work, self.worker
        self._guides = guides = work.guides(work.run_specs, self._watch, self.worker.facts)
        told = write_order(work, guides, self._files, worker.states, worker.states_inside)
        worker.send(*told)
        guides.prepare()  # while it builds its modules

    def _answer(self, message: Message, arrays: Arrays) -> None:
        if isinstance(message, Hello):
            self._order()
        elif isinstance(message, Unusable):
            if not self._asked_for_pairs:
                raise UsageError(harmless(message.error))
            self._bury(f"refuses to go on: {visible(message.error)}")
        elif isinstance(message, Began):
            self._leading.begin(self._known(message.run))
            self._began.setdefault(message.run, time.monotonic())
        elif isinstance(message, Kept):
            self._keep(message)
        elif isinstance(message, Ask):
            self._asked_for_pairs = True
            ways = self._leading.lead(self._shown(message, arrays))
            self.worker.send(*_directions(ways))
        elif isinstance(message, Served) and not self._unfinished():
            self.served = True
        else:
            raise OutOfTurnError(f"says {message.kind!r}")

    def _keep(self, message: Kept) -> None:
        if self.worker.states is None:
            raise OutOfTurnError("keeps what nobody asked for")
        source = self.worker.states / message.file

        def move(target: Path) -> None:
            source.replace(target)
            found = target.lstat()  # out of its reach now
            if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
                raise OutOfTurnError(f"keeps {message.file}, which is no file of its own")

        if not source.is_file():
            raise OutOfTurnError(f"keeps {message.file}, which is not there")
        self._leading.keep(self._known(message.run), message.position, move)
        self.worker.send(Taken())

    def _shown(self, message: Ask, arrays: Arrays) -> list[Shown]:
        """Return what the runs of a message show."""
        runs, spec = message.runs, self._work.dataset.spec
        if len(set(runs)) != len(runs) or len(message.positions) != len(runs):
            raise OutOfTurnError("asks for one run twice")
        logits = arrays.get("logits")
        expected = (len(runs), len(spec.probe_inputs), len(spec.classes))
        if logits is not None and (logits.shape != expected or logits.dtype != np.float32):
            raise OutOfTurnError(f"shows {logits.dtype} of shape {logits.shape}, not {expected}")
        return [
            Shown(self._known(run), position, None if logits is None else logits[i])
            for i, (run, position) in enumerate(zip(runs, message.positions, strict=True))
        ]

    def _known(self, run: int) -> int:
        """Return the number of a run that is still to come or under way."""
        if run >= len(self._work.run_specs) or run in self._ended:
            raise OutOfTurnError(f"speaks of run {run}")
        return run

    def _end(self, message: Ended) -> Iterator[tuple[Setting, Lab]]:
        guide = self._leading.guides[self._known(message.run)]
        status, error = message.status, message.error
        if status == "done" and not guide.probes.over:
            raise OutOfTurnError("ends before its end")
        if status in ("timeout", "diverged"):  # which are for us to see
            raise OutOfTurnError(f"says {status}")
        if status == "interrupted" and self._asked is None:
            status, error = "error", "interrupted itself"
        lab = Lab(
            Probes(position=message.position, seconds=message.probe_seconds),
            status=status,
            error=error,
            details=message.details,
            engine=message.engine,
            parameters=message.parameters,
            weights_sha256=message.weights_sha256,
        )
        self.in_order = self.in_order and status == "done"
        yield self._collected(message.run, lab)

    def _collected(self, run: int, lab: Lab) -> tuple[Setting, Lab]:
        self._ended.add(run)
        self._idle_since = time.monotonic()
        guides = self._guides or self._work.guides(self._work.run_specs, self._watch)
        lab.facts = self.worker.facts
        return guides.guides[run].setting, collected(lab, guides, run)

    def look_at_the_clock(self, timeout: float | None) -> None:
        """End the worker if a run has been going on for too long, or if it ended unheard."""
        if self.gone or self.served:
            return
        now, unfinished = time.monotonic(), self._unfinished()
        running = [t for run, t in self._began.items() if run not in self._ended]
        idle = 0.0 if running else now - self._idle_since
        asked = 0.0 if self._asked is None else now - self._asked
        if asked > GRACE or (not unfinished and idle > GRACE):
            self._bury()
        elif timeout is not None and any(now - t > timeout for t in running):
            self._overdue = timeout
            self._bury()
        elif timeout is not None and unfinished and idle > timeout + TO_BEGIN:
            self._overdue = timeout + TO_BEGIN
            self._began[unfinished[0]] = self._idle_since  # it is that one's turn
            self._bury()
        elif self.worker.ended_unheard:
            self._bury()

    def ask_to_stop(self) -> None:
        """Let the worker tell what it has so far."""
        if self._asked is None and not self.gone:
            self._asked = time.monotonic()
            self.worker.process.terminate()

    def _attempt(self, action: Callable[[], None]) -> None:
        try:
            action()
        except OSError:
            self._bury(patience=_PATIENCE)

    def _bury(self, why: str | None = None, patience: float = 1.0) -> None:
        if not self.gone:
            self.gone = True
            self.worker.process.join(patience)
            self._why = why or self.worker.how_it_ended()
            self.worker.end()

    def cut_short(self) -> Iterator[tuple[Setting, Lab]]:
        """Yield the runs that the worker's end cut short, unless they are left over."""
        for run in self._unfinished():
            if run in self._begun_anew() or (self._asked is not None and run not in self._began):
                continue
            lab = Lab(Probes())
            at = 0 if self._guides is None else self._guides.guides[run].probes.position
            where = f"at {at:,} pairs"
            if self._asked is not None:
                lab.status, lab.error = "interrupted", None
            elif self._overdue is not None:
                lab.status = "timeout"
                lab.error = f"not over after {self._overdue:g} seconds, {where}"
            else:
                lab.status = "error"
                lab.error = f"the worker process {self._why}, {where}"
            yield self._collected(run, lab)

    def left_over(self) -> list[Work]:
        """Return what is to be handed to other workers: each run that may be no culprit."""
        return [
            replace(self._work, run_specs=(self._work.run_specs[run],))
            for run in self._begun_anew()
        ]

    def _unfinished(self) -> list[int]:
        return [run for run in range(len(self._work.run_specs)) if run not in self._ended]

    def _begun_anew(self) -> list[int]:
        """Return the runs that are tried again: none alone, none asked to stop, none overdue."""
        unfinished = self._unfinished()
        if self._asked is not None or len(self._work.run_specs) == 1:
            return []
        if self._overdue is not None:
            return [run for run in unfinished if run not in self._began]
        return unfinished


def _directions(ways: Sequence[Way]) -> tuple[Directions, Arrays]:
    """Return how some runs go on, as it travels."""
    told = Directions(
        probes=tuple(way.probe for way in ways), counts=tuple(len(way.index) for way in ways)
    )
    columns = {
        name: np.concatenate([getattr(way, name) for way in ways]).astype(np.int32)
        for name in ("index", "labels")
    }
    return told, columns
