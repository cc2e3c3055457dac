"""Two models compared on the same seeds and test items, in each table that has both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from codonbench.contracts.base import Frozen
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import UsageError
from codonbench.plugins.registry import Registry
from codonbench.ranking.board import BoardTable, build_board
from codonbench.ranking.item_scores import Gain, RowScores, gain, p_value, score_rows
from codonbench.ranking.items import (
    Copied,
    Tested,
    clean_places,
    copied_places,
    gather_tested,
    only_at,
)
from codonbench.ranking.rows import Row
from codonbench.records.recorded_outputs import ItemOutputs
from codonbench.records.store import Store
from codonbench.scoring.score import metric_giving


class Comparison(Frozen):
    """The difference of two rows of one table in its primary metric.

    Attributes:
        task: The task's name.
        table: The table's title.
        metric: The primary metric's title.
        first, second: The rows' names.
        first_score, second_score: Means over the seeds that both rows have.
        difference: `first_score` - `second_score`.
        low, high: Its 95 % interval over seeds and test items.
        p: Two-sided p-value of the difference; None with fewer than three shared seeds. It is not
            corrected for the number of comparisons made.
        seeds: How many seeds both rows have.
        items: How many test items, or groups of items, were resampled.
        clean_difference, clean_low, clean_high: The difference and its interval on the test items
            without a near-copy in training; None if all are clean, too few are, or the data were
            not audited.
        clean_items: How many of these, or groups of them, were resampled; None likewise.
    """

    task: str
    table: str
    metric: str
    first: str
    second: str
    first_score: float
    second_score: float
    difference: float
    low: float
    high: float
    p: float | None
    seeds: int
    items: int
    clean_difference: float | None = None
    clean_low: float | None = None
    clean_high: float | None = None
    clean_items: int | None = None


def compare_pair(
    folders: Sequence[tuple[Store, Sequence[RunRecord]]],
    registry: Registry,
    first: str,
    second: str,
    task: str | None,
    copied: Mapping[str, Copied],
) -> list[Comparison]:
    """Return how two models compare in each table that has both.

    Tables of controls and of training subsets are left out.

    Args:
        folders: Results folders, each with its records.
        registry: The plugins.
        first: A model, a preset, or a row's whole name as the board shows it.
        second: Another.
        task: Only this task's tables; None for all.
        copied: As in `Tested`.

    Raises:
        UsageError: No table has both, a name fits several rows of a table, or the test outputs of
            both are not at hand for any shared seed.
        StoreError: A file of test outputs is damaged.
    """
    chosen = [
        (store, [record for record in records if task in (None, record.task)])
        for store, records in folders
    ]
    board = build_board([r for _, records in chosen for r in records], registry.known_tasks)
    tested = replace(gather_tested(chosen, registry), copied=copied)
    tables = [table for table in board.tables if not table.control and not table.of_subset]
    found, refused = [], []
    for table in tables:
        one, other = _row(table, first), _row(table, second)
        if one is None or other is None:
            continue
        made = _compared(table, one, other, tested)
        found += [] if made is None else [made]
        refused += [table.title] if made is None else []
    if found:
        return found
    if refused:
        raise UsageError(
            f"{first!r} and {second!r} cannot be compared on {', '.join(refused)}: that needs the "
            "test outputs of both for a shared seed"
        )
    names = sorted({row.label for table in tables for row in table.all_rows})
    raise UsageError(
        f"no table has both {first!r} and {second!r}; there are {', '.join(names) or 'no rows'}"
    )


def _row(table: BoardTable, name: str) -> Row | None:
    """Return a table's row of a name; None where it has none."""
    rows = table.all_rows
    fitting = [row for row in rows if row.label == name] or [r for r in rows if r.model == name]
    if len(fitting) > 1:
        names = ", ".join(repr(row.label) for row in fitting)
        raise UsageError(f"{name!r} names several rows of {table.title}: {names}; give one of them")
    return fitting[0] if fitting else None


def _compared(table: BoardTable, one: Row, other: Row, tested: Tested) -> Comparison | None:
    """Return the difference of two rows of a table; None where outputs for it are missing."""
    outputs = {
        row.id: {
            seed: tested.outputs[run_id]
            for seed, run_id in zip(row.seeds, row.run_ids, strict=True)
            if run_id in tested.outputs
        }
        for row in (one, other)
    }
    if not all(outputs.values()):
        return None
    primary = table.ranking.primary
    spec = next(iter(outputs[one.id].values())).task
    metric = metric_giving(primary.metric, tested.metrics, spec)
    if metric is None:
        return None

    def compared(
        part: Mapping[str, Mapping[int, ItemOutputs]],
    ) -> tuple[RowScores, RowScores, Gain] | None:
        scores = score_rows(part, metric, primary.metric)
        first, second = scores[one.id], scores[other.id]
        if first is None or second is None or (gap := gain(first, second, other.label, 1)) is None:
            return None
        return first, second, gap

    if (found := compared(outputs)) is None:
        return None
    first, second, gap = found
    items = [item for own in outputs.values() for item in own.values()]
    copied = copied_places(tested, table.data_checksum, items)
    clean = clean_places(max(len(item.outputs) for item in items), copied)
    on_clean = None if clean is None else compared(only_at(clean, outputs))
    shared = sorted({*first.seeds} & {*second.seeds})
    means = [float(own.over(shared).values.mean()) for own in (first, second)]
    p = p_value(first, second)
    return Comparison(
        task=table.task,
        table=table.title,
        metric=primary.title,
        first=one.label,
        second=other.label,
        first_score=means[0],
        second_score=means[1],
        difference=gap.value,
        low=gap.low,
        high=gap.high,
        p=None if p != p else p,
        seeds=gap.n,
        items=min(first.n_units, second.n_units),
        clean_difference=None if on_clean is None else on_clean[2].value,
        clean_low=None if on_clean is None else on_clean[2].low,
        clean_high=None if on_clean is None else on_clean[2].high,
        clean_items=None if on_clean is None else min(each.n_units for each in on_clean[:2]),
    )
