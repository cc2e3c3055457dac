"""Sections of the page that put published figures beside ours; every figure is the report's."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from codonbench.report.markdown import NONE, name_text, plain
from codonbench_datasets.human_codon.reproduction.agreement import chance_outside
from codonbench_datasets.human_codon.reproduction.report import CellReport, ReadingReport, Report
from codonbench_datasets.human_codon.reproduction.texts import (
    NEVER,
    beyond_text,
    cell_name,
    fraction,
    grid,
    percent,
    spread_text,
    whole,
)

KINDS = {
    "agrees": "agrees",
    "differs": "does not agree",
    "unknown": "cannot be known",
    "too few": "too few seeds to say",
    "partly run": "not all run yet",
    "not run": "not run yet",
}

_LONGEST = 400


def table_section(report: Report) -> str:
    """Return the published figures, and what the same instrument reports on our runs."""
    criterion = report.publication.instrument.criteria[0]
    headers = (
        *("configuration", "", "published", "our runs"),
        *("seeds", "epoch", "pairs as printed", "not in time", "beyond the oracle"),
        *("published is", "by chance, at most"),
    )
    body = []
    for cell, reading in _rows(report):
        start = [*cell_name(cell.cell), plain(cell.cell.printed), plain(reading.reading.protocol)]
        runs = reading.runs
        if not runs.seeds:
            body.append([*start, "0", *[NONE] * 6])
            continue
        epochs = runs.epochs[criterion]
        outside = reading.standings[criterion] != "inside"
        body.append(
            [
                *start,
                str(epochs.n),
                spread_text(epochs, never=beyond_text(report)),
                spread_text(runs.pairs[criterion]),
                f"{epochs.never} of {epochs.n}",
                _over_oracle(reading),
                reading.standings[criterion],
                percent(chance_outside(epochs.n)) if outside else NONE,
            ]
        )
    return grid(headers, body, 4)


def _over_oracle(reading: ReadingReport) -> str:
    """Return epochs beyond the oracle, with how many seeds they rest on where some are missing."""
    beyond = reading.runs.beyond
    if beyond is None:
        return NONE
    text = f"+{spread_text(beyond)}" if beyond.median is not None else NEVER
    return text if beyond.n == len(reading.runs.seeds) else f"{text} (n = {beyond.n})"


def _rows(report: Report) -> Iterator[tuple[CellReport, ReadingReport]]:
    for cell in report.cells:
        for reading in cell.readings:
            yield cell, reading


def criteria_section(report: Report) -> str:
    """Return the epoch by each criterion, and where the published one lies beside it."""
    criteria = report.publication.instrument.criteria
    body = [
        [
            *cell_name(cell.cell),
            plain(reading.reading.protocol),
            str(len(reading.runs.seeds)),
            *(
                f"{spread_text(reading.runs.epochs[c], never=beyond_text(report))}, "
                f"{reading.standings[c]}"
                for c in criteria
            ),
        ]
        for cell, reading in _rows(report)
        if reading.runs.seeds
    ]
    headers = ("configuration", "", "our runs", "seeds", *criteria)
    return grid(headers, body, 3) if body else _NOTHING


_NOTHING = "Nothing is recorded yet."


def exact_section(report: Report) -> str:
    """Return the exact figures of the same runs."""
    numbers = {"test_accuracy": fraction}
    columns = {
        "all_seen": "all codons seen",
        "pairs_consumed": "pairs consumed",
        "excess_pairs": "excess",
        "sustained_pairs": "sustained",
        "relapses": "relapses",
        "rare_stop_ambiguity": "ambiguous stops at the end",
        "test_accuracy": "test accuracy",
    }
    rows = [(c, r) for c, r in _rows(report) if r.runs.seeds]
    if not rows:
        return _NOTHING
    body = [
        [
            *cell_name(cell.cell),
            plain(reading.reading.protocol),
            plain(name_text(reading.reading.model, reading.reading.overrides, "codonbench")),
            str(len(reading.runs.seeds)),
            *(spread_text(reading.runs.exact[name], numbers.get(name, whole)) for name in columns),
            str(reading.runs.diverged),
        ]
        for cell, reading in rows
    ]
    headers = ("configuration", "", "our runs", "model", "seeds", *columns.values(), "diverged")
    parts = [grid(headers, body, 4), *_ratio(report)]
    return "\n\n".join(parts)


def _ratio(report: Report) -> Iterator[str]:
    """Yield how the instrument's pairs compare with the exact ones, over all rows with both."""
    criterion = report.publication.instrument.criteria[0]
    ratios = []
    for _, reading in _rows(report):
        printed, exact = reading.runs.pairs.get(criterion), reading.runs.exact.get("pairs_consumed")
        if printed and exact and printed.median and exact.median:
            ratios.append(printed.median / exact.median)
    if ratios:
        yield (
            f"Rows that have both: {len(ratios)}. Their median of printed pairs is "
            f"{min(ratios):,.0f} to {max(ratios):,.0f} times that of the pairs consumed, "
            f"{median(ratios):,.0f} times in the middle."
        )


def verdicts_section(report: Report) -> str:
    """Return what agrees, what does not, and what cannot be known."""
    counts = {kind: sum(c.verdict.kind == kind for c in report.cells) for kind in KINDS}
    summed = ", ".join(f"{KINDS[kind]}: {count}" for kind, count in counts.items() if count)
    body = [
        [
            *cell_name(cell.cell),
            plain(cell.cell.printed),
            KINDS[cell.verdict.kind],
            plain("; ".join(filter(None, (cell.verdict.reason, cell.cell.remark))), _LONGEST),
        ]
        for cell in report.cells
    ]
    parts = [
        f"Published figures: {len(report.cells)} ({summed}).",
        grid(("configuration", "", "published", "verdict", "because"), body, 5),
    ]
    if report.tallies:
        parts += [_TALLIES, _tally_grid(report)]
    return "\n\n".join(parts)


_TALLIES = (
    "How many published figures lie inside the range of our seeds, and how many would on average, "
    "at least, were our runs the same as theirs:"
)


def _tally_grid(report: Report) -> str:
    body = [
        [
            plain(t.protocol),
            plain(t.criterion),
            f"{t.inside} of {t.cells}",
            f"{t.expected:.1f}",
        ]
        for t in report.tallies
    ]
    return grid(("our runs", "criterion", "inside", "expected by chance"), body, 2)
