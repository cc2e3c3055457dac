"""Trials on a Ray cluster: nodes train, and ask the driver's study at each validation."""

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
from codonbench.execution.cluster import Cluster, NodeLostError, Place, Resources
from codonbench.execution.cluster_runs import TRIES, Orders
from codonbench.execution.executor import Executor
from codonbench.execution.node import Order
from codonbench.execution.prepare import Job
from codonbench.execution.process import ctrl_c_noted
from codonbench.execution.run import Tried
from codonbench.protocols.trial import Look


class TimedLook:
    """A `Look` that also measures time.

    Args:
        look: The function to call.
    """

    def __init__(self, look: Look) -> None:
        self._look = look
        self._times: list[float] = []

    def __call__(self, step: int, score: float, spent: float) -> bool:
        """Call `look`."""
        self._times.append(time.monotonic())
        return self._look(step, score, spent)

    @property
    def seconds(self) -> float:
        """Seconds between the first and the last call."""
        return self._times[-1] - self._times[0] if self._times else 0.0


@dataclass
class ClusterTrials:
    """Runs trials on a cluster, several at once from as many threads.

    Attributes:
        cluster: The cluster.
        executor: Plans the trials.
        orders: Prepares orders for nodes.
        say: Called with a message when a trial is restarted because its node was lost.
    """

    cluster: Cluster
    executor: Executor
    orders: Orders
    say: Callable[[str], None]
    _over: threading.Event = field(default_factory=threading.Event)
    _one_at_a_time: threading.Lock = field(default_factory=threading.Lock)

    def prepare(self, request: RunRequest) -> Job:
        """Return the job of a request, on a device of the cluster."""
        return self.executor.prepare(request, self.cluster.device(request.device))

    def at_once(self, job: Job, request: RunRequest) -> int:
        """Return the number of trials that fit on the cluster at once.

        Raises:
            ClusterError: No trial fits.
        """
        return self.orders.room(self.orders.of(job, request)[1])

    def stop(self) -> None:
        """End active trials, and begin no others."""
        self._over.set()

    def __call__(self, request: RunRequest, job: Job, look: Look) -> Tried:
        """Run a trial.

        Raises:
            BenchError: The trial failed, or its node was lost `TRIES` times.
        """
        with self._one_at_a_time:  # so that data are copied once
            order, place, data = self.orders.of(job, request)
        found = self._made(order, place, data, look)
        if found.kind:
            raise getattr(errors, found.kind, WorkerError)(found.error)
        return found

    def _made(self, order: Order, place: Place, data: object, look: Look) -> Tried:
        """Run a trial; its seconds include those of attempts on lost nodes."""
        before = 0.0
        for lost in range(TRIES):
            if self._over.is_set():
                break
            key, listener = uuid.uuid4().hex, TimedLook(look)
            submitted = self.cluster.submit_trial(order, place, data, self.orders.files, key)
            try:
                made = self.cluster.attend(submitted, key, listener, self._over.is_set)
                return made._replace(seconds=made.seconds + before)
            except NodeLostError as error:
                before += listener.seconds
                if lost + 1 == TRIES:
                    raise ClusterError(f"a trial's node was lost {TRIES} times: {error}") from error
                self.say("a trial's node was lost; it is made on another one")
        return Tried(None, 0.0, "interrupted")


@contextmanager
def on_cluster(
    executor: Executor, options: RunOptions, say: Callable[[str], None]
) -> Iterator[ClusterTrials]:
    """Connect to the cluster in `options` for trials; the first Ctrl-C ends them."""
    resources = configure(Resources, {}, options.resources, "--resources")
    with Cluster(options.on) as cluster:
        orders = Orders(cluster, executor, options, resources)
        trials = ClusterTrials(cluster, executor, orders, say)
        with ctrl_c_noted(trials.stop):
            yield trials
