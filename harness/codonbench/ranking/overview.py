"""Many tables to one view: tasks by models, and ranks of models over the tasks of a category.

A summary counts one table a task, on one kind of device, and leaves out tasks whose data audit is
FAIL, unless they are asked for. Its models are those that have a row in at least half of them,
reference rows too; a task that none of these was run on places nobody and is left out as well. In a
task that a model was not run on it comes behind all that were: what is missing never helps.

A model's place in a task is its rank among them, equal ones sharing the mean of theirs. Its mean
rank is over tasks, its win rate the share of pairs of a task and another model in which it comes
first; a tie is half a win, and no model wins where both are missing. Intervals are bootstraps over
tasks, and within each task over seeds and test items (over seeds where no items are at hand): how
often two neighbours swap is the share of these samples in which they stand the other way round.

Groups and tiers follow from Nemenyi's critical difference of mean ranks. A group is as many models
in a row as are not told apart, each from each. A row opens a tier where its mean rank lies further
than that behind the row that opened the tier before it. Demšar, J. Mach. Learn. Res. 7 (2006) 1-30.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from codonbench.contracts import Ceiling, Frozen
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray
from codonbench.ranking.board import Board, BoardTable, merit
from codonbench.ranking.item_scores import Gain
from codonbench.ranking.rows import Row
from codonbench.ranking.statistics import CONFIDENCE, DRAWS, Mean, Median, average_ranks, interval

FAILED = "FAIL"

FEWEST_TASKS = 6
"""Tasks that tell two models apart: all of five are won by chance more often than at 5 %."""

_SAMPLES = 2_000


class Cell(Frozen):
    """One model on one task.

    Attributes:
        row: The row's id.
        role, rank, tier: As in `Row`.
        figure: The primary metric.
        gain: Over the best reference row; None where that is not known.
        seeds: Number of seeds.
        parameters, seconds: As in `Row`.
    """

    row: str
    role: str
    rank: int | None
    tier: int | None
    figure: Mean | Median | None
    gain: Gain | None
    seeds: int
    parameters: int
    seconds: float | None

    @property
    def separated(self) -> bool:
        """Whether the gain's whole interval lies on one side of 0."""
        return self.gain is not None and (self.gain.low > 0 or self.gain.high < 0)


class TaskLine(Frozen):
    """A table of a task, and the models that were run on it.

    Attributes:
        category, task, device, verdict: As in `BoardTable`.
        key: The table's.
        metric: Heading of the primary metric.
        digits: Shown behind its point.
        title: The table's.
        floor: The label of the best reference row; None where gains are over nothing.
        ceiling: As in `BoardTable`.
        apart: What tells it from the task's first table on this kind of device, which summaries
            count; empty for that one.
        counts: Whether it counts in a summary.
        cells: By model's label, in the table's order, reference rows last.
    """

    category: str
    task: str
    device: str
    verdict: str
    key: str
    metric: str
    digits: int
    title: str
    floor: str | None
    ceiling: Ceiling | None
    apart: str
    counts: bool
    cells: dict[str, Cell]

    @property
    def best(self) -> str | None:
        """The label of the first contestant; None where there is none with a rank."""
        return next((name for name, cell in self.cells.items() if cell.rank == 1), None)


class Share(Frozen):
    """A figure over tasks with its 95 % interval."""

    value: float
    low: float
    high: float


class Win(Share):
    """In how many of so many tasks one model is ahead of another.

    Attributes:
        n_tasks: Those that either was run on.
    """

    n_tasks: int

    @property
    def separated(self) -> bool:
        """Whether the interval lies on one side of one half, and a sign test could tell so."""
        return self.n_tasks >= FEWEST_TASKS and (self.low > 0.5 or self.high < 0.5)


class Standing(Frozen):
    """The ranks of a model over the tasks of a summary.

    Attributes:
        model: Label of the model.
        reference: Whether all its rows are reference rows.
        n_tasks: On how many it was run.
        mean_rank: Over the tasks; 1 is the best.
        win_rate: Share of pairs of a task and another model in which it is better.
        tier: From 1.
        swaps: Share of samples in which the next row precedes it; None for the last.
    """

    model: str
    reference: bool
    n_tasks: int
    mean_rank: Share
    win_rate: Share
    tier: int
    swaps: float | None


