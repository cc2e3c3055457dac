"""What a trajectory was asked about, for figures of tasks that ask a fixed set all along."""

from __future__ import annotations

from codonbench.contracts import EvaluationSet, TaskSpec, Trajectory
from codonbench.errors import UsageError


def serves(trajectory: Trajectory) -> bool:
    """Return whether a trajectory is one of classes of a fixed set, with what its stream showed."""
    task = trajectory.task
    is_asked = task.evaluation is not None and task.target.kind == "classes"
    return is_asked and {"first_seen", "frame_pairs", "frame_inputs"} <= trajectory.arrays.keys()


def asked(task: TaskSpec) -> EvaluationSet:
    """Return the items that are asked all along.

    Raises:
        UsageError: The task has none.
    """
    if task.evaluation is None:
        raise UsageError(f"task {task.name!r} asks no fixed set of inputs, so there is no figure")
    return task.evaluation


def all_seen(trajectory: Trajectory) -> int | None:
    """Return the pairs after which a stream has shown every input; None where it never does."""
    first_seen = trajectory.arrays["first_seen"]
    if not trajectory.task.input.enumerable or not first_seen.all():
        return None
    return int(first_seen.max())
