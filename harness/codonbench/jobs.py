"""Many runs: one after another, what is recorded already reused, each stored as it ends."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from codonbench.config import RunPlan
from codonbench.contracts import Trace
from codonbench.learning import Watch
from codonbench.learning import learn as learn_here
from codonbench.planning import Job
from codonbench.records import FINISHED, RunRecord
from codonbench.registry import Registry
from codonbench.runner import Learn, run
from codonbench.store import Store


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
) -> Iterator[Outcome]:
    """Run every plan of a job and store each record before going on; stop after Ctrl-C.

    Args:
        job: What to run.
        registry: The plugins.
        store: Where records go and where finished ones are looked for.
        watch: Called as each run begins; what it returns follows its probes.
        learn: What trains.
        force: Run again what is already recorded.

    Yields:
        One outcome a seed; those that are recorded already come first.

    Raises:
        StoreError: A record cannot be written.
        PluginError: A metric or a hook failed.
    """
    store.prepare()
    waiting: list[RunPlan] = []
    for plan in job.plans:
        known = None if force else reusable(plan, job, registry, store)
        if known is not None:
            yield Outcome(known, reused=True)
        else:
            waiting.append(plan)
    if not waiting:
        return
    for record, trace in run(waiting, job, registry, watch, learn):
        store.save(record, trace if len(trace.pairs) else None)
        _tell(registry, record, trace)
        yield Outcome(record, reused=False)


def _tell(registry: Registry, record: RunRecord, trace: Trace) -> None:
    """Tell the plugins of a run; it is stored already, so that none of them can lose it."""
    if registry.manager.hook.probe_taken.get_hookimpls():
        for index in range(len(trace.pairs)):
            registry.tell("probe_taken", trace=trace, index=index)
    registry.tell("run_finished", record=record)


def reusable(plan: RunPlan, job: Job, registry: Registry, store: Store) -> RunRecord | None:
    """Return the finished record of this very plan, if its code and metrics are still today's."""
    record = store.find(plan.run_id)
    if record is None or record.status not in FINISHED:
        return None
    versions = {entry.metric.name: entry.metric.version for entry in registry.metrics.values()}
    same_code = record.plugin.source_sha256 == job.entry.origin.source_sha256
    return record if same_code and record.metric_versions == versions else None
