"""When a run is probed: one schedule, in pairs, for every engine.

Position 0; the end of each of the first 256 batches; then each next probe at most 3 % later;
while a sustained window is open at least every 1,024 pairs, and at the window's end; the batch
that completes ``all_seen`` and the next 64; every epoch's end; every frame of the paper's
instrument; the end of the budget. A probe always falls on the end of a batch.
"""

from __future__ import annotations

from bisect import bisect_right

from codonbench.contracts import TaskSpec

WINDOW_PAIRS = 64_000
DENSE_BATCHES = 256
AFTER_ALL_SEEN = 64
GROWTH = 1.03
WINDOW_STEP = 1_024


class BatchClock:
    """Positions at which batches end, for epochs that may not divide by the batch size."""

    def __init__(self, batch_size: int, epoch_pairs: int, budget_pairs: int) -> None:
        self.batch_size = batch_size
        self.epoch_pairs = epoch_pairs
        self.budget_pairs = budget_pairs

    def end_of(self, position: int) -> int:
        """Return where the batch that holds pair number `position` (from 1) ends."""
        if position <= 0:
            return 0
        epoch, offset = divmod(position - 1, self.epoch_pairs)
        within = min((offset // self.batch_size + 1) * self.batch_size, self.epoch_pairs)
        return min(epoch * self.epoch_pairs + within, self.budget_pairs)

    def last_end_by(self, position: int) -> int:
        """Return the last end of a batch at or before `position`."""
        end = self.end_of(position)
        if end <= position:
            return end
        epoch, offset = divmod(position, self.epoch_pairs)
        return epoch * self.epoch_pairs + offset // self.batch_size * self.batch_size

    def step(self, position: int, batches: int = 1) -> int:
        """Return where the batch ends that comes `batches` after the one ending at `position`."""
        for _ in range(batches):
            position = self.end_of(position + 1)
        return position


class ProbeSchedule:
    """The probes of one run; tells the next one from the last and its outcome."""

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

    def next_after(self, position: int, window_start: int | None) -> int:
        """Return where to probe next.

        Args:
            position: The last probe.
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
    """Return where the frames of the paper's instrument fall, within the budget."""
    if clock.batch_size != 64:
        return []  # the instrument is defined for the paper's batches
    within = [64 * batch for batch in task.instrument_batches if 64 * batch <= clock.epoch_pairs]
    epochs = range(-(-clock.budget_pairs // clock.epoch_pairs))
    frames = (epoch * clock.epoch_pairs + w for epoch in epochs for w in within)
    return [f for f in frames if f <= clock.budget_pairs]
