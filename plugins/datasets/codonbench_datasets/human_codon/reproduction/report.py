"""A publication and records to a report: each published figure beside what our runs give.

A pure function of the two. Only runs that spent the whole budget of the publication count, and
only those of one comparability key, so that a cell is never mixed from two kinds of data.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from codonbench.contracts.run_record import FINISHED, DatasetFacts, RunRecord
from codonbench.contracts.run_spec import canonical_json
from codonbench.ranking.board import Excluded
from codonbench.ranking.statistics import censored_median
from codonbench.records.store import BadRecord
from codonbench.scoring.score import RowKey, row_key
from codonbench_datasets.human_codon.reproduction.agreement import (
    Look,
    Standing,
    Verdict,
    chance_outside,
    judge,
    read_off,
    standing,
    too_early,
)
from codonbench_datasets.human_codon.reproduction.law import codon_frequencies, done_by_look
from codonbench_datasets.human_codon.reproduction.publications import (
    Cell,
    Publication,
    Reading,
    ReferenceRow,
)

EXACT = {
    "all_seen": "all codons seen",
    "pairs_consumed": "pairs consumed",
    "excess_pairs": "excess",
    "sustained_pairs": "sustained",
    "relapses": "relapses",
    "rare_stop_ambiguity": "ambiguous stops at the end",
    "test_accuracy": "test accuracy",
}
"""Metrics of the same runs, and what the page calls them."""


@dataclass(frozen=True)
class Spread:
    """A median over seeds and the range; None stands for never within the budget.

    Attributes:
        median: The lower of the two in the middle where n is even.
        low, high: Smallest and largest value.
        n, never: How many seeds, and how many of them never got there.
        values: All of them, by seed.
    """

    median: float | None
    low: float | None
    high: float | None
    n: int
    never: int
    values: tuple[float | None, ...]

    @classmethod
    def of(cls, values: Sequence[float | None]) -> Self:
        """Return the spread of at least one value."""
        middle, numbers = censored_median(values), [float(v) for v in values if v is not None]
        never = len(values) - len(numbers)
        low, high = min(numbers, default=None), None if never else max(numbers)
        median = middle.value if middle else None
        return cls(median, low, high, len(values), never, tuple(values))


@dataclass(frozen=True)
class Runs:
    """What the seeds of one row came to.

    Attributes:
        seeds: The seeds counted; none where nothing is recorded.
        epochs, pairs: As the publication's instrument reports, by criterion.
        exact: By metric of `EXACT`; None where it does not apply.
        beyond: Epochs more than the oracle on the same seed's stream, by the first criterion.
        diverged: How many seeds diverged.
    """

    seeds: tuple[int, ...] = ()
    epochs: Mapping[str, Spread] = field(default_factory=dict)
    pairs: Mapping[str, Spread] = field(default_factory=dict)
    exact: Mapping[str, Spread | None] = field(default_factory=dict)
    beyond: Spread | None = None
    diverged: int = 0


@dataclass(frozen=True)
class ReadingReport:
    """One way to repeat a cell, and where the published figure stands beside it by criterion."""

    reading: Reading
    runs: Runs
    standings: Mapping[str, Standing]


@dataclass(frozen=True)
class CellReport:
    """A published figure, what it was read off at, its readings, and what becomes of it."""

    cell: Cell
    look: Look | None
    readings: tuple[ReadingReport, ...]
    verdict: Verdict


@dataclass(frozen=True)
class ReferenceReport:
    """A reference row.

    Attributes:
        quantiles: For a bound, in pairs, by name (mean, low, median, high).
        done: For an oracle, how likely it is to be done by each look, from 0; empty where the
            codons' frequencies are not known.
    """

    reference: ReferenceRow
    dataset: DatasetFacts | None
    runs: Runs
    quantiles: Mapping[str, float | None]
    done: tuple[float, ...] = ()

    def as_late(self, look: int) -> float:
        """Return how likely an oracle is to be done at a look or later."""
        return 1 - self.done[look - 1]

    @property
    def median_look(self) -> int | None:
        """The first look by which an oracle is done with probability one half; None for none."""
        return next((look for look, p in enumerate(self.done) if p >= 0.5), None)


@dataclass(frozen=True)
class Tally:
    """How many of `cells` figures lie inside our range under one protocol and criterion.

    `expected` would on average, at least, were the protocols the same.
    """

    protocol: str
    criterion: str
    inside: int
    cells: int
    expected: float


@dataclass(frozen=True)
class Report:
    """A publication beside our runs.

    Attributes:
        publication: What was published.
        dataset: What the runs were made on; None where there are none.
        key: Their comparability key.
        devices, engines, torch: What made them.
        cells, references, tallies: The comparison.
        others: Other data with such runs, and how many; they are not on this page.
        excluded: Files and runs that would belong here but do not count.
    """

    publication: Publication
    dataset: DatasetFacts | None
    key: str
    devices: tuple[str, ...]
    engines: tuple[str, ...]
    torch: tuple[str, ...]
    cells: tuple[CellReport, ...]
    references: tuple[ReferenceReport, ...]
    tallies: tuple[Tally, ...]
    others: tuple[tuple[str, int], ...]
    excluded: tuple[Excluded, ...]


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
    rows = _Rows(publication, found, data)
    references = tuple(rows.reference(reference) for reference in publication.references)
    laws = [r.done for r in references if r.done]
    cells = tuple(rows.cell(cell, laws) for cell in publication.cells)
    return Report(
        publication=publication,
        dataset=rows.runs[0].dataset if rows.runs else None,
        key=rows.key,
        devices=tuple(sorted({r.machine.device_name for r in rows.runs})),
        engines=tuple(sorted({r.engine.name for r in rows.runs})),
        torch=tuple(sorted({r.machine.torch for r in rows.runs})),
        cells=cells,
        references=references,
        tallies=tuple(_tallies(cells, publication.instrument.criteria)),
        others=tuple(sorted(rows.others.items())),
        excluded=tuple(sorted(set(rows.excluded), key=lambda e: (e.name, e.reason))),
    )


class _Rows:
    """The records that count, by model and overrides; and, in `excluded`, those that do not."""

    def __init__(
        self, publication: Publication, found: Iterable[RunRecord | BadRecord], data: str | None
    ) -> None:
        self.publication, self.instrument = publication, publication.instrument
        self.epoch = f"{self.instrument.epoch}_{self.instrument.criteria[0]}"
        self.excluded: list[Excluded] = []
        self.whole = sorted(self._whole_runs(found), key=lambda record: record.name)
        own = [r for r in self.whole if _options(r) == publication.task_options]
        self.key = self._key([r for r in own if data is None or r.dataset.source == data])
        self.runs = [r for r in own if r.comparability_key == self.key]
        self.others = Counter(r.dataset.source for r in own if r.comparability_key != self.key)
        self.rows: dict[tuple[str, str], list[RunRecord]] = defaultdict(list)
        for record in self.runs:
            self.rows[_row(record.model, record.overrides)].append(record)
        oracles = [
            r for r in publication.references if r.role == "oracle" and r.task_options is None
        ]
        records = self._counted(self._of(oracles[0]), note=False) if oracles else []
        self.oracle = {record.seed: record.metrics[self.epoch] for record in records}

    def _whole_runs(self, found: Iterable[RunRecord | BadRecord]) -> Iterator[RunRecord]:
        """Yield the finished runs of the publication's task and models that spent its budget."""
        publication = self.publication
        models = {reading.model for cell in publication.cells for reading in cell.readings}
        models |= {reference.model for reference in publication.references}
        for item in found:
            if isinstance(item, BadRecord):
                self._exclude(item.path.name, item.reason)
            elif (
                item.task == publication.task
                and item.model in models
                and item.run_spec.stop == "budget"
                and item.run_spec.budget_pairs == publication.budget_pairs
            ):
                if item.status in FINISHED:
                    yield item
                else:
                    self._exclude(item.name, f"status {item.status}")

    def _exclude(self, name: str, reason: str) -> None:
        self.excluded.append(Excluded(name=name, reason=reason))

    def _key(self, records: Sequence[RunRecord]) -> str:
        """Return the comparability key to report on: real data first, then most runs of cells."""
        cells = {_row(r.model, r.overrides) for c in self.publication.cells for r in c.readings}
        counts: dict[tuple[bool, str, str], int] = defaultdict(int)
        for record in records:
            place = (record.dataset.simulated, record.dataset.source, record.comparability_key)
            counts[place] += _row(record.model, record.overrides) in cells
        best = min(counts, key=lambda at: (counts[at] == 0, at[0], -counts[at], at), default=None)
        return best[2] if best else ""

    def _of(self, reference: ReferenceRow) -> list[RunRecord]:
        """Return a reference row's records: of the rows reported, or by its own task options."""
        model, options = reference.model, reference.task_options
        if options is None:
            return self.rows.get(_row(model, {}), [])
        matching = [r for r in self.whole if r.model == model and _options(r) == options]
        keys = Counter(record.comparability_key for record in matching)
        key = min(keys, key=lambda k: (-keys[k], k), default="")
        return [record for record in matching if record.comparability_key == key]

    def _counted(self, records: Sequence[RunRecord], note: bool = True) -> list[RunRecord]:
        """Return one record a seed, all of one version and source of the model, by seed."""
        left_out: list[tuple[str, str]] = []
        by_source: dict[RowKey, dict[int, RunRecord]] = defaultdict(dict)
        for record in records:
            if self.epoch in record.not_measured or self.epoch not in record.metrics:
                left_out.append((record.name, f"{self.epoch} was not measured"))
                continue
            first = by_source[row_key(record)].setdefault(record.seed, record)
            if first is not record:
                reason = f"seed {record.seed} is already counted from {first.name}"
                left_out.append((record.name, reason))
        chosen = min(by_source, key=lambda key: (-len(by_source[key]), key), default=None)
        for key, seeds in by_source.items():
            if key != chosen:
                reason = "another version or source of its model has more seeds"
                left_out += [(record.name, reason) for record in seeds.values()]
        for name, reason in left_out if note else ():
            self._exclude(name, reason)
        return [] if chosen is None else [r for _, r in sorted(by_source[chosen].items())]

    def cell(self, cell: Cell, laws: Sequence[Sequence[float]]) -> CellReport:
        """Return a published figure's report.

        Args:
            cell: The figure.
            laws: How likely an oracle is to be done by each look, on each of the data known.
        """
        readings = []
        for reading in cell.readings:
            records = self._counted(self.rows.get(_row(reading.model, reading.overrides), []))
            runs = self._summary(records, self.oracle)
            standings = {c: self._standing(cell, c, records) for c in runs.epochs}
            readings.append(ReadingReport(reading, runs, standings))
        look, run = read_off(cell, self.instrument), [r for r in readings if r.standings]
        verdict = judge(
            {r.reading.protocol: r.standings for r in run},
            too_early(look, cell, max((law[look.frame] for law in laws if look), default=None)),
            len(readings),
            min((len(r.runs.seeds) for r in run), default=0),
        )
        return CellReport(cell, look, tuple(readings), verdict)

    def _standing(self, cell: Cell, criterion: str, records: Sequence[RunRecord]) -> Standing:
        """Return where a figure lies beside a row's seeds.

        A censored figure is "never". A seed says so where its run never got there although the
        oracle did on the same stream, and where it ended as ambiguous as the publication says;
        seeds whose oracle never got there say nothing.
        """
        name = f"{self.instrument.epoch}_{criterion}"
        if not cell.censored:
            return standing(cell.figure, [r.metrics.get(name) for r in records])
        last = self.publication.budget_epochs
        ours = [
            last if cell.ambiguous and not _ambiguous(r, cell.ambiguous) else r.metrics.get(name)
            for r in records
            if self.oracle.get(r.seed, last) is not None
        ]
        return standing(None, ours) if ours else "inside"

    def reference(self, reference: ReferenceRow) -> ReferenceReport:
        """Return a reference row, on the report's data or on those that its options name."""
        records = self._counted(self._of(reference))
        done: tuple[float, ...] = ()
        if reference.role == "oracle" and records:
            mean_length = records[0].run_spec.task_options.get("mean_length")
            frequencies = codon_frequencies(records[0].dataset, mean_length)
            if frequencies is not None:
                done = done_by_look(frequencies, self.instrument, self.publication.budget_epochs)
        quantiles = reference.quantiles.model_dump() if reference.quantiles and records else {}
        return ReferenceReport(
            reference=reference,
            dataset=records[0].dataset if records else None,
            runs=self._summary(records, {}),
            quantiles={part: records[0].metrics.get(name) for part, name in quantiles.items()},
            done=done,
        )

    def _summary(self, records: Sequence[RunRecord], oracle: Mapping[int, float | None]) -> Runs:
        """Return what the seeds of one row came to."""
        if not records:
            return Runs()

        def spreads(name: str) -> dict[str, Spread]:
            names = {c: f"{name}_{c}" for c in self.instrument.criteria}
            return {c: Spread.of([r.metrics.get(n) for r in records]) for c, n in names.items()}

        known = [
            None if (value := r.metrics[self.epoch]) is None else value - floor
            for r in records
            if (floor := oracle.get(r.seed)) is not None
        ]
        return Runs(
            seeds=tuple(r.seed for r in records),
            epochs=spreads(self.instrument.epoch),
            pairs=spreads(self.instrument.pairs),
            exact={name: _exact(records, name) for name in EXACT},
            beyond=Spread.of(known) if known else None,
            diverged=sum(r.status == "diverged" for r in records),
        )


