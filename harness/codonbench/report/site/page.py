"""The board as the page's data: what its table shows, and what it says of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from codonbench.contracts import Frozen, Ranking
from codonbench.contracts.run_record import RunRecord
from codonbench.ranking.board import Board, Excluded, Table
from codonbench.ranking.overview import Cell, Summary, build_overview
from codonbench.ranking.rows import Contrast, Row
from codonbench.ranking.statistics import Mean, Median, RestrictedMean
from codonbench.report.site.figures import Records, row_id
from codonbench.report.site.scripts import shown, shown_facts


class PageColumn(Frozen):
    """A column that shows a metric over a row's seeds.

    Attributes:
        metric, title: As in `Column`.
        limited: Whether null, "never", is beyond the budget.
    """

    metric: str
    title: str
    limited: bool


class Beside(Frozen):
    """How a row stands beside its control; see `codonbench.ranking.rows.Contrast`."""

    control: str
    ratio: Median | None
    controlled: Median | None
    faster: bool


class PageRow(Frozen):
    """A row of the page's table.

    Attributes:
        id: Of its figures' file, and of links to it.
        figures: Whose figures they are; empty where there is no such file.
        model, supplier, version: Who; `supplier` is empty for what comes with codonbench.
        changes: Where the configuration departs from the name's own.
        config: The whole configuration.
        about: Facts its author gives: summary, authors, licence, reference.
        seeds, values: The seeds counted, and each one's metrics in the same order.
        unanswered: Which of these metrics were not measured in some seed.
        beside: Its controls.
        rank, tier, role, successes, success_low, success_high, medians, restricted_mean,
            parameters, devices, seconds, notes, doubted: As in `leaderboard.Row`.
    """

    id: str
    figures: str
    model: str
    supplier: str
    version: str
    changes: str
    config: str
    about: dict[str, str]
    seeds: tuple[int, ...]
    values: dict[str, tuple[bool | int | float | None, ...]]
    unanswered: tuple[str, ...]
    beside: tuple[Beside, ...]
    rank: int | None
    tier: int | None
    role: str
    successes: int
    success_low: float
    success_high: float
    medians: dict[str, Median | Mean | None]
    restricted_mean: RestrictedMean | None
    parameters: int
    devices: tuple[str, ...]
    seconds: float | None
    notes: tuple[str, ...]
    doubted: bool = Field(exclude_if=lambda doubted: not doubted)


class PageTable(Frozen):
    """A table of the page; see `codonbench.ranking.board.Table`.

    Attributes:
        figures: Whose figures its rows have, and who explains its columns; empty for nobody.
        columns: Its metrics: the primary one, another that stands beside the name, and the rest.
        leading: How many of them stand beside the model's name.
        success: The metric that is null where a run did not succeed; empty where every run does.
        higher: Whether more of the primary metric is better.
        span: The metric that is also drawn on an axis, and has a restricted mean; empty for none.
    """

    key: str
    task: str
    version: str
    options: str
    data: str
    data_checksum: str
    simulated: bool
    figures: str
    columns: tuple[PageColumn, ...]
    leading: int
    success: str
    span: str
    control: str
    device: str
    stop: str
    higher: bool
    budget_pairs: int
    torch: str
    engines: str
    notes: tuple[str, ...]
    rows: tuple[PageRow, ...]


class PageLine(Frozen):
    """A task of the overview; see `codonbench.ranking.overview.TaskLine`.

    Attributes:
        n_items: How many test items there are; None where rows are not compared over items.
        cells: By model; `Cell.row` is the page's id of the row.
    """

    category: str
    task: str
    device: str
    verdict: str
    key: str
    metric: str
    digits: int
    floor: str
    ceiling: float | None
    n_tables: int
    n_items: int | None
    cells: dict[str, Cell]


class PageOverview(Frozen):
    """All tasks, and how models stand over many."""

    lines: tuple[PageLine, ...]
    summaries: tuple[Summary, ...]


class Page(Frozen):
    """All that the page shows before a row is opened."""

    schema_version: Literal[1] = 1
    overview: PageOverview
    tables: tuple[PageTable, ...]
    excluded: tuple[Excluded, ...]


def build_page(
    board: Board, runs: Records, drawn_by: Mapping[str, str], more: tuple[str, ...] = ()
) -> Page:
    """Return the page's data.

    Args:
        board: The leaderboard.
        runs: The records that its rows count.
        drawn_by: Whose figures a row has, by its id.
        more: Metrics to give of each seed, beside those of columns.
    """
    return Page(
        overview=_overview(board, runs),
        tables=_explained(tuple(_table(table, runs, drawn_by, more) for table in board.shown)),
        excluded=tuple(
            Excluded(name=shown(e.name), reason=shown(e.reason, 400)) for e in board.excluded
        ),
    )


def _overview(board: Board, runs: Records) -> PageOverview:
    ids = {
        row.id: row_id(runs[row.run_ids[0]])
        for table in board.tables
        for row in (*table.rows, *table.references)
    }
    items = {table.key: table.n_items for table in board.tables}
    found = build_overview(board)
    lines = tuple(
        PageLine(
            **{name: getattr(line, name) for name in ("verdict", "key", "digits", "n_tables")},
            **{name: shown(getattr(line, name)) for name in ("category", "task", "device")},
            metric=shown(line.metric),
            floor=shown(line.floor or ""),
            ceiling=None if line.ceiling is None else line.ceiling.value,
            n_items=items[line.key],
            cells={
                shown(name): cell.model_copy(update={"row": ids[cell.row]})
                for name, cell in line.cells.items()
            },
        )
        for line in found.lines
    )
    summaries = tuple(
        own.model_copy(
            update={
                "category": shown(own.category),
                "standings": tuple(
                    one.model_copy(update={"model": shown(one.model)}) for one in own.standings
                ),
            }
        )
        for own in found.summaries
    )
    return PageOverview(lines=lines, summaries=summaries)


def _table(
    table: Table, runs: Records, drawn_by: Mapping[str, str], more: tuple[str, ...]
) -> PageTable:
    chosen = table.options_set
    ranking = table.ranking
    columns = _columns(ranking)
    metrics = tuple(dict.fromkeys((*more, *(column.metric for column in columns))))
    rows = tuple(
        _row(row, table.contrasts, runs, drawn_by, metrics)
        for row in (*table.rows, *table.references)
    )
    texts = ("key", "task", "data", "control", "device", "stop")
    return PageTable(
        **{name: shown(getattr(table, name)) for name in texts},
        version=shown(table.task_version),
        options=shown(shown_facts(chosen)),
        data_checksum=shown(table.data_checksum[:12]),
        simulated=table.simulated,
        higher=ranking.direction == "higher",
        budget_pairs=table.budget_pairs,
        torch=shown(", ".join(table.torch)),
        engines=shown(", ".join(table.engines)),
        notes=tuple(shown(note, 400) for note in table.notes),
        figures=next((row.figures for row in rows if row.figures), ""),
        columns=columns,
        leading=len(_leading(ranking)),
        success=ranking.success or "",
        span=ranking.restricted_mean or "",
        rows=rows,
    )


def _explained(tables: tuple[PageTable, ...]) -> tuple[PageTable, ...]:
    """Return tables, those without figures explained as others of their task are."""
    known = {table.task: table.figures for table in reversed(tables) if table.figures}
    return tuple(t.model_copy(update={"figures": known.get(t.task, "")}) for t in tables)


def _leading(ranking: Ranking) -> tuple[str, ...]:
    """Return the metrics that stand beside a model's name."""
    return tuple(dict.fromkeys((ranking.metric, *ranking.brief)))[:2]


