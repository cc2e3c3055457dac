"""Runs on a Ray cluster: each is a Ray task with its resources; its record is stored here.

`node` does what a task does, and no result depends on where a run is made. Ray sends orders, data,
records and trajectories, finds a node, and says which was lost; it is imported when a cluster is
asked for, and nowhere else.
"""

from __future__ import annotations

import asyncio
import io
import math
import os
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import Field

from codonbench import errors
from codonbench.contracts import Needs, Reference, Trajectory
from codonbench.contracts.base import DeviceKind
from codonbench.contracts.run_record import RunRecord, describe_harness, hash_trajectory
from codonbench.contracts.run_spec import RunOptions, RunRequest, RunSpec, configure
from codonbench.errors import BenchError, ClusterError, ConfigError, WorkerError
from codonbench.execution.executor import Executor, Listener, lay_audit
from codonbench.execution.machine import LOOK_AGAIN, cores
from codonbench.execution.node import Made, Node, Order, Packed, digest, packed
from codonbench.execution.parts import Parts
from codonbench.execution.prepare import Job, with_preset
from codonbench.execution.process import ctrl_c_noted
from codonbench.execution.run import JobRecords, Outcome, Tried, origin_of
from codonbench.execution.sandbox import PASSED_ON
from codonbench.plugins.beside import check_inside, parts_of
from codonbench.protocols.referee import OnSnapshot, share_spent
from codonbench.protocols.trial import Look
from codonbench.records.remote import checkpoints_at
from codonbench.records.store import Store, unpack
from codonbench.records.unfinished import Checkpoints, Ledger
from codonbench.scoring.score import comparability_key

TRIES = 3
"""How often a run is begun on nodes that are lost, before it is given up."""

GRACE = 20.0
"""Seconds that runs have after Ctrl-C to tell what they have so far."""

_OF_THE_NODE = {"PATH", "LD_LIBRARY_PATH", "CUDA_VISIBLE_DEVICES"}
_SETTINGS = (*sorted({*PASSED_ON} - _OF_THE_NODE), "CODONBENCH_PLUGINS", "CODONBENCH_OFFLINE")
"""Of this process's environment, what nodes have too: what may change a result, or what is run."""

_WAIT = 1.0  # seconds between two looks at whether Ctrl-C was pressed
_REPORT_EVERY = 1.0  # seconds after which a run tells how far it has come
_KNOCK = 10.0  # seconds for a cluster's address to answer
_LOOK = 2.0  # seconds for which the nodes that were there count as there
_AT_HAND = 8  # data sets that are kept for requests to come
_AHEAD = 2  # runs on the cluster or at hand for each that there is room for


class Resources(Needs):
    """``--resources FIELD=VALUE``: resources of a run, in place of those its model declares."""

    accelerator: str | None = Field(default=None, description="the kind of GPU, as Ray calls it")


