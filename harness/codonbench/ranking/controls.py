"""A row held against its control: the same seeds under an option that the task declares one.

What is compared, when a row is flagged and in which words, the task's `Control` says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Literal

from codonbench.contracts import Control, Frozen, Ranking
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import RunSpec, content_hash
from codonbench.ranking.statistics import Median, censored_median, paired_ratio
from codonbench.scoring.score import comparability_key

FEWEST_SEEDS = 6
"""Seeds without which nothing is flagged: one in 64 times all six are the faster by chance."""

RowKey = tuple[str, ...]
"""Model, its version, the hash of its configuration, and who supplies it."""

Seeds = Mapping[int, RunRecord]


class Contrast(Frozen):
    """One row beside its control, over the seeds that both have.

    Attributes:
        key: The control's comparability key.
        control: The value of the task's option.
        model, overrides, distribution, config_sha256, role: As in `leaderboard.Row`.
        seeds: In both.
        real, controlled: Median of what is compared over these seeds, without and with it.
        ratio: Median over seeds of real / controlled, beyond all bounds where only the
            control got there; None where neither ever did.
        faster: Whether the row is flagged.
    """

    key: str
    control: str
    model: str
    overrides: dict[str, object]
    distribution: str
    config_sha256: str
    role: Literal["contestant", "reference"]
    seeds: tuple[int, ...]
    real: Median | None
    controlled: Median | None
    ratio: Median | None
    faster: bool


def controlled_key(record: RunRecord, ranking: Ranking) -> str | None:
    """Return the comparability key of what a record is a control of; None where it is none."""
    options = dict(record.run_spec.task_options)
    if ranking.control is None or options.pop(ranking.control.option, None) is None:
        return None
    run_spec = record.run_spec.model_copy(update={"task_options": options})
    return comparability_key(run_spec, record.metric_versions, ranking)


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
    )


def budget_text(run_spec: RunSpec) -> str:
    """Return a run's budget in words: ``5,000 pairs, or until patience``."""
    amount = f"{run_spec.budget_pairs:,} pairs"
    if run_spec.budget_seconds is not None:
        amount = f"{run_spec.budget_seconds:g} s"
    return amount if run_spec.stop == "budget" else f"{amount}, or until {run_spec.stop}"


def contrasts(
    real: Mapping[RowKey, Seeds], controlled: Mapping[RowKey, Seeds], control: Control
) -> Iterator[tuple[RowKey, Contrast]]:
    """Yield each row that was trained both with and without the control, by model's name."""
    for key in sorted(real.keys() & controlled.keys()):
        seeds = sorted(real[key].keys() & controlled[key].keys())
        both = (real[key], controlled[key])
        trained = [s for s in seeds if all(_answers(rows[s], control.metric) for rows in both)]
        if trained:
            yield key, _contrast(*both, trained, control)


def _answers(record: RunRecord, metric: str) -> bool:
    """Return whether a run was trained and could answer."""
    return record.trajectory_sha256 is not None and metric not in record.not_measured


def _contrast(real: Seeds, controlled: Seeds, seeds: list[int], control: Control) -> Contrast:
    first = controlled[seeds[0]]
    values, under_control = (
        [_value(rows[s], control.metric) for s in seeds] for rows in (real, controlled)
    )
    ratio = paired_ratio(values, under_control)
    below = ratio is not None and ratio.high is not None and ratio.high < control.flagged_below
    faster = below and len(seeds) >= FEWEST_SEEDS
    return Contrast(
        key=first.comparability_key,
        control=str(first.run_spec.task_options[control.option]),
        model=first.model,
        overrides=first.overrides,
        distribution=first.plugin.distribution,
        config_sha256=content_hash(first.run_spec.config),
        role=first.info.role,
        seeds=tuple(seeds),
        real=censored_median(values),
        controlled=censored_median(under_control),
        ratio=ratio,
        faster=faster and first.info.role == "contestant",
    )


def _value(record: RunRecord, metric: str) -> float | None:
    value = record.metrics.get(metric)
    return None if value is None else float(value)
