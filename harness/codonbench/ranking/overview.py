"""Many tables to one view: tasks by models, and how models stand over the tasks of a category.

A summary counts one table a task, on one kind of device, and leaves out tasks whose data audit is
FAIL. Its models are those that have a row in at least half of them, reference rows too. In a task
that a model was not run on it comes behind all that were: what is missing never helps.

A model's place in a task is its rank among them, equal ones sharing the mean of theirs. Its mean
rank is over tasks, its win rate the share of pairs of a task and another model in which it comes
first; a tie is half a win, and nobody wins where both are missing. Intervals are bootstraps over
tasks, and within each task over seeds and test items (over seeds where no items are at hand): how
often two neighbours swap is the share of these samples in which they stand the other way round.

Tiers follow from Nemenyi's critical difference of mean ranks: a row opens a tier where its mean
rank lies further than that behind the row that opened the tier before it. Demšar, J. Mach. Learn.
Res. 7 (2006) 1-30.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Ceiling, Frozen
from codonbench.ranking.board import Board, Row, Table, merit
from codonbench.ranking.item_scores import Gain
from codonbench.ranking.statistics import CONFIDENCE, DRAWS, Mean, Median, average_ranks

FAILED = "FAIL"

_SAMPLES = 2_000

_Floats = npt.NDArray[np.float64]


class Cell(Frozen):
    """One model on one task.

    Attributes:
        row: The row's id.
        role, rank, tier: As in `Row`.
        figure: The primary metric.
        gain: Over the best reference row; None where that is not known.
        seeds: How many.
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
    """One task: its table, and the models that were run on it.

    Attributes:
        category, task, device, verdict: As in `Table`.
        key: The table's.
        metric: Heading of the primary metric.
        digits: Shown behind its point.
        title: The table's.
        floor: The label of the best reference row; None where gains are over nothing.
        ceiling: As in `Table`.
        n_tables: How many tables the task has on this kind of device; this is the first.
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
    n_tables: int
    cells: dict[str, Cell]

    @property
    def counts(self) -> bool:
        """Whether the task counts in a summary."""
        return self.verdict != FAILED

    @property
    def best(self) -> str | None:
        """The label of the first contestant; None where there is none with a rank."""
        return next((name for name, cell in self.cells.items() if cell.rank == 1), None)


class Share(Frozen):
    """A figure over tasks with its 95 % interval."""

    value: float
    low: float
    high: float


class Standing(Frozen):
    """How a model stands over the tasks of a summary.

    Attributes:
        model: Its label.
        reference: Whether all its rows are reference rows.
        n_tasks: On how many it was run.
        mean_rank: Over the tasks; 1 is the best.
        win_rate: Of pairs of a task and another model, the share in which it comes first.
        tier: From 1.
        swaps: How often the next row stands before it, of all samples; None for the last.
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
        category: Its name; empty for all of them together.
        device: The kind of device.
        tasks: Those that count.
        failed: Those left out, since their data audit is FAIL.
        critical_difference: Of two mean ranks (Nemenyi, 5 %).
        standings: By mean rank.
        wins: Of the row's model against the column's, over tasks that either was run on: the share
            in which it comes first, which one that was not run does not; None where there is no
            such task. In the order of `standings`.
    """

    category: str
    device: str
    tasks: tuple[str, ...]
    failed: tuple[str, ...]
    critical_difference: float
    standings: tuple[Standing, ...]
    wins: tuple[tuple[float | None, ...], ...]


class Overview(Frozen):
    """All tasks, by category, and the summaries over them."""

    lines: tuple[TaskLine, ...]
    summaries: tuple[Summary, ...]

    @property
    def categories(self) -> dict[str, list[TaskLine]]:
        """The tasks of each category, in order."""
        found: dict[str, list[TaskLine]] = {}
        for line in self.lines:
            found.setdefault(line.category, []).append(line)
        return found


def build_overview(board: Board) -> Overview:
    """Return the view over a board's tables; those of a control are not in it."""
    by_task: dict[tuple[str, str, str], list[Table]] = defaultdict(list)
    for table in board.shown:
        if not table.control:
            by_task[table.category, table.task, table.device].append(table)
    first = {place: min(tables, key=_precedence) for place, tables in sorted(by_task.items())}
    lines = tuple(_line(table, len(by_task[place])) for place, table in first.items())
    summaries = []
    for device in sorted({device for _, _, device in first}):
        there = [(line, first[line.category, line.task, device]) for line in lines]
        there = [(line, table) for line, table in there if line.device == device]
        categories = list(dict.fromkeys(line.category for line, _ in there))
        parts = [[pair for pair in there if pair[0].category == name] for name in categories]
        parts += [there] if len(categories) > 1 else []
        for name, part in zip([*categories, ""], parts, strict=False):
            if sum(line.counts for line, _ in part) > 1:
                summaries.append(_summary(name, device, part))
    return Overview(lines=lines, summaries=tuple(summaries))


