"""Records to a ranked board: who is comparable with whom, and in what order.

One table for each comparability key and kind of device. Rows are ranked by the median over
seeds of ``excess_pairs``, runs that never deciphered counting as longer than any. Everything
here is a pure function of the records, so the same records give the same bytes.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from pydantic import Field

from codonbench.config import content_hash
from codonbench.contracts import Frozen
from codonbench.controls import (
    FASTER,
    OPTION,
    Contrast,
    RowKey,
    contrasts,
    controlled_key,
    row_key,
)
from codonbench.records import FINISHED, RunRecord
from codonbench.statistics import Median, censored_median, is_chance, wilson_interval
from codonbench.store import BadRecord

OFFICIAL_SEEDS = 10

LUCK = 0.25
"""Share of runs that an honest learner may well decipher below the bound: when a single codon
is left to be seen, a guess at it is right now and then. Far above one in 21, because an untrained
guess at the rarest codon may be a good one; more often than that is not luck."""

MEDIANS = (
    "excess_pairs",
    "pairs_consumed",
    "sustained_pairs",
    "confident_pairs",
    "rare_stop_ambiguity",
    "decipher_epoch",
)


_Place = tuple[str, str]
"""A comparability key and a kind of device."""

_Rows = dict[RowKey, dict[int, RunRecord]]
"""A table's records, by row and seed."""


COUNTS = ("rare_stop_ambiguity",)
"""Those of `MEDIANS` that are counts: null means that there is nothing to count, not "never"."""


class Row(Frozen):
    """One model in one table.

    Attributes:
        rank: From 1; None in the reference part.
        model, model_version, config: What ran.
        config_sha256: Of `config`, to tell rows of one name apart.
        overrides: Where `config` departs from the model's or preset's own.
        distribution: Who supplies it.
        role: ``contestant`` or ``reference``.
        successes, success_low, success_high: Runs whose deciphering was sustained, and the
            Wilson interval of their share.
        seeds: The seeds counted.
        run_ids: Their runs, in the same order. For who goes on from the row to its records; not
            written out, since records say themselves which run they are.
        medians: Over seeds, by metric name; None where the metric does not apply.
        parameters: Trainable parameters.
        devices: Device names.
        seconds: Median training time of a run; None where devices differ.
        notes: What a reader must know: flags, knowledge, too few seeds.
    """

    rank: int | None
    model: str
    model_version: str
    config: dict[str, object]
    config_sha256: str
    overrides: dict[str, object]
    distribution: str
    role: Literal["contestant", "reference"]
    successes: int
    success_low: float
    success_high: float
    seeds: tuple[int, ...]
    run_ids: tuple[str, ...] = Field(default=(), exclude=True)
    medians: dict[str, Median | None]
    parameters: int
    devices: tuple[str, ...]
    seconds: float | None
    notes: tuple[str, ...]


class Table(Frozen):
    """Rows that may be compared with one another, and those that were run under a control too."""

    key: str
    task: str
    task_version: str
    task_options: dict[str, object]
    data: str
    data_checksum: str
    simulated: bool
    stop: str
    budget_pairs: int
    device: str
    torch: tuple[str, ...]
    engines: tuple[str, ...]
    notes: tuple[str, ...]
    rows: tuple[Row, ...]
    references: tuple[Row, ...]
    contrasts: tuple[Contrast, ...] = ()

    @property
    def control(self) -> str:
        """Which control these rows were run under; empty for none, which comes first."""
        return str(self.task_options.get(OPTION) or "")


class Excluded(Frozen):
    """A file or a run that does not count, and why."""

    name: str
    reason: str


class Board(Frozen):
    """All tables, and all that was left out."""

    schema_version: Literal[1] = 1
    tables: tuple[Table, ...]
    excluded: tuple[Excluded, ...]


def build_board(found: Iterable[RunRecord | BadRecord]) -> Board:
    """Return the board that a folder's records give."""
    excluded: list[Excluded] = []
    groups: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
    for item in found:
        if isinstance(item, BadRecord):
            excluded.append(Excluded(name=item.path.name, reason=item.reason))
        elif item.status not in FINISHED:
            excluded.append(Excluded(name=item.name, reason=f"status {item.status}"))
        else:
            groups[item.comparability_key, item.machine.device].append(item)
    counted = {place: _count(records, excluded) for place, records in sorted(groups.items())}
    tables = [_build_table(rows, _contrasts(place, counted)) for place, rows in counted.items()]
    tables.sort(key=lambda t: (t.task, t.simulated, t.data, t.stop, t.device, t.control, t.key))
    excluded.sort(key=lambda e: (e.name, e.reason))
    return Board(tables=tuple(tables), excluded=tuple(excluded))


def _count(records: Sequence[RunRecord], excluded: list[Excluded]) -> _Rows:
    """Return the records that count, by row and seed; the first of a seed does."""
    by_row: _Rows = defaultdict(dict)
    for record in sorted(records, key=lambda r: (r.model, r.seed, r.run_id)):
        counted = by_row[row_key(record)].setdefault(record.seed, record)
        if counted is not record:
            reason = f"seed {record.seed} is already counted from {counted.name}"
            excluded.append(Excluded(name=record.name, reason=reason))
    return by_row


