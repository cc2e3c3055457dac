"""Many runs: one after another, what is recorded already reused, each stored as it ends."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from codonbench.checkpoints import Checkpoints
from codonbench.config import RunPlan, content_hash
from codonbench.contracts import Trace
from codonbench.errors import BusyError
from codonbench.guide import Watch
from codonbench.learning import learn as learn_here
from codonbench.locks import Holder, Page
from codonbench.machine import describe_machine, pin_arithmetic
from codonbench.occupancy import LOOK_AGAIN, Say, Terms, occupied
from codonbench.planning import Job
from codonbench.records import FINISHED, Confinement, RunRecord, describe_harness
from codonbench.registry import Registry
from codonbench.runner import Learn, run
from codonbench.store import Store

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
    learn: Learn = learn_here,
    *,
    force: bool = False,
    terms: Terms = SHARED,
    every: float | None = None,
    confinement: Confinement = "none",
    say: Say = lambda sentence: None,
) -> Iterator[Outcome]:
    """Run every plan of a job and store each record before going on; stop after Ctrl-C.

    A run that was cut short goes on from its last checkpoint, with the results it would have had.
    A run that another process is making in the same folder is left to it, and its record waited
    for. What lies in a record's place and is no sound record is set aside, and so is the result of
    the same plan with other code.

    Args:
        job: What to run.
        registry: The plugins.
        store: Where records go and where finished ones are looked for.
        watch: Called as each run begins; what it returns follows its probes.
        learn: What trains.
        force: Run again what is already recorded.
        terms: Whether to share the processors, and whether to wait for other processes.
        every: Seconds between two checkpoints of a run; None for none.
        confinement: How far `learn` keeps runs apart, for the record.
        say: Told in a sentence what is set aside and what is waited for.

    Yields:
        One outcome a seed; those that are recorded already come first.

    Raises:
        BusyError: Another process has the device or makes one of the runs, and `terms` say not
            to wait.
        StoreError: A record cannot be written.
        PluginError: A metric or a hook failed.
    """
    store.prepare()
    waiting: list[RunPlan] = []
    for plan in job.plans:
        known = None if force else reusable(plan, job, registry, store, confinement)
        if known is not None:
            yield Outcome(known, reused=True)
        else:
            waiting.append(plan)
    if not waiting:
        return
    checkpoints = _checkpoints(job, store, every, say)
    with store.claims() as claims:
        while waiting:
            mine, waiting = _claimed(waiting, claims, terms, say)
            due = []
            for plan in mine:  # another process may have made it since
                known = None if force else reusable(plan, job, registry, store, confinement)
                if known is None:
                    due.append(plan)
                else:
                    claims.give_back(plan.run_id)
                    yield Outcome(known, reused=True)
            if not due:
                continue
            if force:
                for plan in due:
                    checkpoints.drop(plan)
            outdated = partial(_outdated, job=job, registry=registry, confinement=confinement)
            for plan in due:
                for aside in store.make_room(plan, None if force else outdated):
                    say(f"set aside: {aside}")
            # Left before others' runs are waited for, so that two processes never wait in a ring.
            with occupied(job.plans[0].device, terms, say) as circumstances:
                runs = run(
                    due, job, registry, watch, learn, circumstances, checkpoints, confinement
                )
                for record, trace in runs:
                    store.save(record, trace if len(trace.pairs) else None)
                    store.tidy(record)
                    if record.status in FINISHED:
                        checkpoints.drop(record.plan)
                    claims.give_back(record.run_id)
                    _tell(registry, record, trace)
                    yield Outcome(record, reused=False)
                    if record.status == "interrupted":
                        waiting = []


def _checkpoints(job: Job, store: Store, every: float | None, say: Say) -> Checkpoints:
    """Return where the progress of a job's runs is kept."""
    plan = job.plans[0]
    pin_arithmetic(plan.threads)
    machine = describe_machine(plan.device)
    harness = describe_harness()
    origin = [harness.version, harness.commit, job.entry.origin.source_sha256, *machine.kind]
    return Checkpoints(store.folder, content_hash(origin), every, say)


def _claimed(
    plans: Sequence[RunPlan], claims: Page, terms: Terms, say: Say
) -> tuple[list[RunPlan], list[RunPlan]]:
    """Claim those runs that nobody is making, as soon as there is one; return them and the rest.

    Raises:
        BusyError: Somebody is making all of them, and `terms` say not to wait.
    """
    told: list[Holder] = []
    while True:
        free, others = claims.take_free(plan.run_id for plan in plans)
        if free:
            mine = [plan for plan in plans if plan.run_id in free]
            return mine, [plan for plan in plans if plan.run_id not in free]
        who = " and ".join(map(str, others))
        seeds = ", ".join(str(plan.seed) for plan in plans)
        if not terms.wait:
            raise BusyError(
                f"{plans[0].model}, seed {seeds}: being run by {who}; without --no-wait its "
                "record is waited for"
            )
        if told != others:
            say(f"seed {seeds}: being run by {who}; waiting for its record")
            told = others
        time.sleep(LOOK_AGAIN)


def _tell(registry: Registry, record: RunRecord, trace: Trace) -> None:
    """Tell the plugins of a run; it is stored already, so that none of them can lose it."""
    if registry.manager.hook.probe_taken.get_hookimpls():
        for index in range(len(trace.pairs)):
            registry.tell("probe_taken", trace=trace, index=index)
    registry.tell("run_finished", record=record)


def reusable(
    plan: RunPlan,
    job: Job,
    registry: Registry,
    store: Store,
    confinement: Confinement = "none",
) -> RunRecord | None:
    """Return the finished record of this very plan, if its code and metrics are still today's.

    What is to be run in a sandbox is not taken from a run outside one.
    """
    record = store.find(plan.run_id)
    if record is None or record.status not in FINISHED:
        return None
    return None if _outdated(record, job, registry, confinement) else record


def _outdated(record: RunRecord, job: Job, registry: Registry, confinement: Confinement) -> str:
    """Return why a recorded result is not what its plan would give today; empty where it is.

    Empty, too, where the record holds no result.
    """
    if record.status not in FINISHED:
        return ""
    source = record.plugin.source_sha256
    if source != job.entry.origin.source_sha256:
        return f"was made with other code of the model (sha256 {(source or 'unknown')[:8]})"
    versions = {entry.metric.name: entry.metric.version for entry in registry.metrics.values()}
    if record.metric_versions != versions:
        return "was scored by other metrics"
    outside = confinement == "sandbox" != record.confinement
    return "was not made in a sandbox" if outside else ""
