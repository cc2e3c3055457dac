"""A model's runs to its row: medians, means and shares over seeds, and what a reader must know.

A row is also held against its control: the same seeds under an option that the task declares one.
What is compared, when a row is flagged and in which words, the task's `Control` says.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from codonbench.contracts import Ceiling, Column, Control, Doubt, Frozen, Ranking, Task, TaskSpec
from codonbench.contracts.run_record import RunRecord, Tuning
from codonbench.contracts.run_spec import content_hash
from codonbench.protocols.folds import Folds
from codonbench.ranking.item_scores import Gain
from codonbench.ranking.items import CleanFigure, ControlFigure, twin_of
from codonbench.ranking.statistics import (
    Mean,
    Median,
    RestrictedMean,
    censored_median,
    censored_quantile,
    mean,
    paired_ratio,
    restricted_mean,
    wilson_interval,
)
from codonbench.records.files import LONGEST_LINE, visible
from codonbench.scoring.score import (
    OFFICIAL_SEEDS,
    RowKey,
    budget_text,
    comparability_key,
    unofficial,
)

FEWEST_SEEDS = 6
"""Seeds without which nothing is flagged: one in 64 times all six are the faster by chance."""

Seeds = Mapping[int, RunRecord]


class Contrast(Frozen):
    """One row beside its control, over the seeds that both have.

    Attributes:
        key: The control's comparability key.
        control: Name of the control.
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


def name_text(
    model: str, overrides: Mapping[str, object], distribution: str, told_apart: str = ""
) -> str:
    """Return a model's name, where it departs from that, who supplies it, and more if given."""
    extras = [f"{field}={value}" for field, value in sorted(overrides.items())]
    if distribution != "codonbench":
        extras.append(f"by {distribution or 'an unknown supplier'}")
    if told_apart:
        extras.append(told_apart)
    return f"{model} ({'; '.join(extras)})" if extras else model


def short_name(label: str, longest: int, tail: int = 0) -> str:
    """Return what `name_text` gave in a line of that length, the shortest of what it adds first.

    Cut at their end, names that begin with the same checkpoint or checksum would look alike.

    Args:
        label: The name.
        longest: How many letters it may have.
        tail: How many of them are its last, where it is cut.

    >>> short_name("hf (checkpoint=https://a.b/c; init=random)", 25)
    'hf (init=random; checkpo…'
    """
    name, _, extras = label.partition(" (")
    if len(label) > longest and extras:
        ordered = sorted(extras.removesuffix(")").split("; "), key=len)
        label = f"{name} ({'; '.join(ordered)})"
    if len(label) > longest and tail:
        return visible(label, longest - tail) + visible(label[-tail:])
    return visible(label, longest)


