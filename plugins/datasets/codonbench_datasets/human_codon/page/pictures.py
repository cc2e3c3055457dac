"""What a page needs to draw one row, and how a trajectory is reduced to that.

`trace_sha256` is the checksum of a trajectory: what committed rows call it, they go on calling it.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Frozen, TaskView, Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import FloatArray, IntArray, required_right
from codonbench.report.site.figures import RowContent
from codonbench.report.site.scripts import Packed, pack, shown
from codonbench_datasets.human_codon.asked import (
    all_seen,
    asked,
    frames,
    probabilities,
    settled_pairs,
    true_probabilities,
)

NEVER = 2**32 - 1
"""Stands for "not within this run" in arrays of pairs."""

MOST_POINTS = 2_000
"""Evaluations of a learning curve. Only a run that goes on relapsing has more."""

MOST_FRAMES = 800
"""Evaluations of a heat map, which is the larger part of a row's file."""

MOST_CELLS = 64 * 64
"""Inputs times classes of a heat map; a task with more has none."""


class Axes(Frozen):
    """What is asked, as axes of pictures.

    Attributes:
        unit: What one input is called: ``codon``.
        symbol: What one letter of it is called: ``nucleotide``.
        alphabet: Its letters in order: ``UCAG``.
        length: Letters in one input.
        inputs: The evaluation set, shape (P,).
        classes: Class names in true order, shape (C,).
        needed: How many inputs must be right for the task to count as deciphered.
        first_look: Pairs at the first frame of the reference's instrument; None where the task
            has no instrument.
    """

    unit: str
    symbol: str
    alphabet: str
    length: int
    inputs: tuple[str, ...]
    classes: tuple[str, ...]
    needed: int
    first_look: int | None

    def view(self, task: str) -> TaskView:
        """Return the task as its models see it."""
        return TaskView(
            task=task,
            unit=self.unit,
            symbol=self.symbol,
            alphabet=self.alphabet,
            min_length=self.length,
            max_length=self.length,
            n_inputs=len(self.inputs),
            n_outputs=len(self.classes),
        )


class OfOneRun(Frozen):
    """What was made from one run: its seed and id, and the checksum of its trajectory."""

    seed: int
    run_id: str
    trace_sha256: str


class SeedPicture(OfOneRun):
    """How one run learned.

    Probabilities are levels of 0..255, the square of which is p: ``p = (level / 255) ** 2``, so
    that small ones, which the paper's instrument shows at full colour, keep their grades.

    Attributes:
        complete: Whether the run spent its whole budget.
        all_seen: Pairs after which its stream has shown every input; None if it never does.
        probes: How many evaluations the trajectory has; `pairs` has all of them, or `MOST_POINTS`.
        stops: The stop codons, or whatever the task's group ``stop`` is, as input indices (S,).
        pairs: Pairs presented before each evaluation, shape (T,).
        right: Inputs right, shape (T,).
        stops_right: Those of them that are stops, shape (T,).
        lowest: The lowest p(true) of all inputs, a level, shape (T,).
        p_stop: p(true) of each stop, levels, shape (S, T).
        first_right: Pairs at which each input was first right, or `NEVER`, shape (P,).
        right_since: Pairs from which each input was right to the end, or `NEVER`, shape (P,).
    """

    complete: bool
    all_seen: int | None
    probes: int
    stops: tuple[int, ...]
    pairs: Packed
    right: Packed
    stops_right: Packed
    lowest: Packed
    p_stop: Packed
    first_right: Packed
    right_since: Packed


class HeatMap(OfOneRun):
    """The whole code at every evaluation of one run, and what the paper's instrument saw of it.

    Attributes:
        probes: How many evaluations the trajectory has; `pairs` has all of them, or `MOST_FRAMES`.
        labels: True class of each input in this run, shape (P,).
        pairs: Shape (T,).
        p: p(class | input) as levels, shape (P, C, T).
        right: 1 where an input is right, shape (P, T).
        looks: Index among `pairs` of each frame of the instrument, shape (F,).
        redrawn: 1 where that frame redrew an input, shape (P, F).
    """

    probes: int
    labels: tuple[int, ...]
    pairs: Packed
    p: Packed
    right: Packed
    looks: tuple[int, ...]
    redrawn: Packed


class EmbeddingPicture(OfOneRun):
    """A learned embedding of the inputs in two dimensions, at the end of one run.

    Attributes:
        dimensions: Of the embedding itself; more than two were projected by PCA.
        explained: Share of the variance along each of the two axes.
        labels: True class of each input in this run, shape (P,).
        xy: Where each input lies, shape (P, 2).
    """

    dimensions: int
    explained: tuple[float, ...]
    labels: tuple[int, ...]
    xy: tuple[tuple[float, float], ...]


