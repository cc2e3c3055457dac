"""What a protocol is, and the referee of one run that goes by it.

A protocol says what is evaluated and when, which state is selected, when a run ends. The referee
knows all targets and the time, hands out pairs as they are due and takes in outputs. It is in the
parent process, or in the only one where a run is trained without workers. Its counterpart is
`training.loop.Feed`.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from codonbench.contracts import (
    Dataset,
    Frozen,
    Outputs,
    Split,
    SplitMetric,
    Targets,
    TaskSpec,
    Trajectory,
    TrajectoryFacts,
)
from codonbench.contracts.run_spec import MOST_PAIRS, RunSpec
from codonbench.data.stream import BatchClock, Relabelling, Stream, hidden_generator, relabelling
from codonbench.errors import OutOfTurnError
from codonbench.protocols.controls import LABELS, permuted_targets

if TYPE_CHECKING:  # it imports what locks files, which listing protocols takes not
    from codonbench.records.unfinished import Checkpoints, Progress

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Primary:
    """What a task's rows are ranked by, where that can be said of any split.

    Attributes:
        metric: What computes it.
        name: Of the value.
        lower: Whether lower is better.
    """

    metric: SplitMetric
    name: str
    lower: bool

    def of(self, targets: Targets, outputs: Outputs, task: TaskSpec) -> float:
        """Return the value for one split; NaN where there is none."""
        try:
            value = self.metric.score(targets, outputs, task)[self.name]
        except Exception:  # it fails again when the run is scored, and is named then
            return math.nan
        return float(value) if isinstance(value, bool | int | float) else math.nan

    def get_ready(self, task: TaskSpec, targets: Targets) -> None:
        """Compute it once, so that what it imports delays no training later."""
        few = targets[:16]
        self.of(few, np.zeros((len(few), len(task.target.names)), np.float32), task)


class RunSetup:
    """What is fixed about one run.

    Args:
        run_spec: What was asked.
        dataset: On what.
        protocol: By which protocol.
        batch_size: Pairs in a full batch; None where all are learned at once, each of them once.
        primary: What to tell of it on the way; None for nothing that a metric says.

    Attributes:
        at_once: Whether all pairs are learned at once.
        dataset: The targets are this run's, where it is a control.
        clock: Where batches end.
        stream: The seed's split and its pairs.
        labels: The seed's permutation of class ids; None where there is none.
        hidden: Each item's target as the model is told it, shape (N, ...).
    """

    def __init__(
        self,
        run_spec: RunSpec,
        dataset: Dataset,
        protocol: Protocol,
        batch_size: int | None,
        primary: Primary | None = None,
    ) -> None:
        self.run_spec = run_spec
        self.primary = primary
        self.protocol = protocol
        salt, seed = run_spec.salt, run_spec.seed
        self.dataset = dataset = dataset.for_run(hidden_generator(salt, seed, "control"))
        self.stream = Stream(dataset, seed, partial(protocol.narrowed, dataset, run_spec))
        if run_spec.control == LABELS:
            chance = hidden_generator(salt, seed, LABELS)
            self.dataset = dataset = permuted_targets(dataset, self.stream.split, chance)
        self._batch_size = batch_size
        self.at_once = batch_size is None
        self.labels: Relabelling | None = None
        self.hidden: Targets = dataset.targets
        if not protocol.tells_targets:
            self.labels = relabelling(len(dataset.spec.target.names), salt, seed)
            self.hidden = self.labels.hide(dataset.targets.astype(np.int64, copy=False))

    @cached_property
    def clock(self) -> BatchClock:
        """Where batches end; the split is drawn for it."""
        budget = self.run_spec.budget_pairs
        if self._batch_size is None:
            budget = min(budget, self.epoch_pairs)
        return BatchClock(self._batch_size or max(budget, 1), self.epoch_pairs, budget)

    @property
    def epoch_pairs(self) -> int:
        """Pairs in one epoch."""
        if self.dataset.spec.evaluation is not None:  # nothing is cut from training
            return self.dataset.spec.train_size
        return self.stream.epoch_pairs

    def evaluated(self) -> dict[str, IntArray]:
        """Return the items of each split that a model may be asked about, by its name."""
        if self.dataset.spec.evaluation is not None:
            return {"evaluation": self.dataset.evaluation}
        split = self.stream.split
        return {"validation": split.validation, "test": split.test}

    @property
    def class_weights(self) -> npt.NDArray[np.float64] | None:
        """Loss weight of each class id as the model knows it, shape (C,), where it asks for them.

        None for none: distinct weights name the classes, whatever permutes their ids.
        """
        asked = self.run_spec.config.get("class_weights", "none")
        if asked == "balanced":
            return self._balanced()
        weights = self.dataset.spec.target.class_weights
        if weights is None or asked == "none":
            return None
        values = np.asarray(weights, dtype=np.float64)
        return values if self.labels is None else self.labels.hide_columns(values)

    def _balanced(self) -> npt.NDArray[np.float64]:
        """Return n / (C n_c) for n training items, n_c of them in class c; 0 where there are none.

        As scikit-learn's ``class_weight="balanced"``.
        """
        n_classes = len(self.dataset.spec.target.names)
        classes = self.dataset.targets[self.stream.split.train].astype(np.int64)
        counts = np.bincount(classes, minlength=n_classes)
        return np.where(counts, len(classes) / (n_classes * np.maximum(counts, 1)), 0.0)

    def revealed(self, outputs: Outputs) -> Outputs:
        """Return outputs (..., K) with their columns in true order."""
        return outputs if self.labels is None else self.labels.reveal_columns(outputs)


@dataclass(frozen=True)
class Evaluation:
    """A request for a run's outputs.

    Attributes:
        position: Pairs presented before them.
        split: Of which items: ``evaluation``, ``validation`` or ``test``.
        of_selected: True for outputs of the selected state, which is restored for it.
    """

    position: int
    split: str
    of_selected: bool = False


class Schedule(ABC):
    """One run's evaluations, each decided once the one before is known.

    Attributes:
        keep: Whether the state that was evaluated last is the one selected so far.
        selected: Position of the selected state; None if no state is selected.
        finite: False once an output was NaN or infinite.
        out_of_time: True once the run's seconds are spent: its budget is what it has had.
    """

    keep: bool = False
    selected: int | None = None
    finite: bool = True
    out_of_time: bool = False

    @abstractmethod
    def first(self) -> Evaluation:
        """Return the first evaluation."""

    @abstractmethod
    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the evaluation after one that is done; None where the run is over.

        Args:
            evaluation: What was owed.
            outputs: Its outputs, shape (N, K), in the model's own labels. Non-finite outputs end
                the run.
        """

    @abstractmethod
    def progress(self) -> str:
        """Return in a few words how far the run has come, for the progress line."""

    def arrays(self) -> Mapping[str, IntArray]:
        """Return what goes into the trajectory beside outputs."""
        return {}

    def facts(self) -> dict[str, JsonValue]:
        """Return what the trajectory's `TrajectoryFacts.protocol` says."""
        return {}


