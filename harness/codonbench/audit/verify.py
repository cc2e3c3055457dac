"""Compare a repeated run with its record."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from codonbench.audit.repeat import Repetition
from codonbench.contracts import Column, Frozen, Ranking
from codonbench.contracts.run_record import FINISHED, Engine, Machine, RunRecord
from codonbench.records.files import printable
from codonbench.scoring.score import Number

BAND_FACTOR = 4.0
"""On other hardware, or with another version of torch, sums are rounded differently, and training
drifts as far as with another seed. A value in pairs must then lie between a quarter of the lowest
and four times the highest value of the row's seeds; a difference of two values within three times
the highest beyond their range, or one batch if that is more; None is in the band if a seed has it.
See `benchmarks/reproducibility.md` for measurements."""

MEAN_MARGIN = 0.1
"""A metric shown as a mean must lie within the range of the row's seeds, widened on each side by
that range or, if that is more (as for a single seed), by this share of the highest value."""


class Verification(Frozen):
    """The result of comparing a repetition with its record.

    Attributes:
        name: Name of the record.
        outcome: ``identical`` weights and metrics; ``within band`` on another machine or with
            another seed; or ``different``.
        differences: Differences, each as a sentence.
        allowed: What differs although the outcome is ``within band``: machine, engine, weights and
            the metrics of the board, each as a sentence.
    """

    name: str
    outcome: Literal["identical", "within band", "different"]
    differences: tuple[str, ...] = ()
    allowed: tuple[str, ...] = ()


def compare(repetition: Repetition, peers: Sequence[RunRecord] = ()) -> Verification:
    """Compare a repetition with its record.

    On the same kind of machine (processor, torch, threads) weights and metrics must be identical.
    On another only what data, seed and configuration determine must be identical, and metrics must
    lie in the band of the row.

    Args:
        repetition: Result of `codonbench.audit.repeat.repeat`.
        peers: Records of other seeds of the row, for the band.
    """
    record, again = repetition.recorded, repetition.record
    if again.machine.kind == record.machine.kind and _same_engine(again.engine, record.engine):
        return _comparison(record, again, _unequal(record, again), "identical")
    ranking, batch = repetition.job.task.ranking, repetition.trajectory.facts.batch_size
    row = [peer.metrics for peer in peers if same_row(peer, record)]
    outside = _outside_band([record.metrics, *row], again.metrics, ranking.columns, batch)
    found = _comparison(record, again, [*_unfixed(record, again, ranking), *outside], "within band")
    if found.differences:
        return found
    return found.model_copy(update={"allowed": tuple(_allowed(record, again, ranking))})


def compare_fresh(repetition: Repetition, row: Sequence[RunRecord]) -> Verification:
    """Compare a run of a row's configuration with a new seed with the row.

    The primary metric must lie in the band of the row's seeds. Chance seldom puts an honest run
    outside; if the row exploits knowledge of its seeds, a new one lies outside.

    Args:
        repetition: The run with a new seed.
        row: The row's records.
    """
    column, batch = repetition.job.task.ranking.primary, repetition.trajectory.facts.batch_size
    again, recorded = repetition.record, [record.metrics.get(column.metric) for record in row]
    now, outside = again.metrics.get(column.metric), []
    if again.status not in FINISHED:
        outside = [f"status: {again.status}: {again.error}"]
    elif not _inside(recorded, now, column, batch):
        values = ", ".join(map(str, recorded))
        outside = [f"{column.metric}: seed {again.seed} gives {now}, the row's own seeds {values}"]
    return _comparison(repetition.recorded, again, outside, "within band")


def with_seed(record: RunRecord, seed: int) -> RunRecord:
    """Return a record's copy from which `repeat` runs its configuration with another seed."""
    run_spec = record.run_spec.model_copy(update={"seed": seed})
    changes = {"seed": seed, "run_spec": run_spec, "run_id": run_spec.run_id}
    return record.model_copy(update=changes)


def _same_engine(one: Engine, other: Engine) -> bool:
    """Return whether two engines execute the same arithmetic in the same order."""
    return (one.name, one.version, one.rows) == (other.name, other.version, other.rows)


def same_row(one: RunRecord, other: RunRecord) -> bool:
    """Return whether two records differ only in seed and machine."""
    return (one.comparability_key, one.model, one.run_spec.config) == (
        other.comparability_key,
        other.model,
        other.run_spec.config,
    )


