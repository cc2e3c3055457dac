"""Score trajectories with metrics; decide which runs share a table, a row and an official row."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from codonbench.contracts import (
    NOT_MEASURED,
    Metric,
    MetricValue,
    Ranking,
    SplitMetric,
    Task,
    TaskSpec,
    Trajectory,
)
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import PUBLIC_RULES, RunSpec, content_hash
from codonbench.data.own_table import recorded_task
from codonbench.errors import PluginError
from codonbench.plugins.failures import file_of, place

Number = bool | int | float | None

RowKey = tuple[str, ...]
"""Model, version, hash of its configuration, distribution, source, budget and tuning."""

OFFICIAL_SEEDS = 10

_ONE_IN_A_ROW = ("salt", "stop", "budget_pairs", "budget_seconds", "threads", "engine")
"""Fields of a run spec that are the same for all runs of an official row."""


@dataclass(frozen=True)
class Scores:
    """Metric values of one run.

    Attributes:
        values: Values by name; None means not reached within the budget, or not applicable.
        not_measured: Names of values that are None because the run does not answer them.
        versions: Versions by name of metric.
    """

    values: dict[str, Number]
    not_measured: tuple[str, ...]
    versions: dict[str, str]


def score(trajectory: Trajectory, metrics: Iterable[Metric]) -> Scores:
    """Return the values of all `metrics` for one trajectory.

    For a trajectory without evaluations all values are None and not measured.

    Raises:
        PluginError: A metric failed, or gave undeclared names, a name of another metric, or a value
            that is not a number.
    """
    values: dict[str, Number] = {}
    unanswered: list[str] = []
    versions: dict[str, str] = {}
    for metric in sorted(metrics, key=lambda m: m.name):
        for name, value in _compute(metric, trajectory).items():
            if name in values:
                raise PluginError(f"metric {metric.name!r} gives {name!r}, as does another metric")
            values[name] = None if value is NOT_MEASURED else value
            if value is NOT_MEASURED:
                unanswered.append(name)
        versions[metric.name] = metric.version
    return Scores(values, tuple(sorted(unanswered)), versions)


def score_validation(trajectory: Trajectory, metrics: Iterable[Metric]) -> dict[str, Number]:
    """Return the values of split metrics on the validation split, for the selected state.

    Raises:
        PluginError: A metric failed.
    """
    selected = trajectory.facts.selected_pairs
    validated = trajectory.facts.split == "validation" and len(trajectory.targets)
    if not validated or selected is None or selected not in trajectory.pairs:  # it failed early
        return {}
    at = int(np.flatnonzero(trajectory.pairs == selected)[0])
    shown = replace(
        trajectory, test_outputs=trajectory.outputs[at], test_targets=trajectory.targets
    )
    return score(shown, [m for m in metrics if isinstance(m, SplitMetric)]).values


def metric_giving(name: str, metrics: Mapping[str, Metric], task: TaskSpec) -> SplitMetric | None:
    """Return the split metric that gives a value for a task; None if there is none.

    Args:
        name: Name of the value.
        metrics: Metrics by name.
        task: Spec of the task.
    """
    for metric in metrics.values():
        if isinstance(metric, SplitMetric) and name in metric.outputs(task):
            return metric
    return None


def _compute(metric: Metric, trajectory: Trajectory) -> Mapping[str, MetricValue]:
    try:
        if not len(trajectory.pairs):
            return dict.fromkeys(metric.outputs(trajectory.task), NOT_MEASURED)
        values = dict(metric.compute(trajectory, trajectory.task))
        declared = set(metric.outputs(trajectory.task))
    except Exception as error:
        where = place(error.__traceback__, file_of(type(metric)))
        raise PluginError(f"metric {metric.name!r} failed: {error!r}{where}") from error
    if set(values) != declared:
        raise PluginError(
            f"metric {metric.name!r} gave {sorted(values)}, but declares {sorted(declared)}"
        )
    for name, value in values.items():
        number = isinstance(value, bool | int | float) and math.isfinite(value)
        if not (number or value is None or value is NOT_MEASURED):
            raise PluginError(
                f"metric {metric.name!r}: {name} is {value!r}; expected a finite number (int or "
                "float), a bool, None or NOT_MEASURED"
            )
    return values


def comparability_key(run_spec: RunSpec, versions: Mapping[str, str], ranking: Ranking) -> str:
    """Return 12 hexadecimal digits; runs with equal keys may be ranked in one table.

    Args:
        run_spec: Spec of the run.
        versions: Versions of metrics by name; only those of the ranking count.
        ranking: Ranking of the task.
    """
    budget: dict[str, object] = {}
    if run_spec.protocol is not None:
        budget["protocol"] = run_spec.protocol
    if ranking.budget_divides:
        budget = {"stop": run_spec.stop, "budget_pairs": run_spec.budget_pairs}
        if run_spec.budget_seconds is not None:
            budget["budget_seconds"] = run_spec.budget_seconds
    if run_spec.track is not None and run_spec.budget_pairs:
        budget["track"] = run_spec.track
    return content_hash(
        {
            "task": run_spec.task_key,
            "data": run_spec.data_checksum,
            "rules": PUBLIC_RULES if run_spec.is_salted else run_spec.rules,
            **budget,
            "metrics": {name: versions.get(name) for name in ranking.key_metrics},
        }
    )[:12]


def task_of(record: RunRecord, tasks: Mapping[str, Task]) -> Task | None:
    """Return the task of a record: a registered one, or the table described in its spec.

    Args:
        record: The record.
        tasks: Registered tasks by name.
    """
    return recorded_task(record) if record.run_spec.is_own_table else tasks.get(record.task)


def unofficial(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Return why a row is not official, as pairs of field and reason.

    The runs of an official row have the first seeds without gaps, so that seeds cannot be chosen,
    and differ only in their seeds.
    """
    seeds = sorted(record.seed for record in records)
    found = []
    if seeds != [*range(len(seeds))]:
        some = ", ".join(map(str, seeds[:OFFICIAL_SEEDS])) + ", ..." * (len(seeds) > OFFICIAL_SEEDS)
        official = f"0 to {OFFICIAL_SEEDS - 1}, or the first of them, none left out"
        found.append(("seed", f"{some}: an official row has {official}"))
    for field in _ONE_IN_A_ROW:
        values = {getattr(record.run_spec, field): None for record in records}
        if len(values) > 1:
            values_text = " and ".join(map(repr, [*values][:2]))
            found.append((f"run_spec.{field}", f"{values_text}: an official row has one"))
    return found


def row_key(record: RunRecord) -> RowKey:
    """Return the key of a run's row in its table.

    It includes the source, because an edited model is another model, and the budget of runs with a
    selected state, which a model may choose (`Ranking.budget_divides`).
    """
    run_spec, plugin = record.run_spec, record.plugin
    return (
        record.model,
        run_spec.model_version,
        content_hash(run_spec.config),
        plugin.distribution,
        plugin.source_sha256,
        *([] if record.selected_pairs is None else [budget_text(run_spec)]),
        *([] if record.tuning is None else [f"tuned {record.tuning.study}"]),
    )


def budget_text(run_spec: RunSpec) -> str:
    """Return a run's budget in words: ``5,000 pairs, or until patience``."""
    amount = f"{run_spec.budget_pairs:,} pairs"
    if run_spec.budget_seconds is not None:
        amount = f"{run_spec.budget_seconds:g} s"
    return amount if run_spec.stop == "budget" else f"{amount}, or until {run_spec.stop}"