class Protocol(ABC):
    """A protocol plugin.

    Class attributes:
        name: As in `TaskSpec.protocol`.
        summary: One line.
        stop_rules: What may end a run before its budget, by name, the default first; ``budget``
            is the rule that spends it all.
        split: What is evaluated during training.
        tells_targets: True if training targets are given at the start; otherwise each is given as
            its pair is presented, and class ids are permuted by salt and seed.
        passes: Fixed number of passes over the training items: 0 if a model is evaluated as it is
            built; None if the budget decides.
        timed: Whether a budget may also be in seconds. The evaluation after `out_of_time` may fall
            at the end of any batch.
        controls: The controls that runs may have, of those in `codonbench.protocols.controls`.
        Options: Its options, set by ``--protocol-set field=value``.
        joins: Whether the parts of a seed's run make one record, of their test outputs together.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    Options: ClassVar[type[Frozen]] = Frozen
    joins: ClassVar[bool] = False
    stop_rules: ClassVar[tuple[str, ...]] = ("budget",)
    split: ClassVar[str]
    tells_targets: ClassVar[bool]
    passes: ClassVar[int | None] = None
    timed: ClassVar[bool] = False
    controls: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""

    def resolved(self, options: Any, dataset: Dataset) -> Any:
        """Return options with all values that the data decide, for the run spec.

        Raises:
            UsageError: The data do not allow what the options ask.
        """
        return options

    def parts(self, run_spec: RunSpec, dataset: Dataset) -> Sequence[RunSpec]:
        """Return the runs that a seed's spec comes to: itself, unless it is made in parts."""
        return (run_spec,)

    def narrowed(self, dataset: Dataset, run_spec: RunSpec, whole: Split) -> Split:
        """Return what one run gets of its seed's split: all of it, unless it is a part."""
        return whole

    def epoch_pairs(self, options: Any, dataset: Dataset) -> int:
        """Return the pairs of an epoch, for a budget in epochs."""
        return dataset.spec.train_size

    def constant(self, setup: RunSetup) -> Sequence[Evaluation]:
        """Return the evaluations that suffice for a row whose outputs never change."""
        return (Evaluation(setup.clock.budget_pairs, self.split),)


