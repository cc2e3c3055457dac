"""A trajectory reduced to what can be seen of it: a thousandth of its size, every probe kept."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray, required_right
from codonbench.report.site.scripts import pack, shown
from codonbench_datasets.human_codon.asked import (
    all_seen,
    asked,
    frames,
    probabilities,
    settled_pairs,
    true_probabilities,
)
from codonbench_datasets.human_codon.page.pictures import NEVER, Axes, HeatMap, SeedPicture

MOST_POINTS = 2_000
"""Probes of a learning curve. Only a run that goes on relapsing has more."""

MOST_FRAMES = 800
"""Probes of a heat map, which is the larger part of a row's file."""

MOST_CELLS = 64 * 64
"""Inputs times classes of a heat map; a task with more has none."""


def reduce_axes(trajectory: Trajectory) -> Axes:
    """Return what was asked, cut to what a page can show."""
    task = trajectory.task
    return Axes(
        unit=task.input.unit,
        symbol=task.input.symbol,
        alphabet=shown(task.input.alphabet),
        length=task.input.max_length,
        inputs=tuple(shown(text, 32) for text in asked(task).inputs),
        classes=tuple(shown(name, 32) for name in task.target.names),
        needed=required_right(task),
        first_look=_first_look(trajectory),
    )


def _first_look(trajectory: Trajectory) -> int | None:
    """Return the pairs at the instrument's first frame; None where the task has no instrument."""
    batches = trajectory.task.facts.get("instrument_batches")
    if not isinstance(batches, list) or not batches:
        return None
    return min(int(str(batch)) for batch in batches) * trajectory.facts.batch_size


def reduce_seed(record: RunRecord, trajectory: Trajectory) -> SeedPicture:
    """Return how a run learned, from its trajectory."""
    stops = trajectory.task.groups.get("stop", ())
    p_true = true_probabilities(trajectory)
    kept, since = _kept(trajectory, MOST_POINTS), settled_pairs(trajectory)
    return SeedPicture(
        seed=record.seed,
        run_id=record.run_id,
        trace_sha256=_source(record),
        complete=trajectory.facts.complete,
        all_seen=all_seen(trajectory),
        probes=len(trajectory.pairs),
        stops=stops,
        pairs=pack(trajectory.pairs[kept], "u4"),
        right=pack(trajectory.right.sum(axis=1)[kept], "u4"),
        stops_right=pack(trajectory.right[:, list(stops)].sum(axis=1)[kept], "u4"),
        lowest=pack(levels(p_true.min(axis=1)[kept]), "u1"),
        p_stop=pack(levels(p_true[:, list(stops)][kept].T), "u1"),
        first_right=pack(_first_right(trajectory.right, trajectory.pairs), "u4"),
        right_since=pack(np.where(np.isinf(since), NEVER, since), "u4"),
    )


def reduce_heat_map(record: RunRecord, trajectory: Trajectory) -> HeatMap | None:
    """Return the whole code at every probe; None where it is too large to look at."""
    _, inputs, classes = trajectory.outputs.shape
    if inputs * classes > MOST_CELLS:
        return None
    looks, redrawn = frames(trajectory)
    kept = _kept(trajectory, MOST_FRAMES, looks)
    p = probabilities(trajectory)[kept]
    return HeatMap(
        seed=record.seed,
        run_id=record.run_id,
        trace_sha256=_source(record),
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


def _source(record: RunRecord) -> str:
    """Return the checksum of a record's trajectory, which it has: it was loaded by it."""
    return record.trajectory_sha256 or ""


def _first_right(right: BoolArray, pairs: IntArray) -> IntArray:
    """Return the pairs at which each input was first right, or `NEVER`, shape (P,).

    >>> _first_right(np.array([[0, 0], [1, 0], [0, 0]], bool), np.array([0, 64, 128])).tolist()
    [64, 4294967295]
    """
    return np.where(right.any(axis=0), pairs[right.argmax(axis=0)], NEVER)


def _kept(trajectory: Trajectory, most: int, always: IntArray | None = None) -> IntArray:
    """Return which probes a picture keeps, as sorted indices.

    All of them where there are no more than `most`; else some spread evenly over the logarithm of
    pairs, the first, the last, the probe that deciphers, the one before it, and `always`.
    """
    pairs = trajectory.pairs
    if len(pairs) <= most:
        return np.arange(len(pairs))
    first = int(trajectory.solved.argmax())
    needed = np.array([0, max(first - 1, 0), first, len(pairs) - 1])
    needed = np.union1d(needed, [] if always is None else always).astype(np.int64)
    grid = np.geomspace(1, max(int(pairs[-1]), 2), max(most - len(needed), 0))
    return np.union1d(np.minimum(np.searchsorted(pairs, grid), len(pairs) - 1), needed)
