"""A publication and records to a report: each published figure beside what our runs give.

A pure function of the two. Only runs that spent the whole budget of the publication count, and
only those of one comparability key, so that a cell is never mixed from two kinds of data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence

from codonbench.contracts.run_record import RunRecord
from codonbench.ranking.board import Excluded
from codonbench.ranking.statistics import censored_median
from codonbench.records.store import BadRecord
from codonbench_datasets.human_codon.reproduction.agreement import (
    Standing,
    chance_outside,
    judge,
    read_off,
    standing,
    too_early,
)
from codonbench_datasets.human_codon.reproduction.publications import (
    Cell,
    Instrument,
    Publication,
    ReferenceRow,
)
from codonbench_datasets.human_codon.reproduction.report import (
    EXACT,
    CellReport,
    ReadingReport,
    ReferenceReport,
    Report,
    Runs,
    Spread,
    Tally,
)
from codonbench_datasets.human_codon.reproduction.selecting import (
    Rows,
    by_row,
    chosen_key,
    counted,
    metric_of,
    options_of,
    records_of,
    row_of,
    whole_runs,
)


def build_report(
    publication: Publication, found: Iterable[RunRecord | BadRecord], data: str | None = None
) -> Report:
    """Return the report that a folder's records give.

    Args:
        publication: What was published.
        found: Records; those of other runs are passed over.
        data: The recorded name of the data to report on; by default the data with most runs, real
            ones before simulated ones.
    """
    excluded: list[Excluded] = []
    candidates = whole_runs(publication, found, excluded)
    own = [r for r in candidates if options_of(r) == publication.task_options]
    kept = [r for r in own if data is None or r.dataset.source == data]
    key = chosen_key(publication, kept)
    runs = [r for r in kept if r.comparability_key == key]
    rows = by_row(runs)
    references = [
        _reference(reference, publication, rows, candidates, excluded)
        for reference in publication.references
    ]
    oracle = _oracle_epochs(publication, rows)
    cells = [
        _cell(cell, publication, rows, oracle, _fewest(references), excluded)
        for cell in publication.cells
    ]
    others = Counter(r.dataset.source for r in own if r.comparability_key != key)
    return Report(
        publication=publication,
        dataset=runs[0].dataset if runs else None,
        key=key,
        devices=tuple(sorted({r.machine.device_name for r in runs})),
        engines=tuple(sorted({r.engine.name for r in runs})),
        torch=tuple(sorted({r.machine.torch for r in runs})),
        cells=tuple(cells),
        references=tuple(references),
        tallies=tuple(_tallies(cells, publication.instrument)),
        others=tuple(sorted(others.items())),
        excluded=tuple(sorted(set(excluded), key=lambda e: (e.name, e.reason))),
    )


def _oracle_epochs(publication: Publication, rows: Rows) -> dict[int, float | None]:
    """Return the epoch that the oracle needs on the stream of each seed."""
    name = metric_of(publication.instrument.epoch, publication.instrument.criteria[0])
    for reference in publication.references:
        if reference.role == "oracle" and reference.task_options is None:
            records = counted(records_of(reference, rows, []), publication.instrument, [])
            return {record.seed: record.metrics[name] for record in records}
    return {}


def _runs(
    records: Sequence[RunRecord], instrument: Instrument, oracle: Mapping[int, float | None]
) -> Runs:
    """Return what the seeds of one row came to."""
    if not records:
        return Runs()
    first = metric_of(instrument.epoch, instrument.criteria[0])
    known = [r for r in records if oracle.get(r.seed) is not None]
    return Runs(
        seeds=tuple(r.seed for r in records),
        epochs={c: _spread(records, metric_of(instrument.epoch, c)) for c in instrument.criteria},
        pairs={c: _spread(records, metric_of(instrument.pairs, c)) for c in instrument.criteria},
        exact={name: _exact(records, name) for name in EXACT},
        beyond=_range([_less(r.metrics[first], oracle[r.seed]) for r in known]) if known else None,
        diverged=sum(r.status == "diverged" for r in records),
    )


def _less(value: float | None, other: float | None) -> float | None:
    return None if value is None or other is None else value - other


def _spread(records: Sequence[RunRecord], name: str) -> Spread:
    return _range([r.metrics.get(name) for r in records])


def _exact(records: Sequence[RunRecord], name: str) -> Spread | None:
    """Return the spread of a metric over the seeds that could answer; None where none could."""
    if all(r.trajectory_sha256 is None for r in records):
        return None  # computed: it has no run to measure
    values = [r.metrics.get(name) for r in records if name not in r.not_measured]
    return _range(values) if values else None


def _range(values: Sequence[float | None]) -> Spread:
    """Return median and range of at least one value."""
    middle = censored_median(values)
    numbers = [float(value) for value in values if value is not None]
    never = len(values) - len(numbers)
    return Spread(
        median=middle.value if middle else None,
        low=min(numbers) if numbers else None,
        high=None if never else max(numbers),
        n=len(values),
        never=never,
        values=tuple(values),
    )


def _cell(
    cell: Cell,
    publication: Publication,
    rows: Rows,
    oracle: Mapping[int, float | None],
    fewest: float | None,
    excluded: list[Excluded],
) -> CellReport:
    instrument = publication.instrument
    readings = []
    for reading in cell.readings:
        found = rows.get(row_of(reading.model, reading.overrides), [])
        records = counted(found, instrument, excluded)
        readings.append(
            ReadingReport(
                reading=reading,
                runs=_runs(records, instrument, oracle),
                standings=_standings(cell, records, instrument),
            )
        )
    look = read_off(cell, instrument)
    run = {r.reading.protocol: r.standings for r in readings if r.standings}
    seeds = min((len(r.runs.seeds) for r in readings if r.standings), default=0)
    verdict = judge(run, too_early(look, cell, fewest), len(readings), seeds)
    return CellReport(cell=cell, look=look, readings=tuple(readings), verdict=verdict)


def _standings(
    cell: Cell, records: Sequence[RunRecord], instrument: Instrument
) -> dict[str, Standing]:
    if not records:
        return {}
    return {
        criterion: standing(
            cell.figure, [r.metrics.get(metric_of(instrument.epoch, criterion)) for r in records]
        )
        for criterion in instrument.criteria
    }


def _reference(
    reference: ReferenceRow,
    publication: Publication,
    rows: Rows,
    candidates: Sequence[RunRecord],
    excluded: list[Excluded],
) -> ReferenceReport:
    """Return a reference row, on the report's data or on those that its options name."""
    found = records_of(reference, rows, candidates)
    records = counted(found, publication.instrument, excluded)
    quantiles = reference.quantiles.model_dump() if reference.quantiles and records else {}
    return ReferenceReport(
        reference=reference,
        dataset=records[0].dataset if records else None,
        runs=_runs(records, publication.instrument, {}),
        quantiles={part: records[0].metrics.get(name) for part, name in quantiles.items()},
    )


def _fewest(references: Iterable[ReferenceReport]) -> float | None:
    """Return the smallest lower quantile of all bounds: the kindest to a published figure."""
    lows = [low for r in references if (low := r.quantiles.get("low")) is not None]
    return min(lows, default=None)


def _tallies(cells: Sequence[CellReport], instrument: Instrument) -> Iterable[Tally]:
    """Yield how many figures lie inside, for each protocol and criterion that was run."""
    run: dict[str, list[ReadingReport]] = defaultdict(list)
    for report in cells:
        for reading in report.readings:
            if reading.standings:
                run[reading.reading.protocol].append(reading)
    for protocol, readings in run.items():
        expected = sum(1 - chance_outside(len(r.runs.seeds)) for r in readings)
        for criterion in instrument.criteria:
            yield Tally(
                protocol=protocol,
                criterion=criterion,
                inside=sum(r.standings[criterion] == "inside" for r in readings),
                cells=len(readings),
                expected=expected,
            )
