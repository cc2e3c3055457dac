"""Join runs that are parts of one: the records of a seed's folds make one record."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import FINISHED, RunRecord, Timings, hash_trajectory
from codonbench.contracts.run_spec import RunSpec
from codonbench.data.stream import IntArray
from codonbench.errors import StoreError
from codonbench.execution.prepare import Job
from codonbench.execution.run import Outcome, Train, reusable, run
from codonbench.plugins.registry import Registry, ask_task
from codonbench.protocols.referee import RunSetup, Watch
from codonbench.records.store import Store
from codonbench.scoring.score import comparability_key, score

RunAndTrajectory = tuple[RunRecord, Trajectory]


class Parts:
    """The outcomes of a job; those of parts are joined to whole runs.

    Args:
        job: The job.
        registry: The metrics to score with.
        store: Has the trajectories of parts, and gets the records of whole runs.
    """

    def __init__(self, job: Job, registry: Registry, store: Store) -> None:
        self._made_with = job, registry, store
        self._needed = Counter(run_spec.whole.run_id for run_spec in job.run_specs)
        self._wholes: dict[str, list[Outcome]] = {key: [] for key in self._needed}

    def share(self, run_spec: RunSpec) -> tuple[str, float]:
        """Return the run_id of the whole that a run is of, and which share of it the run is."""
        key = run_spec.whole.run_id
        return key, 1 / self._needed[key] if self._made_with[0].protocol.joins else 1.0

    def take(self, outcome: Outcome) -> Iterator[Outcome]:
        """Take in an outcome that is stored; yield it where it is no part, or what it completes.

        A part that is no result stands for itself, and its whole is left unmade.

        Raises:
            StoreError: A trajectory is missing or damaged, a record cannot be written, or the parts
                of one were made on several kinds of device.
        """
        job, registry, store = self._made_with
        if not job.protocol.joins or outcome.record.status not in FINISHED:
            yield outcome
            return
        own = self._wholes[key := outcome.record.run_spec.whole.run_id]
        own.append(outcome)
        if len(own) == self._needed[key]:
            yield _joined(job, own, registry, store)


def _joined(job: Job, own: Sequence[Outcome], registry: Registry, store: Store) -> Outcome:
    whole = own[0].record.run_spec.whole
    known = reusable(whole, job, registry, store) if all(o.reused for o in own) else None
    if known is not None:
        return Outcome(known, reused=True)
    found = [(o.record, store.load_trajectory(o.record)) for o in own]
    made = [(record, trajectory) for record, trajectory in found if trajectory is not None]
    lost = [record.name for record, trajectory in found if trajectory is None]
    record, trajectory = joined(made, job, registry) if not lost else (None, None)
    if record is None or trajectory is None:
        raise StoreError(
            f"the trajectory of {lost[0]} is not there, and the record of all folds needs it; "
            "--force runs them again"
        )
    store.save(record, trajectory)
    registry.ask("run_finished", record=record)
    return Outcome(record, reused=False)


def repeat_whole(job: Job, registry: Registry, train: Train, watch: Watch) -> RunAndTrajectory:
    """Make a run of several parts, and return it as one; nothing is stored.

    Args:
        job: With the spec of the whole.
        registry: The metrics to score with.
        train: What trains.
        watch: Watches each part.
    """
    parts = tuple(job.protocol.parts(job.run_specs[0], job.dataset))
    made = list(run(replace(job, run_specs=parts), registry, watch, train))
    failed = [record for record, _ in made if record.status not in FINISHED]
    if failed:
        return failed[0], made[0][1]
    return joined(made, job, registry)


def joined(made: Iterable[RunAndTrajectory], job: Job, registry: Registry) -> RunAndTrajectory:
    """Return the record and the trajectory of a whole run, given those of its parts.

    Its test items are those of all parts, in the order of the data, each answered by the part that
    was trained without it. Positions are those of the part that came furthest; times are sums; the
    hash of its weights is that of its parts' hashes, in order.

    Raises:
        StoreError: They were made on several kinds of device, of which a table has one.
    """
    parts = sorted(made, key=lambda part: part[0].run_spec.fold or 0)
    first, trajectory = parts[0]
    whole = first.run_spec.whole
    kinds = sorted({record.machine.device_kind for record, _ in parts})
    if len(kinds) > 1:
        raise StoreError(
            f"the folds of {whole.name} were made on {' and '.join(kinds)}, and a table has one "
            "kind of device; --force runs them again"
        )
    items = np.concatenate([_tested(job, record.run_spec) for record, _ in parts])
    order = np.argsort(items)
    facts = [t.facts for _, t in parts]
    selected = max(record.selected_pairs or 0 for record, _ in parts)
    sizes = [len(t.test_targets) for _, t in parts]
    arrays = {"test_fold": np.repeat(np.arange(len(parts)), sizes)}
    if job.dataset.groups is not None:
        arrays["test_groups"] = job.dataset.groups[items]
    joint = Trajectory(
        task=trajectory.task,
        facts=trajectory.facts.model_copy(
            update={
                "split": "test",
                "pairs": max(each.pairs for each in facts),
                "epoch_pairs": max(each.epoch_pairs for each in facts),
                "complete": all(each.complete for each in facts),
                "selected_pairs": selected,
            }
        ),
        pairs=np.array([selected], dtype=np.int64),
        outputs=np.zeros((1, 0, trajectory.outputs.shape[2]), dtype=np.float32),
        targets=trajectory.targets[:0],
        test_outputs=np.concatenate([t.test_outputs for _, t in parts])[order],
        test_targets=np.concatenate([t.test_targets for _, t in parts])[order],
        arrays={name: array[order].astype(np.int64) for name, array in arrays.items()},
    )
    scores = score(joint, registry.metrics_of(joint.task))
    records = [record for record, _ in parts]
    digests = "".join(record.weights_sha256 or "" for record in records)
    sums = {n: sum(getattr(r.timings, n) for r in records) for n in Timings.model_fields}
    record = first.model_copy(
        update={
            "run_id": whole.run_id,
            "run_spec": whole,
            "comparability_key": comparability_key(whole, scores.versions, job.task.ranking),
            "status": "diverged" if any(r.status == "diverged" for r in records) else "done",
            "pairs": joint.facts.pairs,
            "selected_pairs": selected,
            "metrics": scores.values,
            "not_measured": scores.not_measured,
            "metric_versions": scores.versions,
            "validation_metrics": {},
            "flags": ask_task(job.task.flags, scores.values)
            if first.info.role == "contestant"
            else (),
            "weights_sha256": hashlib.sha256(digests.encode()).hexdigest() if digests else None,
            "trajectory_sha256": hash_trajectory(joint),
            "resumed": (),
            "timings": Timings(**sums),
            "day": max(record.day for record in records),
        }
    )
    return record.sealed(), joint


def _tested(job: Job, run_spec: RunSpec) -> IntArray:
    """Return the test items of a part."""
    return RunSetup(run_spec, job.dataset, job.protocol, job.batch_size).stream.split.test
