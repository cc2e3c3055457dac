"""Is a metric what the contract asks: a pure function of a trajectory?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import (
    Metric,
    MetricName,
    Output,
    SplitMetric,
    TaskSpec,
    Trajectory,
    Version,
)
from codonbench.contracts.run_record import hash_trajectory
from codonbench.errors import PluginError, UnknownNameError
from codonbench.plugins.failures import file_of, place
from codonbench.scoring.score import Scores, score
from codonbench.testing.checklist import Check, examine, last_line
from codonbench.testing.findings import Verdict, failed, insist, passed, warning
from codonbench.testing.models import find_task
from codonbench.testing.subject import dataset_of, installed
from codonbench.testing.surroundings import generators
from codonbench.testing.trajectories import SPLIT_TOYS, TOY, trajectories_of


@dataclass
class Yardstick:
    """A metric to be checked, and what to check it on."""

    metric: Metric

    @cached_property
    def tasks(self) -> tuple[TaskSpec, ...]:
        """A toy, which lacks whatever a task may lack, and the default task.

        Of scores of a split: a toy for each kind of target they serve.
        """
        if isinstance(self.metric, SplitMetric):
            return tuple(toy for toy in SPLIT_TOYS if self.metric.serves(toy))
        return TOY, dataset_of(find_task(None)).spec

    def trajectories(self) -> Iterator[tuple[str, Trajectory]]:
        """Yield what happened and the trajectory, for each task."""
        for task in self.tasks:
            for what, trajectory in trajectories_of(task).items():
                yield f"{what} on {task.name!r}", trajectory

    def scores(self, trajectory: Trajectory) -> Scores:
        """Return the metric's values as the harness takes them."""
        return score(trajectory, [self.metric])


def check_metric(metric: str | Metric) -> None:
    """Hold a metric to the contract, on trajectories of every kind of run.

    Args:
        metric: A metric, or the name of an installed one.

    Raises:
        AssertionError: Lists every check that failed, in words.
        UnknownNameError: No metric has that name.
    """
    if isinstance(metric, str):
        metrics = installed().metrics
        if metric not in metrics:
            raise UnknownNameError(f"unknown metric {metric!r}; 'bench ls metrics' lists all")
        metric = metrics[metric].metric
    name = getattr(metric, "name", type(metric).__name__)
    file = file_of(type(metric))
    insist(examine(METRIC_CHECKS, Yardstick(metric), file), f"metric {name!r}")


def has_valid_names(subject: Yardstick) -> Verdict:
    """Hold name, version and summary."""
    metric = subject.metric
    for field, kind in (("name", MetricName), ("version", Version)):
        value = getattr(metric, field, None)
        try:
            TypeAdapter(kind).validate_python(value)
        except ValidationError:
            return failed(
                f"{field} is {value!r}; expected letters, digits and underscores for a name such "
                "as 'half_right', and a version such as '1' or '1.2.0'"
            )
    if not str(getattr(metric, "summary", "")).strip():
        return failed("summary is missing; write one line for 'bench ls metrics'")
    return passed()


def declares_outputs(subject: Yardstick) -> Verdict:
    """Hold that each value is declared under a valid name with unit, direction and summary."""
    if not subject.tasks:
        return failed("it serves no kind of target; expected serves_targets = {'classes'}, ...")
    for task in subject.tasks:
        outputs = subject.metric.outputs(task)
        if not outputs:
            return failed(f"outputs is empty on {task.name!r}; a metric gives at least one value")
        for name, output in outputs.items():
            if not isinstance(output, Output):
                given = type(output).__name__
                return failed(f"outputs[{name!r}] is {given}; expected an Output")
            try:
                TypeAdapter(MetricName).validate_python(name)
                Output.model_validate(output.model_dump())
            except ValidationError as error:
                return failed(f"outputs[{name!r}]: {error.errors()[0]['msg']}")
            if not output.unit.strip():
                return failed(f"outputs[{name!r}] has no unit; say pairs, epochs, probability ...")
        if dict(subject.metric.outputs(task)) != dict(outputs):
            return failed(f"outputs differs from call to call on {task.name!r}")
    return passed()


def answers(subject: Yardstick) -> Verdict:
    """Hold that every kind of run is answered, with the declared names and with numbers."""
    for what, trajectory in subject.trajectories():
        try:
            subject.scores(trajectory)
        except PluginError as error:
            cause = error.__cause__
            where = (
                "" if cause is None else place(cause.__traceback__, file_of(type(subject.metric)))
            )
            said = str(error) if cause is None else f"it raised {last_line(cause)}"
            return failed(f"{what}: {said}{where}")
    return passed()


def is_pure(subject: Yardstick) -> Verdict:
    """Hold that no trajectory is changed by being scored."""
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


def is_steady(subject: Yardstick) -> Verdict:
    """Hold that one trajectory gives one answer, without chance."""
    for what, trajectory in subject.trajectories():
        before = generators()
        first = subject.scores(trajectory)
        after = generators()
        for name in before:
            if before[name] != after[name]:
                return failed(f"{what}: it draws random numbers from {name}; a metric may not")
        if subject.scores(trajectory) != first:
            return failed(f"{what}: it gives other values the second time; keep nothing between")
        fresh = Trajectory(
            **{name: getattr(trajectory, name) for name in Trajectory.__dataclass_fields__}
        )
        if subject.scores(fresh) != first:
            return failed(f"{what}: it gives other values for an equal trajectory")
    return passed()


def tells_runs_apart(subject: Yardstick) -> Verdict:
    """Look whether the metric says the same of every finished run."""
    task = subject.tasks[-1]
    values = [
        subject.scores(trajectory).values
        for trajectory in trajectories_of(task).values()
        if trajectory.facts.complete and np.isfinite(trajectory.outputs).all()
    ]
    if all(value == values[0] for value in values):
        return warning(
            f"it says {values[0]} of a run that learns, of one that never does and of one that was "
            f"right from the start, on {task.name!r}"
        )
    return passed()


METRIC_CHECKS: tuple[Check[Yardstick], ...] = (
    Check("identity", "name, version and summary are valid", has_valid_names),
    Check("outputs", "each value has a name, a unit and a direction", declares_outputs),
    Check("values", "every kind of run is answered in numbers", answers, ("outputs",)),
    Check("pure", "the trajectory is left as it is", is_pure, ("values",)),
    Check("steady", "one trajectory gives one answer", is_steady, ("values", "pure")),
    Check("telling", "different runs get different values", tells_runs_apart, ("steady",)),
)
"""What every metric must pass."""