def _precedence(table: Table) -> tuple[int, bool, bool, int, str]:
    """Return by what the one table of a task that is shown comes first: the plainest does."""
    n_rows = len(table.rows) + len(table.references)
    return len(table.options_set), table.simulated, table.stop == "budget", -n_rows, table.key


def _line(table: Table, n_tables: int) -> TaskLine:
    primary = table.ranking.primary
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
        n_tables=n_tables,
        cells={name: _cell(row, table) for name, row in _by_label(table).items()},
    )


def _by_label(table: Table) -> dict[str, Row]:
    """Return a table's rows by label; of several that have one label, that of most seeds."""
    found: dict[str, Row] = {}
    for row in (*table.rows, *table.references):
        name = row.label
        if name not in found or len(row.seeds) > len(found[name].seeds):
            found[name] = row
    return found


def _cell(row: Row, table: Table) -> Cell:
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


def _summary(category: str, device: str, part: Sequence[tuple[TaskLine, Table]]) -> Summary:
    counted = [(line, table) for line, table in part if line.counts]
    run = Counter(name for line, _ in counted for name in line.cells)
    labels = sorted(name for name, n in run.items() if 2 * n >= len(counted))
    there = np.array([[name in line.cells for name in labels] for line, _ in counted])
    places = np.stack([_places(line, table, labels) for line, table in counted])
    wins = _wins(places[:, 0], there)
    won = np.nansum(wins, axis=(0, 2)) / (len(counted) * max(1, len(labels) - 1))
    mean_rank = places[:, 0].mean(axis=0)
    order = np.lexsort((np.arange(len(labels)), np.round(mean_rank, 9)))
    n_tasks, n_models = there.shape
    drawn = np.random.default_rng(n_tasks)
    tasks = drawn.integers(0, n_tasks, (_SAMPLES, n_tasks))
    picked = drawn.integers(1, DRAWS + 1, tasks.shape)
    samples = places[tasks, picked].mean(axis=1)
    rates = np.stack([_won(own, row) for own, row in zip(places, there, strict=True)])
    rates = rates[tasks, picked].mean(axis=1) / max(1, n_models - 1)
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
            win_rate=_share(won[at], rates[:, at]),
            tier=tier,
            swaps=None if after is None else _swaps(samples[:, at], samples[:, after]),
        )
        for at, after, tier in zip(order, [*order[1:], None], tiers, strict=True)
    ]
    return Summary(
        category=category,
        device=device,
        tasks=tuple(line.task for line, _ in counted),
        failed=tuple(line.task for line, _ in part if not line.counts),
        critical_difference=round(difference, 4),
        standings=tuple(standings),
        wins=tuple(tuple(_pair(wins, i, j) for j in order) for i in order),
    )


def _places(line: TaskLine, table: Table, labels: Sequence[str]) -> _Floats:
    """Return each model's place in a task: as it is, then in each sample.

    Returns:
        Places from 1, equal ones sharing their mean, those not run behind all others; shape
        (1 + DRAWS, M).
    """
    rows = _by_label(table)
    own = [name for name in labels if name in rows]
    if not own:
        return np.full((1 + DRAWS, len(labels)), (len(labels) + 1) / 2)
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


def _wins(places: _Floats, there: npt.NDArray[np.bool_]) -> _Floats:
    """Return of each pair in each task 1 where the first is ahead, 0.5 for a tie; (T, M, M).

    NaN where neither was run there, and for a model and itself.
    """
    won = (places[:, :, None] < places[:, None]) + 0.5 * (places[:, :, None] == places[:, None])
    neither = ~there[:, :, None] & ~there[:, None]
    neither |= np.eye(places.shape[1], dtype=bool)
    return np.where(neither, np.nan, won)


def _won(places: _Floats, there: npt.NDArray[np.bool_]) -> _Floats:
    """Return how many others each model beats in a task; places as `_places` has them, (N, M)."""
    return np.asarray(np.nansum(_wins(places, np.broadcast_to(there, places.shape)), axis=2))


def _pair(wins: _Floats, i: int, j: int) -> float | None:
    known = wins[:, i, j][np.isfinite(wins[:, i, j])]
    return round(float(known.mean()), 4) if len(known) else None


def _swaps(ahead: _Floats, behind: _Floats) -> float:
    return round(float((behind < ahead).mean() + 0.5 * (behind == ahead).mean()), 4)


def _share(value: float, samples: _Floats) -> Share:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(samples, [tail, 1 - tail], method="inverted_cdf")
    return Share(value=round(float(value), 4), low=round(float(low), 4), high=round(float(high), 4))


def _critical_difference(n_models: int, n_tasks: int) -> float:
    """Return by how much two mean ranks must differ: q sqrt(M (M + 1) / (6 T)), Nemenyi at 5 %."""
    from scipy.stats import studentized_range  # takes a second to import

    quantile = studentized_range.ppf(CONFIDENCE, max(2, n_models), np.inf) / np.sqrt(2)
    return float(quantile * np.sqrt(n_models * (n_models + 1) / (6 * n_tasks)))


def _tiers(mean_ranks: Sequence[float] | _Floats, difference: float) -> list[int]:
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
