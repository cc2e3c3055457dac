"""The child's side: train what is handed over, tell of every probe, die with the parent."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from multiprocessing import parent_process
from multiprocessing.connection import Connection, wait
from types import FrameType

import numpy as np
import numpy.typing as npt

from codonbench.config import RunPlan
from codonbench.errors import UsageError
from codonbench.lab import Lab
from codonbench.learning import learn
from codonbench.training import OnProbe
from codonbench.workers.messages import Began, Ended, Message, Seen, Unusable, pack
from codonbench.workers.orders import Orders

_EVERY = 0.1  # seconds between two tidings of a run's probes


def serve(connection: Connection, orders: Orders) -> None:
    """Train some work; the target of a worker process.

    Args:
        connection: To the parent; only written to.
        orders: What to do.
    """
    os.dup2(2, 1)  # standard output is the parent's, for results
    threading.Thread(target=_die_with_parent, daemon=True).start()
    relay = Relay(connection)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    signal.signal(signal.SIGTERM, relay.asked_to_stop)
    work = orders.work()
    relay.plans = work.plans
    try:
        for setting, lab in learn(work, relay.watch):
            relay.ended(setting.plan, lab)
    except UsageError as error:
        relay.send(Unusable(error=str(error)))
    connection.close()


class Relay:
    """Tells the parent what happens, without letting a signal cut a message in two."""

    def __init__(self, connection: Connection) -> None:
        self.plans: tuple[RunPlan, ...] = ()
        self._connection = connection
        self._flush: dict[int, Callable[[], None]] = {}
        self._sending = self._asked = False

    def asked_to_stop(self, number: int, frame: FrameType | None) -> None:
        """Raise KeyboardInterrupt, once, and not while a message is on its way."""
        if self._asked:
            return
        self._asked = True
        if not self._sending:
            raise KeyboardInterrupt

    def send(self, message: Message, logits: npt.NDArray[np.float32] | None = None) -> None:
        """Send one message whole."""
        asked, self._sending = self._asked, True
        self._connection.send_bytes(pack(message, logits))
        self._sending = False
        if self._asked and not asked:
            raise KeyboardInterrupt

    def watch(self, plan: RunPlan) -> OnProbe:
        """Tell that a run begins; return what tells of its probes."""
        run = self.plans.index(plan)
        self.send(Began(run=run))
        pairs: list[int] = []
        seen: list[npt.NDArray[np.float32]] = []
        told = 0.0

        def flush() -> None:
            if seen:
                logits = np.stack(seen)
                message = Seen(run=run, pairs=tuple(pairs), shape=logits.shape)
                pairs.clear()
                seen.clear()
                self.send(message, logits)

        def follow(
            position: int, right: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32]
        ) -> None:
            nonlocal told
            pairs.append(position)
            seen.append(logits)
            if (now := time.monotonic()) - told >= _EVERY:
                told = now
                flush()

        self._flush[run] = flush
        return follow

    def ended(self, plan: RunPlan, lab: Lab) -> None:
        """Tell how a run ended, after the probes not told of yet."""
        run = self.plans.index(plan)
        if run in self._flush:
            self._flush[run]()
        probes = lab.probes
        self.send(
            Ended(
                run=run,
                status=lab.status,
                error=lab.error,
                position=probes.position,
                frame_pairs=tuple(probes.frame_pairs),
                frame_inputs=tuple(tuple(batch.tolist()) for batch in probes.frame_inputs),
                build_seconds=lab.build_seconds,
                train_seconds=lab.train_seconds,
                probe_seconds=probes.seconds,
                engine=lab.engine,
                parameters=lab.parameters,
                weights_sha256=lab.weights_sha256,
            )
        )


def _die_with_parent() -> None:
    """End this process when its parent has ended, however that came about."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)
