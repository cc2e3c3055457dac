"""The feed of one run: batches to train on and evaluations that are owed, in their order.

Whoever trains pulls from it. Behind it stands a referee, in this process or at the other end of a
pipe, that is told the outputs of an evaluation and answers where the next one falls and which
pairs come next: those up to there and one batch more. So whatever a plugin gets hold of in its own
process, what it shows cannot rest on targets that it has not been charged for, but for that batch.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import torch

from codonbench.contracts import Outputs
from codonbench.data.stream import Batch, BatchClock
from codonbench.protocols.base import Evaluation
from codonbench.protocols.referee import Instructions, Shown
from codonbench.training.state import TrainState


class Referees(Protocol):
    """The referees of some runs, each called by its number."""

    def begin(self, run: int) -> None:
        """Hear that a run begins."""

    def answer(self, shown: Sequence[Shown]) -> list[Instructions]:
        """Take in what some runs show; tell each how to go on."""

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Keep the file, once written, that a run needs to go on from here if it is cut short."""


class Feed:
    """One run's batches and evaluations.

    Attributes:
        run: Its number for the referees.
        state: What is trained.
        clock: Where batches end.
        position: Pairs presented so far.
        due: The evaluation that is owed next.
        keep: Whether the state shown last is the one selected so far.
        over: Whether the run came to its end.
        ahead: The batches that have been handed out and not yet trained on.
        news: Whether targets came to be known that were not; whoever heeds it sets it back.
        seconds: Time spent on evaluations.
    """

    def __init__(
        self, run: int, state: TrainState, clock: BatchClock, referees: Referees, start: int = 0
    ) -> None:
        self.run = run
        self.state = state
        self.clock = clock
        self.referees = referees
        self.position = self._end = start
        self.due: Evaluation | None = None
        self.keep = self.over = self.news = False
        self.ahead: list[Batch] = []
        self.seconds = 0.0
        self._known = np.zeros(len(state.targets), dtype=np.bool_)

    def __iter__(self) -> Iterator[Batch | Evaluation]:
        """Yield what is to be trained on and what is owed, until the run is over.

        An evaluation is to be answered with `show` before the next is asked for.
        """
        ask([self])
        while not self.over:
            if self.is_due:
                assert self.due is not None
                started = time.perf_counter()
                yield self.due
                self.seconds += time.perf_counter() - started
            elif not self.ahead:
                ask([self])
            else:
                yield self.ahead[0]
                self.trained()

    def show(self, outputs: Outputs) -> None:
        """Show the outputs that are owed, shape (N, K)."""
        ask([self], [outputs])

    @property
    def is_due(self) -> bool:
        """Whether the state as it is now is to be evaluated."""
        return self.due is not None and self.position == self.due.position

    def trained(self, batches: int = 1) -> None:
        """Note that the next batches have been trained on."""
        if batches:
            self.position = self.ahead[batches - 1].pairs
            del self.ahead[:batches]

    def take(self, instructions: Instructions) -> None:
        """Go by what the referee says."""
        self.due = instructions.evaluation
        self.over = self.due is None
        self.keep = instructions.keep
        index, targets = instructions.index, instructions.targets
        if len(targets):
            self._learn_targets(index, targets)
        offset = 0
        while offset < len(index):
            end = self.clock.end_of(self._end + 1)
            size = end - self._end
            self.ahead.append(Batch(index[offset : offset + size], end))
            offset, self._end = offset + size, end

    def _learn_targets(self, index: np.ndarray, targets: np.ndarray) -> None:
        unknown = ~self._known[index]
        if unknown.any():
            self._known[index] = True
            told = torch.as_tensor(targets, device=self.state.targets.device)
            self.state.targets[torch.as_tensor(index, device=told.device)] = told
            self.news = True


def ask(feeds: Sequence[Feed], outputs: Sequence[Outputs] | None = None) -> None:
    """Ask how some runs of the same referees go on, and let them.

    Args:
        feeds: Whose.
        outputs: The evaluation (N, K) of each, where one is owed; None for more pairs only.
    """
    if not feeds:
        return
    shown = [
        Shown(feed.run, feed.position, None if outputs is None else outputs[i])
        for i, feed in enumerate(feeds)
    ]
    for feed, instructions in zip(feeds, feeds[0].referees.answer(shown), strict=True):
        feed.take(instructions)
