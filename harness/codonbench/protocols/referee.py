"""Protocols, and the referee that applies a protocol to one run.

A protocol defines what is evaluated and when, which state is selected, and when a run ends. The
referee has all targets and keeps the time; it hands out training pairs and receives outputs. It is
in the parent process, or in the same process if there are no workers. Its counterpart in training
is `training.loop.Feed`.
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

if TYPE_CHECKING:  # its imports are slow, and listing protocols does not need them
    from codonbench.records.unfinished import Checkpoints, Progress

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Primary:
    """The metric by which a task's rows are ranked, for metrics that score a single split.

    Attributes:
        metric: The metric.
        name: Name of the value.
        lower: Whether lower is better.
    """

    metric: SplitMetric
    name: str
    lower: bool

    def of(self, targets: Targets, outputs: Outputs, task: TaskSpec) -> float:
        """Return the value for one split; NaN if it is undefined or fails."""
        try:
            value = self.metric.score(targets, outputs, task)[self.name]
        except Exception:  # reported when the run is scored
            return math.nan
        return float(value) if isinstance(value, bool | int | float) else math.nan

    def get_ready(self, task: TaskSpec, targets: Targets) -> None:
        """Compute the metric once, so that slow imports happen before training."""
        few = targets[:16]
        self.of(few, np.zeros((len(few), len(task.target.names)), np.float32), task)


class RunSetup:
    """The fixed properties of one run.

    Args:
        run_spec: Spec of the run.
        dataset: The data.
        protocol: The protocol.
        batch_size: Pairs in a full batch; None if all pairs are learned at once, in one pass.
        primary: Metric for progress; None for none.

    Attributes:
        at_once: Whether all pairs are learned at once.
        dataset: The data, with this run's targets if it is a control.
        clock: Positions at which batches end.
        stream: The seed's split and its pairs.
        labels: The seed's permutation of class ids; None if ids are not permuted.
        hidden: Targets as the model sees them, shape (N, ...).
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
        """Positions at which batches end; draws the split."""
        budget = self.run_spec.budget_pairs
        if self._batch_size is None:
            budget = min(budget, self.epoch_pairs)
        return BatchClock(self._batch_size or max(budget, 1), self.epoch_pairs, budget)

    @property
    def epoch_pairs(self) -> int:
        """Pairs in one epoch."""
        if self.dataset.spec.evaluation is not None:  # no need to draw the split
            return self.dataset.spec.train_size
        return self.stream.epoch_pairs

    def evaluated(self) -> dict[str, IntArray]:
        """Return the items of each split that can be evaluated, by its name."""
        if self.dataset.spec.evaluation is not None:
            return {"evaluation": self.dataset.evaluation}
        split = self.stream.split
        return {"validation": split.validation, "test": split.test}

    @property
    def class_weights(self) -> npt.NDArray[np.float64] | None:
        """Loss weight of each class id as the model sees it, shape (C,), if its config asks for it.

        None by default, because distinct weights reveal the classes behind permuted ids.
        """
        weighting = self.run_spec.config.get("class_weights", "none")
        if weighting == "balanced":
            return self._balanced()
        weights = self.dataset.spec.target.class_weights
        if weights is None or weighting == "none":
            return None
        values = np.asarray(weights, dtype=np.float64)
        return values if self.labels is None else self.labels.hide_columns(values)

    def _balanced(self) -> npt.NDArray[np.float64]:
        """Return n / (C n_c) for n training items, n_c of them in class c; 0 if n_c is 0.

        As scikit-learn's ``class_weight="balanced"``.
        """
        n_classes = len(self.dataset.spec.target.names)
        classes = self.dataset.targets[self.stream.split.train].astype(np.int64)
        counts = np.bincount(classes, minlength=n_classes)
        return np.where(counts, len(classes) / (n_classes * np.maximum(counts, 1)), 0.0)

    def revealed(self, outputs: Outputs) -> Outputs:
        """Return outputs (..., K) with columns in true class order."""
        return outputs if self.labels is None else self.labels.reveal_columns(outputs)


@dataclass(frozen=True)
class Evaluation:
    """A request for a run's outputs.

    Attributes:
        position: Pairs presented before it.
        split: Items to evaluate: ``evaluation``, ``validation`` or ``test``.
        of_selected: Whether to restore and evaluate the selected state.
    """

    position: int
    split: str
    of_selected: bool = False


