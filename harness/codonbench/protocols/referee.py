"""The referee of one run: knows the truth, hands out pairs as they are due, takes in outputs.

It lives where the clock, the targets and the scoring are: in the process that was started, or
beside the trainer where that is the same one. See `training.feed` for the other side.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Outputs, Targets, Trajectory, TrajectoryFacts
from codonbench.contracts.run_spec import RunSpec
from codonbench.errors import OutOfTurnError
from codonbench.protocols.base import Evaluation, RunSetup, Schedule
from codonbench.records.checkpoint_files import Progress

IntArray = npt.NDArray[np.int64]

OnSnapshot = Callable[[int, str], None]
"""Called with the pairs presented so far, and how far the run has come in a few words."""

Watch = Callable[[RunSpec], OnSnapshot]
"""Called as a run begins; what it returns follows its evaluations."""

BEYOND = 1
"""Batches handed out beyond the next evaluation: with the gradient of one more batch come, for
nothing, the outputs of the state before it."""

_AT_ONCE = 128  # batches handed out at once


def unwatched(run_spec: RunSpec) -> OnSnapshot:
    """Follow a run's evaluations with nothing."""
    return lambda pairs, progress: None


@dataclass(frozen=True)
class Shown:
    """What a run shows as it asks how to go on.

    Attributes:
        run: Which of the runs that have one referee.
        position: Pairs presented so far.
        outputs: Those that are owed here (N, K); None where only pairs are due.
    """

    run: int
    position: int
    outputs: Outputs | None


@dataclass(frozen=True)
class Instructions:
    """How a run goes on.

    Attributes:
        evaluation: What it owes next; None once it is over.
        keep: Whether the state it has just shown is the one selected so far, to be kept.
        index: The pairs that follow those handed out so far, as items, shape (n,).
        targets: What is right for them, where that was not known before; else empty.
    """

    evaluation: Evaluation | None
    keep: bool
    index: IntArray
    targets: Targets


