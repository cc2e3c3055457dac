"""Trajectory to numbers by every registered metric, and between which runs numbers compare."""

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
"""Model, its version, the hash of its configuration, and who supplies it."""

OFFICIAL_SEEDS = 10

_ONE_IN_A_ROW = ("salt", "stop", "budget_pairs", "budget_seconds", "threads", "engine")
"""Fields of a run spec that a row's runs might differ in, and an official row's do not."""


@dataclass(frozen=True)
class Scores:
    """Metric values of one run.

    Attributes:
        values: By output name; None means never within the budget, or not applicable.
        not_measured: Names whose None means that the run could not answer.
        versions: Of the metrics, by metric name.
    """

    values: dict[str, Number]
    not_measured: tuple[str, ...]
    versions: dict[str, str]


def score(trajectory: Trajectory, metrics: Iterable[Metric]) -> Scores:
    """Return the values of all `metrics` for one trajectory.

    Without a single evaluation all values are null, and not measured where the run was cut short.

    Raises:
        PluginError: A metric failed, gave other names than it declares, a name that another
            gives, or no number.
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
    asked = trajectory.facts.split == "validation" and len(trajectory.targets)
    if not asked or selected is None or selected not in trajectory.pairs:  # it failed before
        return {}
    at = int(np.flatnonzero(trajectory.pairs == selected)[0])
    shown = replace(
        trajectory, test_outputs=trajectory.outputs[at], test_targets=trajectory.targets
    )
    return score(shown, [m for m in metrics if isinstance(m, SplitMetric)]).values


def metric_giving(name: str, metrics: Mapping[str, Metric], task: TaskSpec) -> SplitMetric | None:
    """Return the metric of test outputs that gives a value for a task; None where none does.

    Args:
        name: Of the value.
        metrics: By name.
        task: What the outputs are of.
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
        run_spec: What was run.
        versions: Of the metrics that scored it, by name; those that rank nothing do not count.
        ranking: The task's.
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
            "task": run_spec.asked,
            "data": run_spec.data_checksum,
            "rules": PUBLIC_RULES if run_spec.is_salted else run_spec.rules,
            **budget,
            "metrics": {name: versions.get(name) for name in ranking.key_metrics},
        }
    )[:12]


def task_of(record: RunRecord, tasks: Mapping[str, Task]) -> Task | None:
    """Return the task of a record: one that is registered, or the table that its spec describes.

    Args:
        record: Of a run.
        tasks: Those that are registered, by name.
    """
    return recorded_task(record) if record.run_spec.is_own_table else tasks.get(record.task)


def unofficial(records: Sequence[RunRecord]) -> list[tuple[str, str]]:
    """Return why a row is no official one, as a field and what is to be said of it, each.

    An official row has the first seeds, none left out, so that nobody chose them, and its runs
    differ in nothing but their seeds.
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
            said = " and ".join(map(repr, [*values][:2]))
            found.append((f"run_spec.{field}", f"{said}: an official row has one"))
    return found


def row_key(record: RunRecord) -> RowKey:
    """Return what makes two runs of one table count in one row.

    The source is part of it: who edits a model and runs some of its seeds again has two models. So
    is the budget of a run that was tested in a state selected from several, which may be its
    model's own choice (`Ranking.budget_divides`).
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
