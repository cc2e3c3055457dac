"""Between steps: runs in step asked, evaluated and moved along together."""

from __future__ import annotations

import time
from collections.abc import Sequence

from torch import Tensor

from codonbench.training.feed import Feed, ask


def supplied(feeds: Sequence[Feed]) -> int:
    """Return how many batches every run that is not over has ahead, after asking for more.

    None are left once the budget is spent: then all are due for their last evaluation.
    """
    running = [feed for feed in feeds if not feed.over]
    ask([feed for feed in running if not feed.ahead and not feed.is_due])
    return min((len(feed.ahead) for feed in running if not feed.over), default=0)


def positions(feeds: Sequence[Feed], steps: int) -> list[int]:
    """Return where runs in step are before each of the next steps."""
    feed = next(feed for feed in feeds if not feed.over)
    ends = (batch.pairs for batch in feed.ahead[: steps - 1])
    return [feed.position, *ends]


def positions_due(feeds: Sequence[Feed]) -> set[int]:
    """Return where the next evaluations of some runs fall; nowhere once all are over."""
    return {feed.due.position for feed in feeds if feed.due is not None}


def trained(feeds: Sequence[Feed], steps: int) -> None:
    """Note that all runs that are not over have been trained on so many batches."""
    for feed in feeds:
        if not feed.over:
            feed.trained(steps)


def show_due(feeds: Sequence[Feed], logits: Tensor) -> list[int]:
    """Show the evaluations that are owed; return the places of the runs that are over now.

    Args:
        feeds: Of runs in step.
        logits: Of all items, (S, K, C).
    """
    started = time.perf_counter()
    outputs = logits.to("cpu").float().numpy()
    due = [i for i, feed in enumerate(feeds) if feed.is_due]
    (items,) = feeds[0].state.evaluated.values()
    asked = items.cpu().numpy()
    ask([feeds[i] for i in due], [outputs[i][asked] for i in due])
    spent = (time.perf_counter() - started) / max(len(due), 1)
    for i in due:
        feeds[i].seconds += spent
    return [i for i in due if feeds[i].over]
