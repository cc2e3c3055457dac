"""Runs as metrics may meet them: finished, never right, stopped early, diverged, empty."""

from __future__ import annotations

from typing import get_args

import numpy as np
import numpy.typing as npt

from codonbench.contracts import (
    EvaluationSet,
    Input,
    Outputs,
    Target,
    Targets,
    TaskSpec,
    Trajectory,
    TrajectoryFacts,
)
from codonbench.contracts.task import TargetKind

TOY = TaskSpec(
    name="toy",
    version="1",
    title="Toy code: four words, three classes",
    input=Input.of_length(2, unit="word", symbol="letter", alphabet="ab", enumerable=True),
    target=Target(names=("x", "y", "stop")),
    protocol="toy",
    evaluation=EvaluationSet(
        inputs=("aa", "ab", "ba", "bb"), targets=(0, 1, 2, 2), groups={"stop": (2, 3)}
    ),
    train_size=640,
    test_size=64,
)

SPLIT_TOYS = tuple(
    TaskSpec(
        name=f"toy-{kind}",
        version="1",
        title=f"Toy with a test split: three {kind}",
        input=Input.of_length(2, unit="word", symbol="letter", alphabet="ab"),
        target=Target(kind=kind, names=("x", "y", "z")),
        protocol="supervised",
        train_size=640,
        validation_size=8,
        test_size=8,
    )
    for kind in get_args(TargetKind)
)
"""One for each kind of target."""

_BATCH = 64
_PROBES = 24


def trajectories_of(task: TaskSpec) -> dict[str, Trajectory]:
    """Return one trajectory of each kind, by what happened in the run."""
    learned, never = _margins(task, 12), _margins(task, 10**6)
    diverged = learned.copy()
    diverged[6:] = np.nan
    return {
        "a run that learns": _trajectory(task, _outputs(task, learned)),
        "a run that never learns": _trajectory(task, _outputs(task, never)),
        "a run stopped early": _trajectory(task, _outputs(task, learned[:5]), complete=False),
        "a run that diverges": _trajectory(task, _outputs(task, diverged)),
        "a run right from pair 0": _trajectory(task, _outputs(task, np.abs(learned) + 9)),
        "a run cut short before its first probe": _trajectory(
            task, _outputs(task, learned[:0]), complete=False
        ),
    }


def _targets(task: TaskSpec) -> Targets:
    """Return what is right for the items looked at: class ids (N,), or (N, K)."""
    if task.evaluation is not None:
        return np.asarray(task.evaluation.targets, dtype=np.int64)
    items, names = np.arange(8), len(task.target.names)
    if task.target.kind == "classes":
        return items % names
    there = (items[:, None] + np.arange(names)) % 3
    return (there if task.target.kind == "quantities" else there == 0).astype(np.float32)


def _margins(task: TaskSpec, half_way: int) -> npt.NDArray[np.float32]:
    """Return by how much what is right leads, (T, N): rising, through zero at `half_way`."""
    rise = np.arange(_PROBES, dtype=np.float32)[:, None] - min(half_way, 2 * _PROBES)
    return rise + np.linspace(0, 3, len(_targets(task))).astype(np.float32)


def _outputs(task: TaskSpec, margins: npt.NDArray[np.float32]) -> Outputs:
    """Return outputs (T, N, K) in which what is right leads by these margins."""
    targets = _targets(task)
    if task.target.kind != "classes":
        centred = (targets - targets.mean()).astype(np.float32)
        return np.asarray(margins[..., None] * centred)
    logits = np.zeros((*margins.shape, len(task.target.names)), dtype=np.float32)
    logits[:, np.arange(margins.shape[1]), targets] = margins
    return logits


def _trajectory(task: TaskSpec, outputs: Outputs, *, complete: bool = True) -> Trajectory:
    """Return the trajectory of a run probed at every batch, its frames where the task has them."""
    pairs = np.arange(len(outputs), dtype=np.int64) * _BATCH
    end = int(pairs[-1]) if len(pairs) else 0
    frames = pairs[1::8] if task.facts.get("instrument_batches") else pairs[:0]
    targets = _targets(task)
    n_items, asked = len(targets), bool(task.test_size and task.evaluation is None and len(pairs))
    return Trajectory(
        task=task,
        facts=TrajectoryFacts(
            batch_size=_BATCH,
            epoch_pairs=task.train_size,
            budget_pairs=end if complete else (_PROBES - 1) * _BATCH,
            pairs=end,
            complete=complete,
            protocol={"window_pairs": 4 * _BATCH},
        ),
        pairs=pairs,
        outputs=outputs,
        targets=targets,
        test_outputs=outputs[-1] if asked else np.zeros((0, 0), dtype=np.float32),
        test_targets=targets if asked else targets[:0],
        arrays={
            "first_seen": np.arange(1, n_items + 1, dtype=np.int64),
            "test_counts": np.ones(n_items, dtype=np.int64),
            "frame_pairs": frames,
            "frame_inputs": np.tile(np.arange(_BATCH, dtype=np.int64) % n_items, (len(frames), 1)),
        },
    )
