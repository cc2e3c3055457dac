"""The protocol ``decipher``: how many pairs until every item of a fixed set is right, and stays so.

The whole evaluation set is asked at every scheduled position, in pairs, for every engine alike:
position 0; the end of each of the first 256 batches; then each next one at most 3 % later; while a
sustained window is open at least every 1,024 pairs, and at the window's end; the batch that
completes ``all_seen`` and the next 64; every epoch's end; every frame of the reference
publication's instrument; the end of the budget. An evaluation always falls on the end of a batch.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from codonbench.contracts import Outputs, TaskSpec, required_right
from codonbench.data.stream import BatchClock, first_positions
from codonbench.protocols import Evaluation, Protocol, RunSetup, Schedule

IntArray = npt.NDArray[np.int64]

WINDOW_PAIRS = 64_000
DENSE_BATCHES = 256
AFTER_ALL_SEEN = 64
GROWTH = 1.03
WINDOW_STEP = 1_024

CONFIDENCE = 0.9

INSTRUMENT_BATCH = 64
"""The reference publication's instrument is defined for its own batches."""


class Decipher(Protocol):
    """All of an evaluation set asked along a stream, until all of it is right for good."""

    name: ClassVar[str] = "decipher"
    summary: ClassVar[str] = "pairs until all of the evaluation set is right, and stays so"
    stop_rules: ClassVar[tuple[str, ...]] = ("confident", "budget")
    split: ClassVar[str] = "evaluation"
    tells_targets: ClassVar[bool] = False

    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""
        return DecipherSchedule(setup)

    def constant(self, setup: RunSetup) -> Sequence[Evaluation]:
        """Return the start, a window's end, the budget's end, and each frame."""
        clock = setup.clock
        frames = frame_positions(clock, setup.dataset.spec)
        positions = {0, clock.end_of(WINDOW_PAIRS), clock.budget_pairs, *frames}
        return tuple(Evaluation(position, self.split) for position in sorted(positions))


