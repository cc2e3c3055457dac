"""Runs of many requests at once on a cluster; their records are stored here.

No result depends on where a run is made. A run whose node is lost is begun again on another one.
"""

from __future__ import annotations

import io
import os
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codonbench import errors
from codonbench.contracts import Reference, Trajectory
from codonbench.contracts.run_record import RunRecord, describe_harness, hash_trajectory
from codonbench.contracts.run_spec import RunOptions, RunRequest, RunSpec, configure
from codonbench.errors import BenchError, ClusterError, WorkerError
from codonbench.execution.cluster import Cluster, NodeLostError, Place, Resources, choose_kind
from codonbench.execution.executor import Executor, Listener, lay_audit
from codonbench.execution.machine import LOOK_AGAIN
from codonbench.execution.node import Made, Order, digest, packed
from codonbench.execution.parts import Parts
from codonbench.execution.prepare import Job, with_preset
from codonbench.execution.process import ctrl_c_noted
from codonbench.execution.run import JobRecords, Outcome, origin_of
from codonbench.plugins.beside import check_inside, parts_of
from codonbench.records.remote import checkpoints_at
from codonbench.records.store import Store, unpack
from codonbench.records.unfinished import Checkpoints, Ledger
from codonbench.scoring.score import comparability_key

TRIES = 3
"""How often a run is begun on nodes that are lost, before it is given up."""

GRACE = 20.0
"""Seconds that runs have after Ctrl-C to tell what they have so far."""

_AT_HAND = 8  # data sets that are kept for requests to come
_AHEAD = 2  # runs on the cluster or at hand for each that there is room for


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
    _shares: dict[str, float] = field(default_factory=dict)
    _parts_done: dict[str, float] = field(default_factory=dict)
    _moved: float = 0.0

    def __post_init__(self) -> None:
        self._store = Store(self.options.results)
        self._orders = Orders(self.cluster, self.executor, self.options, self.resources)
        self._limit = self.options.workers
        self._latest = Place(cpus=1)

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
        done = self.cluster.wait(list(self._submitted))
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
