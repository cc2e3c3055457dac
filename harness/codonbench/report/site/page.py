"""The board as the page's data: its tables and rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Literal

from pydantic import Field

from codonbench.contracts import Ceiling, Column, Frozen, Metric, Ranking
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.protocols.folds import Folds
from codonbench.protocols.sample_efficiency import SampleEfficiency
from codonbench.ranking.board import Board, BoardTable, Excluded
from codonbench.ranking.by_item import Part, RowItems, TableItems, row_items, table_items
from codonbench.ranking.curves import Curves
from codonbench.ranking.item_scores import Gain
from codonbench.ranking.overview import Cell as OverviewCell
from codonbench.ranking.overview import Standing, Summary, build_overview
from codonbench.ranking.published import Published
from codonbench.ranking.rows import Contrast, Row, clean_rank_text, name_text, score_text
from codonbench.ranking.statistics import Mean, Median, RestrictedMean
from codonbench.report.site.about_task import (
    PageCurves,
    PageTask,
    about_task,
    as_shown,
    curves_of,
)
from codonbench.report.site.by_item import (
    PageSources,
    Questions,
    RowAnswers,
    answers,
    missing_parts,
    questions,
)
from codonbench.report.site.figures import Records, row_id
from codonbench.report.site.scripts import shown, shown_facts
from codonbench.scoring.score import task_of


class PageColumn(Frozen):
    """A column that shows a metric over a row's seeds.

    Attributes:
        metric, title: As in `Column`.
        limited: Whether null, "never", is beyond the budget.
        digits: As in `Column`; None where its figures are no means.
    """

    metric: str
    title: str
    limited: bool
    digits: int | None


class Beside(Frozen):
    """A row compared with its control; see `codonbench.ranking.rows.Contrast`."""

    control: str
    ratio: Median | None
    controlled: Median | None
    faster: bool


class PageRow(Frozen):
    """A row of the page's table.

    Attributes:
        id: Of its figures' file, and of links to it.
        figures: Plugin of its figures; empty if there is no such file.
        label: The id of its model's page.
        model, supplier, version: Who; `supplier` is empty for what comes with codonbench.
        changes: Where the configuration departs from the name's own, and what else tells it from
            rows of its name.
        config: The whole configuration.
        about: Facts its author gives: summary, authors, licence, reference.
        seeds, values: The seeds counted, and each one's metrics in the same order.
        unanswered: Metrics not measured in some seed.
        beside: Its controls.
        clean: Figures on the clean test items, and the rank there; empty if unknown.
        items: What is known of its answers for test items; None where these are not at hand.
        withheld: Whether they are training targets that may not be published.
        shown_pairs: How many training pairs its runs had seen in the state that was tested, the
            median.
        tuned_seconds, tuned_on: What finding its configuration took, of a CPU's cores or of a GPU;
            None if unknown.
        day: Of its latest run; empty where that is not known.
        rank, tier, role, successes, success_low, success_high, medians, restricted_mean,
            parameters, devices, seconds, notes, doubted: As in `leaderboard.Row`.
    """

    id: str
    figures: str
    label: str
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
    clean: str = Field(default="", exclude_if=lambda clean: not clean)
    rank: int | None
    tier: int | None
    role: str
    successes: int
    success_low: float
    success_high: float
    medians: dict[str, Median | Mean | None]
    gain: Interval | None
    items: RowItems | None
    withheld: bool = Field(default=False, exclude_if=lambda withheld: not withheld)
    restricted_mean: RestrictedMean | None
    parameters: int
    devices: tuple[str, ...]
    seconds: float | None
    shown_pairs: float
    tuned_seconds: float | None = Field(exclude_if=lambda seconds: seconds is None)
    tuned_on: str | None = Field(exclude_if=lambda kind: kind is None)
    day: str = Field(exclude_if=lambda day: not day)
    notes: tuple[str, ...]
    doubted: bool = Field(exclude_if=lambda doubted: not doubted)


class PageTable(Frozen):
    """A table of the page, in a file of its own; see `codonbench.ranking.board.BoardTable`.

    Attributes:
        id: Of its file, and of links to it.
        figures: Plugin of the figures of its rows, which explains its columns; empty for none.
        columns: Its metrics: the primary one, another that stands beside the name, and the rest.
        leading: How many of them stand beside the model's name.
        success: The metric that is null where a run did not succeed; empty where every run does.
        higher: Whether more of the primary metric is better.
        span: The metric that is also drawn on an axis, and has a restricted mean; empty for none.
        about: Its task.
        floor: The label of the reference row that gains are over; empty where there are none.
        no_gain: Why there are none, where that is known.
        published: As in `BoardTable`.
        curves: Curves of rows of the same task and data.
        kind: What its rows' answers are, and `names` of what; empty where no test outputs are at
            hand.
        parts: Of the test items by each fact.
        untold: Why rows have no score by a fact, for each fact by which they have none.
        compared: Whether two rows can be laid side by side item by item.
        withheld: Whether that is without what is right for the items, which may not be published.
        n_rest: How many of its rows lie in a file of their own: see `PageRest`.
    """

    id: str
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
    about: PageTask
    ceiling: Ceiling | None
    floor: str
    no_gain: str = Field(exclude_if=lambda words: not words)
    published: tuple[Published, ...]
    curves: tuple[PageCurves, ...]
    kind: str
    names: tuple[str, ...]
    parts: dict[str, tuple[Part, ...]]
    untold: dict[str, str]
    compared: bool
    withheld: bool = Field(exclude_if=lambda withheld: not withheld)
    n_rest: int = Field(exclude_if=lambda n: not n)
    rows: tuple[PageRow, ...]


class PageRest(Frozen):
    """The rows of a long table that are not among its first, in a file of their own."""

    table: str
    rows: tuple[PageRow, ...]


FIRST_ROWS = 1_000
"""Rows that a table's file holds: a reader sees half of them at first."""


