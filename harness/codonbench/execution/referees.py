"""The referees of the runs that one trainer has: whose time it was, and what is kept of whom."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from codonbench.contracts.provenance import TorchFacts
from codonbench.errors import OutOfTurnError
from codonbench.execution.machine import describe_machine
from codonbench.execution.prepare import Job
from codonbench.protocols.referee import Instructions, Referee, RunSetup, Shown, Watch
from codonbench.records.unfinished import Checkpoints, Progress
from codonbench.training.request import TrainRequest, TrainResult, train_request


class Shares:
    """The time of some runs that one trainer trains at once or one after another."""

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


class RefereeGroup:
    """Referees some runs of a job, by their numbers.

    Args:
        job: Whose runs.
        watch: Called as each begins.
        checkpoints: Where their progress is kept and looked for; None for nowhere.
        facts: Of the interpreter that trains, without which no checkpoint fits.

    Attributes:
        referees: One a run.
    """

    def __init__(
        self,
        job: Job,
        watch: Watch,
        checkpoints: Checkpoints | None = None,
        facts: TorchFacts | None = None,
    ) -> None:
        run_spec = job.run_specs[0]
        if facts is None:
            checkpoints = None
        elif checkpoints is not None:
            facts = facts.model_copy(update={"threads": run_spec.threads})
            checkpoints = checkpoints.on(describe_machine(run_spec.device, facts=facts))
        self.referees = tuple(
            Referee(
                RunSetup(run_spec, job.dataset, job.protocol, job.batch_size),
                watch,
                None if checkpoints is None else checkpoints.load(run_spec),
            )
            for run_spec in job.run_specs
        )
        self._shares = Shares()
        self._checkpoints = checkpoints

    def requests(self) -> list[TrainRequest]:
        """Return what whoever trains is told of each run before the first pair."""
        found = []
        for run, referee in enumerate(self.referees):
            request, kept = train_request(run, referee.setup), referee.kept
            if kept is not None:
                request = replace(request, start=kept.position, state=kept.state)
            found.append(request)
        return found

    def prepare(self) -> None:
        """Draw the pairs of all runs, which takes a moment, before anyone waits for them."""
        for referee in self.referees:
            referee.setup.stream.epoch(0)

    def begin(self, run: int) -> None:
        """Hear that a run begins."""
        self.referees[run].begin()
        self._shares.begin(run)

    def answer(self, shown: Sequence[Shown]) -> list[Instructions]:
        """Take in what some runs show; tell each how to go on.

        Raises:
            OutOfTurnError: One says what it cannot have to say here.
        """
        self._shares.built([s.run for s in shown])
        return [self.referees[s.run].answer(s.position, s.outputs) for s in shown]

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Keep the file, once written, that a run needs to go on from here.

        Raises:
            OutOfTurnError: It cannot have come there.
            StoreError: It cannot be written.
        """
        referee = self.referees[run]
        if not referee.may_be_at(position):
            raise OutOfTurnError(f"is at {position}")
        if self._checkpoints is not None and referee.pairs:
            build, total = self._shares.of(run)
            before = referee.kept.seconds if referee.resumed and referee.kept else (0.0, 0.0)
            progress = Progress(
                position=position,
                pairs=np.asarray(referee.pairs, dtype=np.int64),
                outputs=np.stack(referee.outputs),
                seconds=(build + before[0], total + before[1]),
            )
            self._checkpoints.save(referee.setup.run_spec, progress, write)

    def end(self, run: int, result: TrainResult) -> Referee:
        """Complete a result by what the referee has seen of its run; return the referee.

        The clock is the referee's; of its time, the trainer says how much went into evaluations.
        """
        referee, evaluating = self.referees[run], max(result.evaluate_seconds, 0.0)
        self._shares.end(run)
        build, total = self._shares.of(run)
        if referee.resumed and referee.kept is not None:
            build, total = build + referee.kept.seconds[0], total + referee.kept.seconds[1]
        if not referee.over and referee.may_be_at(result.position):
            referee.position = result.position
        result.build_seconds = build
        result.evaluate_seconds = min(evaluating, total - build)
        result.train_seconds = total - build - result.evaluate_seconds
        if result.status == "done" and referee.diverged:
            result.status = "diverged"
        return referee
