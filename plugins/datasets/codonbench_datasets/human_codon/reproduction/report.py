"""What a reproduction comes to: the published figures, our runs, and how they stand."""

from __future__ import annotations

from pydantic import Field

from codonbench.contracts import Frozen
from codonbench.contracts.run_record import DatasetFacts
from codonbench.ranking.board import Excluded
from codonbench_datasets.human_codon.reproduction.agreement import Look, Standing, Verdict, standing
from codonbench_datasets.human_codon.reproduction.publications import (
    Cell,
    Publication,
    Reading,
    ReferenceRow,
)

EXACT = (
    "all_seen",
    "pairs_consumed",
    "excess_pairs",
    "sustained_pairs",
    "relapses",
    "rare_stop_ambiguity",
    "test_accuracy",
)


class Spread(Frozen):
    """A median over seeds and the range; None stands for never within the budget.

    Attributes:
        median: The lower of the two in the middle where n is even.
        low, high: Smallest and largest value.
        n: How many seeds.
        never: How many of them never got there.
        values: All of them, by seed.
    """

    median: float | None
    low: float | None
    high: float | None
    n: int
    never: int
    values: tuple[float | None, ...]


def beside(published: float | None, spread: Spread) -> Standing:
    """Return where a figure lies beside a spread; see `agreement.standing`."""
    return standing(published, [spread.low, spread.high])


class Runs(Frozen):
    """What the seeds of one row came to.

    Attributes:
        seeds: The seeds counted; none where nothing is recorded.
        epochs, pairs: As the publication's instrument reports, by criterion.
        exact: By metric of `EXACT`; None where it does not apply.
        beyond: Epochs more than the oracle on the same seed's stream, by the first criterion.
        diverged: How many seeds diverged.
    """

    seeds: tuple[int, ...] = ()
    epochs: dict[str, Spread] = Field(default_factory=dict)
    pairs: dict[str, Spread] = Field(default_factory=dict)
    exact: dict[str, Spread | None] = Field(default_factory=dict)
    beyond: Spread | None = None
    diverged: int = 0


class ReadingReport(Frozen):
    """One way to repeat a cell, and where the published figure stands beside it by criterion."""

    reading: Reading
    runs: Runs
    standings: dict[str, Standing]


class CellReport(Frozen):
    """A published figure, what it was read off at, its readings, and what becomes of it."""

    cell: Cell
    look: Look | None
    readings: tuple[ReadingReport, ...]
    verdict: Verdict


class ReferenceReport(Frozen):
    """A reference row; `quantiles` in pairs by name (mean, low, median, high), for a bound."""

    reference: ReferenceRow
    dataset: DatasetFacts | None
    runs: Runs
    quantiles: dict[str, float | None]


class Tally(Frozen):
    """How many figures lie inside our range under one protocol and criterion.

    Attributes:
        protocol, criterion: Which.
        inside: Figures inside.
        cells: Figures compared.
        expected: Figures that would lie inside, on average, were the protocols the same; at least.
    """

    protocol: str
    criterion: str
    inside: int
    cells: int
    expected: float


class Report(Frozen):
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