@dataclass(frozen=True)
class Place:
    """What one run takes of a node.

    Attributes:
        cpus, memory, gpus: As in `Needs`, with nothing left open.
        accelerator: The kind of GPU; empty for any.
    """

    cpus: float
    memory: float = 0.0
    gpus: float = 0.0
    accelerator: str = ""

    @classmethod
    def of(cls, needs: Needs, given: Resources, run_spec: RunSpec, accelerator: str = "") -> Self:
        """Return the resources of a run: as given, else as its model declares.

        Raises:
            ConfigError: A GPU is requested for a run on a CPU.
        """
        on_gpu = run_spec.device == "cuda"
        if not on_gpu and (given.gpus or given.accelerator):
            raise ConfigError(
                "--resources asks for a GPU, and runs are made on CPUs, as --device says or as no "
                "node of the cluster has a GPU: leave out gpus and accelerator"
            )
        return cls(
            cpus=max(given.cpus or needs.cpus or 0, run_spec.threads),
            memory=given.memory or needs.memory or 0.0,
            gpus=(given.gpus or needs.gpus or 1.0) if on_gpu else 0.0,
            accelerator=accelerator if on_gpu else "",
        )

    def options(self) -> dict[str, Any]:
        """Return it as Ray takes it."""
        found: dict[str, Any] = {"num_cpus": self.cpus, "max_retries": 0}
        if self.memory:
            found["memory"] = int(self.memory * 2**30)
        if self.gpus:
            found["num_gpus"] = self.gpus
        if self.accelerator:
            found["accelerator_type"] = self.accelerator
        return found

    def times_on(self, node: Mapping[str, float]) -> int:
        """Return how many such runs a node with these resources has room for at once."""
        if self.accelerator and f"{_KIND}{self.accelerator}" not in node:
            return 0
        needed = {"CPU": self.cpus, "memory": self.memory * 2**30, "GPU": self.gpus}
        return int(min(node.get(name, 0) / much for name, much in needed.items() if much))

    def __str__(self) -> str:
        """Return ``2 processors and 0.5 GPUs``."""
        words = [f"{self.cpus:g} processor{'s'[: self.cpus != 1]}"]
        words += [f"{self.memory:g} GiB"] if self.memory else []
        kind = f" {self.accelerator}" if self.accelerator else ""
        words += [f"{self.gpus:g}{kind} GPU{'s'[: self.gpus != 1]}"] if self.gpus else []
        return " and ".join(words)


_KIND = "accelerator_type:"  # before the name of a kind of GPU, among Ray's resources


def choose_kind(nodes: Sequence[Mapping[str, float]], known: Sequence[str]) -> str:
    """Return the kind of GPU that a table's runs are made on; empty where there is but one.

    Args:
        nodes: The resources of each node.
        known: The names of the GPUs that the table's rows were made on so far.
    """
    kinds: dict[str, float] = {}
    for node in nodes:
        for name in node:
            if name.startswith(_KIND):
                kind = name.removeprefix(_KIND)
                kinds[kind] = kinds.get(kind, 0.0) + node.get("GPU", 0.0)
    if len(kinds) < 2:
        return ""
    for kind in sorted(kinds):
        if any(kind.lower() in name.lower() for name in known):
            return kind
    return max(sorted(kinds), key=lambda kind: kinds[kind])


def _ray() -> Any:
    """Return Ray.

    Raises:
        ConfigError: It is not installed.
    """
    # Read as Ray is imported: a cluster that is started here is this machine's own.
    os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "120000")  # on a busy machine, too
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--on needs ray, which is not installed: pip install 'codonbench[cluster]'"
        ) from error
    return ray


def _knock(address: str) -> None:
    """Make sure that a server listens at an address with a port: Ray itself tries for minutes.

    Raises:
        OSError: None does.
        ValueError: The port is none.
    """
    place = urlsplit(address if "://" in address else f"//{address}")
    if place.port is not None:
        socket.create_connection((place.hostname or "", place.port), _KNOCK).close()


