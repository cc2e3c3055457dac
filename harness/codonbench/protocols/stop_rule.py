"""Watching a run while it trains: what is right, whether it lasts, when to stop.

The watcher steers; the figures that are published come from the trajectory alone.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from codonbench.protocols.schedule import WINDOW_PAIRS

StopRule = Literal["confident", "budget"]
"""``confident``: stop once deciphering is sustained and confident at 0.9.
``budget``: spend the whole budget, as the paper did."""

CONFIDENCE = 0.9


def right_rows(
    logits: npt.NDArray[np.float32], labels: npt.NDArray[np.int64]
) -> npt.NDArray[np.bool_]:
    """Return where the true class's logit is strictly greater than every rival's, shape (P,).

    Args:
        logits: Shape (P, C). A row that is not finite is wrong.
        labels: The true class of each row, shape (P,).
    """
    rows = np.arange(len(labels))
    rivals = logits.copy()
    rivals[rows, labels] = -np.inf
    strictly = logits[rows, labels] > rivals.max(axis=1)
    return np.asarray(strictly & np.isfinite(logits).all(axis=1))


class Watcher:
    """Follows a run probe by probe.

    Attributes:
        right: Which probe inputs were right at the last probe, shape (P,).
        window_start: Where the open sustained window began; None where none is open.
        sustained, confident: Whether each has been reached.
        finite: False once a logit was NaN or infinite.
    """

    def __init__(self, labels: npt.NDArray[np.int64], needed: int, rule: StopRule) -> None:
        self._labels = labels
        self._needed = needed
        self._rule = rule
        self.right = np.zeros(len(labels), dtype=np.bool_)
        self.window_start: int | None = None
        self.sustained = False
        self.confident = False
        self.finite = True

    def see(self, pairs: int, logits: npt.NDArray[np.float32]) -> None:
        """Take in the probe at `pairs`: logits of shape (P, C), in the learner's own labels."""
        self.finite = self.finite and bool(np.isfinite(logits).all())
        if not self.finite:
            self.right = np.zeros_like(self.right)
            self.window_start = None
            return
        self.right = right_rows(logits, self._labels)
        deciphered = int(self.right.sum()) >= self._needed
        if not deciphered:
            self.window_start = None
        elif not self.sustained:
            if self.window_start is None:
                self.window_start = pairs
            self.sustained = pairs >= self.window_start + WINDOW_PAIRS
        if self.sustained:
            self.window_start = None
        # p >= 0.9 implies right, so the softmax is needed only where enough is right.
        if deciphered and not self.confident:
            wide = logits.astype(np.float64)
            total = np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1)
            true = wide[np.arange(len(wide)), self._labels]
            p_true = np.exp(true - wide.max(axis=1)) / total
            self.confident = int((p_true >= CONFIDENCE).sum()) >= self._needed

    @property
    def finished(self) -> bool:
        """Whether the run should end here, before its budget is spent."""
        if not self.finite:
            return True
        return self._rule == "confident" and self.sustained and self.confident
