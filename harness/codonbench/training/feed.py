"""A course: one seed's way through a lesson, pair by pair and probe by probe, as it is led.

The learner asks its leader, shows the logits of a probe, and is told where the next one falls and
which pairs come next: those up to there and one batch more. So whatever a plugin gets hold of in
its own process, what it shows at a probe cannot rest on labels that it has not been charged for,
but for that one batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch

from codonbench.data.stream import Batch
from codonbench.protocols.schedule import BatchClock
from codonbench.training.state import IntArray, Lesson

Logits = npt.NDArray[np.float32]


@dataclass
class Probes:
    """What a run leaves behind, filled as it goes, so that an interrupted one leaves its part.

    Attributes:
        pairs: Position of each probe.
        logits: Logits (P, C) of each probe, in the learner's own labels.
        frame_pairs, frame_inputs: The frames of the paper's instrument.
        position: Pairs presented so far.
        over: Whether the run came to its end.
        seconds: Time spent probing.
    """

    pairs: list[int] = field(default_factory=list)
    logits: list[Logits] = field(default_factory=list)
    frame_pairs: list[int] = field(default_factory=list)
    frame_inputs: list[IntArray] = field(default_factory=list)
    position: int = 0
    over: bool = False
    seconds: float = 0.0


@dataclass(frozen=True)
class Shown:
    """What a learner shows as it asks how to go on.

    Attributes:
        run: Which of the runs that are led together.
        position: Pairs presented so far.
        logits: Of the probe set (P, C), where a probe falls here; None where only pairs are due.
    """

    run: int
    position: int
    logits: Logits | None


@dataclass(frozen=True)
class Directions:
    """How to go on.

    Attributes:
        probe: Where to probe next; None once the run is over.
        index, labels: The pairs that follow those handed out so far: inputs and permuted class
            ids, both (n,).
    """

    probe: int | None
    index: IntArray
    labels: IntArray


class Leader(Protocol):
    """Who leads some runs, each called by its number."""

    def begin(self, run: int) -> None:
        """Hear that a run begins."""

    def lead(self, shown: Sequence[Shown]) -> list[Directions]:
        """Take in what some runs show; tell each how to go on."""

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Keep the file, once written, that a run needs to go on from here if it is cut short."""


class Course:
    """One seed's way through a lesson.

    Attributes:
        run: Its number for the leader.
        lesson: What is learned.
        clock: Where batches end.
        probes: Position, whether it is over, and the time that probes took.
        next_probe: Where to probe next.
        ahead: The batches that have been handed out and not yet learned from.
        news: Whether labels came to be known that were not; whoever heeds it sets it back.
    """

    def __init__(
        self,
        run: int,
        lesson: Lesson,
        clock: BatchClock,
        leader: Leader,
        probes: Probes,
        start: int = 0,
    ) -> None:
        self.run = run
        self.lesson = lesson
        self.clock = clock
        self.leader = leader
        self.probes = probes
        self.next_probe: int | None = None
        self.ahead: list[Batch] = []
        self.news = False
        self._known = np.zeros(len(lesson.labels), dtype=np.bool_)
        self._end = probes.position = start

    @property
    def is_due(self) -> bool:
        """Whether the state as it is now is to be probed."""
        return self.probes.position == self.next_probe

    def learned(self, batches: int = 1) -> None:
        """Note that the next batches have been learned from."""
        if batches:
            self.probes.position = self.ahead[batches - 1].pairs
            del self.ahead[:batches]

    def take(self, directions: Directions) -> None:
        """Go by what the leader says."""
        self.next_probe = directions.probe
        self.probes.over = directions.probe is None
        index, labels = directions.index, directions.labels
        unknown = ~self._known[index]
        if unknown.any():
            self._known[index] = True
            told = torch.as_tensor(labels, device=self.lesson.labels.device)
            self.lesson.labels[torch.as_tensor(index, device=told.device)] = told
            self.news = True
        offset = 0
        while offset < len(index):
            end = self.clock.end_of(self._end + 1)
            size = end - self._end
            self.ahead.append(Batch(index[offset : offset + size], end))
            offset, self._end = offset + size, end


def ask(courses: Sequence[Course], logits: Sequence[Logits] | None = None) -> None:
    """Ask how some courses of one leader go on, and let them.

    Args:
        courses: Who asks.
        logits: The probe (P, C) of each, where one is due; None for more pairs only.
    """
    if not courses:
        return
    shown = [
        Shown(course.run, course.probes.position, None if logits is None else logits[i])
        for i, course in enumerate(courses)
    ]
    for course, directions in zip(courses, courses[0].leader.lead(shown), strict=True):
        course.take(directions)
