"""One run in a line: spec, data and plugin in; a scored record and its trajectory out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from codonbench.contracts import Reference, Trajectory
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
from codonbench.execution.in_process import train as train_here
from codonbench.execution.machine import Circumstances, clock_mhz, describe_machine, pin_arithmetic
from codonbench.execution.prepare import Job
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Referee, Watch
from codonbench.records.checkpoint_files import Checkpoints
from codonbench.scoring.score import Scores, comparability_key, score, score_validation
from codonbench.training.result import TrainResult

Train = Callable[[Job, Watch, Checkpoints | None], Iterator[tuple[Referee, TrainResult]]]
"""Trains a model: `in_process.train` in this process, `pool.WorkerPool.train` in others."""


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
    pin_arithmetic(job.run_specs[0].threads)
    for run_spec in job.run_specs:
        registry.tell("run_started", run_spec=run_spec)
    computed = issubclass(job.entry.cls, Reference)
    for referee, result in compute(job) if computed else train(job, watch, checkpoints):
        trajectory = referee.trajectory()
        started = time.perf_counter()
        scores = _score(result, trajectory, registry)
        scoring = time.perf_counter() - started
        run_spec = referee.setup.run_spec
        ended = _with_clock(circumstances, run_spec)
        record = _make_record(run_spec, job, result, trajectory, scores, scoring, ended)
        record = record.model_copy(
            update={
                "confinement": confinement,
                "validation_metrics": score_validation(
                    trajectory, registry.metrics_of(trajectory.task)
                ),
            }
        )
        yield record.sealed(), trajectory


def _with_clock(circumstances: Circumstances | None, run_spec: RunSpec) -> Circumstances | None:
    """Return the circumstances with the clock as it is now, at a run's end."""
    clock = None if circumstances is None else clock_mhz(run_spec.device)
    if circumstances is None or clock is None:
        return circumstances
    return circumstances.model_copy(update={"clocks_mhz": (*circumstances.clocks_mhz, clock)})


def _score(result: TrainResult, trajectory: Trajectory, registry: Registry) -> Scores:
    """Score the trajectory; a computed row's closed-form values take the place of measured ones."""
    scores = score(trajectory, registry.metrics_of(trajectory.task))
    if result.known is None:
        return scores
    unanswered = scores.not_measured if len(trajectory.pairs) else ()
    return Scores({**scores.values, **result.known}, unanswered, scores.versions)


def _make_record(
    run_spec: RunSpec,
    job: Job,
    result: TrainResult,
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
            ranking=job.task.ranking,
        ),
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
        machine=describe_machine(run_spec.device, circumstances),
        engine=result.engine,
        parameters=result.parameters,
        pairs=trajectory.facts.pairs,
        selected_pairs=trajectory.facts.selected_pairs,
        metrics=scores.values,
        not_measured=scores.not_measured,
        metric_versions=scores.versions,
        knowledge=("class frequencies",) if weighted else (),
        flags=job.task.flags(scores.values) if contestant else (),
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