def _contrasts(place: _Place, counted: Mapping[_Place, _Rows]) -> dict[RowKey, list[Contrast]]:
    """Return, for the rows of one table, how they stand beside their controls."""
    key, device = place
    found: dict[RowKey, list[Contrast]] = defaultdict(list)
    for (_, other_device), controlled in counted.items():
        first = _first(controlled)
        if other_device == device and controlled_key(first) == key:
            for row, contrast in contrasts(counted[place], controlled):
                found[row].append(contrast)
    return found


def _first(rows: _Rows) -> RunRecord:
    """Return a record of a table, for what all of them share."""
    return next(iter(next(iter(rows.values())).values()))


def _build_table(by_row: _Rows, found: Mapping[RowKey, list[Contrast]]) -> Table:
    rows = [_build_row(list(seeds.values()), found.get(key, [])) for key, seeds in by_row.items()]
    ranked = sorted((r for r in rows if r.role == "contestant"), key=_order)
    references = sorted((r for r in rows if r.role == "reference"), key=_order)
    records = [record for seeds in by_row.values() for record in seeds.values()]
    first = _first(by_row)
    return Table(
        key=first.comparability_key,
        task=first.task,
        task_version=first.plan.task_version,
        task_options=first.plan.task_options,
        data=first.dataset.source,
        data_checksum=first.dataset.checksum,
        simulated=first.dataset.simulated,
        stop=first.plan.stop,
        budget_pairs=first.plan.budget_pairs,
        device=first.machine.device,
        torch=tuple(sorted({r.machine.torch for r in records})),
        engines=tuple(sorted({r.engine.name for r in records})),
        notes=first.dataset.notes,
        rows=tuple(row.model_copy(update={"rank": i}) for i, row in enumerate(ranked, 1)),
        references=tuple(references),
        contrasts=tuple(contrast for key in sorted(found) for contrast in found[key]),
    )


def _build_row(records: Sequence[RunRecord], found: Sequence[Contrast]) -> Row:
    first, n = records[0], len(records)
    successes = sum(r.metrics.get("sustained_pairs") is not None for r in records)
    low, high = wilson_interval(successes, n)
    devices = tuple(sorted({r.machine.device_name for r in records}))
    seconds = censored_median([r.timings.train for r in records])
    return Row(
        rank=None,
        model=first.model,
        model_version=first.plan.model_version,
        config=first.plan.config,
        config_sha256=content_hash(first.plan.config),
        overrides=first.overrides,
        distribution=first.plugin.distribution,
        role=first.info.role,
        successes=successes,
        success_low=low,
        success_high=high,
        seeds=tuple(r.seed for r in records),
        run_ids=tuple(r.run_id for r in records),
        medians={name: _median(records, name) for name in MEDIANS},
        parameters=first.parameters,
        devices=devices,
        seconds=seconds.value if seconds and len(devices) == 1 else None,
        notes=_notes(records) + ((FASTER,) if any(c.faster for c in found) else ()),
    )


def _median(records: Sequence[RunRecord], name: str) -> Median | None:
    """Return the median of a metric; None where no run could answer or it does not apply."""
    computed = all(r.trace_sha256 is None for r in records)
    values = [r.metrics.get(name) for r in records if name not in r.not_measured]
    if (computed or name in COUNTS) and all(value is None for value in values):
        return None
    return censored_median([None if v is None else float(v) for v in values])


def _notes(records: Sequence[RunRecord]) -> tuple[str, ...]:
    n = len(records)
    notes = [f"knows {fact}" for fact in sorted({fact for r in records for fact in r.knowledge})]
    pretrained = records[0].info.pretrained_on
    if pretrained:
        notes.append(f"pretrained on {pretrained}")
    below = sum(any(f.startswith("below the bound") for f in r.flags) for r in records)
    if below:
        notes.append(f"below the bound in {below} of {n} ({_reason(below, n)})")
    diverged = sum(r.status == "diverged" for r in records)
    if diverged:
        notes.append(f"diverged in {diverged} of {n}")
    if n < OFFICIAL_SEEDS and records[0].info.role == "contestant":
        notes.append(f"fewer than {OFFICIAL_SEEDS} seeds")
    return tuple(notes)


def _reason(below: int, n: int) -> str:
    """Return what can make a row decipher codons that its streams had not shown."""
    rest = "structured input or prior knowledge"
    return f"luck, {rest}" if is_chance(below, n, LUCK) else f"too often for luck: {rest}"


def _order(row: Row) -> tuple[float, float, float, str, str]:
    """Return the key rows are ranked by: excess, then pairs, then success, then name."""

    def position(name: str) -> float:
        median = row.medians[name]
        return math.inf if median is None or median.value is None else median.value

    return (
        position("excess_pairs"),
        position("pairs_consumed"),
        -row.successes / len(row.seeds),
        row.model,
        row.config_sha256,
    )
