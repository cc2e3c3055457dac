"""Checks of metrics: each must be a pure function of a trajectory.

A metric is tried on runs of every kind (finished, never right, stopped early, diverged, empty) on
the default task and on toy tasks of each kind of target, if it serves them. Outputs are simulated;
the protocol decides when they are evaluated and what else is in the trajectory.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import numpy.typing as npt

from codonbench.contracts import (
    Dataset,
    EvaluationSet,
    Input,
    Metric,
    MetricName,
    Output,
    Outputs,
    Sequences,
    Target,
    Targets,
    TaskSpec,
    Trajectory,
)
from codonbench.contracts.run_record import hash_trajectory
from codonbench.contracts.task import TargetKind
from codonbench.errors import PluginError, UnknownNameError
from codonbench.plugins import entries
from codonbench.plugins.failures import file_of, last_line, place
from codonbench.protocols.referee import Referee, unwatched
from codonbench.protocols.supervised import Supervised
from codonbench.scoring.score import Scores, score
from codonbench.testing.checks import (
    Checks,
    Verdict,
    examine,
    failed,
    misfit,
    passed,
    raise_failures,
    warning,
)
from codonbench.testing.environment import generators, moved, one_at_a_time
from codonbench.testing.subject import dataset_of, find_task, installed, make_setup

_BATCH = 64
_HALF_WAY = 12  # snapshots


@cache
def toys() -> tuple[Dataset, ...]:
    """Return data for checks: toy data without optional parts, then those of the default task."""
    default = dataset_of(find_task(None))
    supervised = (_supervised(kind) for kind in ("classes", "labels", "quantities"))
    return (_enumerable(default.spec.protocol), *supervised, default)


def _enumerable(protocol: str) -> Dataset:
    """Return data with all words of two letters, in three classes."""
    evaluation = EvaluationSet(inputs=("aa", "ab", "ba", "bb"), targets=(0, 1, 2, 2))
    spec = TaskSpec(
        name="toy",
        version="1",
        title="Four words, three classes",
        input=Input.of_length(2, unit="word", symbol="letter", alphabet="ab", enumerable=True),
        target=Target(names=("x", "y", "z")),
        protocol=protocol,
        evaluation=evaluation,
        train_size=640,
        test_size=64,
    )
    items = Sequences.of(evaluation.inputs, "ab")
    splits = {"train": np.arange(640) % 4, "test": np.arange(64) % 4}
    return _dataset(spec, items, np.array(evaluation.targets), splits, np.arange(4))


def _supervised(kind: TargetKind) -> Dataset:
    """Return data with ninety sequences and targets of a kind; one quantity is missing."""
    n, rng = 30, np.random.default_rng(0)
    spec = TaskSpec(
        name=f"toy-{kind}",
        version="1",
        title=f"Ninety sequences and their {kind}",
        input=Input.of_length(8),
        target=Target(kind=kind, names=("x", "y")),
        protocol=Supervised.name,
        train_size=n,
        validation_size=n,
        test_size=n,
    )
    targets: Targets = rng.integers(2, size=3 * n)
    if kind != "classes":
        targets = rng.integers(2, size=(3 * n, 2)).astype(np.float32)
    if kind == "quantities":
        targets = rng.normal(size=(3 * n, 2)).astype(np.float32)
        targets[-1, 0] = np.nan
    parts = np.split(np.arange(3 * n), 3)
    splits = dict(zip(("train", "validation", "test"), parts, strict=True))
    return _dataset(spec, Sequences.of_rows(rng.integers(4, size=(3 * n, 8))), targets, splits)


def _dataset(
    spec: TaskSpec,
    items: Sequences,
    targets: Targets,
    splits: dict[str, npt.NDArray[np.int64]],
    evaluation: npt.NDArray[np.int64] | None = None,
) -> Dataset:
    index = np.zeros(0, dtype=np.int64) if evaluation is None else evaluation
    return Dataset(spec, "toy", "0" * 64, True, items, targets, index, splits)


def trajectories_of(dataset: Dataset) -> dict[str, Trajectory]:
    """Return one trajectory of each kind by description, as copies that a metric may change."""
    return deepcopy(_trajectories_of(dataset))


@cache
def _trajectories_of(dataset: Dataset) -> dict[str, Trajectory]:
    return {
        "a run that learns": _run(dataset),
        "a run that never learns": _run(dataset, half_way=10**6),
        "a run stopped early": _run(dataset, last=5),
        "a run that diverges": _run(dataset, diverges=6),
        "a run right from pair 0": _run(dataset, half_way=-_HALF_WAY),
        "a run cut short before its first evaluation": _run(dataset, last=0),
    }


def _run(
    dataset: Dataset, *, half_way: int = _HALF_WAY, last: int = 10**9, diverges: int = 10**9
) -> Trajectory:
    """Return the trajectory of a run with simulated outputs.

    Args:
        dataset: The data.
        half_way: Snapshot at which the first item is right.
        last: Snapshots after which the run is interrupted.
        diverges: First snapshot with NaN outputs.
    """
    setup = make_setup(dataset, _BATCH, max(dataset.spec.train_size, 40 * _BATCH))
    referee = Referee(setup, unwatched)
    referee.begin()
    answer = referee.answer(0, None)
    handed = len(answer.index)
    for snapshot in itertools.count():
        if snapshot == last or answer.evaluation is None:
            return referee.trajectory()
        due = answer.evaluation
        while due.position > handed:
            handed += len(referee.answer(handed, None).index)
        targets = dataset.targets[setup.evaluated()[due.split]]
        outputs = _outputs(dataset.spec, targets, snapshot - half_way)
        if snapshot >= diverges:
            outputs[:] = np.nan
        if setup.labels is not None:
            outputs = setup.labels.hide_columns(outputs.astype(np.float64)).astype(np.float32)
        answer = referee.answer(due.position, outputs)
        handed += len(answer.index)
    raise AssertionError("counting ended")


def _outputs(task: TaskSpec, targets: Targets, progress: int) -> Outputs:
    """Return outputs (N, K) that favour the truth by `progress`, slightly more for later items."""
    leads = (max(progress, -50) + np.linspace(0, 3, len(targets))).astype(np.float32)
    if task.target.kind == "quantities":
        learned = 1 / (1 + np.exp(-leads[:, None]))
        return np.asarray(
            np.nan_to_num(targets.astype(np.float64)) * learned + leads[:, None] / 9,
            dtype=np.float32,
        )
    if task.target.kind == "labels":
        return np.asarray((2 * targets.astype(np.float32) - 1) * leads[:, None], dtype=np.float32)
    outputs = np.zeros((len(targets), len(task.target.names)), dtype=np.float32)
    outputs[np.arange(len(targets)), targets.astype(np.int64)] = leads
    return outputs


@dataclass
class MetricSubject:
    """A metric to check, and the data to check it on."""

    metric: Metric

    @cached_property
    def served(self) -> tuple[Dataset, ...]:
        """Data of the tasks that the metric serves."""
        return tuple(dataset for dataset in toys() if self.metric.serves(dataset.spec))

    @property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """The tasks that the metric serves."""
        return tuple(dataset.spec for dataset in self.served)

    def trajectories(self) -> Iterator[tuple[str, Trajectory]]:
        """Yield description and trajectory of each run on each task."""
        for dataset in self.served:
            for what, trajectory in trajectories_of(dataset).items():
                yield f"{what} on {dataset.spec.name!r}", trajectory

    def scores(self, trajectory: Trajectory) -> Scores:
        """Return the metric's values as validated by the harness."""
        return score(trajectory, [self.metric])