class Cluster:
    """A Ray cluster: one that runs, or one that is started here and ends with this object.

    Args:
        on: ``ray``, ``ray://HOST:PORT`` or ``HOST:PORT``; see `RunOptions.on`.

    Attributes:
        own: Whether it was started here, and so is this machine.

    Raises:
        UsageError: Ray is not installed, or the cluster cannot be reached.
    """

    def __init__(self, on: str) -> None:
        self._ray = ray = _ray()
        address = (os.environ.get("RAY_ADDRESS") or "local") if on == "ray" else on
        self._nodes: list[Mapping[str, float]] = []
        self._looked = -math.inf
        self._joined = not ray.is_initialized()
        self.own = address == "local"
        if self._joined:
            own = {"num_cpus": cores(), "include_dashboard": False} if self.own else {}
            settings = {name: os.environ[name] for name in _SETTINGS if name in os.environ}
            try:
                _knock(address)
                ray.init(
                    address,
                    runtime_env={"env_vars": settings},
                    logging_level="ERROR",
                    log_to_driver=False,
                    **own,
                )
            except (ImportError, OSError, RuntimeError, ValueError) as error:
                raise ClusterError(
                    f"no cluster at {address}: {_first_line(error)}; one that asks for a token is "
                    "reached with RAY_AUTH_MODE=token and RAY_AUTH_TOKEN"
                ) from error
        self._serve, self._try_out = ray.remote(_serve), ray.remote(_try_out)
        self._made_between: Any = None
        self._one_actor = threading.Lock()
        self._news: Any = None
        self._requested_at = -math.inf

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave it; where it was started here, end it."""
        if self._joined:
            self._ray.shutdown()

    def nodes(self) -> list[Mapping[str, float]]:
        """Return the resources of each node that is there, or was a moment ago."""
        if time.monotonic() > self._looked + _LOOK:
            self._nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
            self._looked = time.monotonic()
        return self._nodes

    def device(self, requested: str) -> DeviceKind:
        """Return the device to run on.

        Raises:
            ConfigError: ``cuda`` is requested and no node has a GPU.
        """
        there = any(node.get("GPU") for node in self.nodes())
        if requested == "cuda" and not there:
            raise ConfigError("device 'cuda': no node of the cluster has a GPU; use --device cpu")
        return "cuda" if there and requested != "cpu" else "cpu"

    def put(self, content: Packed) -> Any:
        """Store bytes where each node fetches them once; return their reference."""
        return self._ray.put(content)

    def submit(self, order: Order, place: Place, data: Any, files: Any) -> Any:
        """Submit a run; return the reference of its result."""
        task = self._serve.options(name=f"{order.model}", **place.options())
        return task.remote(order.model_dump_json(), data, files, self._between())

    def submit_trial(self, order: Order, place: Place, data: Any, files: Any, key: str) -> Any:
        """Submit a trial, whose looks `attend` answers; return the reference of its result."""
        task = self._try_out.options(name=f"{order.model}", **place.options())
        return task.remote(order.model_dump_json(), data, files, self._between(), key)

    def attend(self, submitted: Any, key: str, look: Look, stopped: Callable[[], bool]) -> Tried:
        """Answer the looks of a trial until it ends; return its result.

        Args:
            submitted: Ray's reference of the submitted trial.
            key: Key of the trial's looks.
            look: Called with each look; returns the answer.
            stopped: Returns whether the trial must stop and return what it has.

        Raises:
            NodeLostError: Its node, or the process there, is gone.
        """
        question, stopping = self._between().next.remote(key), False
        while True:
            done, _ = self._ray.wait([question, submitted], num_returns=1, timeout=_WAIT)
            if stopped() and not stopping:
                self.stop(submitted)
                stopping = True
            if question in done:
                self._between().answer.remote(key, look(*self._ray.get(question)))
                question = self._between().next.remote(key)
            elif submitted in done:
                self._ray.cancel(question)
                made = self._come(submitted)
                return Tried(None, 0.0, "interrupted") if made is None else Tried(*made)

    def news(self) -> dict[str, float]:
        """Return the spent shares that runs have reported since, by run id, without waiting."""
        if self._news is None and time.monotonic() - self._requested_at >= _REPORT_EVERY:
            self._requested_at, self._news = time.monotonic(), self._between().take_shares.remote()
        if self._news is None or not self._ray.wait([self._news], timeout=0)[0]:
            return {}
        found, self._news = self._news, None
        with suppress(self._ray.exceptions.RayError):  # its node is lost, and runs go on
            return dict(self._ray.get(found))
        return {}

    def _between(self) -> Any:
        """Return the actor between runs and us: one for all threads, so that each is answered."""
        with self._one_actor:
            if self._made_between is None:
                # A byte: where an actor that takes nothing lives is drawn, whatever is asked.
                options = {"num_cpus": 0, "memory": 1, **self._beside_us()}
                self._made_between = self._ray.remote(_Between).options(**options).remote()
        return self._made_between

    def _beside_us(self) -> dict[str, Any]:
        """Return the options of what lives as long as we do: on our own node, if we have one."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        here = self._ray.get_runtime_context().get_node_id()
        return {"scheduling_strategy": NodeAffinitySchedulingStrategy(here, soft=True)}

    def wait(self, submitted: Sequence[Any], seconds: float) -> list[Any]:
        """Return the runs that are done, after at most so many seconds."""
        many = min(len(submitted), 100)
        done, _ = self._ray.wait(list(submitted), num_returns=1, timeout=seconds)
        more, _ = self._ray.wait(list(submitted), num_returns=many, timeout=0)
        return list(dict.fromkeys([*done, *more]))

    def get(self, submitted: Any) -> Made | None:
        """Return what came of a run that is done; None where it was stopped.

        Raises:
            NodeLostError: Its node, or the process there, is gone.
        """
        made = self._come(submitted)
        return None if made is None else Made(*made)

    def _come(self, submitted: Any) -> Sequence[Any] | None:
        """Return the result of a Ray task that is done; None if it was stopped."""
        gone = self._ray.exceptions
        try:
            found: Sequence[Any] = self._ray.get(submitted)
            return found
        except gone.TaskCancelledError:
            return None
        except gone.RayTaskError as error:
            if isinstance(error.cause, gone.RayError):
                raise NodeLostError(_first_line(error.cause)) from error
            raise WorkerError(f"a run failed on a node: {error.cause!r}") from error
        except gone.RayError as error:
            raise NodeLostError(_first_line(error)) from error

    def stop(self, submitted: Any) -> None:
        """Stop a run, which returns what it has; a waiting one is not begun."""
        with suppress(Exception):
            self._ray.cancel(submitted)