class Summary(Frozen):
    """Models over the tasks of one category, or of all.

    Attributes:
        category: Name of the category; empty for all together.
        device: The kind of device.
        tasks: Those that count.
        failed: Tasks whose data audit is FAIL; left out unless requested.
        unplaced: Those left out, since none of the models was run on them.
        critical_difference: Critical difference of two mean ranks (Nemenyi, 5 %).
        standings: By mean rank.
        wins: Of each model against those behind it in `standings`, in that order: over tasks that
            either was run on, the share in which it comes first, which one that was not run does
            not. The other way round it is one less that.
    """

    category: str
    device: str
    tasks: tuple[str, ...]
    failed: tuple[str, ...]
    unplaced: tuple[str, ...]
    critical_difference: float
    standings: tuple[Standing, ...]
    wins: tuple[tuple[Win, ...], ...]

    @property
    def groups(self) -> tuple[tuple[int, int], ...]:
        """First and last model of each maximal group without significant differences."""
        ranks = [own.mean_rank.value for own in self.standings]
        found: list[tuple[int, int]] = []
        for first, rank in enumerate(ranks):
            last = max(i for i, r in enumerate(ranks) if r - rank <= self.critical_difference)
            if last > max([first, *(end for _, end in found)]):
                found.append((first, last))
        return tuple(found)


class Overview(Frozen):
    """All tasks, by category, and the summaries over them.

    Attributes:
        with_failed: As in `Board`.
    """

    lines: tuple[TaskLine, ...]
    summaries: tuple[Summary, ...]
    with_failed: bool = False

    @property
    def categories(self) -> dict[str, list[TaskLine]]:
        """The tasks of each category, in order."""
        found: dict[str, list[TaskLine]] = {}
        for line in self.lines:
            found.setdefault(line.category, []).append(line)
        return found


def build_overview(board: Board) -> Overview:
    """Return the view over a board's tables; those of a control are not in it."""
    by_task: dict[tuple[str, str, str], list[BoardTable]] = defaultdict(list)
    for table in board.shown:
        if not table.control:
            by_task[table.category, table.task, table.device].append(table)
    lines, counted = [], []
    for tables in (by_task[place] for place in sorted(by_task)):
        first, *more = sorted(tables, key=_precedence)
        own = [_line(table, first, board.with_failed) for table in (first, *more)]
        lines += own
        counted.append((own[0], first))
    summaries = []
    for device in sorted({table.device for _, table in counted}):
        there = [pair for pair in counted if pair[0].device == device]
        categories = list(dict.fromkeys(line.category for line, _ in there))
        parts = [[pair for pair in there if pair[0].category == name] for name in categories]
        parts += [there] if len(categories) > 1 else []
        for name, part in zip([*categories, ""], parts, strict=False):
            if sum(line.counts for line, _ in part) > 1:
                summaries.append(_summary(name, device, part))
    summarised = (summary for summary in summaries if summary is not None)
    return Overview(lines=tuple(lines), summaries=tuple(summarised), with_failed=board.with_failed)


def _precedence(table: BoardTable) -> tuple[bool, int, bool, bool, bool, int, str]:
    """Return by what the one table of a task that is shown comes first.

    That of the task's own options and protocol does, where a contestant has a rank in it; else the
    plainest.
    """
    n_rows = len(table.all_rows)
    own = table.usual and not table.asked and any(row.rank is not None for row in table.rows)
    plain = (len(table.options_set), table.simulated, table.stop == "budget", table.asked != "")
    return not own, *plain, -n_rows, table.key


