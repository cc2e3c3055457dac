"""Figures of a row that is selected on validation items: its score there as it learns, every seed.

They are made from trajectories, which hold what a model answered along the way, and kept.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import ClassVar

import numpy as np

from codonbench.contracts import Frozen, Metric, SplitMetric, Task, Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.records.store import Store
from codonbench.report.site.figures import Figures, Records, RowContent, row_id
from codonbench.report.site.scripts import shown
from codonbench.scoring.score import metric_giving, task_of

MOST_POINTS = 200
"""Of a run's curve, that of the selected state among them."""


class SeedCurve(Frozen):
    """One run's curve.

    Attributes:
        seed, run_id: Which run.
        trace_sha256: Of the trajectory that it was made from.
        pairs: Training pairs presented before each look.
        values: The metric on the validation items, to six digits; None where it has no value.
        selected: After how many pairs the state that was tested was taken.
    """

    seed: int
    run_id: str
    trace_sha256: str
    pairs: tuple[int, ...]
    values: tuple[float | None, ...]
    selected: int


class RowCurves(RowContent):
    """A row's curves.

    Attributes:
        metric, title: Metric shown, and its heading.
        higher: Whether more of it is better.
        seeds: One a run whose trajectory was at hand.
    """

    metric: str
    title: str
    higher: bool
    seeds: tuple[SeedCurve, ...]


class LearningCurves(Figures):
    """The score on validation items over the course of training.

    Args:
        tasks: By name, which say what rows are ranked by.
        metrics: By name.
    """

    name: ClassVar[str] = "learning"
    scripts: ClassVar[tuple[str, ...]] = ("learning.js",)
    Content: ClassVar[type[RowContent]] = RowCurves

    def __init__(self, tasks: Mapping[str, Task], metrics: Mapping[str, Metric]) -> None:
        self._tasks, self._metrics = tasks, metrics

    @property
    def assets(self) -> Traversable:
        """The folder beside this file."""
        return files("codonbench.report.site") / "learning"

    def kept(self, old: RowContent, records: Records) -> RowCurves:
        """Return the curves that belong to runs of the row and agree with their records.

        A record says what its selected state scored on validation; the rest of a curve is as
        trustworthy as who committed it.
        """
        assert isinstance(old, RowCurves)
        fitting = (s for s in old.seeds if s.run_id in records)
        seeds = tuple(s for s in fitting if _agrees(s, old.metric, records[s.run_id]))
        return old.model_copy(update={"seeds": seeds})

    def make(
        self, records: Records, store: Store, old: RowContent | None, *, anew: bool = False
    ) -> RowCurves | None:
        """Return a row's curves: what was kept, and what trajectories at hand add to it.

        Raises:
            StoreError: A trajectory is unreadable, or is not its record's.
        """
        assert old is None or isinstance(old, RowCurves)
        first = next(iter(records.values()))
        task = task_of(first, self._tasks)
        if task is None or first.selected_pairs is None:
            return None
        primary = task.ranking.primary
        known = {seed.run_id: seed for seed in old.seeds} if old else {}
        seeds = []
        for run_id, record in records.items():
            found = known.get(run_id)
            if found is None or anew:
                found = self._curve(record, store, primary.metric) or found
            if found is not None:
                seeds.append(found)
        if not seeds:
            return None
        return RowCurves(
            row=row_id(first),
            metric=primary.metric,
            title=shown(primary.title),
            higher=task.ranking.direction == "higher",
            seeds=tuple(seeds),
        )

    def _curve(self, record: RunRecord, store: Store, name: str) -> SeedCurve | None:
        """Return a run's curve; None where its trajectory has none, or is not at hand."""
        if record.trajectory_sha256 is None or record.selected_pairs is None:
            return None
        trajectory = store.load_trajectory(record)
        if trajectory is None or trajectory.facts.split != "validation":
            return None
        metric = metric_giving(name, self._metrics, trajectory.task)
        if metric is None or len(trajectory.pairs) < 2:
            return None
        looks = _looks(trajectory, record.selected_pairs)
        return SeedCurve(
            seed=record.seed,
            run_id=record.run_id,
            trace_sha256=record.trajectory_sha256,
            pairs=tuple(int(trajectory.pairs[t]) for t in looks),
            values=tuple(_value(metric, name, trajectory, t) for t in looks),
            selected=record.selected_pairs,
        )


def _looks(trajectory: Trajectory, selected: int) -> list[int]:
    """Return which looks are drawn: evenly spread, the selected one and the last among them."""
    n = len(trajectory.pairs)
    spread = np.linspace(0, n - 1, min(n, MOST_POINTS - 1)).astype(int).tolist()
    chosen = np.flatnonzero(trajectory.pairs == selected)[:1].tolist()
    return sorted({*spread, *chosen})


def _value(metric: SplitMetric, name: str, trajectory: Trajectory, look: int) -> float | None:
    outputs = trajectory.outputs[look]
    if not np.isfinite(outputs).all():
        return None
    value = metric.score(trajectory.targets, outputs, trajectory.task)[name]
    return round(float(value), 6) if isinstance(value, bool | int | float) else None


def _agrees(curve: SeedCurve, metric: str, record: RunRecord) -> bool:
    """Return whether a curve is of a run's trajectory, whole, and says what the record says."""
    whole = len(curve.pairs) == len(curve.values) and list(curve.pairs) == sorted(set(curve.pairs))
    same = (curve.seed, curve.trace_sha256, curve.selected) == (
        record.seed,
        record.trajectory_sha256,
        record.selected_pairs,
    )
    if not (whole and same and curve.selected in curve.pairs):
        return False
    of_curve = curve.values[curve.pairs.index(curve.selected)]
    of_record = record.validation_metrics.get(metric)
    if of_curve is None or of_record is None:
        return of_curve is None and of_record is None
    return math.isclose(of_curve, of_record, abs_tol=1e-5)