class Schedule(ABC):
    """Decides a run's evaluations, each after the result of the previous one.

    Attributes:
        keep: Whether the state evaluated last is the selected one.
        selected: Position of the selected state; None for none.
        finite: Whether all outputs were finite.
        out_of_time: Whether the budget in seconds is spent.
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
        """Return the next evaluation; None if the run is over.

        Args:
            evaluation: The evaluation that is done.
            outputs: Its outputs, shape (N, K), with columns as the model sees them. Non-finite
                outputs end the run.
        """

    @abstractmethod
    def progress(self) -> str:
        """Return the result so far in a few words, for the progress line."""

    def arrays(self) -> Mapping[str, IntArray]:
        """Return further arrays for the trajectory."""
        return {}

    def facts(self) -> dict[str, JsonValue]:
        """Return the value of `TrajectoryFacts.protocol`."""
        return {}


class Protocol(ABC):
    """A protocol plugin.

    Class attributes:
        name: Name of the protocol, as in `TaskSpec.protocol`.
        summary: Description in one line.
        stop_rules: Names of rules that may end a run before its budget, the default first;
            ``budget`` never does.
        split: Split that is evaluated during training.
        tells_targets: True if training targets are given at the start; otherwise each is given when
            its pair is presented, and class ids are permuted by salt and seed.
        passes: Fixed number of passes over the training items: 0 if a model is evaluated as built;
            None if the budget decides.
        timed: Whether a budget may be in seconds. The evaluation after `out_of_time` may then be at
            the end of any batch.
        controls: Controls of `codonbench.protocols.controls` that runs may have.
        Options: Model of the options, set by ``--protocol-set field=value``.
        joins: Whether the test outputs of all parts of a seed's run make one record.
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
        """Return options completed with values that depend on the data, for the run spec.

        Raises:
            UsageError: The options do not fit the data.
        """
        return options

    def parts(self, run_spec: RunSpec, dataset: Dataset) -> Sequence[RunSpec]:
        """Return the run specs of a seed's parts; by default the spec itself."""
        return (run_spec,)

    def narrowed(self, dataset: Dataset, run_spec: RunSpec, whole: Split) -> Split:
        """Return the part of the seed's split that one run uses; by default all of it."""
        return whole

    def epoch_pairs(self, options: Any, dataset: Dataset) -> int:
        """Return the pairs in an epoch, for budgets in epochs."""
        return dataset.spec.train_size

    def constant(self, setup: RunSetup) -> Sequence[Evaluation]:
        """Return the evaluations to record for outputs that never change."""
        return (Evaluation(setup.clock.budget_pairs, self.split),)


OnSnapshot = Callable[[int, Callable[[], str]], None]
"""Called with the pairs presented so far and a function that returns progress as text; this
computes a metric, so call it only to show the text."""

Watch = Callable[[RunSpec], OnSnapshot]
"""Called when a run begins; returns the function to call after its evaluations."""

BEYOND = 1
"""Batches handed out beyond the next evaluation, because a training step computes the outputs of
the state before it."""

_AT_ONCE = 128  # batches handed out at once, at most
_AT_FIRST = 8  # at most at the start, when the time of a batch is unknown
_NEWS = 1.0  # seconds after which a run should report again


def share_spent(run_spec: RunSpec, pairs: int) -> float:
    """Return the share of a run's budget in `pairs`; 0 for budgets in seconds alone."""
    counted = 0 < run_spec.budget_pairs < MOST_PAIRS
    return min(pairs / run_spec.budget_pairs, 1.0) if counted else 0.0


def unwatched(run_spec: RunSpec) -> OnSnapshot:
    """Ignore a run's evaluations."""
    return lambda pairs, progress: None


@dataclass(frozen=True)
class RunOutputs:
    """A run's request for instructions.

    Attributes:
        run: Number of the run in its `RefereeGroup`.
        position: Pairs presented so far.
        outputs: Outputs of the evaluation due here, (N, K); None if only pairs are requested.
    """

    run: int
    position: int
    outputs: Outputs | None


@dataclass(frozen=True)
class Instructions:
    """How a run continues.

    Attributes:
        evaluation: The next evaluation due; None if the run is over.
        keep: Whether to keep the state just evaluated, as the one selected so far.
        index: Items of the next pairs, shape (n,).
        targets: Their targets, unless given at the start; then empty.
    """

    evaluation: Evaluation | None
    keep: bool
    index: IntArray
    targets: Targets