def _apart(table: BoardTable, first: BoardTable) -> str:
    """Return how a table differs from the first of its task; empty for that one."""
    if table is first:
        return ""
    whole = table.stop == "budget" != first.stop and table.ranking.budget_divides
    known, own = first.options_set, table.options_set
    options = (f"{name} {own[name]}" for name in sorted(own) if known.get(name) != own[name])
    words = [
        table.data if table.data != first.data else "",
        "simulated" if table.simulated and not first.simulated else "",
        *options,
        "whole budget" if whole else "",
        table.asked,
    ]
    return ", ".join(dict.fromkeys(filter(None, words))) or f"key {table.key[:12]}"


def _line(table: BoardTable, first: BoardTable, with_failed: bool) -> TaskLine:
    primary, apart = table.ranking.primary, _apart(table, first)
    return TaskLine(
        category=table.category,
        task=table.task,
        device=table.device,
        verdict=table.verdict,
        key=table.key,
        metric=primary.title,
        digits=primary.digits,
        title=table.title,
        floor=next((row.gain.over for row in table.rows if row.gain), None),
        ceiling=table.ceiling,
        apart=apart,
        counts=not apart and (with_failed or table.verdict != FAILED),
        cells={name: _cell(row, table) for name, row in _by_label(table).items()},
    )


def _by_label(table: BoardTable) -> dict[str, Row]:
    """Return a table's rows by label; of several that have one label, that of most seeds."""
    found: dict[str, Row] = {}
    for row in table.all_rows:
        name = row.label
        if name not in found or len(row.seeds) > len(found[name].seeds):
            found[name] = row
    return found


def _cell(row: Row, table: BoardTable) -> Cell:
    return Cell(
        row=row.id,
        role=row.role,
        rank=row.rank,
        tier=row.tier,
        figure=row.figure(table.ranking.metric),
        gain=row.gain,
        seeds=len(row.seeds),
        parameters=row.parameters,
        seconds=row.seconds,
    )


def _summary(
    category: str, device: str, part: Sequence[tuple[TaskLine, BoardTable]]
) -> Summary | None:
    """Return the ranks of models over tasks; None if none was run on half of them."""
    sound = [(line, table) for line, table in part if line.counts]
    run = Counter(name for line, _ in sound for name in line.cells)
    labels = sorted(name for name, n in run.items() if 2 * n >= len(sound))
    counted = [(line, table) for line, table in sound if not line.cells.keys().isdisjoint(labels)]
    if not counted:
        return None
    there = np.array([[name in line.cells for name in labels] for line, _ in counted])
    places = np.stack([_places(table, labels) for _, table in counted])
    n_tasks, n_models = there.shape
    beaten = _beaten(places, there[:, None]) / max(1, n_models - 1)
    mean_rank = places[:, 0].mean(axis=0)
    order = np.lexsort((np.arange(len(labels)), np.round(mean_rank, 9)))
    drawn = np.random.default_rng(n_tasks)
    tasks = drawn.integers(0, n_tasks, (_SAMPLES, n_tasks))
    picked = drawn.integers(1, DRAWS + 1, tasks.shape)
    samples = places[tasks, picked].mean(axis=1)
    rates = beaten[tasks, picked].mean(axis=1)
    difference = _critical_difference(n_models, n_tasks)
    tiers = _tiers(mean_rank[order], difference)
    standings = [
        Standing(
            model=labels[at],
            reference=all(
                line.cells[labels[at]].role == "reference"
                for line, _ in counted
                if labels[at] in line.cells
            ),
            n_tasks=int(there[:, at].sum()),
            mean_rank=_share(mean_rank[at], samples[:, at]),
            win_rate=_share(beaten[:, 0, at].mean(), rates[:, at]),
            tier=tier,
            swaps=None if after is None else _swaps(samples[:, at], samples[:, after]),
        )
        for at, after, tier in zip(order, [*order[1:], None], tiers, strict=True)
    ]
    return Summary(
        category=category,
        device=device,
        tasks=tuple(line.task for line, _ in counted),
        failed=tuple(line.task for line, _ in part if line.verdict == FAILED),
        unplaced=tuple(line.task for line, _ in sound if line.cells.keys().isdisjoint(labels)),
        critical_difference=round(difference, 4),
        standings=tuple(standings),
        wins=_wins(places[:, :, order], there[:, order], tasks, picked),
    )