class NodeLostError(Exception):
    """A node is gone, or the process there that made a run."""


def _first_line(error: BaseException) -> str:
    """Return an error's first line; one that announces a traceback is followed by its last."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return f"{lines[0]} {lines[-1]}" if lines[0].endswith(":") and lines[1:] else lines[0]


_here: list[Node] = []


def _node() -> Node:
    """Return the state that this process of a node keeps between runs."""
    if not _here:
        _here.append(Node())
    return _here[0]


def _serve(order: str, data: Packed, files: Packed, between: Any) -> tuple[Any, ...]:
    """Make a run in this process of a node, and report the spent share of its budget."""

    def watch(run_spec: RunSpec) -> OnSnapshot:
        reported = time.monotonic()

        def follow(pairs: int, progress: Callable[[], str]) -> None:
            nonlocal reported
            if time.monotonic() - reported >= _REPORT_EVERY:
                reported = time.monotonic()
                between.note_share.remote(run_spec.run_id, share_spent(run_spec, pairs))

        return follow

    return tuple(_node().serve(Order.model_validate_json(order), data, files, watch))


def _try_out(order: str, data: Packed, files: Packed, between: Any, key: str) -> tuple[Any, ...]:
    """Make a trial in this process of a node; the driver answers its looks."""
    import ray

    def look(*what: float) -> bool:
        return bool(ray.get(between.ask.remote(key, *what)))

    return tuple(_node().try_out(Order.model_validate_json(order), data, files, look))


class _Between:
    """An actor between runs and the driver: trials ask and wait, runs report progress."""

    def __init__(self) -> None:
        self._shares: dict[str, float] = {}
        self._questions: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)
        self._answers: defaultdict[str, asyncio.Queue[Any]] = defaultdict(asyncio.Queue)

    async def note_share(self, run_id: str, share: float) -> None:
        self._shares[run_id] = share

    async def take_shares(self) -> dict[str, float]:
        shares, self._shares = self._shares, {}
        return shares

    async def ask(self, key: str, *what: Any) -> Any:
        await self._questions[key].put(what)
        return await self._answers[key].get()

    async def next(self, key: str) -> Any:
        return await self._questions[key].get()

    async def answer(self, key: str, answer: Any) -> None:
        await self._answers[key].put(answer)


class Orders:
    """Orders to a cluster, where data and plugin files are stored once for many runs.

    Args:
        cluster: Where.
        executor: Has the plugins.
        options: How runs are made; a cluster that is started here keeps checkpoints in the results
            folder, others where `RunOptions.shared` says.
        resources: What a run takes, where that is not as its model says.

    Attributes:
        files: Reference of the plugin files on the cluster.
        shared: Where checkpoints are kept; None for nowhere.
    """

    def __init__(
        self, cluster: Cluster, executor: Executor, options: RunOptions, resources: Resources
    ) -> None:
        self._cluster, self._executor, self._resources = cluster, executor, resources
        files, local = _files_of(options)
        content = packed(sorted(files.items()))
        self._files_sha256, self.files = digest(content), cluster.put(content)
        self.shared = options.shared
        if self.shared is None and cluster.own:
            self.shared = str(options.results.absolute())
        self._options = local.model_copy(update={"shared": self.shared})
        self._payloads: dict[str, tuple[str, Any]] = {}

    def room(self, place: Place) -> int:
        """Return how many such runs the cluster has room for at once."""
        return sum(place.times_on(node) for node in self._cluster.nodes())

    def of(self, job: Job, request: RunRequest, accelerator: str = "") -> tuple[Order, Place, Any]:
        """Return the order of a job's runs, the resources of each, and the reference of the data.

        Args:
            job: The job; the order is of its first run.
            request: The request that the job was made from.
            accelerator: The kind of GPU; empty for any.

        Raises:
            ClusterError: No node has room for such a run.
            ConfigError: A GPU is requested for a run on a CPU.
        """
        run_spec = job.run_specs[0]
        place = Place.of(job.entry.cls.needs, self._resources, run_spec, accelerator)
        if not self.room(place):
            raise ClusterError(f"no node of the cluster has {place}; see --resources")
        sha256, data = self._payload(job)
        order = Order(
            run_spec=run_spec,
            model=request.model,
            overrides=request.overrides,
            options=self._options,
            off=self._executor.registry.selection.off,
            supplier=job.entry.origin.distribution,
            source_sha256=job.entry.origin.source_sha256,
            harness=describe_harness(),
            data_sha256=sha256,
            files_sha256=self._files_sha256,
            plain_because=job.plain_because,
            tuning=job.tuning,
            environment=job.environment,
            openmp=os.environ.get("OMP_NUM_THREADS"),
            shares_gpu=0 < place.gpus < 1,
            lost=0,
        )
        return order, place, data

    def _payload(self, job: Job) -> tuple[str, Any]:
        """Return the checksum of a job's data, and their reference on the cluster."""
        spec = job.run_specs[0]
        facts = (
            *(spec.task, spec.task_version, spec.data_checksum, spec.protocol, spec.salt),
            *(sorted(map(str, spec.task_options.items())), str(spec.protocol_options)),
        )
        key = str(facts)
        if key not in self._payloads:
            content = packed(job.dataset)
            self._payloads[key] = digest(content), self._cluster.put(content)
            for old in list(self._payloads)[:-_AT_HAND]:  # runs that need them hold on to them
                del self._payloads[old]
        return self._payloads[key]