class Referee:
    """Applies the protocol to one run.

    Args:
        setup: Setup of the run.
        watch: Called when the run begins.
        kept: Progress of the run before it was interrupted; None for a new run.

    Attributes:
        setup, kept: As given.
        schedule: Decides the evaluations.
        position: Pairs presented at the last evaluation.
        over: Whether the run is complete.
        resumed: Positions at which the run was resumed; 0 for a restart.
        pairs, outputs: Positions and outputs of evaluations during training.
        test_outputs: Outputs of the test items; None before the test.
    """

    def __init__(self, setup: RunSetup, watch: Watch, kept: Progress | None = None) -> None:
        self.setup = setup
        self.kept = kept
        self._watch = watch
        self.began = self.requested = self.over = self._watcher_due = False
        self.resumed: tuple[int, ...] = ()
        self.position = 0
        self.pairs: list[int] = []
        self.outputs: list[Outputs] = []
        self.test_outputs: Outputs | None = None
        self._due: Evaluation | None = None
        self._handed = 0
        self._at_once = _AT_FIRST if setup.protocol.tells_targets else _AT_ONCE
        self._last, self._last_time = 0, 0.0
        self._ends = math.inf

    @cached_property
    def schedule(self) -> Schedule:
        """The protocol's schedule; made when first needed, because the stream takes a moment."""
        return self.setup.protocol.schedule(self.setup)

    @cached_property
    def evaluated(self) -> dict[str, IntArray]:
        """The items of each split that can be evaluated."""
        return self.setup.evaluated()

    @property
    def most_shown(self) -> int:
        """Bytes of the largest outputs that can be due."""
        n_outputs = len(self.setup.dataset.spec.target.names)
        return 4 * n_outputs * max(map(len, self.evaluated.values()), default=0)

    def begin(self) -> None:
        """Note that the run begins, possibly again on another engine before any request.

        Raises:
            OutOfTurnError: The run has made a request.
        """
        if self.requested:
            raise OutOfTurnError("begins twice")
        self.began = True
        self._on_snapshot = self._watch(self.setup.run_spec)

    def answer(self, position: int, outputs: Outputs | None) -> Instructions:
        """Return the run's instructions, and call its watcher."""
        instructions = self.instruct(position, outputs)
        self.notify()
        return instructions

    def instruct(self, position: int, outputs: Outputs | None) -> Instructions:
        """Return instructions from `position` on, given the outputs if an evaluation is due there.

        Raises:
            OutOfTurnError: The run cannot be at this position, or outputs are missing or not due.
        """
        if not self.began or self.over:
            raise OutOfTurnError("makes a request before its beginning or after its end")
        now = time.monotonic()
        if not self.requested:
            self.requested = True
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
        self._watcher_due = position > 0 or outputs is not None
        self._last, self._last_time = position, time.monotonic()
        return self._hand_out(keep)

    def notify(self) -> None:
        """Call the run's watcher; a separate step, so that training need not wait for it."""
        if self._watcher_due:
            self._watcher_due = False
            self._on_snapshot(self._last, self.schedule.progress)

    def _end_of_time(self, now: float) -> float:
        """Return the time at which the run's seconds are spent, on the clock of `now`."""
        seconds = self.setup.run_spec.budget_seconds
        if seconds is None:
            return math.inf
        build, total = self.seconds_before
        return now + seconds - (total - build)

    def _follow(self, position: int, now: float) -> None:
        """Adapt the number of batches handed out to the speed; evaluate here if time is up."""
        if self._due is not None and self.schedule.out_of_time:
            self._due = replace(self._due, position=position)
        elif position > self._last:
            batches = (position - self._last) / self.setup.clock.batch_size
            soon = min(_NEWS, self._ends - now) * batches / max(now - self._last_time, 1e-9)
            self._at_once = max(1, min(int(soon), _AT_ONCE))

    @property
    def seconds_before(self) -> tuple[float, float]:
        """Seconds of building and total seconds before the run was resumed."""
        return self.kept.seconds if self.kept and any(self.resumed[-1:]) else (0.0, 0.0)

    def _start_at(self, position: int) -> None:
        kept = self.kept
        if kept is not None:
            self.resumed = (*kept.resumed, position)
        if kept is not None and position == kept.position > 0:
            for pairs, outputs in zip(kept.pairs.tolist(), kept.outputs, strict=True):
                if self._due is None or self._due.position != pairs:
                    raise OutOfTurnError(f"resumes with an evaluation at {pairs}; none is due")
                self._take(outputs)
            self._on_snapshot(self.position, self.schedule.progress)
            self.position = self._handed = position
        elif position != 0:
            raise OutOfTurnError(f"begins at {position}")
        elif kept is not None and kept.position:  # the run has seen targets up to there
            raise OutOfTurnError(f"begins anew, though it was handed its state at {kept.position}")

    def _check(self, position: int, outputs: Outputs) -> None:
        due = self._due
        if due is None or position != due.position or outputs.shape != self.shape_due():
            raise OutOfTurnError(f"shows {outputs.shape} at {position}, where {due} is due")

    def shape_due(self) -> tuple[int, int]:
        """Return the shape of the outputs due next.

        Raises:
            OutOfTurnError: No outputs are due.
        """
        if self._due is None:
            raise OutOfTurnError("shows outputs where none are due")
        n_outputs = len(self.setup.dataset.spec.target.names)
        return len(self.evaluated[self._due.split]), n_outputs

    def _take(self, outputs: Outputs) -> None:
        """Record the outputs of an evaluation, and let the schedule decide the next."""
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
        """Record outputs (N, K), in true class order, that never changed during the run."""
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
        hidden = self.setup.hidden[: 0 if self.setup.protocol.tells_targets else None]
        return Instructions(self._due, keep, index, hidden[index] if len(hidden) else hidden)

    def may_be_at(self, position: int) -> bool:
        """Return whether the run can be at `position`: not past its pairs or a due evaluation."""
        past_due = self._due is not None and position > self._due.position
        return self.position <= position <= self._handed and not past_due

    @property
    def diverged(self) -> bool:
        """Whether the last outputs were not finite."""
        return bool(self.outputs) and not np.isfinite(self.outputs[-1]).all()

    def trajectory(self) -> Trajectory:
        """Return the run's trajectory, with columns in true class order."""
        setup, schedule = self.setup, self.schedule
        spec, clock, dataset = setup.dataset.spec, setup.clock, setup.dataset
        n_outputs = len(spec.target.names)
        items = self.evaluated[setup.protocol.split]
        outputs = np.zeros((0, len(items), n_outputs), dtype=np.float32)
        if self.outputs:
            outputs = setup.revealed(np.stack(self.outputs))
        tested = np.zeros((0, n_outputs), dtype=np.float32)
        test_items = self.evaluated.get("test", items[:0])
        arrays = dict(schedule.arrays())
        if self.test_outputs is not None:
            tested = setup.revealed(self.test_outputs)
            if dataset.groups is not None:
                arrays["test_groups"] = dataset.groups[test_items]
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
            test_targets=dataset.targets[test_items],
            arrays=arrays,
        )


