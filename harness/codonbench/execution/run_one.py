"""One run in a line: spec, data and plugin in; a scored record and its trajectory out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from codonbench.contracts import Reference, Trajectory
from codonbench.contracts.machine import Circumstances, Machine
from codonbench.contracts.run_record import (
    Confinement,
    DatasetFacts,
    RunRecord,
    Timings,
    describe_harness,
    hash_trajectory,
)
from codonbench.contracts.run_spec import RunSpec
from codonbench.execution.computed_rows import compute
from codonbench.execution.in_process import Work
from codonbench.execution.in_process import learn as learn_here
from codonbench.execution.machine import clock_mhz, describe_machine
from codonbench.execution.prepare import Job
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Watch
from codonbench.protocols.setup import Setting
from codonbench.records.checkpoint_files import Checkpoints
from codonbench.scoring.score import Scores, comparability_key, flags, score
from codonbench.training.result import Lab, make_trajectory

Learn = Callable[[Work, Watch], Iterator[tuple[Setting, Lab]]]
"""Trains a model: `in_process.learn` in this process, `pool.WorkerPool.learn` in others."""


def run(
    run_specs: Sequence[RunSpec],
    job: Job,
    registry: Registry,
    watch: Watch,
    learn: Learn = learn_here,
    circumstances: Circumstances | None = None,
    checkpoints: Checkpoints | None = None,
    confinement: Confinement = "none",
) -> Iterator[tuple[RunRecord, Trajectory]]:
    """Run some specs of a job, seeds of one model, and score each.

    An exception of the plugin ends in a record with status ``error``, Ctrl-C in one with
    status ``interrupted``, after which no more follow; both keep what was measured until then.

    Args:
        run_specs: Of the job, differing in nothing but the seed.
        job: What is run, on what.
        registry: The metrics to score with, and the hooks to call.
        watch: Called as each run begins; what it returns follows its probes.
        learn: What trains.
        circumstances: As the runs begin, where their times are to be told.
        checkpoints: Where runs that were cut short go on from; None for nowhere.
        confinement: How far `learn` keeps them apart, for the record.

    Yields:
        For each spec, as it ends, the sealed record and the trajectory its metrics come from.

    Raises:
        PluginError: A metric or a hook failed.
    """
    for run_spec in run_specs:
        registry.tell("run_started", run_spec=run_spec)

    if issubclass(job.entry.cls, Reference):
        from codonbench.training.arithmetic import pin_arithmetic

        pin_arithmetic(run_specs[0].threads)
        labs = compute(job.entry.cls, job.config, job.dataset, run_specs)
    else:
        labs = learn(Work(job.entry, job.config, job.dataset, tuple(run_specs), checkpoints), watch)

    for setting, lab in labs:
        trajectory = make_trajectory(lab, setting)
        started = time.perf_counter()
        scores = _score(lab, trajectory, registry)
        scoring = time.perf_counter() - started
        ended = _with_clock(circumstances, setting.run_spec)
        record = _make_record(setting.run_spec, job, lab, trajectory, scores, scoring, ended)
        yield record.model_copy(update={"confinement": confinement}).sealed(), trajectory


def _with_clock(circumstances: Circumstances | None, run_spec: RunSpec) -> Circumstances | None:
    """Return the circumstances with the clock as it is now, at a run's end."""
    clock = None if circumstances is None else clock_mhz(run_spec.device)
    if circumstances is None or clock is None:
        return circumstances
    return circumstances.model_copy(update={"clocks_mhz": (*circumstances.clocks_mhz, clock)})


def _machine(run_spec: RunSpec, lab: Lab, circumstances: Circumstances | None) -> Machine:
    """Return what a run was made on; who has trained tells its part, pinned to the spec."""
    facts = lab.facts
    if facts is not None:
        facts = facts.model_copy(update={"threads": run_spec.threads})
    return describe_machine(run_spec.device, circumstances, facts)


def _score(lab: Lab, trajectory: Trajectory, registry: Registry) -> Scores:
    """Score the trajectory; a computed row's closed-form values take the place of measured ones."""
    scores = score(trajectory, [entry.metric for entry in registry.metrics.values()])
    if lab.known is None:
        return scores
    unanswered = scores.not_measured if len(trajectory.pairs) else ()
    return Scores({**scores.values, **lab.known}, unanswered, scores.versions)


def _make_record(
    run_spec: RunSpec,
    job: Job,
    lab: Lab,
    trajectory: Trajectory,
    scores: Scores,
    scoring: float,
    circumstances: Circumstances | None,
) -> RunRecord:
    """Return the record of a run."""
    dataset, entry = job.dataset, job.entry
    weighted = job.config.class_weights != "none"
    contestant = entry.cls.info.role == "contestant"
    return RunRecord(
        run_id=run_spec.run_id,
        comparability_key=comparability_key(
            task=dataset.spec,
            task_options=run_spec.task_options,
            data_checksum=dataset.checksum,
            rules=run_spec.rules,
            stop=run_spec.stop,
            budget_pairs=run_spec.budget_pairs,
            versions=scores.versions,
        ),
        model=run_spec.model,
        task=run_spec.task,
        seed=run_spec.seed,
        status=lab.status,
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
        machine=_machine(run_spec, lab, circumstances),
        engine=lab.engine,
        parameters=lab.parameters,
        pairs=lab.probes.position,
        metrics=scores.values,
        not_measured=scores.not_measured,
        metric_versions=scores.versions,
        knowledge=("class frequencies",) if weighted else (),
        flags=flags(scores.values) if contestant else (),
        weights_sha256=lab.weights_sha256,
        trajectory_sha256=hash_trajectory(trajectory) if len(trajectory.pairs) else None,
        error=lab.error,
        timings=Timings(
            build=lab.build_seconds,
            train=lab.train_seconds,
            probe=lab.probes.seconds,
            score=scoring,
            total=lab.build_seconds + lab.train_seconds + lab.probes.seconds + scoring,
        ),
    )