class RowPicture(RowContent):
    """All pictures of one row of the leaderboard.

    Attributes:
        schema_version: Of this format; a file of another one is made anew.
        row: The row's id.
        axes: What was asked.
        seeds: The runs whose trajectories were at hand.
        heat_map: Of one run; None where there are too many inputs for one.
        embedding: Of one run; None where the model has none, or it was not asked for.
    """

    schema_version: Literal[1] = 1
    axes: Axes
    seeds: tuple[SeedPicture, ...]
    heat_map: HeatMap | None
    embedding: EmbeddingPicture | None


def reduce_axes(trajectory: Trajectory) -> Axes:
    """Return what was asked, cut to what a page can show."""
    task = trajectory.task
    batches = task.facts.get("instrument_batches")
    first = min(map(int, batches)) if isinstance(batches, list) and batches else None  # type: ignore[arg-type]
    return Axes(
        unit=task.input.unit,
        symbol=task.input.symbol,
        alphabet=shown(task.input.alphabet),
        length=task.input.max_length,
        inputs=tuple(shown(text, 32) for text in asked(task).inputs),
        classes=tuple(shown(name, 32) for name in task.target.names),
        needed=required_right(task),
        first_look=None if first is None else first * trajectory.facts.batch_size,
    )


def of_run(record: RunRecord) -> dict[str, Any]:
    """Return the fields of `OfOneRun` for a run that left a trajectory."""
    sha256 = record.trajectory_sha256 or ""
    return {"seed": record.seed, "run_id": record.run_id, "trace_sha256": sha256}


def reduce_seed(record: RunRecord, trajectory: Trajectory) -> SeedPicture:
    """Return how a run learned, from its trajectory."""
    stops = trajectory.task.groups.get("stop", ())
    right, pairs, p_true = trajectory.right, trajectory.pairs, true_probabilities(trajectory)
    kept, since = _kept(trajectory, MOST_POINTS), settled_pairs(trajectory)
    return SeedPicture(
        **of_run(record),
        complete=trajectory.facts.complete,
        all_seen=all_seen(trajectory),
        probes=len(trajectory.pairs),
        stops=stops,
        pairs=pack(pairs[kept], "u4"),
        right=pack(right.sum(axis=1)[kept], "u4"),
        stops_right=pack(right[:, list(stops)].sum(axis=1)[kept], "u4"),
        lowest=pack(levels(p_true.min(axis=1)[kept]), "u1"),
        p_stop=pack(levels(p_true[:, list(stops)][kept].T), "u1"),
        first_right=pack(np.where(right.any(axis=0), pairs[right.argmax(axis=0)], NEVER), "u4"),
        right_since=pack(np.where(np.isinf(since), NEVER, since), "u4"),
    )


def reduce_heat_map(record: RunRecord, trajectory: Trajectory) -> HeatMap | None:
    """Return the whole code at every evaluation; None where it is too large to look at."""
    _, inputs, classes = trajectory.outputs.shape
    if inputs * classes > MOST_CELLS:
        return None
    looks, redrawn = frames(trajectory)
    kept = _kept(trajectory, MOST_FRAMES, looks)
    p = probabilities(trajectory)[kept]
    return HeatMap(
        **of_run(record),
        probes=len(trajectory.pairs),
        labels=asked(trajectory.task).targets,
        pairs=pack(trajectory.pairs[kept], "u4"),
        p=pack(levels(np.moveaxis(p, 0, -1)), "u1"),
        right=pack(trajectory.right[kept].T, "u1"),
        looks=tuple(np.searchsorted(kept, looks).tolist()),
        redrawn=pack(redrawn.T, "u1"),
    )


def levels(p: FloatArray) -> npt.NDArray[np.uint8]:
    """Return probabilities as levels of 0..255: the root of p, so that small p keep their grades.

    >>> levels(np.array([0.0, 0.056, 0.5, 1.0])).tolist()
    [0, 60, 180, 255]
    """
    return np.asarray(np.rint(255 * np.sqrt(p)), dtype=np.uint8)


def _kept(trajectory: Trajectory, most: int, always: IntArray | None = None) -> IntArray:
    """Return which evaluations a picture keeps, as sorted indices.

    All of them where there are no more than `most`; else some spread evenly over the logarithm of
    pairs, the first, the last, the evaluation that deciphers, the one before it, and `always`.
    """
    pairs = trajectory.pairs
    if len(pairs) <= most:
        return np.arange(len(pairs))
    first = int(trajectory.solved.argmax())
    needed = np.array([0, max(first - 1, 0), first, len(pairs) - 1])
    needed = np.union1d(needed, [] if always is None else always).astype(np.int64)
    grid = np.geomspace(1, max(int(pairs[-1]), 2), max(most - len(needed), 0))
    return np.union1d(np.minimum(np.searchsorted(pairs, grid), len(pairs) - 1), needed)
