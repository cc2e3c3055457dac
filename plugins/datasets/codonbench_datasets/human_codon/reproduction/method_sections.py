"""Sections of the page that say how things were measured, by them and by us."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from codonbench.report.markdown import NONE, plain
from codonbench_datasets.human_codon.reproduction.agreement import MOST_LUCK
from codonbench_datasets.human_codon.reproduction.publications import Cell
from codonbench_datasets.human_codon.reproduction.report import (
    CellReport,
    ReferenceReport,
    Report,
    Spread,
    beside,
)
from codonbench_datasets.human_codon.reproduction.texts import (
    NEVER,
    beyond_text,
    cell_name,
    grid,
    percent,
    spread_text,
    whole,
)

_LONGEST = 400


def runs_section(report: Report) -> str:
    """Return what the page's figures rest on."""
    if report.dataset is None:
        return (
            "No run that spent the whole budget is recorded yet, so nothing of ours stands on "
            "this page."
        )
    rows = [reading for cell in report.cells for reading in cell.readings]
    counts = [len(row.runs.seeds) for row in rows if row.runs.seeds]
    data = report.dataset
    kind = "simulated, no real sequence" if data.simulated else "real sequences"
    facts = ", ".join(
        f"{plain(name)} {whole(value) if isinstance(value, int) else f'{value:,.1f}'}"
        for name, value in sorted(data.provenance.items())
        if not isinstance(value, str)
    )
    seeds = " to ".join(map(str, sorted({min(counts), max(counts)}))) if counts else "no"
    lines = [
        f"- Data: {plain(data.source)}, {kind} (`{plain(data.checksum)[:12]}`; {facts}).",
        f"- Runs: {sum(counts)}, in {len(counts)} of the {len(rows)} rows that the published "
        f"figures call for, {seeds} seeds a row; each spent {report.publication.budget_pairs:,} "
        f"pairs, {report.publication.budget_epochs} epochs.",
        f"- Made on {_listed(report.devices)}; engine {_listed(report.engines)}; torch "
        f"{_listed(report.torch)}; comparability key `{plain(report.key)}`.",
    ]
    if report.others:
        others = ", ".join(f"{plain(name)} ({count})" for name, count in report.others)
        lines.append(f"- Recorded on other data too, and not shown here: {others}.")
    return "\n".join(lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(plain(name) for name in names)


def printing_section(report: Report) -> str:
    """Return which look each published figure was read off at."""
    given = [cell for cell in report.cells if cell.cell.pairs is not None]
    if not given:
        return "The publication gives no pairs."
    body = [[*cell_name(cell.cell), plain(cell.cell.printed), *_look_cells(cell)] for cell in given]
    fitting = [cell for cell in given if cell.look is not None]
    honest = sum(cell.look.honest for cell in fitting if cell.look is not None)
    headers = ("configuration", "", "published", "look", "prints", "presented", "inputs looked at")
    return "\n\n".join(
        (
            grid(headers, body, 3),
            f"{len(fitting)} of the {len(given)} published counts of pairs are, rounded, what this "
            f"counting prints at one of the looks of the published epoch; {honest} of them are "
            "what had been presented.",
        )
    )


def _look_cells(cell: CellReport) -> list[str]:
    look = cell.look
    if look is None:
        return ["none fits", NONE, NONE, NONE]
    return [str(look.frame), whole(look.printed), whole(look.presented), whole(look.inputs)]


def instrument_section(report: Report) -> str:
    """Return what the instrument alone costs: oracle, other reference rows, closed form, shares."""
    trained = [r for r in report.references if r.reference.role != "bound" and r.runs.seeds]
    bounds = [r for r in report.references if r.quantiles]
    parts = []
    if trained:
        columns = ("row", "", "data", "seeds", "epoch", "pairs as printed", "exact pairs")
        parts.append(grid(columns, [_reference_cells(r, report) for r in trained], 3))
    shares = list(_shares(report))
    if shares:
        parts.append(_SHARES)
        parts.append(grid(("configuration", "", *_oracle_headers(report)), shares, 2))
        parts += _within_oracles(report)
    if bounds:
        parts.append(_BOUNDS)
        headers = ("closed form", "data", "5 %", "median", "mean", "95 %")
        parts.append(grid(headers, [_bound_cells(r, report) for r in bounds], 2))
    return "\n\n".join(parts) or "No reference row with the whole budget is recorded yet."


_SHARES = (
    "The oracle's median of printed pairs as a share of each published figure and, behind it, how "
    "many of the oracle's seeds were done in the published epoch or later. Where the share is near "
    "or above 100 %, the wait for rare codons accounts for all of the figure:"
)

_BOUNDS = (
    "Inputs that must be looked at until each has been seen once, in closed form, and in brackets "
    "the epoch in which the instrument has looked at so many:"
)


def _reference_cells(row: ReferenceReport, report: Report) -> list[str]:
    criterion = report.publication.instrument.criteria[0]
    return [
        plain(row.reference.model),
        plain(row.reference.label),
        plain(row.dataset.source) if row.dataset else NONE,
        str(len(row.runs.seeds)),
        spread_text(row.runs.epochs[criterion], never=beyond_text(report)),
        spread_text(row.runs.pairs[criterion]),
        spread_text(row.runs.exact["pairs_consumed"]),
    ]


def _oracles(report: Report) -> list[ReferenceReport]:
    return [r for r in report.references if r.reference.role == "oracle" and r.runs.seeds]


def _oracle_headers(report: Report) -> list[str]:
    return [
        f"{plain(r.reference.model)} on {plain(r.dataset.source) if r.dataset else NONE}"
        for r in _oracles(report)
    ]


def _shares(report: Report) -> Iterator[list[str]]:
    """Yield, for each figure that is a number of pairs, the share that an oracle needs of it."""
    criterion = report.publication.instrument.criteria[0]
    oracles = [r.runs for r in _oracles(report)]
    for cell in _reached(report) if oracles else ():
        yield [
            *cell_name(cell),
            *(
                f"{_share(runs.pairs[criterion].median, cell)}, "
                f"{_as_late(cell, runs.epochs[criterion])} of {len(runs.seeds)}"
                for runs in oracles
            ),
        ]


def _reached(report: Report) -> list[Cell]:
    """Return the published figures that are a number of pairs."""
    cells = [found.cell for found in report.cells]
    return [cell for cell in cells if cell.pairs is not None and not cell.censored]


def _share(pairs: float | None, cell: Cell) -> str:
    return NEVER if pairs is None or cell.pairs is None else percent(pairs / cell.pairs)


def _as_late(cell: Cell, epochs: Spread) -> int:
    """Return how many seeds were done in the published epoch or later; never is later."""
    return sum(value is None or value >= (cell.figure or math.inf) for value in epochs.values)


def _within_oracles(report: Report) -> Iterator[str]:
    """Yield how many published figures an oracle's own seeds might well have given."""
    criterion = report.publication.instrument.criteria[0]
    cells = _reached(report)
    for row in _oracles(report):
        epochs = row.runs.epochs[criterion]
        inside = sum(
            beside(cell.figure, epochs) == "inside"
            and _as_late(cell, epochs) >= MOST_LUCK * epochs.n
            for cell in cells
        )
        data = plain(row.dataset.source) if row.dataset else NONE
        yield (
            f"Inside the range of the {plain(row.reference.model)}'s {epochs.n} seeds on {data}, "
            f"with one seed in five or more as late: {inside} of these {len(cells)} figures. By "
            "themselves these do not tell a model that learns from one that knew all along."
        )


def _bound_cells(row: ReferenceReport, report: Report) -> list[str]:
    return [
        plain(row.reference.label),
        plain(row.dataset.source) if row.dataset else NONE,
        *(_inputs_text(row.quantiles[part], report) for part in ("low", "median", "mean", "high")),
    ]


def _inputs_text(inputs: float | None, report: Report) -> str:
    """Return ``2,982 (16)``: inputs, and the epoch of the look that completes them."""
    if inputs is None:
        return NEVER
    instrument = report.publication.instrument
    looks = math.ceil(inputs / instrument.frame_inputs)
    return f"{whole(inputs)} ({math.ceil(looks / len(instrument.frames))})"


def left_out_section(report: Report) -> str:
    """Return the records that do not count, and why."""
    if not report.excluded:
        return "Every record of such a run counts."
    lines = [f"- `{plain(e.name)}`: {plain(e.reason, _LONGEST)}" for e in report.excluded]
    return "\n".join(lines)