@dataclass(frozen=True)
class RequestUnderWay:
    """A request under way, with what all its runs share.

    Attributes:
        index: Number of the request.
        job: The job made from it.
        records: Records of its runs.
        parts: Joins outcomes of parts.
        order: Order of each run; the run itself is filled in.
        place: Resources of each run.
        data: Reference of its data on the cluster.
        checkpoints: Of its runs.
    """

    index: int
    job: Job
    records: JobRecords
    parts: Parts
    order: Order
    place: Place
    data: Any
    checkpoints: Checkpoints


@dataclass(frozen=True)
class WaitingRun:
    """A run that is to be made, and how often it was begun on a node that was lost."""

    request: RequestUnderWay
    run_spec: RunSpec
    lost: int = 0


@dataclass
class ClusterRuns:
    """Runs of many requests at once on a cluster, as many as it has room for.

    Attributes:
        cluster: Where.
        executor: Plans the runs.
        options: How runs are made.
        resources: What a run takes, where that is not as its model says.
        listener: Called as runs go on.
        interrupted: Whether Ctrl-C has been pressed.
    """

    cluster: Cluster
    executor: Executor
    options: RunOptions
    resources: Resources
    listener: Listener
    interrupted: bool = False
    _requests: deque[tuple[int, RunRequest]] = field(default_factory=deque)
    _ready: deque[WaitingRun] = field(default_factory=deque)
    _unclaimed: deque[WaitingRun] = field(default_factory=deque)
    _submitted: dict[Any, WaitingRun] = field(default_factory=dict)
    _latest: Place = Place(cpus=1)
    _shares: dict[str, float] = field(default_factory=dict)
    _parts_done: dict[str, float] = field(default_factory=dict)
    _moved: float = 0.0

    def __post_init__(self) -> None:
        self._store = Store(self.options.results)
        self._orders = Orders(self.cluster, self.executor, self.options, self.resources)
        self._limit = self.options.workers

    def outcomes(
        self, requests: Sequence[RunRequest]
    ) -> Iterator[tuple[int, Outcome | BenchError]]:
        """Make the runs of some requests; yield each as it ends, with its request's number.

        A request that cannot be met yields why. After Ctrl-C runs under way end in
        ``interrupted``, and no more follow.

        Raises:
            StoreError: Records cannot be written.
            KeyboardInterrupt: Ctrl-C was pressed, and nothing was under way.
        """
        self._requests.extend(enumerate(requests))
        waiting = self._requests
        self._store.prepare()
        with ctrl_c_noted(self._note_ctrl_c), self._store.claims() as claims:
            try:
                while (waiting or self._ready or self._submitted or self._unclaimed) and not (
                    self.interrupted
                ):
                    self._claim_free(claims)
                    while waiting and len(self._ready) + len(self._submitted) < self._ahead():
                        yield from self._begin(*waiting.popleft(), claims)
                        self._claim_free(claims)
                        self._submit()
                    self._submit()
                    yield from self._take_ended(claims)
                if self.interrupted:
                    yield from self._stopped(claims)
            finally:
                for submitted in self._submitted:
                    self.cluster.stop(submitted)
        if self.interrupted:
            raise KeyboardInterrupt

    def _ahead(self) -> int:
        """Return how many runs are to be submitted at once."""
        room = self._orders.room(self._latest) if self._ready or self._submitted else 1
        return self._limit or max(_AHEAD * room, 1)

    def _begin(
        self, index: int, request: RunRequest, claims: Ledger
    ) -> Iterator[tuple[int, Outcome | BenchError]]:
        """Plan a request; yield its recorded outcomes, or why it cannot be met."""
        try:
            request, _ = with_preset(request)
            job = self.executor.prepare(request, self.cluster.device(request.device))
            self.listener.planned(index, job)
            lay_audit(job, self.options.results)
            if (twin := self.executor.twin(job, request)) is not None:
                self._requests.appendleft((index, twin))
            if issubclass(job.entry.cls, Reference):  # computed at once, here
                for outcome in self.executor.outcomes(job, request):
                    self.listener.finished(job, outcome)
                    yield index, outcome
                return
            under_way = self._under_way_of(index, job, request)
        except BenchError as error:
            yield index, error
            return
        known = under_way.records.recorded(job.run_specs)
        for record in known:
            under_way.checkpoints.drop(record.run_spec)
            yield from self._take(under_way, Outcome(record, reused=True))
        made = {record.run_id for record in known}
        self._unclaimed += (WaitingRun(under_way, s) for s in job.run_specs if s.run_id not in made)

    def _under_way_of(self, index: int, job: Job, request: RunRequest) -> RequestUnderWay:
        registry = self.executor.registry
        accelerator = self.resources.accelerator or self._kind(job)
        order, self._latest, data = self._orders.of(job, request, accelerator)
        return RequestUnderWay(
            index=index,
            job=job,
            records=JobRecords(
                job,
                registry,
                self._store,
                force=request.force,
                confinement=self.executor.confinement(job),
                say=self.listener.remark,
            ),
            parts=Parts(job, registry, self._store),
            order=order,
            place=self._latest,
            data=data,
            checkpoints=checkpoints_at(
                self._orders.shared, self._store.folder, origin_of(job), None, self.listener.remark
            ),
        )

    def _kind(self, job: Job) -> str:
        """Return the kind of GPU of the table that a job's runs stand in; empty for any."""
        run_spec, registry = job.run_specs[0], self.executor.registry
        if run_spec.device != "cuda":
            return ""
        nodes = self.cluster.nodes()
        if not choose_kind(nodes, ()):
            return ""  # there is but one: no record need be read
        versions = {m.name: m.version for m in registry.metrics_of(job.dataset.spec)}
        key = comparability_key(run_spec, versions, job.task.ranking)
        rows = [r.machine for r in self._store.records() if r.comparability_key == key]
        return choose_kind(nodes, [m.device_name for m in rows if m.cuda])

    def _claim_free(self, claims: Ledger) -> None:
        """Claim the runs that no other process makes."""
        if not self._unclaimed:
            return
        free, _ = claims.take_free([waiting.run_spec.run_id for waiting in self._unclaimed])
        mine = [waiting for waiting in self._unclaimed if waiting.run_spec.run_id in free]
        for waiting in mine:
            self._unclaimed.remove(waiting)
            waiting.request.records.make_room([waiting.run_spec], waiting.request.checkpoints)
            self._ready.append(waiting)
        if not mine and not self._submitted and not self._ready:
            time.sleep(LOOK_AGAIN)

    def _submit(self) -> None:
        """Hand over as many runs as the cluster may have."""
        while self._ready and len(self._submitted) < self._ahead():
            waiting = self._ready.popleft()
            request = waiting.request
            order = request.order.model_copy(
                update={"run_spec": waiting.run_spec, "lost": waiting.lost}
            )
            submitted = self.cluster.submit(order, request.place, request.data, self._orders.files)
            self._submitted[submitted] = waiting

    def _take_ended(self, claims: Ledger) -> Iterator[tuple[int, Outcome | BenchError]]:
        """Take in the runs that have ended by now, or do within a second."""
        if not self._submitted:
            return
        done = self.cluster.wait(list(self._submitted), _WAIT)
        if news := self.cluster.news():
            self._follow(news)
        for submitted in done:
            waiting = self._submitted.pop(submitted)
            if self._shares:
                self._shares.pop(waiting.run_spec.run_id, 0.0)
            index = waiting.request.index
            try:
                made = self.cluster.get(submitted)
            except NodeLostError as error:
                yield from self._lost(waiting, error, claims)
                continue
            except BenchError as error:
                claims.give_back(waiting.run_spec.run_id)
                yield index, error
                continue
            if made is None or made.kind == "KeyboardInterrupt":
                claims.give_back(waiting.run_spec.run_id)
                continue
            for sentence in made.remarks:
                self.listener.remark(sentence)
            try:
                record, trajectory = _sound(made, waiting.run_spec)
            except BenchError as error:
                claims.give_back(waiting.run_spec.run_id)
                yield index, error
                continue
            request = waiting.request
            yield from self._take(
                request, request.records.keep(record, trajectory, request.checkpoints, claims)
            )

    def _follow(self, news: Mapping[str, float]) -> None:
        """Report how far runs under way have come, including finished parts of runs."""
        if news:
            for waiting in self._submitted.values():
                if (share := news.get(waiting.run_spec.run_id)) is not None:
                    part = waiting.request.parts.share(waiting.run_spec)[1]
                    self._shares[waiting.run_spec.run_id] = share * part
        under_way = sum(self._shares.values()) + sum(self._parts_done.values())
        if under_way != self._moved:
            self._moved = under_way
            self.listener.moved(under_way)

    def _take(self, request: RequestUnderWay, outcome: Outcome) -> Iterator[tuple[int, Outcome]]:
        if request.job.protocol.joins:
            key, part = request.parts.share(outcome.record.run_spec)
            self._parts_done[key] = self._parts_done.get(key, 0.0) + part
            if self._parts_done[key] > 1 - part / 2:
                del self._parts_done[key]
        self._follow({})
        for whole in request.parts.take(outcome):
            self.listener.finished(request.job, whole)
            yield request.index, whole

    def _lost(
        self, waiting: WaitingRun, error: NodeLostError, claims: Ledger
    ) -> Iterator[tuple[int, BenchError]]:
        """Restart a run whose node is lost, or give it up."""
        run_spec = waiting.run_spec
        name = f"{run_spec.model}, seed {run_spec.seed}"
        if waiting.lost + 1 >= TRIES:
            claims.give_back(run_spec.run_id)
            why = f"{name}: its node was lost {TRIES} times, last: {error}"
            yield waiting.request.index, ClusterError(why)
        elif not self.interrupted:
            self.listener.remark(f"{name}: its node was lost; it is made on another one")
            self._ready.append(WaitingRun(waiting.request, run_spec, waiting.lost + 1))

    def _stopped(self, claims: Ledger) -> Iterator[tuple[int, Outcome | BenchError]]:
        """Stop the runs under way; yield what they have."""
        self._ready.clear()
        for submitted in self._submitted:
            self.cluster.stop(submitted)
        until = time.monotonic() + GRACE
        while self._submitted and time.monotonic() < until:
            for index, outcome in self._take_ended(claims):
                if isinstance(outcome, Outcome) and outcome.record.status == "interrupted":
                    self.interrupted = False  # which tells of it
                yield index, outcome

    def _note_ctrl_c(self) -> None:
        self.interrupted = True