@one_at_a_time
def check_metric(metric: str | Metric) -> None:
    """Check a metric against the contract, on trajectories of every kind of run.

    Args:
        metric: A metric, or the name of an installed one.

    Raises:
        AssertionError: Checks failed; the message lists all.
        UnknownNameError: No metric has that name.
    """
    if isinstance(metric, str):
        metrics = installed().metrics
        if metric not in metrics:
            raise UnknownNameError(f"unknown metric {metric!r}; 'bench ls metrics' lists all")
        metric = metrics[metric].metric
    name = getattr(metric, "name", type(metric).__name__)
    file = file_of(type(metric))
    raise_failures(examine(METRIC_CHECKS, MetricSubject(metric), file), f"metric {name!r}")


METRIC_CHECKS = Checks[MetricSubject]()
"""The checks of metrics."""


@METRIC_CHECKS.hold("identity")
def has_valid_names(subject: MetricSubject) -> Verdict:
    """Name, version and summary are valid."""
    entries.check_metric(subject.metric)
    if not subject.metric.summary.strip():
        return failed("summary is missing; write one line for 'bench ls metrics'")
    return passed()


@METRIC_CHECKS.hold("outputs")
def declares_outputs(subject: MetricSubject) -> Verdict:
    """Each value has a name, a unit and a direction."""
    if not subject.tasks:
        return failed(
            "serves() is false for every kind of target; expected classes, labels or quantities"
        )
    for task in subject.tasks:
        outputs = subject.metric.outputs(task)
        if not outputs:
            return failed(f"outputs is empty on {task.name!r}; a metric gives at least one value")
        for name, output in outputs.items():
            if not isinstance(output, Output):
                given = type(output).__name__
                return failed(f"outputs[{name!r}] is {given}; expected an Output")
            wrong = misfit(MetricName, name, "name") or misfit(Output, output.model_dump())
            if wrong:
                return failed(f"outputs[{name!r}]: {wrong}")
            if not output.unit.strip():
                return failed(f"outputs[{name!r}] has no unit; give pairs, epochs, probability ...")
        if dict(subject.metric.outputs(task)) != dict(outputs):
            return failed(f"outputs differs from call to call on {task.name!r}")
    return passed()


