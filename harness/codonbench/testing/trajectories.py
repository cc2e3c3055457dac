"""Runs as metrics may meet them: finished, never right, stopped early, diverged, empty."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import (
    EvaluationSet,
    Input,
    Target,
    TaskSpec,
    Trajectory,
    TrajectoryFacts,
)

TOY = TaskSpec(
    name="toy",
    version="1",
    title="Toy code: four words, three classes",
    input=Input.of_length(2, unit="word", symbol="letter", alphabet="ab", enumerable=True),
    target=Target(names=("x", "y", "stop")),
    protocol="decipher",
    evaluation=EvaluationSet(
        inputs=("aa", "ab", "ba", "bb"), targets=(0, 1, 2, 2), groups={"stop": (2, 3)}
    ),
    train_size=640,
    test_size=64,
)

_BATCH = 64
_PROBES = 24


def trajectories_of(task: TaskSpec) -> dict[str, Trajectory]:
    """Return one trajectory of each kind, by what happened in the run."""
    learned, never = _margins(task, 12), _margins(task, 10**6)
    diverged = learned.copy()
    diverged[6:] = np.nan
    return {
        "a run that learns": _trajectory(task, _logits(task, learned)),
        "a run that never learns": _trajectory(task, _logits(task, never)),
        "a run stopped early": _trajectory(task, _logits(task, learned[:5]), complete=False),
        "a run that diverges": _trajectory(task, _logits(task, diverged)),
        "a run right from pair 0": _trajectory(task, _logits(task, np.abs(learned) + 9)),
        "a run cut short before its first probe": _trajectory(
            task, _logits(task, learned[:0]), complete=False
        ),
    }


def _margins(task: TaskSpec, half_way: int) -> npt.NDArray[np.float32]:
    """Return by how much the true class leads, (T, P): rising, through zero at `half_way`."""
    rise = np.arange(_PROBES, dtype=np.float32)[:, None] - min(half_way, 2 * _PROBES)
    return rise + np.linspace(0, 3, len(task.evaluation_set.inputs)).astype(np.float32)


def _logits(task: TaskSpec, margins: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return logits (T, P, C) whose true class leads every rival by these margins."""
    logits = np.zeros((*margins.shape, len(task.target.names)), dtype=np.float32)
    logits[:, np.arange(margins.shape[1]), list(task.evaluation_set.targets)] = margins
    return logits


def _trajectory(
    task: TaskSpec, logits: npt.NDArray[np.float32], *, complete: bool = True
) -> Trajectory:
    """Return the trajectory of a run probed at every batch, its frames where the task has them."""
    pairs = np.arange(len(logits), dtype=np.int64) * _BATCH
    end = int(pairs[-1]) if len(pairs) else 0
    frames = pairs[1::8] if task.facts.get("instrument_batches") else pairs[:0]
    n_items = len(task.evaluation_set.inputs)
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
        outputs=logits,
        targets=np.asarray(task.evaluation_set.targets, dtype=np.int64),
        arrays={
            "first_seen": np.arange(1, n_items + 1, dtype=np.int64),
            "test_counts": np.ones(n_items, dtype=np.int64),
            "frame_pairs": frames,
            "frame_inputs": np.tile(np.arange(_BATCH, dtype=np.int64) % n_items, (len(frames), 1)),
        },
    )
