"""How a table's rows do on single test items, in a few numbers a row.

How sure a row is and how often that is right, what it takes for what, what was measured where it
predicts so much, and its score on items of one kind, such as the short ones. Each number is of many
items, so all of it may be told where what is right for an item may not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from pydantic import Field

from codonbench.contracts import Frozen, Metric, SplitMetric
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray
from codonbench.ranking.statistics import resamples
from codonbench.records.recorded_outputs import ItemOutputs
from codonbench.scoring.score import metric_giving

Kind = Literal["classes", "labels", "quantities", "scores"]
"""What answers are: those of one that was asked without training are scores, of which only the
order means something."""

BINS = 10
"""Of how sure a row is."""

PARTS = 5
"""Into which test items are divided by a fact, about equally many in each."""

FEWEST = 20
"""Test items without which a part has no score of its own."""

_DRAWS = 200
_MOST_CLASSES = 25  # of a confusion


class Part(Frozen):
    """Test items of one kind: from `low` to `high` of a fact, both included."""

    low: int
    high: int
    items: int


class RowItems(Frozen):
    """What is known of a row's answers.

    Attributes:
        reliability: Of answers that are about as sure: how many a seed, how sure, and the share of
            them that is right; empty where answers are no probabilities.
        confusion: Items a seed of each class, taken for each; empty where there are many classes.
        parts: Its score on each part by a fact, and the 95 % interval over seeds and items.
        predicted: Of questions for which it predicts about as much, `FEWEST` or more: how many,
            the mean prediction over seeds, and mean and standard deviation of what was measured;
            only in `ItemFigures`, of quantities, and where there are two such bins or more.
    """

    reliability: tuple[tuple[float, float, float], ...] = ()
    confusion: tuple[tuple[float, ...], ...] = ()
    parts: dict[str, tuple[tuple[float, float, float] | None, ...]] = Field(default_factory=dict)
    predicted: tuple[tuple[int, float, float, float], ...] = Field(
        default=(), exclude_if=lambda bins: not bins
    )


class ItemFigures(Frozen):
    """What is known of a table's answers where what is right for an item may not be published.

    Attributes:
        parts: Of the test items by each fact.
        rows: Figures by the row's id.
    """

    parts: dict[str, tuple[Part, ...]]
    rows: dict[str, RowItems]


@dataclass(frozen=True, eq=False)
class TableItems:
    """The test items of a table, and the runs with outputs for them.

    Attributes:
        kind: Kind of the answers.
        items: SHA-256 of what is right for them.
        outputs: Outputs of each row's runs, by row and seed.
        facts: Facts on the items, by name, (N,).
        parts: Of the items by each fact.
        masks: Which items are in each part, (parts, N), by fact.
    """

    kind: Kind
    items: str
    outputs: Mapping[str, Mapping[int, ItemOutputs]]
    facts: Mapping[str, IntArray]
    parts: Mapping[str, tuple[Part, ...]]
    masks: Mapping[str, BoolArray]

    @property
    def right(self) -> bool:
        """Whether what is right for the items is known."""
        return all(run.targets is not None for own in self.outputs.values() for run in own.values())


def table_items(
    rows: Mapping[str, Sequence[RunRecord]],
    outputs: Mapping[str, ItemOutputs],
    facts: Mapping[str, IntArray],
) -> TableItems | None:
    """Return the test items of a table; None if no test outputs are available.

    Of quantities the answers alone are enough, to lay two rows side by side. Where seeds draw test
    items of their own, those that most runs were asked about.

    Args:
        rows: The records of each row, by its id.
        outputs: Test outputs by run id.
        facts: Of the test items of the data, by name, (N,); ignored where they are of other items.
    """
    found = [
        (row, record.seed, record, outputs[record.run_id])
        for row, records in rows.items()
        for record in records
        if record.run_id in outputs
    ]
    if not found or any(
        own.targets is None and own.task.target.kind != "quantities" for _, _, _, own in found
    ):
        return None
    counts: dict[str, int] = {}
    for _, _, _, own in found:
        counts[own.items] = counts.get(own.items, 0) + 1
    items = max(counts, key=lambda name: (counts[name], name))
    by_row: dict[str, dict[int, ItemOutputs]] = {}
    for row, seed, _, own in found:
        if own.items == items:
            by_row.setdefault(row, {})[seed] = own
    first, record = next((own, record) for _, _, record, own in found if own.items == items)
    alike = len(counts) == 1  # the facts are of one test split
    values = {k: v for k, v in facts.items() if alike and len(v) == len(first.outputs)}
    cut = {name: _parts(own) for name, own in values.items()}
    cut = {name: own for name, own in cut.items() if own[0]}
    protocol = record.run_spec.protocol or first.task.protocol
    kind = first.task.target.kind
    return TableItems(
        kind="scores" if protocol == "zero_shot" and kind != "classes" else kind,
        items=items,
        outputs=by_row,
        facts=values,
        parts={name: own[0] for name, own in cut.items()},
        masks={name: own[1] for name, own in cut.items()},
    )


def _parts(values: IntArray) -> tuple[tuple[Part, ...], BoolArray]:
    """Return parts of items by a fact, and which items are in each: every item is in one.

    About equally large ones, but where many items are alike: a part that would be too small is
    joined with the smaller one beside it. The few copies of training items are seen so, too.
    """
    edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1), method="lower"))
    uppers = edges[1:] if len(edges) > 1 else edges
    while True:
        sizes = np.bincount(np.searchsorted(uppers, values), minlength=len(uppers))
        small = int(sizes.argmin())
        if len(uppers) == 1 or sizes[small] >= FEWEST:
            break
        last = small == len(uppers) - 1
        before = last or (small > 0 and sizes[small - 1] < sizes[small + 1])
        uppers = np.delete(uppers, small - before)
    place = np.searchsorted(uppers, values)
    masks = np.stack([place == i for i in range(len(uppers))])
    if len(masks) < 2:
        return (), masks
    parts = [
        Part(low=int(values[m].min()), high=int(values[m].max()), items=int(m.sum())) for m in masks
    ]
    return tuple(parts), masks


def row_items(
    row: str, table: TableItems, metric: str, metrics: Mapping[str, Metric]
) -> RowItems | None:
    """Return figures on a row's answers; None if no outputs are available.

    Args:
        row: Its id.
        table: Its table's items.
        metric: The primary one.
        metrics: All, by name.
    """
    own = table.outputs.get(row)
    if not own or not table.right:
        return None
    runs = [own[seed] for seed in sorted(own)]
    return RowItems(
        reliability=_reliability(runs) if table.kind in ("classes", "labels") else (),
        confusion=_confusion(runs) if table.kind in ("classes", "labels") else (),
        parts=_scores_of_parts(runs, table, metric, metrics),
    )


def item_figures(
    table: TableItems, metric: str, metrics: Mapping[str, Metric]
) -> ItemFigures | None:
    """Return figures on a table's answers to keep; None if the targets are not available.

    Args:
        table: Its items.
        metric: The primary one.
        metrics: All, by name.
    """
    if not table.right:
        return None
    rows = {}
    for row in table.outputs:
        own = row_items(row, table, metric, metrics)
        assert own is not None  # right answers are known, and the row was asked
        runs = [table.outputs[row][seed] for seed in sorted(table.outputs[row])]
        bins = _predicted(runs) if table.kind == "quantities" else ()
        rows[row] = own.model_copy(update={"predicted": bins})
    return ItemFigures(parts=dict(table.parts), rows=rows)


def probabilities(run: ItemOutputs) -> tuple[IntArray, FloatArray]:
    """Return what is right for every question, (Q,), and the probability of each answer, (Q, C)."""
    targets = np.asarray(run.targets)
    wide = run.outputs.astype(np.float64)
    if run.task.target.kind == "classes":
        odds = np.exp(wide - wide.max(axis=1, keepdims=True))
        return targets.astype(np.int64), odds / odds.sum(axis=1, keepdims=True)
    there = ~np.isnan(targets)
    with np.errstate(over="ignore"):
        present = 1 / (1 + np.exp(-wide[there]))
    return targets[there].astype(np.int64), np.stack([1 - present, present], axis=1)


def _reliability(runs: Sequence[ItemOutputs]) -> tuple[tuple[float, float, float], ...]:
    sure, right = [], []
    for run in runs:
        targets, odds = probabilities(run)
        sure.append(odds.max(axis=1))
        right.append(odds.argmax(axis=1) == targets)
    how, is_right = np.concatenate(sure), np.concatenate(right)
    place = np.minimum((how * BINS).astype(np.int64), BINS - 1)
    return tuple(
        (
            round(float(inside.sum() / len(runs)), 1),
            round(float(how[inside].mean()), 4),
            round(float(is_right[inside].mean()), 4),
        )
        for inside in (place == i for i in range(BINS))
        if inside.any()
    )


def _confusion(runs: Sequence[ItemOutputs]) -> tuple[tuple[float, ...], ...]:
    n = len(runs[0].task.target.names) if runs[0].task.target.kind == "classes" else 2
    if n > _MOST_CLASSES:
        return ()
    found = np.zeros((n, n))
    for run in runs:
        targets, odds = probabilities(run)
        np.add.at(found, (targets, odds.argmax(axis=1)), 1)
    return tuple(tuple(round(float(x), 1) for x in line) for line in found / len(runs))


def _predicted(runs: Sequence[ItemOutputs]) -> tuple[tuple[int, float, float, float], ...]:
    """Return what was measured where a row predicts about as much; see `RowItems`."""
    measured = np.asarray(runs[0].targets, dtype=np.float64)
    there = ~np.isnan(measured)
    predictions = np.mean([run.outputs.astype(np.float64)[there] for run in runs], axis=0)
    count = min(BINS, len(predictions) // FEWEST)
    if count < 2 or not np.ptp(predictions):
        return ()
    bins = np.array_split(np.argsort(predictions, kind="stable"), count)
    found = [(predictions[own], measured[there][own]) for own in bins]
    return tuple(
        (
            len(predicted),
            _four_digits(predicted.mean()),
            _four_digits(right.mean()),
            _four_digits(right.std()),
        )
        for predicted, right in found
    )


def _four_digits(value: float) -> float:
    return float(f"{value:.4g}")


def _scores_of_parts(
    runs: Sequence[ItemOutputs], table: TableItems, name: str, metrics: Mapping[str, Metric]
) -> dict[str, tuple[tuple[float, float, float] | None, ...]]:
    metric = metric_giving(name, metrics, runs[0].task)
    if metric is None:
        return {}
    return {
        fact: tuple(_score(runs, mask, metric, name) for mask in masks)
        for fact, masks in table.masks.items()
    }


def _score(
    runs: Sequence[ItemOutputs], mask: BoolArray, metric: SplitMetric, name: str
) -> tuple[float, float, float] | None:
    """Return a row's score on some of the items and its interval; None where it has none there."""
    n = int(mask.sum())
    counts = _drawn(n)
    found = []
    for run in runs:
        assert run.targets is not None
        some = run.targets[mask], run.outputs[mask]
        found.append(metric.resampled(name, *some, counts, run.task))
    values = np.stack(found)
    if not np.isfinite(values[:, 0]).all():
        return None
    seeds = np.random.default_rng(n).integers(0, len(runs), (_DRAWS, len(runs)))
    picked = np.take_along_axis(values[:, 1:].T, seeds, axis=1).mean(axis=1)
    low, high = np.nanquantile(picked, [0.025, 0.975])
    return round(float(values[:, 0].mean()), 4), round(float(low), 4), round(float(high), 4)


@lru_cache(maxsize=64)
def _drawn(n: int) -> FloatArray:
    """Return how often each of n items is in the whole, and in each of `_DRAWS` samples."""
    found = np.concatenate([np.ones((1, n)), resamples(np.random.default_rng(n), _DRAWS, n)])
    found.setflags(write=False)  # every caller gets the same array
    return found
