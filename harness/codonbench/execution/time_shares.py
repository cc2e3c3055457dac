"""Whose time it was: each moment is shared by the runs under way in one learner."""

from __future__ import annotations

import time
from collections.abc import Sequence


class Shares:
    """The time of some runs that one learner trains at once or one after another."""

    def __init__(self) -> None:
        self._total: dict[int, float] = {}
        self._build: dict[int, float] = {}
        self._going: set[int] = set()
        self._last = time.monotonic()

    def _pass(self) -> None:
        now = time.monotonic()
        for run in self._going:
            self._total[run] += (now - self._last) / len(self._going)
        self._last = now

    def begin(self, run: int) -> None:
        """Hear that a run begins, or begins anew."""
        self._pass()
        self._going.add(run)
        self._total[run] = 0.0
        self._build.pop(run, None)

    def built(self, runs: Sequence[int]) -> None:
        """Hear that some runs are built; what that took counts for all of them alike."""
        new = [run for run in runs if run not in self._build and run in self._going]
        if new:
            self._pass()
            spent = sum(self._total[run] for run in new) / len(new)
            for run in new:
                self._total[run] = self._build[run] = spent

    def end(self, run: int) -> None:
        """Hear that a run is over."""
        self._pass()
        self._going.discard(run)

    def of(self, run: int) -> tuple[float, float]:
        """Return the seconds of a run: of building, and in all."""
        self._pass()
        total = self._total.get(run, 0.0)
        return self._build.get(run, total), total
