"""How a run went, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codonbench.contracts import Ranking, Task
    from codonbench.contracts.run_record import RunRecord
    from codonbench.execution.run_all import Outcome


def outcome_text(outcome: Outcome, task: Task) -> str:
    """Return how a run went, and that it was there already where it was."""
    text = ending(outcome.record, task)
    return f"{text} (already recorded; --force runs it again)" if outcome.reused else text


def ending(record: RunRecord, task: Task | None) -> str:
    """Return how a run ended: in its task's words, or with the figures that it is ranked by.

    Args:
        record: Of the run.
        task: Its task; None where that is not installed.
    """
    after = f"after {record.pairs:,} pairs"
    if record.status == "error":
        return f"error {after}: {record.error}"
    if record.status == "interrupted":
        return f"interrupted {after}; the same command takes it up again"
    if record.status != "done":
        return f"{record.status} {after}"
    if record.trajectory_sha256 is None:
        return "computed, not trained"
    words = "" if task is None else task.ending(record) or _figures(record, task.ranking)
    return words or f"done {after}"


def _figures(record: RunRecord, ranking: Ranking) -> str:
    """Return ``done after 5,120 pairs: MCC 0.573``; nothing where there is no figure."""
    columns = map(ranking.column, ranking.brief or (ranking.metric,))
    values = [(column.title, record.metrics.get(column.metric)) for column in columns]
    shown = [f"{title} {number(value)}" for title, value in values if value is not None]
    return f"done after {record.pairs:,} pairs: {', '.join(shown)}" if shown else ""


def number(value: bool | int | float) -> str:
    """Return a metric's value as a person writes it: ``yes``, ``5,632``, ``0.9876``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    whole = isinstance(value, int) or float(value).is_integer()
    return f"{value:,.0f}" if whole else f"{value:,.4g}"