def _sound(made: Made, run_spec: RunSpec) -> tuple[RunRecord, Trajectory]:
    """Return the record and the trajectory that a node sent.

    Raises:
        BenchError: The node says why there is none, or what came is not what was ordered.
    """
    if made.error:
        kind = getattr(errors, made.kind, WorkerError)
        raise kind(made.error)
    record = RunRecord.model_validate_json(made.record)
    if record.run_spec != run_spec or record.checksum != record.expected_checksum():
        raise WorkerError(f"a node sent a record that is not that of {run_spec.run_id}")
    trajectory = unpack(io.BytesIO(made.trajectory))
    if record.trajectory_sha256 not in (None, hash_trajectory(trajectory)):
        raise WorkerError(f"the trajectory of {record.name} came home damaged")
    return record, trajectory


def _files_of(options: RunOptions) -> tuple[dict[str, bytes], RunOptions]:
    """Return plugin files by where a node lays them, and options that name them so."""
    files: dict[str, bytes] = {}

    def lay(name: str, folder: Path, parts: Sequence[Path]) -> None:
        if options.sandbox:
            check_inside(parts, folder)
        for part in parts:
            files[f"{name}/{part.relative_to(folder).as_posix()}"] = part.read_bytes()

    plugin, names = [], {}
    for i, file in enumerate(map(Path.resolve, options.plugin)):
        lay(str(i), file.parent, [file, *parts_of(file)])
        plugin.append(Path(str(i), file.name))
        names[file] = file.name
    for i, folder in enumerate(map(Path.resolve, options.plugins_dir)):
        found = sorted(folder.glob("*.py"))
        lay(f"folder-{i}", folder, [p for file in found for p in (file, *parts_of(file))])
        names |= {file: file.name for file in found}
    update = {
        "plugin": tuple(plugin),
        "plugins_dir": tuple(Path(f"folder-{i}") for i in range(len(options.plugins_dir))),
        "trust": tuple(names.get(Path(name).resolve(), name) for name in options.trust),
    }
    return files, options.model_copy(update=update)


def run_on(
    executor: Executor,
    options: RunOptions,
    requests: Sequence[RunRequest],
    listener: Listener,
) -> Iterator[tuple[int, Outcome | BenchError]]:
    """Make the runs of some requests on the cluster that options name; see `ClusterRuns`."""
    resources = configure(Resources, {}, options.resources, "--resources")
    with Cluster(options.on) as cluster:
        runs = ClusterRuns(cluster, executor, options, resources, listener)
        yield from runs.outcomes(requests)
