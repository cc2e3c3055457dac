"""The child's side: learn what is handed over, ask the parent for every pair, die with it."""

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from types import FrameType

import numpy as np

from codonbench.errors import UsageError
from codonbench.execution.machine import pin_arithmetic, subnormals_as_zero
from codonbench.execution.messages import (
    Ask,
    Began,
    Ended,
    Hello,
    Kept,
    Message,
    Unusable,
    pack,
    unpack_directions,
)
from codonbench.execution.orders import Orders
from codonbench.records.printable import storable
from codonbench.training.feed import Directions, Shown
from codonbench.training.result import Lab
from codonbench.training.trainer import study


def serve(connection: Connection) -> None:
    """Train some work; the target of a worker process.

    Args:
        connection: To the parent.
    """
    if hasattr(os, "setsid"):
        with suppress(OSError):
            os.setsid()  # what a plugin sends to its group, it sends to itself and what it starts
    os.dup2(2, 1)  # standard output is the parent's, for results
    threading.Thread(target=_die_with_parent, daemon=True).start()
    relay = Relay(connection)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    with suppress(KeyboardInterrupt):  # asked to stop: what there was to tell is told
        try:
            _obey(relay)
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    connection.close()


def _obey(relay: Relay) -> None:
    """Take orders, train, and tell of it."""
    relay.send(Hello())
    orders: Orders = pickle.loads(relay.hear())
    pin_arithmetic(orders.threads)
    try:
        model, config = orders.learner()
        with subnormals_as_zero():
            for run, lab in study(model, config, orders.assignments, relay, orders.every):
                relay.ended(run, lab)
    except UsageError as error:
        relay.send(Unusable(error=storable(str(error))))


class Relay:
    """Stands in for the leader, who is at the other end of a connection.

    A signal never cuts a message in two. Whose leader is gone ends without a word.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = self._asked = False

    def asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once, and not while a message is on its way."""
        if self._asked:
            return
        self._asked = True
        if not self._sending:
            raise KeyboardInterrupt

    def send(self, message: Message, rest: bytes = b"") -> None:
        """Send one message whole."""
        asked, self._sending = self._asked, True
        with _or_die():
            self._connection.send_bytes(pack(message, rest))
        self._sending = False
        if self._asked and not asked:
            raise KeyboardInterrupt

    def hear(self) -> bytes:
        """Return what the leader says."""
        with _or_die():
            return self._connection.recv_bytes()

    def begin(self, run: int) -> None:
        """Tell that a run begins."""
        self.send(Began(run=run))

    def lead(self, shown: Sequence[Shown]) -> list[Directions]:
        """Tell what some runs show; return how they go on.

        Until the first time there is nothing to tell once asked to stop, so that SIGTERM is left
        to end this process.
        """
        signal.signal(signal.SIGTERM, self.asked_to_stop)
        logits = [s.logits for s in shown if s.logits is not None]
        message = Ask(
            runs=tuple(s.run for s in shown),
            positions=tuple(s.position for s in shown),
            shown=bool(logits),
        )
        self.send(message, np.stack(logits).astype("<f4").tobytes() if logits else b"")
        return unpack_directions(self.hear())

    def keep(self, run: int, position: int, state: bytes) -> None:
        """Hand over what a run needs to go on from here."""
        self.send(Kept(run=run, position=position), state)

    def ended(self, run: int, lab: Lab) -> None:
        """Tell how a run ended."""
        self.send(
            Ended(
                run=run,
                status=lab.status,
                error=lab.error,
                details=lab.details,
                position=lab.probes.position,
                probe_seconds=lab.probes.seconds,
                engine=lab.engine,
                parameters=lab.parameters,
                weights_sha256=lab.weights_sha256,
            )
        )


@contextmanager
def _or_die() -> Iterator[None]:
    """End this process where its parent turns out to have gone."""
    try:
        yield
    except (EOFError, OSError):
        os._exit(1)


def _die_with_parent() -> None:
    """End this process when its parent has ended, however that came about."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


if __name__ == "__main__":  # in a sandbox
    serve(Connection(int(sys.argv[1])))