class Referee:
    """Referees one run.

    Args:
        setup: What is fixed about it.
        watch: Called as it begins.
        kept: How far it had come before it was cut short.

    Attributes:
        setup, kept: The same.
        schedule: Its evaluations.
        position: Pairs presented, as far as is known.
        over: Whether the run came to its end.
        resumed: Whether it goes on from where it was cut short.
        pairs, outputs: Its evaluations along the way.
        test_outputs: Of the test items, once they were asked.
    """

    def __init__(self, setup: RunSetup, watch: Watch, kept: Progress | None = None) -> None:
        self.setup = setup
        self.kept = kept
        self._watch = watch
        self.began = self.asked = self.resumed = self.over = False
        self.position = 0
        self.pairs: list[int] = []
        self.outputs: list[Outputs] = []
        self.test_outputs: Outputs | None = None
        self._due: Evaluation | None = None
        self._handed = 0

    @cached_property
    def schedule(self) -> Schedule:
        """What the protocol decides; made when first needed, for the stream takes a moment."""
        return self.setup.protocol.schedule(self.setup)

    @cached_property
    def evaluated(self) -> dict[str, IntArray]:
        """The items of each split that the model may be asked about."""
        return self.setup.evaluated()

    def begin(self) -> None:
        """Hear that the run begins, or begins anew in another way before it has asked for a pair.

        Raises:
            OutOfTurnError: It has asked already.
        """
        if self.asked:
            raise OutOfTurnError("begins twice")
        self.began = True
        self._on_snapshot = self._watch(self.setup.run_spec)

    def answer(self, position: int, outputs: Outputs | None) -> Instructions:
        """Tell how to go on from `position`, by the outputs there where some are owed.

        Raises:
            OutOfTurnError: This is not where the run can be, or nothing is owed here, or something
                is missing.
        """
        if not self.began or self.over:
            raise OutOfTurnError("asks before its beginning or after its end")
        if not self.asked:
            self.asked = True
            self._due = self.schedule.first()
            self._start_at(position)
        keep = False
        if outputs is not None:
            self._check(position, outputs)
            self._take(outputs)
            keep = self.schedule.keep
            self._on_snapshot(position, self.schedule.progress())
        elif position != self._handed:
            raise OutOfTurnError(f"asks for pairs at {position}, with pairs up to {self._handed}")
        return self._hand_out(keep)

    def _start_at(self, position: int) -> None:
        kept = self.kept
        if kept is not None and position == kept.position > 0:
            for pairs, outputs in zip(kept.pairs.tolist(), kept.outputs, strict=True):
                if self._due is None or self._due.position != pairs:
                    raise OutOfTurnError(f"goes on with an evaluation at {pairs}, where none is")
                self._take(outputs)
            self._on_snapshot(self.position, self.schedule.progress())
            self.position = self._handed = position
            self.resumed = True
        elif position != 0:
            raise OutOfTurnError(f"begins at {position}")

    def _check(self, position: int, outputs: Outputs) -> None:
        due = self._due
        if due is None or position != due.position or outputs.shape != self.shape_due():
            raise OutOfTurnError(f"shows {outputs.shape} at {position}, where {due} is due")

    def shape_due(self) -> tuple[int, int]:
        """Return the shape of the outputs that are owed next.

        Raises:
            OutOfTurnError: None are.
        """
        if self._due is None:
            raise OutOfTurnError("shows outputs where none are due")
        n_outputs = len(self.setup.dataset.spec.target.names)
        return len(self.evaluated[self._due.split]), n_outputs

    def _take(self, outputs: Outputs) -> None:
        """Note an evaluation, and what the schedule makes of it."""
        due = self._due
        assert due is not None
        self.position = due.position
        if due.split == self.setup.protocol.split:
            self.pairs.append(due.position)
            self.outputs.append(outputs)
        else:
            self.test_outputs = outputs
        self._due = self.schedule.next(due, outputs)
        self.over = self._due is None

    def take_constant(self, outputs: Outputs) -> None:
        """Note outputs (N, K), in true order, that were the same all through the run."""
        labels = self.setup.labels
        shown = outputs if labels is None else labels.hide_columns(outputs.astype(np.float64))
        shown = shown.astype(np.float32)
        for evaluation in self.setup.protocol.constant(self.setup):
            self.schedule.next(evaluation, shown)
            if evaluation.split == self.setup.protocol.split:
                self.pairs.append(evaluation.position)
                self.outputs.append(shown)
            else:
                self.test_outputs = shown
        self.position = self.setup.clock.budget_pairs
        self.over = True

    def _hand_out(self, keep: bool) -> Instructions:
        start, clock = self._handed, self.setup.clock
        if self._due is not None and self._due.position >= start:
            beyond = clock.step(self._due.position, BEYOND)
            self._handed = max(start, min(beyond, start + _AT_ONCE * clock.batch_size))
            self._handed = clock.last_end_by(self._handed)
        index = self.setup.stream.between(start, self._handed)
        told = self.setup.hidden[: 0 if self.setup.protocol.tells_targets else None]
        return Instructions(self._due, keep, index, told[index] if len(told) else told)

    def may_be_at(self, position: int) -> bool:
        """Return whether the run can have come so far, and not been past what it owes."""
        past_due = self._due is not None and position > self._due.position
        return self.position <= position <= self._handed and not past_due

    @property
    def diverged(self) -> bool:
        """Whether its last outputs were not finite."""
        return bool(self.outputs) and not np.isfinite(self.outputs[-1]).all()

    def trajectory(self) -> Trajectory:
        """Return the run's trajectory, its columns in true order."""
        setup, schedule = self.setup, self.schedule
        spec, clock, dataset = setup.dataset.spec, setup.clock, setup.dataset
        n_outputs = len(spec.target.names)
        items = self.evaluated[setup.protocol.split]
        outputs = np.zeros((0, len(items), n_outputs), dtype=np.float32)
        if self.outputs:
            outputs = setup.revealed(np.stack(self.outputs))
        tested = np.zeros((0, n_outputs), dtype=np.float32)
        if self.test_outputs is not None:
            tested = setup.revealed(self.test_outputs)
        return Trajectory(
            task=spec,
            facts=TrajectoryFacts(
                split=setup.protocol.split,
                batch_size=clock.batch_size,
                epoch_pairs=clock.epoch_pairs,
                budget_pairs=clock.budget_pairs,
                pairs=self.position,
                complete=self.position >= clock.budget_pairs or self.diverged,
                selected_pairs=schedule.selected,
                protocol=schedule.facts(),
            ),
            pairs=np.asarray(self.pairs, dtype=np.int64),
            outputs=outputs,
            targets=dataset.targets[items],
            test_outputs=tested,
            test_targets=dataset.targets[self.evaluated.get("test", items[:0])],
            arrays=schedule.arrays(),
        )