class DecipherSchedule(Schedule):
    """Evaluations by position, until deciphering is sustained and confident.

    Args:
        setup: The run's.
    """

    def __init__(self, setup: RunSetup) -> None:
        self._setup = setup
        self._task = task = setup.dataset.spec
        self._frames = frame_positions(setup.clock, task)
        self._targets = setup.hidden[setup.dataset.evaluation].astype(np.int64)
        self._watcher = Watcher(self._targets, required_right(task), setup.run_spec.stop)
        self._reached: list[int] = []

    @cached_property
    def _first_seen(self) -> IntArray:
        dataset, stream = self._setup.dataset, self._setup.stream
        return first_positions(stream.epoch(0), dataset.evaluation, len(dataset.items))

    @cached_property
    def _positions(self) -> Positions:
        seen = self._first_seen
        shown = self._task.input.enumerable and bool(seen.all())
        return Positions(self._setup.clock, self._task, int(seen.max()) if shown else None)

    def first(self) -> Evaluation:
        """Return the evaluation before the first pair."""
        return Evaluation(0, "evaluation")

    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the next evaluation; None once the run is over."""
        position, watcher = evaluation.position, self._watcher
        watcher.see(position, outputs)
        self.finite = watcher.finite
        self._reached.append(position)
        if watcher.finished or position >= self._setup.clock.budget_pairs:
            return None
        return Evaluation(self._positions.after(position, watcher.window_start), "evaluation")

    def progress(self) -> str:
        """Return ``62/64 codons 2/3 stops``: how much is right, of the set and of groups."""
        right, task = self._watcher.right, self._task
        words = [f"{int(right.sum()):>2}/{len(right)} {task.input.unit}s"]
        for name in task.facts.get("watched_groups", ()) or ():  # type: ignore[union-attr]
            members = list(task.groups.get(str(name), ()))
            if members:
                words.append(f"{int(right[members].sum())}/{len(members)} {name}s")
        return " ".join(words)

    def arrays(self) -> Mapping[str, IntArray]:
        """Return the facts of the stream that metrics need.

        ``first_seen`` (P,): position (from 1) at which the stream first shows each item, 0 where
        one epoch never does. ``test_counts`` (P,): how often each item is held out.
        ``frame_pairs`` (F,) and ``frame_inputs`` (F, B): each frame of the instrument that was
        reached, and the batch behind it as indices into the evaluation set, -1 for an item outside.
        """
        setup, dataset = self._setup, self._setup.dataset
        clock, reached = setup.clock, set(self._reached)
        frames = [frame for frame in self._frames if frame in reached]
        place = np.full(len(dataset.items), -1, dtype=np.int64)
        place[dataset.evaluation] = np.arange(len(dataset.evaluation))
        batches = [setup.stream.between(clock.last_end_by(f - 1), f) for f in frames]
        held_out = np.bincount(setup.stream.split.test, minlength=len(dataset.items))
        return {
            "first_seen": self._first_seen,
            # A held-out sample is its own test set: one of each.
            "test_counts": held_out[dataset.evaluation].astype(np.int64)
            if self._task.input.enumerable
            else np.ones(len(dataset.evaluation), dtype=np.int64),
            "frame_pairs": np.asarray(frames, dtype=np.int64),
            "frame_inputs": place[np.stack(batches)]
            if batches
            else np.zeros((0, clock.batch_size), dtype=np.int64),
        }

    def facts(self) -> dict[str, JsonValue]:
        """Return how long deciphering must last to count as sustained."""
        return {"window_pairs": WINDOW_PAIRS}


class Positions:
    """Where one run is evaluated; tells the next position from the last and its outcome."""

    def __init__(self, clock: BatchClock, task: TaskSpec, all_seen: int | None) -> None:
        self.clock = clock
        fixed = {0, clock.budget_pairs}
        position = 0
        for _ in range(DENSE_BATCHES):
            fixed.add(position := clock.step(position))
        if all_seen is not None and all_seen <= clock.budget_pairs:
            position = clock.end_of(all_seen)
            fixed.add(position)
            for _ in range(AFTER_ALL_SEEN):
                fixed.add(position := clock.step(position))
        for epoch in range(-(-clock.budget_pairs // clock.epoch_pairs)):
            start = epoch * clock.epoch_pairs
            fixed.add(min(start + clock.epoch_pairs, clock.budget_pairs))
        fixed.update(frame_positions(clock, task))
        self._fixed = sorted(fixed)

    def after(self, position: int, window_start: int | None) -> int:
        """Return the next position.

        Args:
            position: The last one.
            window_start: Where the open sustained window began; None where none is open.
        """
        candidates = [self._by_growth(position)]
        place = bisect_right(self._fixed, position)
        if place < len(self._fixed):
            candidates.append(self._fixed[place])
        if window_start is not None:
            candidates.append(self._at_most(position, position + WINDOW_STEP))
            candidates.append(self.clock.end_of(window_start + WINDOW_PAIRS))
        return min(c for c in candidates if c > position)

    def _by_growth(self, position: int) -> int:
        return self._at_most(position, int(position * GROWTH))

    def _at_most(self, position: int, limit: int) -> int:
        """Return the last batch end by `limit`, but at least one batch after `position`."""
        return max(self.clock.last_end_by(limit), self.clock.step(position))


def frame_positions(clock: BatchClock, task: TaskSpec) -> list[int]:
    """Return where the frames of the instrument fall, within the budget."""
    batches = task.facts.get("instrument_batches") or ()
    assert isinstance(batches, list | tuple)
    if clock.batch_size != INSTRUMENT_BATCH:
        return []
    ends = [INSTRUMENT_BATCH * int(batch) for batch in batches]  # type: ignore[arg-type]
    within = [end for end in ends if end <= clock.epoch_pairs]
    epochs = range(-(-clock.budget_pairs // clock.epoch_pairs))
    frames = (epoch * clock.epoch_pairs + w for epoch in epochs for w in within)
    return [f for f in frames if f <= clock.budget_pairs]


def right_rows(outputs: Outputs, targets: IntArray) -> npt.NDArray[np.bool_]:
    """Return where the true class's logit is strictly greater than every rival's, shape (P,).

    Args:
        outputs: Logits, shape (P, C). A row that is not finite is wrong.
        targets: The true class of each row, shape (P,).
    """
    rows = np.arange(len(targets))
    rivals = outputs.copy()
    rivals[rows, targets] = -np.inf
    strictly = outputs[rows, targets] > rivals.max(axis=1)
    return np.asarray(strictly & np.isfinite(outputs).all(axis=1))


class Watcher:
    """Follows a run evaluation by evaluation: what is right, whether it lasts, when to stop.

    It steers; the figures that are published come from the trajectory alone.

    Attributes:
        right: Which items were right at the last evaluation, shape (P,).
        window_start: Where the open sustained window began; None where none is open.
        sustained, confident: Whether each has been reached.
        finite: False once a logit was NaN or infinite.
    """

    def __init__(self, targets: IntArray, needed: int, rule: str) -> None:
        self._targets = targets
        self._needed = needed
        self._rule = rule
        self.right = np.zeros(len(targets), dtype=np.bool_)
        self.window_start: int | None = None
        self.sustained = False
        self.confident = False
        self.finite = True

    def see(self, pairs: int, outputs: Outputs) -> None:
        """Take in the evaluation at `pairs`: logits (P, C), in the model's own labels."""
        self.finite = self.finite and bool(np.isfinite(outputs).all())
        if not self.finite:
            self.right = np.zeros_like(self.right)
            self.window_start = None
            return
        self.right = right_rows(outputs, self._targets)
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
            wide = outputs.astype(np.float64)
            total = np.exp(wide - wide.max(axis=1, keepdims=True)).sum(axis=1)
            true = wide[np.arange(len(wide)), self._targets]
            p_true = np.exp(true - wide.max(axis=1)) / total
            self.confident = int((p_true >= CONFIDENCE).sum()) >= self._needed

    @property
    def finished(self) -> bool:
        """Whether the run should end here, before its budget is spent."""
        if not self.finite:
            return True
        return self._rule == "confident" and self.sustained and self.confident
