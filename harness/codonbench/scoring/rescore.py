"""Score stored trajectories with the installed metrics, without training.

Computed rows (bounds and oracles) are skipped: their closed-form values are in no trajectory, and
`bench run` computes them quickly.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from codonbench.contracts import Frozen, Metric, SplitMetric, Task, Trajectory
from codonbench.contracts.run_record import FITTED, RunRecord
from codonbench.errors import PluginError, StoreError
from codonbench.plugins.registry import ask_task
from codonbench.records.store import BadRecord, Store, amend_record, read_record
from codonbench.scoring.score import (
    Number,
    Scores,
    comparability_key,
    score,
    score_validation,
    task_of,
)

RESCORED = (
    "metrics",
    "validation_metrics",
    "metric_versions",
    "not_measured",
    "flags",
    "comparability_key",
)
"""The fields of a record that follow from its trajectory and the metrics; others stay."""

RescoreOutcome = Literal["scored anew", "up to date", "left alone", "failed"]


class Rescoring(Frozen):
    """The result of re-scoring one record; "new" refers to the installed metrics.

    Attributes:
        name: Name of the record.
        outcome: ``scored anew``: values have changed. ``up to date``: nothing has changed. ``left
            alone``: there is nothing to score. ``failed``: it should be scored but cannot be.
        reason: Why it was left alone or failed.
        versions: By metric, the recorded and the new version if they differ; None for a metric
            that is not in the record, or not installed.
        added, dropped: Values by name that only the new, or only the old record has.
        changed: The recorded and the new value by name.
        comparability_key: The recorded and the new key if they differ.
    """

    name: str
    outcome: RescoreOutcome
    reason: str = ""
    versions: dict[str, tuple[str | None, str | None]] = Field(default_factory=dict)
    added: dict[str, Number] = Field(default_factory=dict)
    dropped: dict[str, Number] = Field(default_factory=dict)
    changed: dict[str, tuple[Number, Number]] = Field(default_factory=dict)
    comparability_key: tuple[str, str] | None = None


def rescore(
    path: Path,
    metrics: Mapping[str, Metric],
    tasks: Mapping[str, Task],
    only: Collection[str] = (),
    *,
    write: bool = True,
) -> Rescoring:
    """Score the stored trajectory of one record with the installed metrics; update the record.

    Args:
        path: File of the record; its trajectory is in the folder ``trajectories`` beside it.
        metrics: All installed metrics, by name.
        tasks: All installed tasks, by name.
        only: Metrics to score with; values of others are kept. By default all metrics, and values
            of metrics that are not installed are dropped, as a new run would have it.
        write: Whether to write the record; False only returns the changes.

    Raises:
        StoreError: The record cannot be written.
    """
    record = read_record(path)
    if isinstance(record, BadRecord):
        return Rescoring(name=path.stem, outcome="failed", reason=record.reason)
    try:
        trajectory = Store(path.parent).load_trajectory(record)
        serving = _serving(metrics, record, trajectory, tasks)
        chosen = {name: m for name, m in serving.items() if not only or name in only}
        if trajectory is None or is_computed(record):
            return _without_trajectory(record, path, due=_versions_due(record, chosen, bool(only)))
        task = task_of(record, tasks)
        if task is None:
            reason = f"task {record.task!r} is not installed, which says how its runs are ranked"
            return Rescoring(name=record.name, outcome="failed", reason=reason)
        kept = _kept(record, trajectory, chosen, metrics) if only else None
        again = _scored_anew(record, trajectory, chosen, task, kept)
    except (PluginError, StoreError) as error:
        return Rescoring(name=record.name, outcome="failed", reason=str(error))
    found = _differences(record, again)
    if found.outcome == "scored anew" and write:
        content = again.model_dump(mode="json")
        # A record of an older format gains no field that has nothing to say.
        changes = {f: content[f] for f in RESCORED if content[f] or getattr(record, f)}
        amend_record(path, record, changes)
    return found


def _serving(
    metrics: Mapping[str, Metric],
    record: RunRecord,
    trajectory: Trajectory | None,
    tasks: Mapping[str, Task],
) -> dict[str, Metric]:
    """Return the metrics that can be computed for a record's task.

    Without a trajectory the kind of target is unknown; a split metric then counts if recorded.
    """
    if trajectory is not None:
        return {name: m for name, m in metrics.items() if m.serves(trajectory.task)}
    task = task_of(record, tasks)
    protocol = record.run_spec.protocol or (None if task is None else task.protocol)
    return {
        name: m
        for name, m in metrics.items()
        if name in record.metric_versions
        or not (isinstance(m, SplitMetric) or (m.protocols and protocol not in m.protocols))
    }


def _versions_due(record: RunRecord, chosen: Mapping[str, Metric], partly: bool) -> bool:
    """Return whether the record's versions of metrics differ from those to score with."""
    recorded = record.metric_versions
    if partly:
        recorded = {name: version for name, version in recorded.items() if name in chosen}
    return recorded != {name: metric.version for name, metric in chosen.items()}


