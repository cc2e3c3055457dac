"""How much data a row needs: its score by the number of training examples, and what follows.

Of one seed all subsets are nested, and each size has the same budget in pairs. *Examples to reach*
a score are the smallest size from which on a seed's score is never worse, as a size that was run:
the true figure lies between it and the one before. A seed that never gets there is right-censored.
*Row zero* is the best reference row with all training examples, or with the most shots a class.
The *area* is that under the curve over the logarithm of the size, divided by its width: the mean
score, sizes weighed by their ratio.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Literal

from codonbench.contracts import Column, Frozen, Task
from codonbench.contracts.run_record import FINISHED, RunRecord
from codonbench.ranking.statistics import Mean, Median, censored_median, mean
from codonbench.scoring.score import RowKey, comparability_key, row_key, task_of

_Scores = Mapping[int, Mapping[int, float]]
"""By seed and size."""


class Curve(Frozen):
    """A row's scores by size.

    Attributes:
        model, overrides, distribution, role: As in `Row`.
        seeds: Those that have a score at each size; what follows rests on them.
        points: Mean at each size; None where no seed has a score.
        ranks: Of the row among contestants at each size, from 1; None for a reference row.
        area: Under the curve; None where no seed has a score at each of two sizes.
        to_row_zero, to_target: Median of the examples to reach either; None where there is none.
    """

    model: str
    overrides: dict[str, object]
    distribution: str
    role: Literal["contestant", "reference"]
    seeds: tuple[int, ...]
    points: tuple[Mean | None, ...]
    ranks: tuple[int | None, ...] = ()
    area: Mean | None = None
    to_row_zero: Median | None = None
    to_target: Median | None = None


class Curves(Frozen):
    """Rows that were trained on the same subsets.

    Attributes:
        key: Shared by runs of all sizes.
        task, data, data_checksum, device: As in `BoardTable`; `data` of one's own table is `task`.
        column: The primary one of the task, whose metric the scores are.
        lower: Whether lower is better.
        sizes: Training examples of each subset, in rising order.
        per_class: Whether they are so many of each class.
        row_zero: The reference row with the best score at the largest size; empty for none.
        target: The score to be reached; None for none.
        rows: The best area first, reference rows last.
    """

    key: str
    task: str
    data: str
    data_checksum: str
    device: str
    column: Column
    lower: bool
    sizes: tuple[int, ...]
    per_class: bool
    row_zero: str = ""
    target: float | None = None
    rows: tuple[Curve, ...]


def learning_curves(
    records: Iterable[RunRecord], tasks: Mapping[str, Task], target: float | None = None
) -> list[Curves]:
    """Return the curves that records of the protocol ``sample_efficiency`` give.

    Args:
        records: Those of other protocols are left out.
        tasks: By name; records of others are left out.
        target: A score to be reached, in the primary metric of every task.
    """
    groups: dict[tuple[str, str], list[tuple[RunRecord, Task]]] = defaultdict(list)
    for record in records:
        task = task_of(record, tasks)
        if record.run_spec.subset is None or record.status not in FINISHED or task is None:
            continue
        whole = record.run_spec.whole
        key = comparability_key(whole, record.metric_versions, task.ranking)
        groups[key, record.machine.device_kind].append((record, task))
    return [_curves(key, found, target) for (key, _), found in sorted(groups.items())]


def _curves(key: str, found: Sequence[tuple[RunRecord, Task]], target: float | None) -> Curves:
    (first, task), records = found[0], [record for record, _ in found]
    ranking = task.ranking
    sign = ranking.sign
    sizes = tuple(sorted({record.run_spec.subset or 0 for record in records}))
    rows: dict[RowKey, list[RunRecord]] = defaultdict(list)
    for record in sorted(records, key=lambda r: (r.model, r.seed, r.run_id, r.checksum)):
        rows[row_key(record)].append(record)
    scores = {row: _scores(own, ranking.metric) for row, own in rows.items()}
    points = {row: _points(scores[row], sizes) for row in rows}
    references = [row for row, own in rows.items() if own[0].info.role == "reference"]
    zero = max(
        (row for row in references if points[row][-1] is not None),
        key=lambda row: sign * _value(points[row][-1]),
        default=None,
    )
    curves = []
    for row, own in rows.items():
        complete = {s: by for s, by in scores[row].items() if by.keys() >= {*sizes}}
        bars: dict[int, float] = {}
        if zero is not None and row != zero:
            mean_bar = _value(points[zero][-1])
            bars = {s: scores[zero].get(s, {}).get(sizes[-1], mean_bar) for s in complete}
        goals = {} if target is None else dict.fromkeys(complete, target)
        areas = [area for by in complete.values() if (area := _area(by, sizes)) is not None]
        curves.append(
            Curve(
                model=own[0].model,
                overrides=own[0].overrides,
                distribution=own[0].plugin.distribution,
                role=own[0].info.role,
                seeds=tuple(sorted(complete)),
                points=points[row],
                ranks=_ranks(row, points, references, sign),
                area=mean(areas),
                to_row_zero=_reached(complete, bars, sizes, sign),
                to_target=_reached(complete, goals, sizes, sign),
            )
        )
    curves.sort(key=lambda c: (c.role == "reference", -sign * _value(c.area), c.model))
    sources = {r.dataset.source for r in records}
    return Curves(
        key=key,
        task=first.task,
        data=first.task if first.run_spec.is_own_table else ", ".join(sorted(sources)),
        data_checksum=first.dataset.checksum,
        device=first.machine.device_kind,
        column=ranking.primary,
        lower=sign < 0,
        sizes=sizes,
        per_class=bool(first.run_spec.protocol_options.get("per_class")),
        row_zero="" if zero is None else rows[zero][0].model,
        target=target,
        rows=tuple(curves),
    )


def _scores(records: Iterable[RunRecord], metric: str) -> _Scores:
    """Return the scores of a row; the first record of a seed and size counts."""
    scores: dict[int, dict[int, float]] = defaultdict(dict)
    for record in records:
        value = record.metrics.get(metric)
        if value is not None:
            scores[record.seed].setdefault(record.run_spec.subset or 0, float(value))
    return scores


def _points(scores: _Scores, sizes: Sequence[int]) -> tuple[Mean | None, ...]:
    return tuple(mean([by[n] for by in scores.values() if n in by]) for n in sizes)


def _value(figure: Mean | None) -> float:
    return -math.inf if figure is None else figure.value


def _ranks(
    row: RowKey,
    points: Mapping[RowKey, Sequence[Mean | None]],
    references: Sequence[RowKey],
    sign: float,
) -> tuple[int | None, ...]:
    """Return the rank of a row at each size: one more than contestants with better means."""
    if row in references:
        return ()
    others = [points[other] for other in points if other not in references]
    return tuple(
        None
        if own is None
        else 1 + sum(p[i] is not None and sign * _value(p[i]) > sign * own.value for p in others)
        for i, own in enumerate(points[row])
    )


def _area(scores: Mapping[int, float], sizes: Sequence[int]) -> float | None:
    """Return the mean height of a seed's curve over the logarithm of the size, by trapezoids."""
    if len(sizes) < 2:
        return None
    pairs = pairwise(sizes)
    parts = [(math.log(b / a), (scores[a] + scores[b]) / 2) for a, b in pairs]
    return math.fsum(width * height for width, height in parts) / math.log(sizes[-1] / sizes[0])


def examples_to_reach(
    scores: Mapping[int, float], bar: float, sizes: Sequence[int], sign: float
) -> int | None:
    """Return the smallest size from which on no score is worse than `bar`; None for never.

    Args:
        scores: One seed's, by size.
        bar: To be reached.
        sizes: In rising order.
        sign: 1 where higher is better, -1 where lower is.
    """
    reached = None
    for size in reversed(sizes):
        if sign * scores[size] < sign * bar:
            break
        reached = size
    return reached


def _reached(
    scores: _Scores, bars: Mapping[int, float], sizes: Sequence[int], sign: float
) -> Median | None:
    """Return the median over seeds of the examples to reach each one's bar."""
    return censored_median(
        [examples_to_reach(scores[seed], bars[seed], sizes, sign) for seed in sorted(bars)]
    )