class RefereeGroup:
    """Referees of the runs that are trained together; keeps the time of each.

    Args:
        setups: Setups of the runs.
        watch: Called when a run begins.
        checkpoints: Store of their progress; None to store none.

    Attributes:
        referees: The referee of each run.
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
        """Note that a run begins, or restarts."""
        self.referees[run].begin()
        self._pass_time()
        self._going.add(run)
        self._total[run] = 0.0
        self._build.pop(run, None)

    def answer(self, shown: Sequence[RunOutputs]) -> list[Instructions]:
        """Return the instructions of some runs, and call their watchers."""
        instructions = self.instruct(shown)
        self.notify(shown)
        return instructions

    def notify(self, shown: Sequence[RunOutputs]) -> None:
        """Call the watchers of some runs."""
        for each in shown:
            self.referees[each.run].notify()

    def instruct(self, shown: Sequence[RunOutputs]) -> list[Instructions]:
        """Return the instructions of some runs.

        Raises:
            OutOfTurnError: As for `Referee.instruct`.
        """
        new = [s.run for s in shown if s.run not in self._build and s.run in self._going]
        if new:  # the time of building is shared equally
            self._pass_time()
            spent = sum(self._total[run] for run in new) / len(new)
            for run in new:
                self._total[run] = self._build[run] = spent
        return [self.referees[s.run].instruct(s.position, s.outputs) for s in shown]

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Store a checkpoint of a run, written by `write`; position 0 restarts the run.

        Raises:
            OutOfTurnError: The run cannot be at this position.
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
        """Delete the checkpoint of a run that is to be trained anew."""
        if self._checkpoints is not None:
            self._checkpoints.drop(self.referees[run].setup.run_spec)

    def end(self, run: int) -> tuple[float, float]:
        """Note that a run is over; return its seconds, including those before it was resumed.

        Returns:
            Seconds of building, and total seconds.
        """
        seconds = self._seconds(run)
        self._going.discard(run)
        return seconds

    def _pass_time(self) -> None:
        """Divide the time since the last call among active runs."""
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
