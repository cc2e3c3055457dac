"""What runs answered for single test items, as a task's page shows it.

Of a row: how sure it is and how often that is right, what it takes for what, and its score on
items of one kind, such as the short ones, each in a few numbers that stand in the table's file.
Its answer to every item, over seeds, lies in a file of the row, by which two rows are laid side by
side item by item. What is right lies once in a file of the table, where that may be published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts import Frozen, Metric, SplitMetric, Task
from codonbench.contracts.run_record import RunRecord
from codonbench.leakage.verdict import DataAudit
from codonbench.records.test_outputs import ItemOutputs
from codonbench.report.item_facts import ItemFacts
from codonbench.report.site.packed import Packed, pack

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
_LEVELS = 2**16 - 1

_Floats = npt.NDArray[np.float64]
_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Known:
    """What the page draws on beside the board and its records.

    Attributes:
        tasks, metrics: By name.
        outputs: Of runs, by run id.
        audits, facts: By the checksum of the data.
        days: Of commits of codonbench, for records that do not say when they were made.
    """

    tasks: Mapping[str, Task] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    outputs: Mapping[str, ItemOutputs] = field(default_factory=dict)
    audits: Mapping[str, DataAudit] = field(default_factory=dict)
    facts: Mapping[str, ItemFacts] = field(default_factory=dict)
    days: Mapping[str, str] = field(default_factory=dict)

    def day(self, record: RunRecord) -> str:
        """Return the day of a run, or of the code that made it; empty where neither is known."""
        return record.day or self.days.get(record.harness.commit or "", "")


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
    """

    reliability: tuple[tuple[float, float, float], ...] = ()
    confusion: tuple[tuple[float, ...], ...] = ()
    parts: dict[str, tuple[tuple[float, float, float] | None, ...]] = Field(default_factory=dict)


class Answers(Frozen):
    """A row's answer to every question: a test item, or one label or quantity of it.

    Attributes:
        row: The row's id.
        items: Which questions; those of another row that share it are the same.
        seeds: Over which it is a mean.
        answer: The class most seeds gave, whether a label is there, or the quantity or score in
            65,536 steps from `low` to `high`.
        sure: The probability given to what is right, in 255 steps; None of quantities and scores.
    """

    row: str
    items: str
    seeds: tuple[int, ...]
    answer: Packed
    sure: Packed | None = None
    low: float = 0.0
    high: float = 0.0


class Questions(Frozen):
    """What is right for every question, and what its item is like.

    Attributes:
        table: The table's id.
        items: As in `Answers`.
        kind, names: What is asked.
        item, column: Which test item, and which of the names; None where each item is asked once.
        right: The class, whether the label is there, or the quantity in steps from `low` to `high`;
            None where that may not be published.
        facts: Of the items, by name.
    """

    table: str
    items: str
    kind: Kind
    names: tuple[str, ...]
    right: Packed | None
    low: float = 0.0
    high: float = 0.0
    item: Packed | None = None
    column: Packed | None = None
    facts: dict[str, Packed] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class TableItems:
    """The test items of a table, and the runs that were asked about them.

    Attributes:
        kind: What answers are.
        items: SHA-256 of what is right for them.
        outputs: Of each row's runs, by row and seed.
        facts: Of the items, by name, (N,).
        parts: Of the items by each fact.
        masks: Which items are in each part, (parts, N), by fact.
    """

    kind: Kind
    items: str
    outputs: Mapping[str, Mapping[int, ItemOutputs]]
    facts: Mapping[str, _Ints]
    parts: Mapping[str, tuple[Part, ...]]
    masks: Mapping[str, npt.NDArray[np.bool_]]

    @property
    def right(self) -> bool:
        """Whether what is right for the items is known."""
        return all(run.targets is not None for own in self.outputs.values() for run in own.values())


def table_items(
    rows: Mapping[str, Sequence[RunRecord]], checksum: str, known: Known
) -> TableItems | None:
    """Return the test items of a table; None where no test outputs are at hand.

    Of quantities the answers alone are enough, to lay two rows side by side. Where seeds draw test
    items of their own, those that most runs were asked about.

    Args:
        rows: The records of each row, by its id.
        checksum: Of the data.
        known: Outputs and facts.
    """
    found = [
        (row, record.seed, record, known.outputs[record.run_id])
        for row, records in rows.items()
        for record in records
        if record.run_id in known.outputs
    ]
    if not found or any(
        own.targets is None and own.task.target.kind != "quantities" for _, _, _, own in found
    ):
        return None
    counts: dict[str, int] = {}
    for _, _, _, own in found:
        counts[own.items] = counts.get(own.items, 0) + 1
    items = max(counts, key=lambda name: (counts[name], name))
    outputs: dict[str, dict[int, ItemOutputs]] = {}
    for row, seed, _, own in found:
        if own.items == items:
            outputs.setdefault(row, {})[seed] = own
    first, record = next((own, record) for _, _, record, own in found if own.items == items)
    facts = known.facts.get(checksum)
    values = facts.values() if facts is not None and facts.items == len(first.outputs) else {}
    if len(counts) > 1:  # the facts are of one test split
        values = {}
    cut = {name: _parts(own) for name, own in values.items()}
    cut = {name: own for name, own in cut.items() if own[0]}
    asked = known.tasks.get(record.task)
    protocol = record.run_spec.protocol or (asked.protocol if asked else "")
    kind = first.task.target.kind
    return TableItems(
        kind="scores" if protocol == "zero_shot" and kind != "classes" else kind,
        items=items,
        outputs=outputs,
        facts=values,
        parts={name: own[0] for name, own in cut.items()},
        masks={name: own[1] for name, own in cut.items()},
    )


