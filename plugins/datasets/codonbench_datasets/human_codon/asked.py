"""What a trajectory was asked and what it answered, where a fixed set is asked all along."""

from __future__ import annotations

import numpy as np

from codonbench.contracts import EvaluationSet, TaskSpec, Trajectory
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray
from codonbench.errors import UsageError

SATURATES = 0.056
"""The p at which the scale of colour of the paper's heat map is at its end; see docs/scores.md."""


MOST_INPUTS = 256
"""Of which each can have a row or a mark of its own in a table or picture that can be read."""


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
        raise UsageError(
            f"task {task.name!r} asks no fixed set of inputs, so there is no figure of this kind; "
            "'bench plot RUN --kind curves' draws learning curves"
        )
    return task.evaluation


def each_shown(task: TaskSpec, what: str) -> EvaluationSet:
    """Return the items that are asked all along, where each has room in a picture.

    Args:
        task: The task.
        what: The picture, for the message: ``heat map``.

    Raises:
        UsageError: There are too many, or the task has none.
    """
    found = asked(task)
    if len(found.inputs) > MOST_INPUTS:
        raise UsageError(
            f"task {task.name!r} has no {what}: it asks about {len(found.inputs):,} inputs, and at "
            f"most {MOST_INPUTS} have room in one; the curves show all of them together"
        )
    return found


def all_seen(trajectory: Trajectory) -> int | None:
    """Return the pairs after which a stream has shown every input; None where it never does."""
    first_seen = trajectory.arrays["first_seen"]
    if not trajectory.task.input.enumerable or not first_seen.all():
        return None
    return int(first_seen.max())


def probabilities(trajectory: Trajectory) -> FloatArray:
    """Return p(class | input) at every evaluation, (T, P, C); 0 once one is not finite."""
    p = trajectory.probabilities(slice(None))
    p[~trajectory.finite] = 0.0
    return p


def true_probabilities(trajectory: Trajectory) -> FloatArray:
    """Return p(true class | input) at every evaluation, shape (T, P)."""
    inputs, p = np.arange(len(trajectory.targets)), np.zeros(trajectory.right.shape)
    for t in np.flatnonzero(trajectory.finite):  # not all at once: they can be large
        p[t] = trajectory.probabilities(slice(t, t + 1))[0, inputs, trajectory.targets]
    return p


def settled_pairs(trajectory: Trajectory) -> FloatArray:
    """Return for each input the pairs from which it is right at every later evaluation, shape (P,).

    An input that is wrong, right, wrong, right, right at 0, 64, 128, 192 and 256 pairs has
    settled at 192. Infinity where it is wrong at the last evaluation.
    """
    wrong = ~trajectory.right
    n_probes = len(trajectory.pairs)
    last_wrong = np.where(wrong.any(axis=0), n_probes - 1 - wrong[::-1].argmax(axis=0), -1)
    settled = np.append(trajectory.pairs.astype(np.float64), np.inf)
    return np.asarray(settled[last_wrong + 1])


def frames(trajectory: Trajectory) -> tuple[IntArray, BoolArray]:
    """Return the evaluation of each frame of the paper's instrument, and which inputs it redrew.

    Three times an epoch its heat map redraws the columns of those codons that happen to be in one
    batch of 64; see doi 10.3389/frai.2023.1128153. A frame without its own evaluation is left out.

    Returns:
        Indices of evaluations, rising, shape (F,), and shape (F, P).
    """
    pairs = trajectory.arrays["frame_pairs"]
    there = np.isin(pairs, trajectory.pairs)
    inputs = np.arange(len(trajectory.targets))
    redrawn = (trajectory.arrays["frame_inputs"][there][:, :, None] == inputs).any(axis=1)
    probes = np.searchsorted(trajectory.pairs, pairs[there]).astype(np.int64)
    return probes, redrawn.reshape(-1, len(inputs))
