"""Which records count: whole runs of the publication's budget, on one kind of data."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.contracts.run_spec import canonical_json
from codonbench.ranking.board import Excluded
from codonbench.ranking.controls import RowKey, row_key
from codonbench.records.store import BadRecord
from codonbench_datasets.human_codon.reproduction.publications import (
    Instrument,
    Publication,
    ReferenceRow,
)

Rows = dict[tuple[str, str], list[RunRecord]]
"""Records by model and overrides, as text."""


def whole_runs(
    publication: Publication, found: Iterable[RunRecord | BadRecord], excluded: list[Excluded]
) -> list[RunRecord]:
    """Return the finished runs of the publication's task and models that spent its budget."""
    models = {reading.model for cell in publication.cells for reading in cell.readings}
    models |= {reference.model for reference in publication.references}
    kept = []
    for item in found:
        if isinstance(item, BadRecord):
            excluded.append(Excluded(name=item.path.name, reason=item.reason))
        elif (
            item.task == publication.task
            and item.model in models
            and item.run_spec.stop == "budget"
            and item.run_spec.budget_pairs == publication.budget_pairs
        ):
            if item.status in FINISHED:
                kept.append(item)
            else:
                excluded.append(Excluded(name=item.name, reason=f"status {item.status}"))
    return sorted(kept, key=lambda record: record.name)


def options_of(record: RunRecord) -> dict[str, Any]:
    """Return a run's task options without those that are None."""
    return {k: v for k, v in record.run_spec.task_options.items() if v is not None}


def chosen_key(publication: Publication, records: Sequence[RunRecord]) -> str:
    """Return the comparability key to report on: real data first, then the most runs of cells."""
    cells = {
        row_of(reading.model, reading.overrides)
        for cell in publication.cells
        for reading in cell.readings
    }
    counts: dict[tuple[bool, str, str], int] = defaultdict(int)
    for record in records:
        place = (record.dataset.simulated, record.dataset.source, record.comparability_key)
        counts[place] += row_of(record.model, record.overrides) in cells
    if not counts:
        return ""
    return min(counts, key=lambda place: (counts[place] == 0, place[0], -counts[place], place))[2]


def row_of(model: str, overrides: Mapping[str, Any]) -> tuple[str, str]:
    """Return what makes two runs belong to one reading."""
    return model, canonical_json(dict(overrides))


def by_row(records: Iterable[RunRecord]) -> Rows:
    """Return records by what they are readings of."""
    rows: Rows = defaultdict(list)
    for record in records:
        rows[row_of(record.model, record.overrides)].append(record)
    return rows


def counted(
    records: Sequence[RunRecord], instrument: Instrument, excluded: list[Excluded]
) -> list[RunRecord]:
    """Return one record a seed, all of one version and source of the model, by seed."""
    by_source: dict[RowKey, dict[int, RunRecord]] = defaultdict(dict)
    for record in records:
        name = metric_of(instrument.epoch, instrument.criteria[0])
        if name in record.not_measured or name not in record.metrics:
            excluded.append(Excluded(name=record.name, reason=f"{name} was not measured"))
            continue
        first = by_source[row_key(record)].setdefault(record.seed, record)
        if first is not record:
            reason = f"seed {record.seed} is already counted from {first.name}"
            excluded.append(Excluded(name=record.name, reason=reason))
    if not by_source:
        return []
    chosen = min(by_source, key=lambda key: (-len(by_source[key]), key))
    for key, seeds in by_source.items():
        if key != chosen:
            reason = "another version or source of its model has more seeds"
            excluded += [Excluded(name=r.name, reason=reason) for r in seeds.values()]
    return [record for _, record in sorted(by_source[chosen].items())]


def metric_of(name: str, criterion: str) -> str:
    """Return ``paper_epoch_unique``."""
    return f"{name}_{criterion}"


def records_of(
    reference: ReferenceRow, rows: Rows, candidates: Sequence[RunRecord]
) -> list[RunRecord]:
    """Return a reference row's records: of the rows reported, or by its own task options."""
    if reference.task_options is None:
        return rows.get(row_of(reference.model, {}), [])
    matching = [
        record
        for record in candidates
        if record.model == reference.model and options_of(record) == reference.task_options
    ]
    keys = Counter(record.comparability_key for record in matching)
    key = min(keys, key=lambda k: (-keys[k], k), default="")
    return [record for record in matching if record.comparability_key == key]