def _columns(ranking: Ranking) -> tuple[PageColumn, ...]:
    """Return a task's columns: those that lead, the primary one first, and the others."""
    first, primary = _leading(ranking), ranking.metric
    columns = sorted(ranking.columns, key=lambda c: (c.metric not in first, c.metric != primary))
    return tuple(
        PageColumn(metric=c.metric, title=shown(c.title), limited=c.scale != "other")
        for c in columns
    )


_AS_THEY_ARE = (
    *("rank", "tier", "role", "successes", "success_low", "success_high"),
    *("restricted_mean", "parameters", "seconds", "doubted"),
)
"""Fields of a row that the page shows without a change."""


def _row(
    row: Row,
    contrasts: tuple[Contrast, ...],
    runs: Records,
    drawn_by: Mapping[str, str],
    metrics: tuple[str, ...],
) -> PageRow:
    records = [runs[run_id] for run_id in row.run_ids]
    name = row_id(records[0])
    return PageRow(
        **{field: getattr(row, field) for field in _AS_THEY_ARE},
        id=name,
        figures=drawn_by.get(name, ""),
        model=shown(row.model),
        supplier="" if row.distribution == "codonbench" else shown(row.distribution or "nobody"),
        version=shown(row.model_version),
        changes=shown(shown_facts(row.overrides)),
        config=shown(shown_facts(row.config), 600),
        about=_about(records[0]),
        seeds=row.seeds,
        values={m: tuple(r.metrics.get(m) for r in records) for m in metrics},
        unanswered=tuple(m for m in metrics if any(m in r.not_measured for r in records)),
        beside=tuple(
            Beside(
                control=shown(c.control), ratio=c.ratio, controlled=c.controlled, faster=c.faster
            )
            for c in contrasts
            if _same(c, row)
        ),
        medians={**row.medians, **row.means},
        devices=tuple(shown(device) for device in row.devices),
        notes=tuple(shown(note, 400) for note in row.notes),
    )


def _same(contrast: Contrast, row: Row) -> bool:
    """Return whether a contrast is a row's own."""
    return (contrast.model, contrast.config_sha256, contrast.distribution) == (
        row.model,
        row.config_sha256,
        row.distribution,
    )


def _about(record: RunRecord) -> dict[str, str]:
    """Return what a model's author says of it, cut to what fits a page."""
    info = record.info
    said = {
        "summary": info.summary,
        "authors": ", ".join(info.authors),
        "licence": info.licence,
        "reference": info.reference,
        "pretrained_on": info.pretrained_on,
    }
    return {name: shown(text, 400) for name, text in said.items() if text}