@METRIC_CHECKS.hold("values", "outputs")
def answers(subject: MetricSubject) -> Verdict:
    """Every kind of run gets valid values."""
    for what, trajectory in subject.trajectories():
        try:
            subject.scores(trajectory)
        except PluginError as error:
            cause = error.__cause__
            where = (
                "" if cause is None else place(cause.__traceback__, file_of(type(subject.metric)))
            )
            message = str(error) if cause is None else f"it raised {last_line(cause)}"
            return failed(f"{what}: {message}{where}; protocols= says which runs it reads")
    return passed()


@METRIC_CHECKS.hold("pure", "values")
def is_pure(subject: MetricSubject) -> Verdict:
    """The trajectory is not changed."""
    for what, trajectory in subject.trajectories():
        if not len(trajectory.pairs):
            continue
        before = hash_trajectory(trajectory)
        subject.scores(trajectory)
        if hash_trajectory(trajectory) != before:
            return failed(
                f"{what}: it changed the trajectory, which all metrics share; work on a copy"
            )
    return passed()


@METRIC_CHECKS.hold("steady", "pure")
def is_steady(subject: MetricSubject) -> Verdict:
    """Equal trajectories give equal values."""
    for what, trajectory in subject.trajectories():
        before = generators()
        first = subject.scores(trajectory)
        if name := moved(before):
            return failed(f"{what}: it draws random numbers from {name}; a metric may not")
        if subject.scores(trajectory) != first:
            return failed(f"{what}: it gives other values the second time; keep nothing between")
        fresh = Trajectory(
            **{name: getattr(trajectory, name) for name in Trajectory.__dataclass_fields__}
        )
        if subject.scores(fresh) != first:
            return failed(f"{what}: it gives other values for an equal trajectory")
    return passed()


@METRIC_CHECKS.hold("telling", "steady")
def tells_runs_apart(subject: MetricSubject) -> Verdict:
    """Different runs get different values."""
    values = [
        subject.scores(trajectory).values
        for trajectory in trajectories_of(subject.served[-1]).values()
        if trajectory.facts.complete and np.isfinite(trajectory.outputs).all()
    ]
    if all(value == values[0] for value in values):
        return warning(
            f"it gives {values[0]} for a run that learns, one that never does and one that is "
            f"right from the start, on {subject.tasks[-1].name!r}"
        )
    return passed()
