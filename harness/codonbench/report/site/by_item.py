"""What runs answered for single test items, as a task's page shows it.

A few numbers a row, such as how sure it is (`codonbench.ranking.by_item`), stand in the table's
file. Its answer to every item, over seeds, lies in a file of the row, by which two rows are laid
side by side item by item. What is right lies once in a file of the table, where that may be
published.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field

from codonbench.contracts import Frozen, Metric, Ranking, Task
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import BoolArray, FloatArray
from codonbench.leakage.verdict import DataAudit
from codonbench.ranking.by_item import FEWEST, Kind, TableItems, probabilities
from codonbench.records.recorded_outputs import ItemOutputs
from codonbench.report.item_facts import ItemFacts
from codonbench.report.site.scripts import Packed, pack

_LEVELS = 2**16 - 1


@dataclass(frozen=True)
class PageSources:
    """What the page draws on beside the board and its records.

    Attributes:
        tasks, metrics: By name.
        outputs: Test outputs by run id.
        audits, facts: By the checksum of the data.
        days: Days of commits of codonbench, for records without a day.
        withheld: Runs whose answers are training targets that may not be published, by id.
        official: Whether the board is the one that comes with codonbench.
    """

    tasks: Mapping[str, Task] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    outputs: Mapping[str, ItemOutputs] = field(default_factory=dict)
    audits: Mapping[str, DataAudit] = field(default_factory=dict)
    facts: Mapping[str, ItemFacts] = field(default_factory=dict)
    days: Mapping[str, str] = field(default_factory=dict)
    withheld: frozenset[str] = frozenset()
    official: bool = False

    def day(self, record: RunRecord) -> str:
        """Return the day of a run, or of the code that made it; empty where neither is known."""
        return record.day or self.days.get(record.harness.commit or "", "")


class RowAnswers(Frozen):
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
        items: As in `RowAnswers`.
        kind, names: Kind and names of the target.
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


def missing_parts(
    ranking: Ranking,
    table: TableItems | None,
    facts: ItemFacts | None,
    known: Collection[str],
    *,
    answered: bool,
) -> dict[str, str]:
    """Return why rows have no score by a fact of the test items, by the fact.

    Args:
        ranking: Ranking of the table.
        table: Items of the table; None without answers to them.
        facts: Facts on the items, if there are any.
        known: The facts by which rows do have a score.
        answered: Whether answers of any of its runs are available.
    """
    every = ""
    if ranking.primary.scale != "other":
        every = "rows are ranked by how many training pairs they needed, not on a test split"
    elif table is None and answered:
        every = "the targets of the test items may not be published"
    elif table is None:
        every = "no test outputs are available"
    elif facts is None:
        every = (
            "the items of these data have not been described: in the board's folder, "
            "bench data describe TABLE > items/NAME.json"
        )
    elif not facts.items:
        every = "each seed draws its own test items"
    elif facts.lengths is None:
        every = "items are features, not sequences"
    absent = [fact for fact in ("length", "GC", "likeness") if fact not in known]
    if every or table is None or facts is None:
        return dict.fromkeys(absent, every)
    return {fact: _why(fact, table, facts) for fact in absent}


def _why(fact: str, table: TableItems, facts: ItemFacts) -> str:
    """Return why rows have no score by one fact, where items have been described."""
    if fact not in facts.values():
        return "the alphabet has no G and C" if fact == "GC" else "the task has no training items"
    if fact not in table.facts:
        return "rows were tested on other items than the test split, as with folds"
    values = table.facts[fact]
    if values.min() == values.max():
        return (
            f"all test items have {values[0]:,} letters"
            if fact == "length"
            else "it is the same for all test items"
        )
    if fact not in table.parts:
        few = len(values) < 2 * FEWEST
        return (
            f"{len(values)} test items are fewer than two parts of {FEWEST}"
            if few
            else "it is the same for nearly all test items"
        )
    return "it was not computed where the data are available"


def answers(row: str, name: str, table: TableItems) -> RowAnswers | None:
    """Return a row's answer to every question; None if it has none.

    Args:
        row: Its id on the board.
        name: Its id on the page.
        table: Its table's items.
    """
    own = table.outputs.get(row)
    if not own:
        return None
    runs = [own[seed] for seed in sorted(own)]
    common = {"row": name, "items": table.items[:12], "seeds": tuple(sorted(own))}
    if table.kind in ("classes", "labels"):
        by_run = [probabilities(run) for run in runs]
        votes = sum(np.eye(odds.shape[1])[odds.argmax(axis=1)] for _, odds in by_run)
        targets = by_run[0][0]
        sure = np.mean([odds[np.arange(len(targets)), targets] for _, odds in by_run], axis=0)
        return RowAnswers(
            **common,
            answer=pack(np.asarray(votes).argmax(axis=1), "u1"),
            sure=pack(np.rint(255 * sure), "u1"),
        )
    there = _there(runs[0])
    mean = np.mean([run.outputs.astype(np.float64)[there] for run in runs], axis=0)
    if table.kind == "scores":
        mean = mean.argsort(kind="stable").argsort(kind="stable") / max(1, len(mean) - 1)
    packed, low, high = _in_steps(mean)
    return RowAnswers(**common, answer=packed, low=low, high=high)


def _there(run: ItemOutputs) -> BoolArray:
    """Return which quantities of each item were measured, (N, K): all, if unknown."""
    if run.targets is None:
        return np.ones(run.outputs.shape, dtype=np.bool_)
    return ~np.isnan(np.asarray(run.targets, dtype=np.float64))


def _in_steps(values: FloatArray) -> tuple[Packed, float, float]:
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
    common = {"table": name, "items": table.items[:12], "kind": table.kind, "facts": facts}
    targets = np.asarray(run.targets)
    if target.kind == "classes":
        return Questions(**common, names=target.names, right=pack(targets, "u1"))
    item, column = np.nonzero(there)
    where = {"item": pack(item, "u4"), "column": pack(column, "u4")} if there.shape[1] > 1 else {}
    if run.targets is None:
        return Questions(**common, **where, names=target.names, right=None)
    known = targets[item, column].astype(np.float64)
    if target.kind == "labels":
        return Questions(**common, **where, names=target.names, right=pack(known, "u1"))
    right, low, high = _in_steps(known)
    return Questions(**common, **where, names=target.names, right=right, low=low, high=high)
