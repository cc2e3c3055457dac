"""Check a record's metrics against the stored outputs of its run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from codonbench.contracts import Metric, SplitMetric, Task, TaskSpec, Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.records.recorded_outputs import (
    FOLDER,
    ItemOutputs,
    read_outputs,
    read_targets,
    tolerance,
)
from codonbench.records.store import Store
from codonbench.scoring.rescore import agree, is_computed
from codonbench.scoring.score import Number, score, score_validation

Remark = tuple[str, str]
"""A field's dotted name, and what is wrong with it."""


@dataclass(frozen=True)
class ReadRecord:
    """A readable record with the files beside it.

    Attributes:
        path: File of the record.
        record: The record.
        task: Its task, if installed.
        trajectory, outputs: Trajectory of the run, and its outputs for test items; None if missing.
        signer: Signer of the record; None if unsigned or not checked.
    """

    path: Path
    record: RunRecord
    task: Task | None
    trajectory: Trajectory | None = None
    outputs: ItemOutputs | None = None
    signer: str | None = None


_ROUNDING = 1e-9
"""Tolerance of bounds, for rounding."""


def with_answers(read: ReadRecord, folders: Sequence[str]) -> ReadRecord:
    """Return a record with its trajectory or else its test outputs, if they are stored.

    Raises:
        StoreError: They are damaged, or of another run.
    """
    record, path = read.record, read.path.parent / FOLDER / f"{read.record.name}.npz"
    trajectory = None if is_computed(record) else Store(read.path.parent).load_trajectory(record)
    if trajectory is not None and len(trajectory.test_outputs):  # compared between records
        shown = ItemOutputs.of(trajectory, str(record.trajectory_sha256))
        return replace(read, trajectory=trajectory, outputs=shown)
    if record.selected_pairs is None or not path.is_file():
        return replace(read, trajectory=trajectory)
    outputs = read_outputs(path)
    if outputs.trajectory != record.trajectory_sha256:
        raise StoreError(f"{path} holds the test outputs of another run; delete it")
    name = f"targets-{outputs.items[:16]}.npz"
    for targets in (Path(folder, FOLDER, name) for folder in (str(path.parents[1]), *folders)):
        if targets.is_file():
            outputs = outputs.with_targets(*read_targets(targets, outputs.items), path)
            break
    return replace(read, trajectory=trajectory, outputs=outputs)


def missing_answers(read: ReadRecord, task: Task | None) -> Iterator[Remark]:
    """Yield a remark if there are no stored outputs from which a record's test metrics follow.

    For a task that does not share its targets, outputs of instance-based models, which are training
    targets, are not required, nor are those of reference rows.
    """
    record = read.record
    info = record.info
    there = read.trajectory is not None or read.outputs is not None
    if task is not None and task.shares_targets:
        there &= read.outputs is None or read.outputs.targets is not None
    elif task is not None:
        there |= info.instance_based or info.role == "reference"
    if record.selected_pairs is not None and record.status == "done" and not there:
        yield (
            "trajectory_sha256",
            f"has no file beside the record, nor are there test outputs in {FOLDER}/ with their "
            "targets, so its metrics cannot be computed anew; 'bench leaderboard' writes them "
            "where the run was made",
        )


def recomputed(read: ReadRecord, metrics: Mapping[str, Metric]) -> Iterator[Remark]:
    """Yield each value of a record that differs from the one computed anew, or is out of bounds.

    Metrics with another version in the record are skipped.

    Raises:
        PluginError: A metric failed.
    """
    record, trajectory, outputs = read.record, read.trajectory, read.outputs
    spec = trajectory.task if trajectory else outputs.task if outputs else None
    if spec is None:
        return
    versions = record.metric_versions
    serving = [m for n, m in metrics.items() if versions.get(n) == m.version and m.serves(spec)]
    for name, metric in metrics.items():
        if versions.get(name) == metric.version and metric not in serving:
            yield f"metric_versions.{name}", f"is not defined for {spec.target.kind}, its targets"
    yield from _beyond_bounds(record, serving, spec)
    found: dict[str, Mapping[str, Number]] = {}
    if trajectory is not None:
        found["metrics"] = score(trajectory, serving).values
        found["validation_metrics"] = score_validation(trajectory, serving)
        for field in ("pairs", "selected_pairs"):
            was, now = getattr(record, field), getattr(trajectory.facts, field)
            if was != now:
                yield field, f"is {was}, but its trajectory has {now}"
    elif outputs is not None and outputs.targets is not None:
        found["metrics"] = {
            name: value if isinstance(value, bool | int | float) else None
            for metric in serving
            if isinstance(metric, SplitMetric)
            for name, value in metric.score(outputs.targets, outputs.outputs, spec).items()
        }
    ranking = None if read.task is None else read.task.ranking
    coarse = {n for m in serving if getattr(m, "by_order", False) for n in m.outputs(spec)}
    for field, values in found.items():
        for name, value in values.items():
            was, off = getattr(record, field).get(name), 0.0
            if trajectory is None and outputs is not None:
                n_items = len(outputs.outputs)
                off = tolerance(name, n_items, ranking, by_order=name in coarse)
            if not agree(was, value, off):
                yield f"{field}.{name}", f"is {was}, but its stored outputs give {value}"


def _beyond_bounds(
    record: RunRecord, serving: Iterable[Metric], spec: TaskSpec
) -> Iterator[Remark]:
    for metric in serving:
        for name, output in metric.outputs(spec).items():
            for field in ("metrics", "validation_metrics"):
                value = getattr(record, field).get(name)
                for bound, sign in ((output.least, -1), (output.most, 1)):
                    if None not in (value, bound) and sign * (value - bound) > _ROUNDING:
                        yield f"{field}.{name}", f"is {value}, beyond its bound {bound:g}"