def is_computed(record: RunRecord) -> bool:
    """Return whether a row was computed, not trained; fitted models may have no weights either."""
    return record.weights_sha256 is None and record.engine.name != FITTED.name


def _without_trajectory(record: RunRecord, path: Path, *, due: bool) -> Rescoring:
    """Return the result for a record without a trajectory of a trained model."""
    outcome: RescoreOutcome = "left alone"
    if not due:
        outcome, reason = "up to date", ""
    elif is_computed(record) and record.status == "done":
        reason = f"computed, not trained; 'bench run --model {record.model}' computes it anew"
    elif record.trajectory_sha256 is None:
        reason = "its run ended before anything was evaluated"
    else:
        folder = path.parent / "trajectories"
        outcome, reason = (
            "failed",
            f"its trajectory is not in {folder}; 'bench run' trains it again",
        )
    return Rescoring(name=record.name, outcome=outcome, reason=reason)


def _scored_anew(
    record: RunRecord,
    trajectory: Trajectory,
    chosen: Mapping[str, Metric],
    task: Task,
    kept: Collection[str] | None,
) -> RunRecord:
    """Return the unsealed record with new values; its values named in `kept` stay.

    Raises:
        PluginError: A metric failed, or gives a name that another metric gives.
    """
    scores = score(trajectory, chosen.values())
    validation = score_validation(trajectory, chosen.values())
    if kept is not None:
        scores = _joined(record, scores, kept)
        validation = record.validation_metrics | validation
    key = comparability_key(record.run_spec, scores.versions, task.ranking)
    content: dict[str, Any] = record.model_dump(mode="json") | {
        "metrics": scores.values,
        "validation_metrics": validation,
        "metric_versions": scores.versions,
        "not_measured": scores.not_measured,
        "flags": ask_task(task.flags, scores.values) if record.info.role == "contestant" else (),
        "comparability_key": key,
    }
    return RunRecord.model_validate(content)


def _kept(
    record: RunRecord,
    trajectory: Trajectory,
    chosen: Mapping[str, Metric],
    metrics: Mapping[str, Metric],
) -> set[str]:
    """Return the names of recorded values of metrics other than `chosen`.

    A record does not say which metric gave which value; an installed metric of the same version
    does.

    Raises:
        StoreError: The record has another version of a chosen metric and of a further one, so
            their values cannot be told apart.
    """
    others = set(record.metric_versions) - set(chosen)
    given = {
        name
        for name in others
        if name in metrics and metrics[name].version == record.metric_versions[name]
    }
    if given == others:
        return {value for name in others for value in metrics[name].outputs(trajectory.task)}
    earlier = [
        n for n in chosen if record.metric_versions.get(n, "") not in ("", chosen[n].version)
    ]
    if earlier:
        raise StoreError(
            f"which of its values an earlier {' and '.join(earlier)} gave cannot be told without "
            f"{' and '.join(sorted(others - given))} as recorded; score it without --metric"
        )
    today = {
        v for n in chosen if n in record.metric_versions for v in chosen[n].outputs(trajectory.task)
    }
    return set(record.metrics) - today


def _joined(record: RunRecord, scores: Scores, kept: Collection[str]) -> Scores:
    """Return the values of `scores` and those of the record whose names are `kept`.

    Raises:
        PluginError: A name is in both.
    """
    twice = sorted(set(kept) & set(scores.values))
    if twice:
        given = " and ".join(sorted(scores.versions))
        raise PluginError(f"metric {given} gives {twice[0]!r}, as does another metric")
    recorded = {name: value for name, value in record.metrics.items() if name in kept}
    unanswered = {name for name in record.not_measured if name in kept} | {*scores.not_measured}
    return Scores(
        values=recorded | scores.values,
        not_measured=tuple(sorted(unanswered)),
        versions=record.metric_versions | scores.versions,
    )


def _differences(record: RunRecord, again: RunRecord) -> Rescoring:
    """Return what differs in the new record; rounding differences are ignored."""
    was, now = record.metrics, again.metrics
    before, after = record.metric_versions, again.metric_versions
    pairs = {n: (before.get(n), after.get(n)) for n in sorted({*before, *after})}
    keys = (record.comparability_key, again.comparability_key)
    found = Rescoring(
        name=record.name,
        outcome="scored anew",
        versions={name: pair for name, pair in pairs.items() if pair[0] != pair[1]},
        added={name: value for name, value in now.items() if name not in was},
        dropped={name: value for name, value in was.items() if name not in now},
        changed={
            name: (was[name], value)
            for name, value in now.items()
            if name in was and not agree(was[name], value)
        },
        comparability_key=None if keys[0] == keys[1] else keys,
    )
    same = all(
        getattr(record, field) == getattr(again, field)
        for field in ("not_measured", "flags", "validation_metrics")
    )
    if same and found == Rescoring(name=record.name, outcome="scored anew"):
        return found.model_copy(update={"outcome": "up to date"})
    return found


def agree(one: Number, other: Number, off: float = 0.0) -> bool:
    """Return whether two values are equal within `off` plus rounding of other machines."""
    if one is None or other is None:
        return one is other
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-12 + off)