def _comparison(
    record: RunRecord,
    again: RunRecord,
    differences: list[str],
    good: Literal["identical", "within band"],
) -> Verification:
    """Return a comparison; if there are differences, a different source is named first."""
    outcome = "different" if differences else good
    was, now = record.plugin.source_sha256, again.plugin.source_sha256
    if differences and was != now:
        source = again.plugin.file or again.plugin.module
        made_with = f"{record.plugin.distribution} {record.plugin.version}"
        here = f"{again.plugin.distribution} {again.plugin.version}"
        versions = "" if made_with == here else f" ({printable(made_with)}; here is {here})"
        differences = [
            f"source: {printable(was)[:12]} was recorded, now {now[:12]}: {source} is not what the "
            f"record was made with{versions}, and what follows may come of that",
            *differences,
        ]
    return Verification(name=record.name, outcome=outcome, differences=tuple(differences))


_FIXED = ("parameters", "knowledge", "overrides")
"""Fields determined by model, configuration and data on any machine."""


def _unequal(record: RunRecord, again: RunRecord) -> list[str]:
    """Return differences if all must be identical: weights, trajectory, metrics, status."""
    was, now = (
        {f"validation_{name}": value for name, value in each.validation_metrics.items()}
        for each in (record, again)
    )
    differences = [
        *_differing(record.metrics, again.metrics, sorted({*record.metrics, *again.metrics})),
        *_differing(was, now, now),
    ]
    fields = ["status", "pairs", "selected_pairs", *_FIXED, "weights_sha256"]
    if record.trajectory_format == again.trajectory_format:
        fields.append("trajectory_sha256")
    return [*differences, *_differing(dict(record), dict(again), fields), *_denied(record, again)]


def _allowed(record: RunRecord, again: RunRecord, ranking: Ranking) -> list[str]:
    """Return differences that another machine or engine may make."""
    was, now = (
        {"machine": _named(each.machine), "engine": each.engine.name} for each in (record, again)
    )
    shown = [column.metric for column in ranking.columns]
    return [
        *_differing(was, now, was),
        *_differing(dict(record), dict(again), ["weights_sha256"]),
        *_differing(record.metrics, again.metrics, dict.fromkeys(shown)),
    ]


def _named(machine: Machine) -> str:
    """Return what a machine's kind is made of, in words."""
    names = (machine.device_name, machine.cpu_name, machine.cpu_capability, machine.system)
    return f"{', '.join(dict.fromkeys(names))}; torch {machine.torch}; threads: {machine.threads}"


def _unfixed(record: RunRecord, again: RunRecord, ranking: Ranking) -> list[str]:
    """Return differences in what data, seed and configuration determine on any machine."""
    fixed = _differing(record.metrics, again.metrics, ranking.fixed)
    return [*fixed, *_differing(dict(record), dict(again), _FIXED), *_denied(record, again)]


def _denied(record: RunRecord, again: RunRecord) -> list[str]:
    """Return differences in the model's role and pretraining, which decide its row's table."""
    was, now = ({f"info.{name}": value for name, value in each.info} for each in (record, again))
    return _differing(was, now, ("info.role", "info.pretrained_on"))


def _differing(was: Mapping[str, Any], now: Mapping[str, Any], names: Iterable[str]) -> list[str]:
    return [
        f"{name}: {was.get(name)} was recorded, now {now.get(name)}"
        for name in names
        if was.get(name) != now.get(name)
    ]


def _outside_band(
    row: Sequence[Mapping[str, Number]],
    again: Mapping[str, Number],
    columns: Iterable[Column],
    batch: int,
) -> list[str]:
    """Return the metrics outside the band of a row's recorded metrics."""
    differences = []
    for column in columns:
        if column.statistic != "mean" and column.scale == "other":
            continue
        recorded, now = [m.get(column.metric) for m in row], again.get(column.metric)
        if not _inside(recorded, now, column, batch):
            differences.append(f"{column.metric}: {recorded[0]} was recorded, now {now}")
    return differences


def _inside(recorded: Sequence[Number], now: Number, column: Column, batch: int) -> bool:
    """Return whether a value lies in the band of a row's seeds."""
    reached = [float(value) for value in recorded if value is not None]
    if now is None or not reached:
        return now is None and None in recorded
    low, high = _band(reached, column, batch)
    return low <= now <= high


def _band(values: Sequence[float], column: Column, batch: int) -> tuple[float, float]:
    """Return the ends of the band around recorded values."""
    low, high = min(values), max(values)
    greatest = max(abs(low), abs(high))
    if column.statistic == "mean":
        margin = max(high - low, MEAN_MARGIN * greatest)
    elif column.scale == "difference":
        margin = max((BAND_FACTOR - 1) * greatest, batch)
    else:
        return low / BAND_FACTOR, high * BAND_FACTOR
    return low - margin, high + margin
