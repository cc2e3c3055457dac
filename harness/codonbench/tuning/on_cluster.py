"""Trials on a Ray cluster: a node trains, and asks the driver, who has the study, at each look."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from codonbench import errors
from codonbench.contracts.run_spec import RunOptions, RunRequest, configure
from codonbench.errors import ClusterError, WorkerError
from codonbench.execution.cluster import (
    TRIES,
    Cluster,
    NodeLostError,
    Orders,
    Place,
    Resources,
)
from codonbench.execution.executor import Executor
from codonbench.execution.node import Order
from codonbench.execution.prepare import Job
from codonbench.execution.process import ctrl_c_noted
from codonbench.execution.run import Tried
from codonbench.protocols.trial import Look


class Heard:
    """Looks, and how long they go on.

    Args:
        look: Answers them.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._times: list[float] = []

    def __call__(self, step: int, score: float, spent: float) -> bool:
        """Answer a look."""
        self._times.append(time.monotonic())
        return self._look(step, score, spent)

    @property
    def seconds(self) -> float:
        """Between the first look and the last."""
        return self._times[-1] - self._times[0] if self._times else 0.0


@dataclass
class ClusterTrials:
    """Makes trials on a cluster, several at once from as many threads.

    Attributes:
        cluster: Where.
        executor: Plans them.
        orders: What is ordered there.
        say: Told which trial is begun again, for its node was lost.
    """

    cluster: Cluster
    executor: Executor
    orders: Orders
    say: Callable[[str], None]
    _over: threading.Event = field(default_factory=threading.Event)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, request: RunRequest) -> Job:
        """Return the job that a request comes to, on a device that the cluster has."""
        return self.executor.prepare(request, self.cluster.device(request.device))

    def at_once(self, job: Job, request: RunRequest) -> int:
        """Return how many trials the cluster has room for.

        Raises:
            ClusterError: It has room for none.
        """
        return self.orders.room(self.orders.of(job, request)[1])

    def stop(self) -> None:
        """Have trials that are under way end, and no other begin."""
        self._over.set()

    def __call__(self, request: RunRequest, job: Job, look: Look) -> Tried:
        """Make a trial.

        Raises:
            BenchError: It cannot be made, or its node was lost again and again.
        """
        with self._one_at_a_time:  # data are laid there once
            order, place, data = self.orders.of(job, request)
        found = self._made(order, place, data, look)
        if found.kind:
            raise getattr(errors, found.kind, WorkerError)(found.error)
        return found

    def _made(self, order: Order, place: Place, data: object, look: Look) -> Tried:
        """Make a trial; to its seconds are added those between the looks of lost ones."""
        before = 0.0
        for lost in range(TRIES):
            if self._over.is_set():
                break
            key, heard = uuid.uuid4().hex, Heard(look)
            submitted = self.cluster.submit_trial(order, place, data, self.orders.files, key)
            try:
                made = self.cluster.attend(submitted, key, heard, self._over.is_set)
                return made._replace(seconds=made.seconds + before)
            except NodeLostError as error:
                before += heard.seconds
                if lost + 1 == TRIES:
                    raise ClusterError(f"a trial's node was lost {TRIES} times: {error}") from error
                self.say("a trial's node was lost; it is made on another one")
        return Tried(None, 0.0, "interrupted")


@contextmanager
def on_cluster(
    executor: Executor, options: RunOptions, say: Callable[[str], None]
) -> Iterator[ClusterTrials]:
    """Make trials on the cluster that options name; the first Ctrl-C has them end."""
    asked = configure(Resources, {}, options.resources, "--resources")
    with Cluster(options.on) as cluster:
        orders = Orders(cluster, executor, options, asked)
        trials = ClusterTrials(cluster, executor, orders, say)
        with ctrl_c_noted(trials.stop):
            yield trials