def _options(record: RunRecord) -> dict[str, Any]:
    """Return a run's task options without those that are None."""
    return {k: v for k, v in record.run_spec.task_options.items() if v is not None}


def _row(model: str, overrides: Mapping[str, Any]) -> tuple[str, str]:
    """Return what makes two runs belong to one reading."""
    return model, canonical_json(dict(overrides))


def _ambiguous(record: RunRecord, metrics: Sequence[str]) -> bool:
    """Return whether a metric is above 0 at the end of a run."""
    return any((record.metrics.get(name) or 0) > 0 for name in metrics)


def _exact(records: Sequence[RunRecord], name: str) -> Spread | None:
    """Return the spread of a metric over the seeds that could answer; None where none could."""
    if all(r.trajectory_sha256 is None for r in records):
        return None  # computed: it has no run to measure
    values = [r.metrics.get(name) for r in records if name not in r.not_measured]
    return Spread.of(values) if values else None


def _tallies(cells: Sequence[CellReport], criteria: Sequence[str]) -> Iterable[Tally]:
    """Yield how many figures lie inside, for each protocol and criterion that was run."""
    run: dict[str, list[ReadingReport]] = defaultdict(list)
    for reading in (r for report in cells for r in report.readings if r.standings):
        run[reading.reading.protocol].append(reading)
    for protocol, readings in run.items():
        expected = sum(1 - chance_outside(len(r.runs.seeds)) for r in readings)
        for criterion in criteria:
            inside = sum(r.standings[criterion] == "inside" for r in readings)
            yield Tally(protocol, criterion, inside, len(readings), expected)
