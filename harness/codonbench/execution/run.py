"""The straight line: a job in; each run trained, scored, recorded and stored before the next."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from codonbench.contracts import Reference, Trajectory
from codonbench.contracts.provenance import Circumstances
from codonbench.contracts.run_record import (
    FINISHED,
    Confinement,
    DatasetFacts,
    RunRecord,
    Timings,
    describe_harness,
    hash_trajectory,
)
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.execution.device_locks import Say, Terms, names, occupied, wait_until
from codonbench.execution.in_process import compute
from codonbench.execution.in_process import train as train_here
from codonbench.execution.machine import clock_mhz, describe_machine
from codonbench.execution.prepare import Job
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Referee, Watch
from codonbench.records.store import Store
from codonbench.records.unfinished import Checkpoints, Holder, Ledger
from codonbench.scoring.score import Scores, comparability_key, score, score_validation
from codonbench.training.request import TrainResult

Train = Callable[[Job, Watch, Checkpoints | None], Iterator[tuple[Referee, TrainResult]]]
"""Trains a model: `in_process.train` in this process, `pool.WorkerPool.train` in others."""

SHARED = Terms()


@dataclass(frozen=True)
class Outcome:
    """One run's record, and whether it was made now or found in the results folder."""

    record: RunRecord
    reused: bool


def run_all(
    job: Job,
    registry: Registry,
    store: Store,
    watch: Watch,
    train: Train = train_here,
    *,
    force: bool = False,
    terms: Terms = SHARED,
    every: float | None = None,
    confinement: Confinement = "none",
    say: Say = lambda sentence: None,
) -> Iterator[Outcome]:
    """Run every spec of a job and store each record before going on; stop after Ctrl-C.

    A run that was cut short goes on from its last checkpoint, with the results it would have had.
    A run that another process is making in the same folder is left to it, and its record waited
    for. What lies in a record's place and is no sound record is set aside, and so is the result of
    the same spec with other code.

    Args:
        job: What to run.
        registry: The plugins.
        store: Where records go and where finished ones are looked for.
        watch: Called as each run begins; what it returns follows its evaluations.
        train: What trains.
        force: Run again what is already recorded.
        terms: Whether to share the processors, and whether to wait for other processes.
        every: Seconds between two checkpoints of a run; None for none.
        confinement: How far `train` keeps runs apart, for the record.
        say: Told in a sentence what is set aside and what is waited for.

    Yields:
        One outcome a seed; those that are recorded already come first.

    Raises:
        BusyError: Another process has the device or makes one of the runs, and `terms` say not
            to wait.
        StoreError: A record cannot be written.
        PluginError: A metric or a hook failed.
    """

    def recorded(run_spec: RunSpec) -> RunRecord | None:
        return None if force else reusable(run_spec, job, registry, store, confinement)

    def outdated(record: RunRecord) -> str:
        return _outdated(record, job, registry, confinement)

    store.prepare()
    waiting: list[RunSpec] = []
    for run_spec in job.run_specs:
        if (known := recorded(run_spec)) is None:
            waiting.append(run_spec)
        else:
            yield Outcome(known, reused=True)
    if not waiting:
        return
    checkpoints = _checkpoints(job, store, every, say)
    with store.claims() as claims:
        checkpoints.sweep()
        while waiting:
            mine, waiting = _claimed(waiting, claims, terms, say)
            due = []
            for run_spec in mine:  # another process may have made it since
                if (known := recorded(run_spec)) is None:
                    due.append(run_spec)
                else:
                    claims.give_back(run_spec.run_id)
                    yield Outcome(known, reused=True)
            if not due:
                continue
            for run_spec in due:
                if force:
                    checkpoints.drop(run_spec)
                for aside in store.make_room(run_spec, None if force else outdated):
                    say(f"set aside: {aside}")
            # Left before others' runs are waited for, so that two processes never wait in a ring.
            with occupied(job.run_specs[0].device, terms, say) as circumstances:
                part = replace(job, run_specs=tuple(due))
                runs = run(part, registry, watch, train, circumstances, checkpoints, confinement)
                for record, trajectory in runs:
                    store.save(record, trajectory if len(trajectory.pairs) else None)
                    store.tidy(record)
                    if record.status in FINISHED:
                        checkpoints.drop(record.run_spec)
                    claims.give_back(record.run_id)
                    _tell(registry, record, trajectory)
                    yield Outcome(record, reused=False)
                    if record.status == "interrupted":
                        waiting = []


def run(
    job: Job,
    registry: Registry,
    watch: Watch,
    train: Train = train_here,
    circumstances: Circumstances | None = None,
    checkpoints: Checkpoints | None = None,
    confinement: Confinement = "none",
) -> Iterator[tuple[RunRecord, Trajectory]]:
    """Run a job's specs, seeds of one model, and score each.

    An exception of the plugin ends in a record with status ``error``, Ctrl-C in one with
    status ``interrupted``, after which no more follow; both keep what was measured until then.

    Args:
        job: What is run, on what.
        registry: The metrics to score with, and the hooks to call.
        watch: Called as each run begins; what it returns follows its evaluations.
        train: What trains.
        circumstances: As the runs begin, where their times are to be told.
        checkpoints: Where runs that were cut short go on from; None for nowhere.
        confinement: How far `train` keeps them apart, for the record.

    Yields:
        For each spec, as it ends, the sealed record and the trajectory its metrics come from.

    Raises:
        PluginError: A metric or a hook failed.
    """
    for run_spec in job.run_specs:
        registry.tell("run_started", run_spec=run_spec)
    computed = issubclass(job.entry.cls, Reference)
    for referee, result in compute(job) if computed else train(job, watch, checkpoints):
        trajectory = referee.trajectory()
        run_spec = referee.setup.run_spec
        ended = _with_clock(circumstances, run_spec)
        record = _record(run_spec, job, result, trajectory, registry, ended, confinement)
        yield record.sealed(), trajectory