Interval = tuple[float, float, float]
"""A value and the ends of its interval."""

Cell = tuple[int, str, int, float | Literal["never"] | None, Interval | None, int, str]
"""A model's place among the page's, the row's id, empty where it is of none, 1 for a reference row,
the primary figure, the gain, how many seeds, and the day of the latest run, empty where that is not
known."""


class PageLine(Frozen):
    """A table of a task in the overview; see `codonbench.ranking.overview.TaskLine`.

    Attributes:
        table: Its id; of scores by training examples, that of the table beside which they stand.
        protocol, track: What its rows were run by, and whether weights had seen data before.
        n_items: Number of test items; None if rows are not compared over items.
        cells: One a row.
    """

    category: str
    task: str
    device: str
    protocol: str
    track: str
    verdict: str
    table: str
    metric: str
    digits: int
    floor: str
    ceiling: float | None
    apart: str = Field(exclude_if=lambda apart: not apart)
    n_items: int | None
    cells: tuple[Cell, ...]


Percent = tuple[int, int, int, int, int]
"""A share and the ends of its interval, in hundredths, of how many tasks, and 1 if that is told
apart from one half."""


class PageSummary(Frozen):
    """Ranks of models over many tasks; see `codonbench.ranking.overview.Summary`.

    Attributes:
        groups, wins: As there; `wins` in less room.
    """

    category: str
    device: str
    tasks: tuple[str, ...]
    failed: tuple[str, ...]
    unplaced: tuple[str, ...]
    critical_difference: float
    groups: tuple[tuple[int, int], ...]
    standings: tuple[Standing, ...]
    wins: tuple[tuple[Percent, ...], ...]


class PageOverview(Frozen):
    """All tasks, and ranks of models over many."""

    lines: tuple[PageLine, ...]
    summaries: tuple[PageSummary, ...]


class PageHead(Frozen):
    """What the page knows of a table before it is opened."""

    id: str
    title: str
    task: str
    rows: int
    plain: bool


class Page(Frozen):
    """All that the page shows before a task or a model is opened.

    Attributes:
        models: Id and label of each.
        unrun: Tasks without runs, of the official board.
    """

    schema_version: Literal[2] = 2
    overview: PageOverview
    tables: tuple[PageHead, ...]
    models: tuple[tuple[str, str], ...]
    unrun: tuple[str, ...]
    excluded: tuple[Excluded, ...]


def table_id(table: BoardTable) -> str:
    """Return the id of a table: a name for its file, and for links."""
    return content_hash([table.key, table.device])[:16]


def model_id(label: str) -> str:
    """Return the id of a model, by its label."""
    return content_hash([label])[:16]


def ids_of(table: BoardTable, runs: Records) -> dict[str, str]:
    """Return the page's id of each row of a table, by the board's."""
    return {row.id: row_id(runs[row.run_ids[0]]) for row in table.all_rows}


