"""Guides know the truth, hand out pairs as they are due, look at probes, and say when to stop.

A guide lives where the clock, the truth and the scoring are: in the process that was started, or
beside the learner where that is the same one. See `course` for the learner's side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from codonbench.contracts import required_right
from codonbench.contracts.run_spec import RunSpec
from codonbench.errors import OutOfTurnError
from codonbench.execution.time_shares import Shares
from codonbench.protocols.schedule import ProbeSchedule
from codonbench.protocols.setup import Setting
from codonbench.protocols.stop_rule import Watcher
from codonbench.records.checkpoint_files import Checkpoints, Progress
from codonbench.training.feed import Directions, Logits, Probes, Shown

OnProbe = Callable[[int, npt.NDArray[np.bool_], Logits], None]
"""Called with pairs so far, which probe inputs are right (P,), and the logits (P, C) in the
learner's own labels."""

Watch = Callable[[RunSpec], OnProbe]
"""Called as a run begins; what it returns follows its probes."""

BEYOND = 1
"""Batches handed out beyond the next probe: with the gradient of one more batch come, for nothing,
the logits of the state before it."""

_AT_ONCE = 128  # batches handed out at once


class Guide:
    """Leads one run.

    Args:
        setting: What is fixed about it.
        watch: Called as it begins.
        kept: How far it had come before it was cut short.

    Attributes:
        setting: The same.
        probes: What it has shown.
        kept, resumed: How far it had come, and whether it goes on from there.
    """

    def __init__(self, setting: Setting, watch: Watch, kept: Progress | None = None) -> None:
        self.setting = setting
        self.kept = kept
        self._watch = watch
        self._probe = setting.dataset.probe
        self.began = self.asked = self.resumed = False
        self.probes = Probes()
        hidden, needed = setting.hidden[self._probe], required_right(setting.dataset.spec)
        self._watcher = Watcher(hidden, needed, setting.run_spec.stop)
        self._next_probe: int | None = 0
        self._handed = 0

    @cached_property
    def _schedule(self) -> ProbeSchedule:
        setting = self.setting
        return ProbeSchedule(setting.clock, setting.dataset.spec, setting.stream.all_seen)

    def begin(self) -> None:
        """Hear that the run begins, or begins anew in another way before it has asked for a pair.

        Raises:
            OutOfTurnError: It has asked already.
        """
        if self.asked:
            raise OutOfTurnError("begins twice")
        self.began = True
        self._on_probe = self._watch(self.setting.run_spec)

    def answer(self, position: int, logits: Logits | None) -> Directions:
        """Tell how to go on from `position`, by the probe there where one is due.

        Raises:
            OutOfTurnError: This is not where the run can be, or no probe is due here, or one is
                missing.
        """
        if not self.began or self.probes.over:
            raise OutOfTurnError("asks before its beginning or after its end")
        if not self.asked:
            self.asked = True
            self._start_at(position)
        if logits is not None:
            self._look(position, logits)
        elif position != self._handed:
            raise OutOfTurnError(f"asks for pairs at {position}, with pairs up to {self._handed}")
        return self._hand_out()

    def _start_at(self, position: int) -> None:
        kept = self.kept
        if kept is not None and position == kept.position > 0:
            for pairs, logits in zip(kept.pairs.tolist(), kept.logits, strict=True):
                self._take_down(pairs, logits)
            self._on_probe(self.probes.position, self._watcher.right, self.probes.logits[-1])
            self.probes.position = self._handed = position
            self.resumed = True
        elif position != 0:
            raise OutOfTurnError(f"begins at {position}")

    def _look(self, position: int, logits: Logits) -> None:
        expected = (len(self._probe), self.setting.dataset.spec.view().n_classes)
        if position != self._next_probe or logits.shape != expected:
            raise OutOfTurnError(f"shows {logits.shape} at {position}, not at {self._next_probe}")
        self._take_down(position, logits)
        self._on_probe(position, self._watcher.right, logits)

    def _take_down(self, position: int, logits: Logits) -> None:
        """Note a probe, and where the next one falls."""
        probes, watcher, clock = self.probes, self._watcher, self.setting.clock
        watcher.see(position, logits)
        probes.position = position
        probes.pairs.append(position)
        probes.logits.append(logits)
        if position in self.setting.frame_set:
            probes.frame_pairs.append(position)
            batch = self.setting.stream.between(clock.last_end_by(position - 1), position)
            probes.frame_inputs.append(batch)
        if watcher.finished or position >= clock.budget_pairs:
            self._next_probe = None
            probes.over = True
        else:
            self._next_probe = self._schedule.next_after(position, watcher.window_start)

    def _hand_out(self) -> Directions:
        start, clock = self._handed, self.setting.clock
        if self._next_probe is not None:
            beyond = clock.step(self._next_probe, BEYOND)
            self._handed = max(start, min(beyond, start + _AT_ONCE * clock.batch_size))
            self._handed = clock.last_end_by(self._handed)
        index = self.setting.stream.between(start, self._handed)
        return Directions(self._next_probe, index, self.setting.hidden[index])

    def may_be_at(self, position: int) -> bool:
        """Return whether the learner can have come so far, and not been past an open probe."""
        past_probe = self._next_probe is not None and position > self._next_probe
        return self.probes.position <= position <= self._handed and not past_probe


class Guides:
    """Leads the runs of one learner, by their numbers.

    Args:
        guides: One a run.
        checkpoints: Where their progress is kept; None for nowhere.
    """

    def __init__(self, guides: Sequence[Guide], checkpoints: Checkpoints | None = None) -> None:
        self.guides = tuple(guides)
        self.shares = Shares()
        self._checkpoints = checkpoints

    def prepare(self) -> None:
        """Draw the pairs of all runs, which takes a moment, before anyone waits for them."""
        for guide in self.guides:
            guide.setting.stream  # noqa: B018

    def begin(self, run: int) -> None:
        """Hear that a run begins."""
        self.guides[run].begin()
        self.shares.begin(run)

    def lead(self, shown: Sequence[Shown]) -> list[Directions]:
        """Take in what some runs show; tell each how to go on.

        Raises:
            OutOfTurnError: One says what it cannot have to say here.
        """
        self.shares.built([s.run for s in shown])
        return [self.guides[s.run].answer(s.position, s.logits) for s in shown]

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Keep the file, once written, that a run needs to go on from here.

        Raises:
            OutOfTurnError: It cannot have come there.
            StoreError: It cannot be written.
        """
        guide = self.guides[run]
        if not guide.may_be_at(position):
            raise OutOfTurnError(f"is at {position}")
        if self._checkpoints is not None and guide.probes.pairs:
            build, total = self.shares.of(run)
            probes = guide.probes
            before = guide.kept.seconds if guide.resumed and guide.kept else (0.0, 0.0)
            progress = Progress(
                position=position,
                pairs=np.asarray(probes.pairs, dtype=np.int64),
                logits=np.stack(probes.logits),
                seconds=(build + before[0], total + before[1]),
            )
            self._checkpoints.save(guide.setting.run_spec, progress, write)