def _record(
    run_spec: RunSpec,
    job: Job,
    result: TrainResult,
    trajectory: Trajectory,
    registry: Registry,
    circumstances: Circumstances | None,
    confinement: Confinement,
) -> RunRecord:
    """Score a trajectory; return the record of its run."""
    dataset, entry, metrics = job.dataset, job.entry, registry.metrics_of(trajectory.task)
    started = time.perf_counter()
    scores = score(trajectory, metrics)
    if result.known is not None:  # a computed row's closed-form values take the place of measured
        unanswered = scores.not_measured if len(trajectory.pairs) else ()
        scores = Scores({**scores.values, **result.known}, unanswered, scores.versions)
    scoring = time.perf_counter() - started
    facts = result.facts
    if facts is not None:  # pinned to the spec
        facts = facts.model_copy(update={"threads": run_spec.threads})
    return RunRecord(
        run_id=run_spec.run_id,
        comparability_key=comparability_key(run_spec, scores.versions, job.task.ranking),
        model=run_spec.model,
        task=run_spec.task,
        seed=run_spec.seed,
        status=result.status,
        run_spec=run_spec,
        overrides=job.overrides,
        dataset=DatasetFacts(
            source=dataset.source,
            checksum=dataset.checksum,
            simulated=dataset.simulated,
            provenance=dict(dataset.provenance),
            notes=dataset.spec.notes,
        ),
        plugin=entry.origin,
        info=entry.cls.info,
        harness=describe_harness(),
        machine=describe_machine(run_spec.device, circumstances, facts),
        engine=result.engine,
        confinement=confinement,
        parameters=result.parameters,
        pairs=trajectory.facts.pairs,
        selected_pairs=trajectory.facts.selected_pairs,
        metrics=scores.values,
        not_measured=scores.not_measured,
        metric_versions=scores.versions,
        validation_metrics=score_validation(trajectory, metrics),
        knowledge=("class frequencies",) if job.weighted else (),
        flags=job.task.flags(scores.values) if entry.cls.info.role == "contestant" else (),
        weights_sha256=result.weights_sha256,
        trajectory_sha256=hash_trajectory(trajectory) if len(trajectory.pairs) else None,
        error=result.error,
        timings=Timings(
            build=result.build_seconds,
            train=result.train_seconds,
            probe=result.evaluate_seconds,
            score=scoring,
            total=result.build_seconds + result.train_seconds + result.evaluate_seconds + scoring,
        ),
    )


def _with_clock(circumstances: Circumstances | None, run_spec: RunSpec) -> Circumstances | None:
    """Return the circumstances with the clock as it is now, at a run's end."""
    clock = None if circumstances is None else clock_mhz(run_spec.device)
    if circumstances is None or clock is None:
        return circumstances
    return circumstances.model_copy(update={"clocks_mhz": (*circumstances.clocks_mhz, clock)})


def reusable(
    run_spec: RunSpec,
    job: Job,
    registry: Registry,
    store: Store,
    confinement: Confinement = "none",
) -> RunRecord | None:
    """Return the finished record of this very spec, if its code and metrics are still today's.

    What is to be run in a sandbox is not taken from a run outside one.
    """
    record = store.find(run_spec.run_id)
    if record is None or record.status not in FINISHED:
        return None
    return None if _outdated(record, job, registry, confinement) else record


def _outdated(record: RunRecord, job: Job, registry: Registry, confinement: Confinement) -> str:
    """Return why a recorded result is not what its spec would give today; empty where it is.

    Empty, too, where the record holds no result.
    """
    if record.status not in FINISHED:
        return ""
    source = record.plugin.source_sha256
    if source != job.entry.origin.source_sha256:
        return f"was made with other code of the model (sha256 {(source or 'unknown')[:8]})"
    versions = {metric.name: metric.version for metric in registry.metrics_of(job.dataset.spec)}
    if record.metric_versions != versions:
        return "was scored by other metrics"
    outside = confinement == "sandbox" != record.confinement
    return "was not made in a sandbox" if outside else ""


def _checkpoints(job: Job, store: Store, every: float | None, say: Say) -> Checkpoints:
    """Return where the progress of a job's runs is kept."""
    harness = describe_harness()
    origin = [harness.version, harness.commit, job.entry.origin.source_sha256]
    return Checkpoints(store.folder, content_hash(origin), every, say)


def _claimed(
    run_specs: Sequence[RunSpec], claims: Ledger, terms: Terms, say: Say
) -> tuple[list[RunSpec], list[RunSpec]]:
    """Claim those runs that nobody is making, as soon as there is one; return them and the rest.

    Raises:
        BusyError: Somebody is making all of them, and `terms` say not to wait.
    """

    def made(others: list[Holder]) -> str:
        seeds = ", ".join(str(run_spec.seed) for run_spec in run_specs)
        return f"{run_specs[0].model}, seed {seeds}: being run by {names(others)}"

    run_ids = [run_spec.run_id for run_spec in run_specs]
    free, _ = wait_until(lambda: claims.take_free(run_ids), made, terms, say)
    mine = [run_spec for run_spec in run_specs if run_spec.run_id in free]
    return mine, [run_spec for run_spec in run_specs if run_spec.run_id not in free]


def _tell(registry: Registry, record: RunRecord, trajectory: Trajectory) -> None:
    """Tell the plugins of a run; it is stored already, so that none of them can lose it."""
    if registry.manager.hook.snapshot_taken.get_hookimpls():
        for index in range(len(trajectory.pairs)):
            registry.tell("snapshot_taken", trajectory=trajectory, index=index)
    registry.tell("run_finished", record=record)
