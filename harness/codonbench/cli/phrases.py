"""How a run went, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord
    from codonbench.execution.run_all import Outcome


def outcome_text(outcome: Outcome) -> str:
    """Return how a run went, and that it was there already where it was."""
    text = ending(outcome.record)
    return f"{text} (already recorded; --force runs it again)" if outcome.reused else text


def ending(record: RunRecord) -> str:
    """Return how a run ended: ``deciphered after 5,632 pairs, excess 0``."""
    after = f"after {record.pairs:,} pairs"
    if record.status == "error":
        return f"error {after}: {record.error}"
    if record.status == "interrupted":
        return f"interrupted {after}; the same command takes it up again"
    if record.status != "done":
        return f"{record.status} {after}"
    if record.trajectory_sha256 is None:
        return "computed, not trained"
    if "pairs_consumed" not in record.metrics:
        return f"done {after}"
    consumed, excess = record.metrics["pairs_consumed"], record.metrics.get("excess_pairs")
    if consumed is None:
        return f"not deciphered within {record.pairs:,} pairs"
    beyond = "" if excess is None else f", excess {excess:,.0f}"
    lasting = "" if record.metrics.get("sustained_pairs") is not None else ", not sustained"
    return f"deciphered after {consumed:,.0f} pairs{beyond}{lasting}"


def number(value: bool | int | float) -> str:
    """Return a metric's value as a person writes it: ``yes``, ``5,632``, ``0.9876``."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    whole = isinstance(value, int) or float(value).is_integer()
    return f"{value:,.0f}" if whole else f"{value:,.4g}"
