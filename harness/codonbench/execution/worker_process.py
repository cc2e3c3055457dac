"""One worker process as its parent sees it: heard, led, timed, and taken in when it ends."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np

from codonbench.errors import OutOfTurnError, UsageError
from codonbench.execution.in_process import Work, collected
from codonbench.execution.inbox import Inbox
from codonbench.execution.messages import (
    Ask,
    Began,
    Ended,
    Hello,
    Kept,
    Message,
    Unusable,
    pack_directions,
    unpack,
)
from codonbench.execution.orders import File, Orders
from codonbench.execution.processes import Start
from codonbench.protocols.referee import Watch
from codonbench.protocols.setup import Setting
from codonbench.records.printable import harmless, visible
from codonbench.training.feed import Probes, Shown
from codonbench.training.result import Lab

GRACE = 10.0
"""Seconds a worker has to tell what it has once asked to stop, and to end once all is told."""

TO_BEGIN = 60.0
"""Seconds beyond a run's own that a worker has until the run begins, where those are limited."""

_PATIENCE = 10.0  # seconds for an answer to be taken off our hands, or for an end to be known
_MOST = 1 << 30  # bytes of a message


class Post:
    """One worker process, and what is known of its runs.

    Args:
        work: What it is to do.
        watch: Called as each of its runs begins.
        files: Name and path of each plugin module that is no installed one.
        start: Starts the process.

    Attributes:
        connection: To it.
        gone: Whether it has ended, or has been ended.
    """

    def __init__(self, work: Work, watch: Watch, files: Sequence[File], start: Start) -> None:
        self._work = work
        self._files = files
        self._guides = work.guides(work.run_specs, watch)
        self._began: dict[int, float] = {}
        self._ended: set[int] = set()
        self._overdue: float | None = None
        self._asked: float | None = None
        self._why = ""
        self._ordered = self._asked_for_pairs = self.gone = False
        self.connection, theirs = Pipe()
        self._inbox = Inbox(self.connection, _MOST)
        _do_not_wait_for(self.connection)
        self._process = start(theirs)
        self._idle_since = time.monotonic()
        theirs.close()

    def hear(self) -> Iterator[tuple[Setting, Lab]]:
        """Take in what has come, and answer it; yield the runs it ends.

        Raises:
            UsageError: The model cannot serve this task.
        """
        try:
            for message, rest in map(unpack, self._inbox.messages()):
                if self.gone:
                    return
                if isinstance(message, Ended):
                    yield from self._end(message)
                else:
                    self._answer(message, rest)
        except OutOfTurnError as error:
            self._bury(f"sent a message out of turn: {error}")
        except ValueError:
            self._bury("sent what is no message")
        except (EOFError, OSError):  # it is ending, which on a busy machine takes a while
            self._bury(patience=_PATIENCE)

    def _answer(self, message: Message, rest: bytes) -> None:
        guides = self._guides
        if isinstance(message, Unusable):
            if not self._asked_for_pairs:
                raise UsageError(harmless(message.error))
            self._bury(f"refuses to go on: {visible(message.error)}")
        elif isinstance(message, Hello):
            if self._ordered:
                raise OutOfTurnError("greets twice")
            self._ordered = True
            orders = Orders.of(self._work, guides, self._files)
            self.connection.send_bytes(orders.packed())
            guides.prepare()  # while it builds its modules
        elif isinstance(message, Began):
            guides.begin(self._known(message.run))
            self._began.setdefault(message.run, time.monotonic())
        elif isinstance(message, Kept):
            guides.keep(self._known(message.run), message.position, rest)
        elif isinstance(message, Ask):
            self._asked_for_pairs = True
            self.connection.send_bytes(pack_directions(guides.lead(self._shown(message, rest))))

    def _shown(self, message: Ask, rest: bytes) -> list[Shown]:
        """Return what the runs of a message show."""
        runs, spec = message.runs, self._work.dataset.spec
        if len(set(runs)) != len(runs) or len(message.positions) != len(runs):
            raise OutOfTurnError("asks for one run twice")
        shape = (len(runs) if message.shown else 0, len(spec.probe_inputs), len(spec.classes))
        logits = np.frombuffer(rest, "<f4").reshape(shape).astype(np.float32)
        return [
            Shown(self._known(run), position, logits[i] if message.shown else None)
            for i, (run, position) in enumerate(zip(runs, message.positions, strict=True))
        ]

    def _known(self, run: int) -> int:
        """Return the number of a run that is still to come or under way."""
        if run >= len(self._work.run_specs) or run in self._ended:
            raise OutOfTurnError(f"speaks of run {run}")
        return run

    def _end(self, message: Ended) -> Iterator[tuple[Setting, Lab]]:
        guide = self._guides.guides[self._known(message.run)]
        status, error = message.status, message.error
        if status == "done" and not guide.probes.over:
            raise OutOfTurnError("ends before its end")
        if status in ("timeout", "diverged"):  # which are for us to see
            raise OutOfTurnError(f"says {status}")
        if status == "interrupted" and self._asked is None:
            status, error = "error", "interrupted itself"
        self._ended.add(message.run)
        self._idle_since = time.monotonic()
        lab = Lab(
            Probes(position=message.position, seconds=message.probe_seconds),
            status=status,
            error=error,
            details=message.details,
            engine=message.engine,
            parameters=message.parameters,
            weights_sha256=message.weights_sha256,
        )
        yield guide.setting, collected(lab, self._guides, message.run)

    def look_at_the_clock(self, timeout: float | None) -> None:
        """End the process if a run has been going on for too long, or if it ended unheard."""
        if self.gone:
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
        elif self._process.exitcode is not None and not self.connection.poll():
            self._bury()  # something that it has started holds on to its end

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

    def _bury(self, why: str | None = None, patience: float = 1.0) -> None:
        if not self.gone:
            self.gone = True
            self._process.join(patience)
            self._why = why or _how(self._process.exitcode)
            self.kill()

    def ruins(self) -> Iterator[tuple[Setting, Lab]]:
        """Yield the runs that the worker's end cut short, unless they are left over."""
        for run in self._unfinished():
            if run in self._begun_anew() or (self._asked is not None and run not in self._began):
                continue
            lab, guide = Lab(Probes()), self._guides.guides[run]
            where = f"at {guide.probes.position:,} pairs"
            if self._asked is not None:
                lab.status, lab.error = "interrupted", None
            elif self._overdue is not None:
                lab.status = "timeout"
                lab.error = f"not over after {self._overdue:g} seconds, {where}"
            else:
                lab.status = "error"
                lab.error = f"the worker process {self._why}, {where}"
            self._ended.add(run)
            yield guide.setting, collected(lab, self._guides, run)

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


def _do_not_wait_for(connection: Connection) -> None:
    """Let no worker hold its parent up by not taking an answer."""
    if os.name == "nt":  # pipes there know no such limit
        return
    limit = struct.pack("ll", int(_PATIENCE), 0)
    with socket.socket(fileno=os.dup(connection.fileno())) as end:
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def _how(exitcode: int | None) -> str:
    """Return ``was killed by SIGSEGV`` or ``ended with exit code 3``."""
    if exitcode is None:
        return "no longer answers"
    if exitcode < 0:
        with suppress(ValueError):
            return f"was killed by {signal.Signals(-exitcode).name}"
        return f"was killed by signal {-exitcode}"
    return f"ended with exit code {exitcode}"