def short_names(labels: Iterable[str], longest: int) -> dict[str, str]:
    """Return the short name of each; those that would look alike are cut in their middle.

    Where they would still, all names get as many letters more as tell them apart.

    >>> short_names(["cnn (width=100)", "cnn (width=104)"], 12)["cnn (width=104)"]
    'cnn (wi…104)'
    """
    whole = dict.fromkeys(labels)

    def short(length: int) -> dict[str, str]:
        at_end = {label: short_name(label, length) for label in whole}
        times = Counter(at_end.values())
        alike = [label for label in whole if times[at_end[label]] > 1]
        return at_end | {label: short_name(label, length, length // 3) for label in alike}

    found = map(short, range(longest, LONGEST_LINE))
    return next((made for made in found if len({*made.values()}) == len(whole)), short(longest))


def controlled_key(record: RunRecord, ranking: Ranking) -> str | None:
    """Return the comparability key of what a record is a control of; None where it is none."""
    options = dict(record.run_spec.task_options)
    if options.pop("control", None) is None:
        return None
    run_spec = record.run_spec.model_copy(update={"task_options": options})
    return comparability_key(run_spec, record.metric_versions, ranking)


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
        control=control.name,
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


# Rows


class Row(Frozen):
    """One model in one table.

    Attributes:
        rank: From 1; None in the reference part, and where there is nothing to rank it by.
        tier: From 1; None where there is no rank, and of a row that was not tested. Ranks that
            the paired test of `tiers` cannot tell from the row that opened a tier share it.
        model, model_version, config: What ran.
        config_sha256: Hash of `config`, which distinguishes rows of one name.
        overrides: Where `config` departs from the model's or preset's own.
        distribution: Who supplies it.
        told_apart: What tells it from rows of its name in the table: ``version 2``; empty
            where there are none.
        role: ``contestant`` or ``reference``.
        successes, success_low, success_high: Runs that succeeded, and the Wilson interval of
            their share.
        seeds: The seeds counted.
        run_ids: Their runs, in the same order. For who goes on from the row to its records; not
            written out, since records say themselves which run they are.
        medians, means: Over seeds, by the names of the columns that show one or the other; the
            former are of the column's quantile. None where the metric does not apply or no run
            could answer.
        twin: Of a pretrained row over its random twin, likewise.
        gain: Over the best reference row or rule, in the primary metric; None where not known.
        controls, clean: As in `RowFigures`.
        restricted_mean: Of the metric that the ranking names, over seeds and up to the budget;
            None where there is none or the row was computed, not run.
        parameters: Trainable parameters.
        budget: What the runs might spend at most, in words.
        devices: Device names.
        seconds: Median training time of a run; None where devices differ.
        notes: What a reader must know: flags, knowledge, too few seeds.
        doubted: Whether one of them puts the rank in question.
        tuning: How its configuration was found; None if unknown.
    """

    rank: int | None
    tier: int | None
    model: str
    model_version: str
    config: dict[str, object]
    config_sha256: str
    overrides: dict[str, object]
    distribution: str
    told_apart: str = Field(default="", exclude_if=lambda told_apart: not told_apart)
    role: Literal["contestant", "reference"]
    successes: int
    success_low: float
    success_high: float
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...] = Field(default=(), exclude=True)
    medians: dict[str, Median | None]
    means: dict[str, Mean | None] = Field(default_factory=dict, exclude_if=lambda means: not means)
    gain: Gain | None = Field(default=None, exclude_if=lambda gain: gain is None)
    twin: Gain | None = Field(default=None, exclude_if=lambda twin: twin is None)
    controls: dict[str, ControlFigure] = Field(default={}, exclude_if=lambda found: not found)
    clean: CleanFigure | None = Field(default=None, exclude_if=lambda clean: clean is None)
    restricted_mean: RestrictedMean | None
    parameters: int
    budget: str = Field(default="", exclude=True)
    devices: tuple[str, ...]
    seconds: float | None
    notes: tuple[str, ...]
    doubted: bool = Field(default=False, exclude_if=lambda doubted: not doubted)
    tuning: Tuning | None = Field(default=None, exclude_if=lambda given: given is None)

    @property
    def label(self) -> str:
        """``mymodel (hidden=128; by mylab)``: name, departures from it, and supplier."""
        return name_text(self.model, self.overrides, self.distribution, self.told_apart)

    @property
    def id(self) -> str:
        """Identifier of the row in its table, 12 hexadecimal digits."""
        return content_hash([self.model, self.config_sha256, self.distribution, self.run_ids])[:12]

    def figure(self, metric: str) -> Median | Mean | None:
        """Return what a column shows."""
        return self.means[metric] if metric in self.means else self.medians[metric]


def build_row(
    records: Sequence[RunRecord],
    found: Sequence[Contrast],
    ranking: Ranking,
    task_notes: Sequence[str],
    spec: TaskSpec | None,
) -> Row:
    """Return a model's row, not yet ranked.

    Args:
        records: One a seed.
        found: The row's contrasts.
        ranking: The task's.
        task_notes: Notes of the task on the row (`Task.row_notes`).
        spec: The task of its runs; None where their test outputs are not available.
    """
    first, n = records[0], len(records)
    medians = [column for column in ranking.columns if column.statistic == "censored_quantile"]
    success = ranking.success
    successes = sum(success is None or r.metrics.get(success) is not None for r in records)
    low, high = wilson_interval(successes, n)
    devices = tuple(sorted({r.machine.device_name for r in records}))
    return Row(
        rank=None,
        tier=None,
        model=first.model,
        model_version=first.run_spec.model_version,
        config=first.run_spec.config,
        config_sha256=content_hash(first.run_spec.config),
        overrides=first.overrides,
        distribution=first.plugin.distribution,
        role=first.info.role,
        successes=successes,
        success_low=low,
        success_high=high,
        seeds=tuple(r.seed for r in records),
        run_ids=tuple(r.run_id for r in records),
        medians={column.metric: _quantile(records, column) for column in medians},
        means={c.metric: _mean(records, c.metric) for c in ranking.columns if c not in medians},
        restricted_mean=_restricted_mean(records, ranking.restricted_mean),
        parameters=first.parameters,
        budget=budget_text(first.run_spec),
        devices=devices,
        seconds=_seconds(records) if len(devices) == 1 else None,
        notes=_notes(records, found, ranking, task_notes, spec),
        doubted=first.info.role == "contestant" and any(isinstance(n, Doubt) for n in task_notes),
        tuning=first.tuning,
    )


def tuned_on_tested(record: RunRecord, spec: TaskSpec | None) -> bool:
    """Return whether a run is tested on items among which its configuration was sought.

    `bench tune` trains and validates on the splits of the data, or on those that its seeds draw
    where they have none: folds, and other seeds, test items of these. Of other data nothing is
    known, and nothing said.

    Args:
        record: Record of the run.
        spec: The task of the run; None where that is not available, and the record decides.
    """
    tuning, run_spec = record.tuning, record.run_spec
    if tuning is None or tuning.data_checksum != run_spec.data_checksum:
        return False
    own_test_split = tuning.tests_unseen if spec is None else bool(spec.test_size)
    return run_spec.protocol == Folds.name or not own_test_split


def with_differences(rows: Sequence[Row], sources: Sequence[str | None]) -> list[Row]:
    """Return the rows; those that would show under one name get a note of how they differ.

    Their names get their version or the SHA-256 of their code, where one is enough, or all of it.

    Args:
        rows: Of one table.
        sources: The SHA-256 of each one's source, in the same order.
    """
    named: dict[str, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        named[content_hash([row.model, row.overrides, row.distribution])].append(i)
    result = list(rows)
    for twins in named.values():
        facts = [_facts(rows[i], sources[i]) for i in twins]
        fields = sorted({field for own in facts for field in own})
        differing = [f for f in fields if len({str(own.get(f)) for own in facts}) > 1]
        enough = [f for f in ("version", _CODE) if len({own[f] for own in facts}) == len(facts)]
        for i, own in zip(twins, facts, strict=True) if len(twins) > 1 else ():
            note = ", ".join(f"{field} {own.get(field)}" for field in differing)
            apart = f"{enough[0]} {own[enough[0]]}" if enough else note
            result[i] = rows[i].model_copy(
                update={"told_apart": apart, "notes": (note, *rows[i].notes)}
            )
    return result


_CODE = "code SHA-256"


def _facts(row: Row, source: str | None) -> dict[str, object]:
    """Return what can differ between two rows of one name."""
    known = {"version": row.model_version, _CODE: (source or "unknown")[:8]}
    return {**row.config, **known, "budget": row.budget}


def with_budget_notes(
    rows: Sequence[Row], runs: Sequence[Sequence[RunRecord]], task: Task
) -> list[Row]:
    """Return rows; contestants that may train for less or more than most get a note.

    Args:
        rows: Of one table.
        runs: Records of each, in the same order.
        task: Their task.
    """
    most = [
        row.budget.partition(", or")[0]
        if row.role == "contestant" and own[0].engine.name != "fit"
        else ""
        for row, own in zip(rows, runs, strict=True)
    ]
    counts = Counter(filter(None, most))
    usual = min(counts, key=lambda amount: (-counts[amount], amount), default="")

    def note(amount: str) -> str:
        text = f"trained on at most {amount}, most rows on {usual}"
        return text.replace("pairs", task.counted_in)

    return [
        row if amount in ("", usual) else _noted(row, note(amount))
        for row, amount in zip(rows, most, strict=True)
    ]


def _noted(row: Row, note: str) -> Row:
    """Return a row with a note after those that it has."""
    return row.model_copy(update={"notes": (*row.notes, note)})


def with_twin_notes(
    rows: tuple[Row, ...], runs: Mapping[str, RunRecord], ranking: Ranking
) -> tuple[Row, ...]:
    """Return rows; pretrained ones get a note on what that gains over their random twins.

    Args:
        rows: Some of a table's.
        runs: A run of each row of the table, by the row's id.
        ranking: The task's.
    """
    noted = []
    for row in rows:
        record, primary = runs[row.id], ranking.primary
        if not record.info.pretrained_on or record.run_spec.config.get("init") == "random":
            noted.append(row)
            continue
        twinned = "init" in record.run_spec.config
        lacks = "no random twin was run" if twinned else "it can have no random twin"
        note = f"{lacks}, so the gain from pretraining is not known"
        if (twin := row.twin) is not None:
            value, low, high = (
                f"{v:{sign}.{primary.digits}f}"
                for v, sign in ((twin.value, "+"), (twin.low, ""), (twin.high, ""))
            )
            note = f"pretraining gains {value} [{low}, {high}] {primary.title} over its random twin"
        elif twin_of(record, runs) is not None:
            note = (
                "its random twin is in this table; test outputs to compare them are not available"
            )
        noted.append(_noted(row, note))
    return tuple(noted)


def with_ceiling_notes(
    rows: tuple[Row, ...], ceiling: Ceiling | None, ranking: Ranking
) -> tuple[Row, ...]:
    """Return rows; those whose whole interval lies beyond the ceiling's get a note.

    Args:
        rows: Some of a table's.
        ceiling: The best that a model can do; None where that is not known.
        ranking: The task's.
    """
    if ceiling is None:
        return rows
    higher = ranking.direction == "higher"

    def beyond(row: Row) -> bool:
        figure = row.means.get(ranking.metric)
        if figure is None:
            return False
        return figure.low > ceiling.high if higher else figure.high < ceiling.low

    note = "beyond the ceiling: check for a leak or a wrong ceiling"
    return tuple(_noted(row, note) if beyond(row) else row for row in rows)


def answers(records: Sequence[RunRecord], name: str) -> dict[int, float | None]:
    """Return a metric by seed, None for "never", without the runs that could not answer."""
    values = {r.seed: r.metrics.get(name) for r in records if name not in r.not_measured}
    return {seed: None if value is None else float(value) for seed, value in values.items()}


def _quantile(records: Sequence[RunRecord], column: Column) -> Median | None:
    """Return a column's quantile; None where no run could answer or it does not apply."""
    values = answers(records, column.metric)
    if (_computed(records) or column.counts) and all(v is None for v in values.values()):
        return None
    ends = {r.seed: _followed(r, column.window) for r in records}
    followed = [ends[seed] for seed in values]
    return censored_quantile(list(values.values()), column.quantile, followed)


def _mean(records: Sequence[RunRecord], name: str) -> Mean | None:
    """Return the mean of a metric over the runs that have a value; None where none has."""
    return mean([value for value in answers(records, name).values() if value is not None])


def _followed(record: RunRecord, window: int) -> float:
    """Return until when a metric that is null is known not to have been reached.

    For ever, as far as one budget's table can tell, but where it must last for a window: the
    budget may have ended one that was open, and how long it had been is all that is known. Not
    so where a run diverged: it never recovers.
    """
    if window and record.status != "diverged":
        return max(0.0, record.pairs - window)
    return math.inf


def _restricted_mean(records: Sequence[RunRecord], name: str | None) -> RestrictedMean | None:
    if name is None or _computed(records):
        return None
    values = list(answers(records, name).values())
    return restricted_mean(values, records[0].run_spec.budget_pairs)


def _computed(records: Sequence[RunRecord]) -> bool:
    """Return whether a row was computed, not run."""
    return all(r.trajectory_sha256 is None for r in records)


def _seconds(records: Sequence[RunRecord]) -> float:
    """Return the median training time, the lower of two in the middle."""
    return sorted(r.timings.train for r in records)[(len(records) - 1) // 2]


def _notes(
    records: Sequence[RunRecord],
    found: Sequence[Contrast],
    ranking: Ranking,
    task_notes: Sequence[str],
    spec: TaskSpec | None,
) -> tuple[str, ...]:
    n, control = len(records), ranking.control
    notes = [f"knows {fact}" for fact in sorted({fact for r in records for fact in r.knowledge})]
    if records[0].run_spec.config.get("init") == "random":
        notes.append("random twin: randomly initialised weights")
    elif seen := records[0].pretrained_on:
        notes.append(f"pretrained on {seen}")
    if (tuning := records[0].tuning) is not None:
        notes += tuning.notes
    if tuned_on_tested(records[0], spec):
        notes.append("tuned on its test items")
    notes += task_notes
    diverged = sum(r.status == "diverged" for r in records)
    if diverged:
        notes.append(f"diverged in {diverged} of {n} runs")
    primary = ranking.primary
    silent = sum(r.metrics.get(primary.metric) is None for r in records)
    if silent and primary.statistic == "mean":  # a mean of the others may flatter
        notes.append(f"no {primary.title} in {silent} of {n} runs")
    if n < OFFICIAL_SEEDS and records[0].info.role == "contestant":
        notes.append(f"fewer than {OFFICIAL_SEEDS} seeds")
    if records[0].info.role == "contestant":
        notes += [
            f"{field.removeprefix('run_spec.')} {what}" for field, what in unofficial(records)
        ]
    if control is not None and any(contrast.faster for contrast in found):
        notes.append(control.flag)
    return tuple(notes)


# What is shown of them

NONE = "-"
"""Stands where there is nothing to show, or nothing that applies."""


def parameters_text(parameters: int) -> str:
    """Return a number of trainable parameters; ``-`` for none, as where nothing counts them."""
    return f"{parameters:,}" if parameters else NONE


def rank_text(row: Row) -> str:
    """Return ``3``, ``3?`` in doubt; ``-`` for a contestant without, nothing for a reference."""
    unranked = NONE if row.role == "contestant" else ""
    return unranked if row.rank is None else f"{row.rank}{'?' if row.doubted else ''}"


def clean_rank_text(row: Row) -> str:
    """Return the rank on clean test items, ``2 (was 1)`` where it is another; nothing without."""
    there = None if row.clean is None else row.clean.rank
    if row.rank is None or there is None:
        return ""
    return str(there) if there == row.rank else f"{there} (was {row.rank})"


def figure_text(figure: Median | Mean | None, column: Column, budget: int | None) -> str:
    """Return what a column shows; never as beyond the budget where that is what it means."""
    if isinstance(figure, Mean):
        texts = [f"{v:z,.{column.digits}f}" for v in (figure.value, figure.low, figure.high)]
        return _with_interval(texts, figure.n)
    return median_text(figure, None if column.scale == "other" else budget)


def success_text(row: Row, ranking: Ranking) -> str:
    """Return ``10/10 [72-100 %]``: runs that succeeded and the Wilson interval of their share.

    ``-`` for a row to which it does not apply, such as a bound.
    """
    success = ranking.success
    if success in row.medians and row.medians[success] is None:
        return NONE
    low, high = round(100 * row.success_low), round(100 * row.success_high)
    return f"{row.successes}/{len(row.seeds)} [{low}-{high} %]"


def median_text(median: Median | None, budget: int | None) -> str:
    """Return ``4,096 [3,072 to 5,120]``; beyond the budget as ``> 23,040,000``; ``-`` for none."""
    if median is None:
        return NONE
    never = "never" if budget is None else f"> {budget:,}"
    texts = [never if v is None else _number(v) for v in (median.value, median.low, median.high)]
    return _with_interval(texts, median.n)


def without_interval(figure: Median | Mean | None) -> Median | Mean | None:
    """Return a figure whose interval is its value alone, so that none is shown."""
    if figure is None:
        return None
    return figure.model_copy(update={"low": figure.value, "high": figure.value})


def _with_interval(texts: Sequence[str], n: int) -> str:
    """Return a figure over n seeds, and its two ends where they are not the same."""
    value, low, high = texts
    return value if n == 1 or value == low == high else f"{value} [{low} to {high}]"


def _number(value: float) -> str:
    """Return a number in full, where a reader can still count its digits."""
    return f"{value:z,.0f}" if abs(value) < 1e15 else f"{value:.3g}"


def score_text(figure: Median | Mean | None, column: Column) -> str:
    """Return ``0.648 [0.631, 0.664]``; no interval where there is no more than the value."""
    if not isinstance(figure, Mean):
        return NONE
    value, low, high = (f"{v:z,.{column.digits}f}" for v in (figure.value, figure.low, figure.high))
    return value if figure.low == figure.high else f"{value} [{low}, {high}]"


def gain_text(gain: Gain | None, column: Column) -> str:
    """Return ``+0.021 [0.012, 0.030]``; nothing where it is not known."""
    if gain is None:
        return ""
    low, high = (f"{v:z,.{column.digits}f}" for v in (gain.low, gain.high))
    return f"{gain.value:+z,.{column.digits}f} [{low}, {high}]"


def ratio_text(ratio: Median | None) -> str:
    """Return ``0.57 [0.36 to 0.68]``; 0 where only the control never got there, ``-`` for none."""
    if ratio is None:
        return NONE
    low, middle, high = (
        "∞" if value is None else f"{value:.2f}" for value in (ratio.low, ratio.value, ratio.high)
    )
    return middle if ratio.n == 1 else f"{middle} [{low} to {high}]"