def build_front(board: Board, runs: Records, known: PageSources) -> Page:
    """Return what the page shows at first.

    Args:
        board: The leaderboard.
        runs: The records that its rows count.
        known: Further sources of the page.
    """
    labels = {row.label for table in board.shown for row in table.all_rows}
    models = tuple((model_id(label), shown(label)) for label in sorted(labels))
    return Page(
        overview=_overview(board, runs, known, {name: i for i, name in enumerate(sorted(labels))}),
        tables=tuple(_head(table) for table in board.shown),
        models=models,
        unrun=tuple(map(shown, board.unrun(known.tasks))) if known.official else (),
        excluded=tuple(
            Excluded(name=shown(e.name), reason=shown(e.reason, 400)) for e in board.excluded
        ),
    )


def _head(table: BoardTable) -> PageHead:
    return PageHead(
        id=table_id(table),
        title=shown(table.title),
        task=shown(table.task),
        rows=len(table.all_rows),
        plain=not (table.control or table.simulated),
    )


def _overview(
    board: Board, runs: Records, known: PageSources, places: Mapping[str, int]
) -> PageOverview:
    tables = {(table.key, table.device): table for table in board.tables}
    found = build_overview(board)
    texts = ("category", "task", "device", "apart")
    lines = []
    for line in found.lines:
        table = tables[line.key, line.device]
        ids = ids_of(table, runs)
        days = {row.id: _day(row, runs, known) for row in table.all_rows}
        some = runs[table.all_rows[0].run_ids[0]].run_spec
        own = known.tasks.get(line.task)
        lines.append(
            PageLine(
                **{name: getattr(line, name) for name in ("verdict", "digits")},
                **{name: shown(getattr(line, name)) for name in texts},
                protocol=shown(some.protocol or (own.protocol if own else "")),
                track=some.track or "",
                table=table_id(table),
                metric=shown(line.metric),
                floor=shown(line.floor or ""),
                ceiling=None if line.ceiling is None else line.ceiling.value,
                n_items=table.n_items,
                cells=tuple(
                    _cell(places[name], ids[cell.row], cell, days[cell.row])
                    for name, cell in line.cells.items()
                ),
            )
        )
        if not (line.apart or table.of_subset):
            beside = board.curves_beside(table)
            lines += [_curves_line(lines[-1], curves, places) for curves in beside]
    return PageOverview(lines=tuple(lines), summaries=tuple(map(_summary, found.summaries)))


def _curves_line(line: PageLine, curves: Curves, places: Mapping[str, int]) -> PageLine:
    """Return the line of scores by training examples that stand beside a task's first table."""
    named = {name_text(row.model, row.overrides, row.distribution): row for row in curves.rows}
    return line.model_copy(
        update={
            "protocol": SampleEfficiency.name,
            "apart": "by training examples: area under the curve",
            "floor": "",
            "ceiling": None,
            "cells": tuple(
                (
                    *(places[name], "", int(row.role == "reference")),
                    *(row.area.value, None, len(row.seeds), ""),
                )
                for name, row in named.items()
                if name in places and row.area is not None
            ),
        }
    )


def _summary(own: Summary) -> PageSummary:
    lists = {name: getattr(own, name) for name in ("tasks", "failed", "unplaced")}
    return PageSummary(
        **{name: tuple(map(shown, tasks)) for name, tasks in lists.items()},
        category=shown(own.category),
        device=shown(own.device),
        critical_difference=own.critical_difference,
        groups=own.groups,
        standings=tuple(
            one.model_copy(update={"model": shown(one.model)}) for one in own.standings
        ),
        wins=tuple(
            tuple((*_percent(w.value, w.low, w.high), w.n_tasks, int(w.separated)) for w in row)
            for row in own.wins
        ),
    )


def _percent(value: float, low: float, high: float) -> tuple[int, int, int]:
    return round(100 * value), round(100 * low), round(100 * high)


def _day(row: Row, runs: Records, known: PageSources) -> str:
    return max(known.day(runs[run_id]) for run_id in row.run_ids)


def _cell(place: int, row: str, cell: OverviewCell, day: str) -> Cell:
    figure = cell.figure
    value = None if figure is None else figure.value
    return (
        place,
        row,
        int(cell.role == "reference"),
        "never" if figure is not None and value is None else value,
        ends(cell.gain),
        cell.seeds,
        day,
    )