def _places(table: BoardTable, labels: Sequence[str]) -> FloatArray:
    """Return each model's place in a task that one of them was run on: as it is, then in samples.

    Returns:
        Places from 1, equal ones sharing their mean, those not run behind all others; shape
        (1 + DRAWS, M).
    """
    rows = _by_label(table)
    own = [name for name in labels if name in rows]
    merits = [merit(rows[name], table.ranking) for name in own]
    ordered = sorted(merits)
    costs = [np.array([float(ordered.index(m)) for m in merits])[None]]
    drawn = [table.ranks.get(rows[name].id) for name in own]
    known = [one for one in drawn if one is not None]
    costs.append(
        np.array(known).T if len(known) == len(own) else np.repeat(costs[0], DRAWS, axis=0)
    )
    n_missing = len(labels) - len(own)
    found = np.full((1 + DRAWS, len(labels)), len(own) + (n_missing + 1) / 2)
    found[:, [labels.index(name) for name in own]] = average_ranks(np.concatenate(costs))
    return found


def _beaten(places: FloatArray, there: BoolArray) -> FloatArray:
    """Return how many others each model beats: all behind it, half of those level with it."""
    return np.where(there, places.shape[-1] - places, 0.0)


def _wins(
    places: FloatArray,
    there: BoolArray,
    tasks: IntArray,
    picked: IntArray,
) -> tuple[tuple[Win, ...], ...]:
    """Return `Summary.wins`.

    Args:
        places: As `_places` has them, in the order of standings; (T, 1 + DRAWS, M).
        there: Whether each model was run, (T, M).
        tasks: Of each sample over tasks, those drawn, (S, T).
        picked: Of each of these, which of its own samples; likewise.
    """
    found = []
    n_tasks, n_models = there.shape
    times = np.stack([np.bincount(own, minlength=n_tasks) for own in tasks])
    for i in range(n_models):
        own, others = places[:, :, i, None], places[:, :, i + 1 :]
        either = there[:, i, None] | there[:, i + 1 :]
        halves = ((own < others) * np.int8(2) + (own == others)) * either[:, None]
        won = np.zeros((len(tasks), others.shape[2]))
        for task, pick in zip(tasks.T, picked.T, strict=True):
            won += halves[task, pick]
        n = times @ either
        shares = np.divide(won, 2 * n, out=np.full(won.shape, np.nan), where=n > 0)
        known = either.sum(axis=0)
        values = halves[:, 0].sum(axis=0) / (2 * known)
        each = (column[~np.isnan(column)] for column in shares.T)  # not a sample without such tasks
        found.append(
            tuple(
                Win(**dict(_share(value, drawn)), n_tasks=int(k))
                for value, drawn, k in zip(values, each, known, strict=True)
            )
        )
    return tuple(found)


def _swaps(ahead: FloatArray, behind: FloatArray) -> float:
    return round(float((behind < ahead).mean() + 0.5 * (behind == ahead).mean()), 4)


def _share(value: float, samples: FloatArray) -> Share:
    low, high = interval(samples)
    return Share(value=round(float(value), 4), low=round(low, 4), high=round(high, 4))


def _critical_difference(n_models: int, n_tasks: int) -> float:
    """Return by how much two mean ranks must differ: q sqrt(M (M + 1) / (6 T)), Nemenyi at 5 %."""
    from scipy.stats import studentized_range  # takes a second to import

    quantile = studentized_range.ppf(CONFIDENCE, max(2, n_models), np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_models * (n_models + 1) / (6 * n_tasks)))


def _tiers(mean_ranks: Sequence[float] | FloatArray, difference: float) -> list[int]:
    """Return the tier of each of mean ranks in ascending order."""
    tiers: list[int] = []
    opened = 0.0
    for value in mean_ranks:
        if not tiers or value - opened > difference:
            tiers.append(tiers[-1] + 1 if tiers else 1)
            opened = float(value)
        else:
            tiers.append(tiers[-1])
    return tiers