OnSnapshot = Callable[[int, Callable[[], str]], None]
"""Called with the pairs presented so far, and with a function that says how far the run has come:
it computes a metric, so it is only called where the words are shown."""

Watch = Callable[[RunSpec], OnSnapshot]
"""Called as a run begins; what it returns follows its evaluations."""

BEYOND = 1
"""Batches handed out beyond the next evaluation: the gradient of one more batch comes with
the outputs of the state before it."""

_AT_ONCE = 128  # batches handed out at once, at most
_AT_FIRST = 8  # at most at first, where a batch may take long
_NEWS = 1.0  # seconds after which a run should ask again


def share_spent(run_spec: RunSpec, pairs: int) -> float:
    """Return which share of a run's budget so many pairs are; 0 where that is in seconds alone."""
    counted = 0 < run_spec.budget_pairs < MOST_PAIRS
    return min(pairs / run_spec.budget_pairs, 1.0) if counted else 0.0


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
        resumed: Where it was taken up again after it had been cut short, each time; 0 for anew.
        pairs, outputs: Its evaluations along the way.
        test_outputs: Of the test items, once they were asked.
    """

    def __init__(self, setup: RunSetup, watch: Watch, kept: Progress | None = None) -> None:
        self.setup = setup
        self.kept = kept
        self._watch = watch
        self.began = self.asked = self.over = self._untold = False
        self.resumed: tuple[int, ...] = ()
        self.position = 0
        self.pairs: list[int] = []
        self.outputs: list[Outputs] = []
        self.test_outputs: Outputs | None = None
        self._due: Evaluation | None = None
        self._handed = 0
        self._at_once = _AT_FIRST if setup.protocol.tells_targets else _AT_ONCE
        self._last, self._heard = 0, 0.0
        self._ends = math.inf

    @cached_property
    def schedule(self) -> Schedule:
        """What the protocol decides; made when first needed, for the stream takes a moment."""
        return self.setup.protocol.schedule(self.setup)

    @cached_property
    def evaluated(self) -> dict[str, IntArray]:
        """The items of each split that the model may be asked about."""
        return self.setup.evaluated()

    @property
    def most_shown(self) -> int:
        """Bytes of the largest outputs that may ever be owed."""
        n_outputs = len(self.setup.dataset.spec.target.names)
        return 4 * n_outputs * max(map(len, self.evaluated.values()), default=0)

    def begin(self) -> None:
        """Note that the run begins, or begins anew on another engine before it asked for a pair.

        Raises:
            OutOfTurnError: It has asked already.
        """
        if self.asked:
            raise OutOfTurnError("begins twice")
        self.began = True
        self._on_snapshot = self._watch(self.setup.run_spec)

    def answer(self, position: int, outputs: Outputs | None) -> Instructions:
        """Instruct a run, and call its watcher."""
        instructions = self.instruct(position, outputs)
        self.tell()
        return instructions

    def instruct(self, position: int, outputs: Outputs | None) -> Instructions:
        """Return how to go on from `position`, by the outputs there where some are owed.

        Raises:
            OutOfTurnError: This is not where the run can be, or nothing is owed here, or something
                is missing.
        """
        if not self.began or self.over:
            raise OutOfTurnError("asks before its beginning or after its end")
        now = time.monotonic()
        if not self.asked:
            self.asked = True
            self._due = self.schedule.first()
            self._start_at(position)
            self._ends = self._end_of_time(now)
        keep = False
        if self._due is not None and not self._due.of_selected:
            self.schedule.out_of_time = now >= self._ends
        if outputs is not None:
            self._check(position, outputs)
            self._take(outputs)
            keep = self.schedule.keep
        elif position != self._handed:
            raise OutOfTurnError(f"asks for pairs at {position}, with pairs up to {self._handed}")
        else:
            self._follow(position, now)
        self._untold = position > 0 or outputs is not None
        self._last, self._heard = position, time.monotonic()
        return self._hand_out(keep)

    def tell(self) -> None:
        """Call the run's watcher; the trainer, once instructed, need not wait for it."""
        if self._untold:
            self._untold = False
            self._on_snapshot(self._last, self.schedule.progress)

    def _end_of_time(self, now: float) -> float:
        """Return when the run's seconds are spent, by the clock that says `now`."""
        seconds = self.setup.run_spec.budget_seconds
        if seconds is None:
            return math.inf
        build, total = self.seconds_before
        return now + seconds - (total - build)

    def _follow(self, position: int, now: float) -> None:
        """Note how fast pairs are trained on, and ask for an evaluation where time is up."""
        if self._due is not None and self.schedule.out_of_time:
            self._due = replace(self._due, position=position)
        elif position > self._last:
            batches = (position - self._last) / self.setup.clock.batch_size
            soon = min(_NEWS, self._ends - now) * batches / max(now - self._heard, 1e-9)
            self._at_once = max(1, min(int(soon), _AT_ONCE))

    @property
    def seconds_before(self) -> tuple[float, float]:
        """Seconds of building, and in all, of what the run goes on from."""
        return self.kept.seconds if self.kept and any(self.resumed[-1:]) else (0.0, 0.0)

    def _start_at(self, position: int) -> None:
        kept = self.kept
        if kept is not None:
            self.resumed = (*kept.resumed, position)
        if kept is not None and position == kept.position > 0:
            for pairs, outputs in zip(kept.pairs.tolist(), kept.outputs, strict=True):
                if self._due is None or self._due.position != pairs:
                    raise OutOfTurnError(f"goes on with an evaluation at {pairs}, where none is")
                self._take(outputs)
            self._on_snapshot(self.position, self.schedule.progress)
            self.position = self._handed = position
        elif position != 0:
            raise OutOfTurnError(f"begins at {position}")
        elif kept is not None and kept.position:  # it knows targets of the pairs up to there
            raise OutOfTurnError(f"begins anew, though it was handed its state at {kept.position}")

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
            self._handed = max(start, min(beyond, start + self._at_once * clock.batch_size))
            self._handed = clock.last_end_by(self._handed)
        index = self.setup.stream.between(start, self._handed)
        told = self.setup.hidden[: 0 if self.setup.protocol.tells_targets else None]
        return Instructions(self._due, keep, index, told[index] if len(told) else told)

    def may_be_at(self, position: int) -> bool:
        """Return whether the run can be there, neither past its pairs nor past a due evaluation."""
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
        asked = self.evaluated.get("test", items[:0])
        arrays = dict(schedule.arrays())
        if self.test_outputs is not None:
            tested = setup.revealed(self.test_outputs)
            if dataset.groups is not None:
                arrays["test_groups"] = dataset.groups[asked]
        return Trajectory(
            task=spec,
            facts=TrajectoryFacts(
                split=setup.protocol.split,
                batch_size=clock.batch_size,
                epoch_pairs=clock.epoch_pairs,
                budget_pairs=clock.budget_pairs,
                pairs=self.position,
                complete=self.position >= clock.budget_pairs
                or self.diverged
                or schedule.out_of_time,
                selected_pairs=schedule.selected,
                protocol=schedule.facts(),
            ),
            pairs=np.asarray(self.pairs, dtype=np.int64),
            outputs=outputs,
            targets=dataset.targets[items],
            test_outputs=tested,
            test_targets=dataset.targets[asked],
            arrays=arrays,
        )