def ends(gain: Gain | None) -> Interval | None:
    """Return a gain and the ends of its interval; the page rounds what it shows."""
    return None if gain is None else (gain.value, gain.low, gain.high)


def build_table(
    table: BoardTable,
    board: Board,
    runs: Records,
    drawn_by: Mapping[str, str],
    figures: str,
    more: tuple[str, ...],
    known: PageSources,
) -> tuple[PageTable, PageRest | None, tuple[RowAnswers, ...], Questions | None]:
    """Return a table's data, and the contents of its other files.

    These are the rest of a long table's rows, each row's answers, and the questions; None if there
    is no such file.

    Args:
        table: BoardTable of the board.
        board: The leaderboard.
        runs: The records that its rows count.
        drawn_by: Plugin of the figures of a row, by its id.
        figures: Plugin of the figures of its rows; empty for none.
        more: Metrics to give of each seed, beside those of columns.
        known: Further sources of the page.
    """
    ranking = table.ranking
    columns = _columns(ranking, known.metrics)
    metrics = tuple(dict.fromkeys((*more, *(column.metric for column in columns))))
    both = table.all_rows
    ids = ids_of(table, runs)
    records = {row.id: [runs[run] for run in row.run_ids] for row in both}
    if not table.shares_targets:  # what may not be published is not, even where it is at hand
        outputs = {name: replace(own, targets=None) for name, own in known.outputs.items()}
        known = replace(known, outputs=outputs)
    facts = known.facts.get(table.data_checksum)
    items = table_items(records, known.outputs, facts.values() if facts else {})
    rows = tuple(_row(row, table, runs, drawn_by, metrics, known, items) for row in both)
    parts = {fact for row in rows if row.items for fact in row.items.parts}
    answered = any(run in known.outputs for row in both for run in row.run_ids)
    texts = ("key", "task", "data", "control", "device", "stop")
    first_run = next(iter(records.values()))[0] if records else None
    task = None if first_run is None else task_of(first_run, known.tasks)
    folded = first_run is not None and first_run.run_spec.protocol == Folds.name
    end = min(FIRST_ROWS, len(table.rows))  # reference rows, which come last, are few
    first, rest = (*rows[:end], *rows[len(table.rows) :]), rows[end : len(table.rows)]
    page = PageTable(
        **{name: shown(getattr(table, name)) for name in texts},
        id=table_id(table),
        version=shown(table.task_version),
        options=shown(shown_facts(table.options_set)),
        data_checksum=shown(table.data_checksum[:12]),
        simulated=table.simulated,
        higher=ranking.direction == "higher",
        budget_pairs=table.budget_pairs,
        torch=shown(", ".join(table.torch)),
        engines=shown(", ".join(table.engines)),
        notes=tuple(shown(note, 400) for note in table.notes),
        figures=figures,
        columns=columns,
        leading=len(_leading(ranking)),
        success=ranking.success or "",
        span=ranking.restricted_mean or "",
        about=about_task(table, task, known, folded=folded),
        ceiling=table.ceiling,
        floor=shown(table.gain_over),
        no_gain="" if table.gain_over else shown(table.gain_words, 400),
        published=tuple(map(as_shown, table.published)),
        curves=curves_of(table, board),
        kind="" if items is None else items.kind,
        names=() if items is None else tuple(map(shown, _names(items))),
        parts=_parts(table, items),
        untold=missing_parts(ranking, items, facts, parts, answered=answered),
        compared=items is not None,
        withheld=items is not None and not items.right,
        n_rest=len(rest),
        rows=first,
    )
    more_rows = PageRest(table=page.id, rows=rest) if rest else None
    if items is None:
        return page, more_rows, (), None
    answered_rows = (answers(row.id, ids[row.id], items) for row in both)
    return page, more_rows, tuple(own for own in answered_rows if own), questions(page.id, items)


def _parts(table: BoardTable, items: TableItems | None) -> dict[str, tuple[Part, ...]]:
    kept = table.figures.by_item if table.figures else None
    if kept is not None:
        return kept.parts
    return {} if items is None else dict(items.parts)


def _row_items(
    row: Row, table: BoardTable, items: TableItems | None, known: PageSources
) -> RowItems | None:
    kept = table.figures.by_item if table.figures else None
    if kept is not None:
        return kept.rows.get(row.id)
    if items is None:
        return None
    return row_items(row.id, items, table.ranking.metric, known.metrics)