def _parts(values: _Ints) -> tuple[tuple[Part, ...], npt.NDArray[np.bool_]]:
    """Return about equally large parts of items by a fact, and which items are in each."""
    edges = np.unique(np.quantile(values, np.linspace(0, 1, PARTS + 1), method="lower"))
    uppers = edges[1:] if len(edges) > 1 else edges
    place = np.searchsorted(uppers, values)
    masks = np.stack([place == i for i in range(len(uppers))])
    masks = masks[masks.sum(axis=1) >= FEWEST]
    if len(masks) < 2:
        return (), masks
    parts = [
        Part(low=int(values[m].min()), high=int(values[m].max()), items=int(m.sum())) for m in masks
    ]
    return tuple(parts), masks


def row_items(row: str, table: TableItems, metric: str, known: Known) -> RowItems | None:
    """Return what is known of a row's answers; None where none are at hand.

    Args:
        row: Its id.
        table: Its table's items.
        metric: The primary one.
        known: The metrics.
    """
    own = table.outputs.get(row)
    if not own or not table.right:
        return None
    runs = [own[seed] for seed in sorted(own)]
    return RowItems(
        reliability=_reliability(runs) if table.kind in ("classes", "labels") else (),
        confusion=_confusion(runs) if table.kind in ("classes", "labels") else (),
        parts=_scores_of_parts(runs, table, metric, known),
    )


def _asked(run: ItemOutputs) -> tuple[_Ints, _Floats]:
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
        targets, odds = _asked(run)
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
        targets, odds = _asked(run)
        np.add.at(found, (targets, odds.argmax(axis=1)), 1)
    return tuple(tuple(round(float(x), 1) for x in line) for line in found / len(runs))


def _scores_of_parts(
    runs: Sequence[ItemOutputs], table: TableItems, name: str, known: Known
) -> dict[str, tuple[tuple[float, float, float] | None, ...]]:
    metric = next(
        (
            m
            for m in known.metrics.values()
            if isinstance(m, SplitMetric) and name in m.outputs(runs[0].task)
        ),
        None,
    )
    if metric is None:
        return {}
    return {
        fact: tuple(_score(runs, mask, metric, name) for mask in masks)
        for fact, masks in table.masks.items()
    }


def _score(
    runs: Sequence[ItemOutputs], mask: npt.NDArray[np.bool_], metric: SplitMetric, name: str
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
def _drawn(n: int) -> _Floats:
    """Return how often each of n items is in the whole, and in each of `_DRAWS` samples."""
    rng = np.random.default_rng(n)
    samples = [np.bincount(rng.integers(0, n, n), minlength=n) for _ in range(_DRAWS)]
    return np.concatenate([np.ones((1, n)), np.array(samples, dtype=np.float64)])


def answers(row: str, name: str, table: TableItems) -> Answers | None:
    """Return a row's answer to every question; None where it was not asked.

    Args:
        row: Its id on the board.
        name: Its id on the page.
        table: Its table's items.
    """
    own = table.outputs.get(row)
    if not own:
        return None
    runs = [own[seed] for seed in sorted(own)]
    said = {"row": name, "items": table.items[:12], "seeds": tuple(sorted(own))}
    if table.kind in ("classes", "labels"):
        asked = [_asked(run) for run in runs]
        votes = sum(np.eye(odds.shape[1])[odds.argmax(axis=1)] for _, odds in asked)
        targets = asked[0][0]
        sure = np.mean([odds[np.arange(len(targets)), targets] for _, odds in asked], axis=0)
        return Answers(
            **said,
            answer=pack(np.asarray(votes).argmax(axis=1), "u1"),
            sure=pack(np.rint(255 * sure), "u1"),
        )
    there = _there(runs[0])
    mean = np.mean([run.outputs.astype(np.float64)[there] for run in runs], axis=0)
    if table.kind == "scores":
        mean = mean.argsort(kind="stable").argsort(kind="stable") / max(1, len(mean) - 1)
    packed, low, high = _in_steps(mean)
    return Answers(**said, answer=packed, low=low, high=high)


def _there(run: ItemOutputs) -> npt.NDArray[np.bool_]:
    """Return which quantities of each item were measured, (N, K): all, where nobody knows."""
    if run.targets is None:
        return np.ones(run.outputs.shape, dtype=np.bool_)
    return ~np.isnan(np.asarray(run.targets, dtype=np.float64))


def _in_steps(values: _Floats) -> tuple[Packed, float, float]:
    low, high = float(f"{values.min():.6g}"), float(f"{values.max():.6g}")
    steps = (values - low) / (high - low if high > low else 1) * _LEVELS
    return pack(np.clip(np.rint(steps), 0, _LEVELS), "u4"), low, high


def questions(name: str, table: TableItems) -> Questions:
    """Return what is right for every question of a table.

    Args:
        name: The table's id on the page.
        table: Its items.
    """
    run = next(iter(next(iter(table.outputs.values())).values()))
    target, there = run.task.target, _there(run)
    facts = {
        fact: pack(own, "u1" if own.max() < 256 else "u4") for fact, own in table.facts.items()
    }
    said = {"table": name, "items": table.items[:12], "kind": table.kind, "facts": facts}
    targets = np.asarray(run.targets)
    if target.kind == "classes":
        return Questions(**said, names=target.names, right=pack(targets, "u1"))
    item, column = np.nonzero(there)
    where = {"item": pack(item, "u4"), "column": pack(column, "u4")} if there.shape[1] > 1 else {}
    if run.targets is None:
        return Questions(**said, **where, names=target.names, right=None)
    known = targets[item, column].astype(np.float64)
    if target.kind == "labels":
        return Questions(**said, **where, names=target.names, right=pack(known, "u1"))
    right, low, high = _in_steps(known)
    return Questions(**said, **where, names=target.names, right=right, low=low, high=high)
