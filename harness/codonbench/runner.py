"""One run in a line: plan, data and plugin in; a scored record and its trace out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from codonbench.checkpoints import Checkpoints
from codonbench.computing import compute
from codonbench.config import RunPlan
from codonbench.contracts import Reference, Trace
from codonbench.guide import Watch
from codonbench.lab import Lab, make_trace
from codonbench.learning import Work
from codonbench.learning import learn as learn_here
from codonbench.machine import Circumstances, clock_mhz, describe_machine, pin_arithmetic
from codonbench.planning import Job
from codonbench.records import (
    Confinement,
    DatasetFacts,
    RunRecord,
    Timings,
    describe_harness,
    hash_trace,
)
from codonbench.registry import Registry
from codonbench.scoring import Scores, comparability_key, flags, score
from codonbench.setting import Setting

Learn = Callable[[Work, Watch], Iterator[tuple[Setting, Lab]]]
"""Trains a model: `learning.learn` in this process, `workers.Crew.learn` in others."""


def run(
    plans: Sequence[RunPlan],
    job: Job,
    registry: Registry,
    watch: Watch,
    learn: Learn = learn_here,
    circumstances: Circumstances | None = None,
    checkpoints: Checkpoints | None = None,
    confinement: Confinement = "none",
) -> Iterator[tuple[RunRecord, Trace]]:
    """Run some plans of a job, seeds of one model, and score each.

    An exception of the plugin ends in a record with status ``error``, Ctrl-C in one with
    status ``interrupted``, after which no more follow; both keep what was measured until then.

    Args:
        plans: Of the job, differing in nothing but the seed.
        job: What is run, on what.
        registry: The metrics to score with, and the hooks to call.
        watch: Called as each run begins; what it returns follows its probes.
        learn: What trains.
        circumstances: As the runs begin, where their times are to be told.
        checkpoints: Where runs that were cut short go on from; None for nowhere.
        confinement: How far `learn` keeps them apart, for the record.

    Yields:
        For each plan, as it ends, the sealed record and the trace its metrics come from.

    Raises:
        PluginError: A metric or a hook failed.
    """
    pin_arithmetic(plans[0].threads)
    for plan in plans:
        registry.tell("run_started", plan=plan)

    if issubclass(job.entry.cls, Reference):
        labs = compute(job.entry.cls, job.config, job.dataset, plans)
    else:
        labs = learn(Work(job.entry, job.config, job.dataset, tuple(plans), checkpoints), watch)

    for setting, lab in labs:
        trace = make_trace(lab, setting)
        started = time.perf_counter()
        scores = _score(lab, trace, registry)
        scoring = time.perf_counter() - started
        ended = _with_clock(circumstances, setting.plan)
        record = _make_record(setting.plan, job, lab, trace, scores, scoring, ended)
        yield record.model_copy(update={"confinement": confinement}).sealed(), trace


def _with_clock(circumstances: Circumstances | None, plan: RunPlan) -> Circumstances | None:
    """Return the circumstances with the clock as it is now, at a run's end."""
    clock = None if circumstances is None else clock_mhz(plan.device)
    if circumstances is None or clock is None:
        return circumstances
    return circumstances.model_copy(update={"clocks_mhz": (*circumstances.clocks_mhz, clock)})


def _score(lab: Lab, trace: Trace, registry: Registry) -> Scores:
    """Score the trace; a computed row's closed-form values take the place of measured ones."""
    scores = score(trace, [entry.metric for entry in registry.metrics.values()])
    if lab.known is None:
        return scores
    unanswered = scores.not_measured if len(trace.pairs) else ()
    return Scores({**scores.values, **lab.known}, unanswered, scores.versions)


def _make_record(
    plan: RunPlan,
    job: Job,
    lab: Lab,
    trace: Trace,
    scores: Scores,
    scoring: float,
    circumstances: Circumstances | None,
) -> RunRecord:
    """Return the record of a run."""
    dataset, entry = job.dataset, job.entry
    weighted = job.config.class_weights != "none"
    contestant = entry.cls.info.role == "contestant"
    return RunRecord(
        run_id=plan.run_id,
        comparability_key=comparability_key(
            task=dataset.spec,
            task_options=plan.task_options,
            data_checksum=dataset.checksum,
            rules=plan.rules,
            stop=plan.stop,
            budget_pairs=plan.budget_pairs,
            versions=scores.versions,
        ),
        model=plan.model,
        task=plan.task,
        seed=plan.seed,
        status=lab.status,
        plan=plan,
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
        machine=describe_machine(plan.device, circumstances),
        engine=lab.engine,
        parameters=lab.parameters,
        pairs=lab.probes.position,
        metrics=scores.values,
        not_measured=scores.not_measured,
        metric_versions=scores.versions,
        knowledge=("class frequencies",) if weighted else (),
        flags=flags(scores.values) if contestant else (),
        weights_sha256=lab.weights_sha256,
        trace_sha256=hash_trace(trace) if len(trace.pairs) else None,
        error=lab.error,
        timings=Timings(
            build=lab.build_seconds,
            train=lab.train_seconds,
            probe=lab.probes.seconds,
            score=scoring,
            total=lab.build_seconds + lab.train_seconds + lab.probes.seconds + scoring,
        ),
    )