class RefereeGroup:
    """Referees the runs that one trainer has, by their numbers, and keeps their time.

    Args:
        setups: Of the runs.
        watch: Called as each begins.
        checkpoints: Where their progress is kept and looked for; None for nowhere.

    Attributes:
        referees: One a run.
    """

    def __init__(
        self, setups: Iterable[RunSetup], watch: Watch, checkpoints: Checkpoints | None = None
    ) -> None:
        self._checkpoints = checkpoints
        self.referees = tuple(
            Referee(setup, watch, None if checkpoints is None else checkpoints.load(setup.run_spec))
            for setup in setups
        )
        self._total: dict[int, float] = {}  # seconds of each run, and of its building
        self._build: dict[int, float] = {}
        self._going: set[int] = set()
        self._last = time.monotonic()

    def begin(self, run: int) -> None:
        """Note that a run begins, or begins anew."""
        self.referees[run].begin()
        self._pass_time()
        self._going.add(run)
        self._total[run] = 0.0
        self._build.pop(run, None)

    def answer(self, shown: Sequence[Shown]) -> list[Instructions]:
        """Instruct some runs, and call their watchers."""
        instructions = self.instruct(shown)
        self.tell(shown)
        return instructions

    def tell(self, shown: Sequence[Shown]) -> None:
        """Call the watchers of some runs, once these have been instructed."""
        for each in shown:
            self.referees[each.run].tell()

    def instruct(self, shown: Sequence[Shown]) -> list[Instructions]:
        """Take in what some runs show; return how each goes on.

        Raises:
            OutOfTurnError: One says what it cannot have to say here.
        """
        new = [s.run for s in shown if s.run not in self._build and s.run in self._going]
        if new:  # what building them took counts for all of them alike
            self._pass_time()
            spent = sum(self._total[run] for run in new) / len(new)
            for run in new:
                self._total[run] = self._build[run] = spent
        return [self.referees[s.run].instruct(s.position, s.outputs) for s in shown]

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Keep the file, once written, that a run needs to go on from here; from 0 to begin anew.

        Raises:
            OutOfTurnError: It cannot have come there.
        """
        referee = self.referees[run]
        if position and not referee.may_be_at(position):
            raise OutOfTurnError(f"is at {position}")
        if self._checkpoints is not None and referee.pairs:
            from codonbench.records.unfinished import Progress

            progress = Progress(
                position=position,
                pairs=np.asarray(referee.pairs, dtype=np.int64),
                outputs=np.stack(referee.outputs),
                seconds=self._seconds(run),
                resumed=referee.resumed,
            )
            self._checkpoints.save(referee.setup.run_spec, progress, write)

    def forget(self, run: int) -> None:
        """Drop what was kept of a run, which is to be trained anew."""
        if self._checkpoints is not None:
            self._checkpoints.drop(self.referees[run].setup.run_spec)

    def end(self, run: int) -> tuple[float, float]:
        """Note that a run is over; return its seconds, in this try and those before.

        Returns:
            What building it took, and all of it.
        """
        seconds = self._seconds(run)
        self._going.discard(run)
        return seconds

    def _pass_time(self) -> None:
        """Divide the time since the last call among the runs that are going on."""
        now = time.monotonic()
        for run in self._going:
            self._total[run] += (now - self._last) / len(self._going)
        self._last = now

    def _seconds(self, run: int) -> tuple[float, float]:
        self._pass_time()
        total = self._total.get(run, 0.0)
        build, referee = self._build.get(run, total), self.referees[run]
        before = referee.seconds_before
        return build + before[0], total + before[1]