def _names(items: TableItems) -> tuple[str, ...]:
    target = next(iter(next(iter(items.outputs.values())).values())).task.target
    return ("absent", "present") if target.kind == "labels" else target.names


def _leading(ranking: Ranking) -> tuple[str, ...]:
    """Return the metrics that stand beside a model's name."""
    return tuple(dict.fromkeys((ranking.metric, *ranking.brief)))[:2]


def _columns(ranking: Ranking, metrics: Mapping[str, Metric]) -> tuple[PageColumn, ...]:
    """Return a task's columns: those that lead, the primary one first, and the others."""
    first, primary = _leading(ranking), ranking.metric
    columns = sorted(ranking.columns, key=lambda c: (c.metric not in first, c.metric != primary))
    return tuple(
        PageColumn(
            metric=c.metric,
            title=shown(_heading(c, metrics)),
            limited=c.scale != "other",
            digits=c.digits if c.statistic == "mean" else None,
        )
        for c in columns
    )


def _heading(column: Column, metrics: Mapping[str, Metric]) -> str:
    """Return a column's title; for one that is the metric's name, the metric's title if any."""
    metric, named = metrics.get(column.metric), column.metric.replace("_", " ")
    return metric.title if metric and metric.title and column.title == named else column.title


_AS_THEY_ARE = (
    *("rank", "tier", "role", "successes", "success_low", "success_high"),
    *("restricted_mean", "parameters", "seconds", "doubted"),
)
"""Fields of a row that the page shows without a change."""


def _row(
    row: Row,
    table: BoardTable,
    runs: Records,
    drawn_by: Mapping[str, str],
    metrics: tuple[str, ...],
    known: PageSources,
    items: TableItems | None,
) -> PageRow:
    records = [runs[run_id] for run_id in row.run_ids]
    name = row_id(records[0])
    return PageRow(
        **{field: getattr(row, field) for field in _AS_THEY_ARE},
        id=name,
        figures=drawn_by.get(name, ""),
        label=model_id(row.label),
        model=shown(row.model),
        supplier="" if row.distribution == "codonbench" else shown(row.distribution or "unknown"),
        version=shown(row.model_version),
        changes=shown(", ".join(filter(None, (shown_facts(row.overrides), row.told_apart)))),
        config=shown(shown_facts(row.config), 600),
        about=about_model(records[0]),
        seeds=row.seeds,
        values={m: tuple(r.metrics.get(m) for r in records) for m in metrics},
        unanswered=tuple(m for m in metrics if any(m in r.not_measured for r in records)),
        beside=tuple(
            Beside(
                control=shown(c.control), ratio=c.ratio, controlled=c.controlled, faster=c.faster
            )
            for c in table.contrasts
            if _same(c, row)
        ),
        clean=_on_clean(row, table),
        medians={**row.medians, **row.means},
        gain=ends(row.gain),
        shown_pairs=median(
            r.pairs if r.selected_pairs is None else r.selected_pairs for r in records
        ),
        tuned_seconds=None if row.tuning is None else row.tuning.seconds,
        tuned_on=None if row.tuning is None else row.tuning.device,
        day=_day(row, runs, known),
        items=_row_items(row, table, items, known),
        withheld=not known.withheld.isdisjoint(row.run_ids),
        devices=tuple(shown(device) for device in row.devices),
        notes=tuple(shown(note, 400) for note in row.notes),
    )


def _on_clean(row: Row, table: BoardTable) -> str:
    """Return a row's primary metric and rank on the clean test items in words."""
    if row.clean is None or table.figures is None:
        return ""
    rank = clean_rank_text(row)
    score = score_text(row.clean.mean, table.ranking.primary)
    return (
        f"{score}{f', rank {rank}' if rank else ''}, on the "
        f"{table.figures.n_clean:,} test items without a near-copy in training"
    )


def _same(contrast: Contrast, row: Row) -> bool:
    """Return whether a contrast is a row's own."""
    return (contrast.model, contrast.config_sha256, contrast.distribution) == (
        row.model,
        row.config_sha256,
        row.distribution,
    )


def about_model(record: RunRecord) -> dict[str, str]:
    """Return facts that a model's author declares, cut to what fits a page."""
    info = record.info
    facts = {
        "summary": info.summary,
        "authors": ", ".join(info.authors),
        "licence": info.licence,
        "reference": info.reference,
        "pretrained_on": record.pretrained_on,
    }
    return {name: shown(text, 400) for name, text in facts.items() if text}
