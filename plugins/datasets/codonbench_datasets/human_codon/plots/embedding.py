"""What a model has learned to stand for each input: its embedding, seen and drawn in the plane.

No record keeps weights: the run is made again for them.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from pydantic import Field
from scipy.sparse.csgraph import connected_components
from torch import nn

from codonbench.audit.repeat import build, model_of, repeat
from codonbench.contracts import Frozen, Model, TaskView
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import UsageError
from codonbench.plugins.registry import Registry
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.page.pictures import EmbeddingPicture, of_run
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    LINES,
    FloatArray,
    IntArray,
    Run,
    new_figure,
    note,
)

DIGITS = 4
"""Significant digits of a place on the page: more than any screen shows."""


class Embedding(Frozen):
    """Where a model has put each probe input.

    Attributes:
        xy: A point for each probe input, in the task's order; shape (P, 2). Of more than two
            dimensions, the first two principal components, about the mean; two are as they
            are, one is laid along x.
        dimensions: How many the embedding has.
        explained: Share of the table's variance along x and along y.
    """

    xy: tuple[tuple[float, float], ...]
    dimensions: int = Field(ge=1)
    explained: tuple[float, float]


def find_embedding(module: nn.Module, probe: IntArray) -> Embedding | None:
    """Return the embedding of a module that has one row for each input of an enumerable task.

    It is the first `nn.Embedding` with that many rows, or else the first parameter of that
    many rows that a module other than torch's own holds. A first layer above a one-hot is none:
    which of its axes is the inputs' cannot be told from a square matrix.

    Args:
        module: What was trained.
        probe: The probe set, as input indices, shape (P,).

    Returns:
        None where there is no such table, or where it holds what is not finite.
    """
    table = _table(module, len(probe))
    if table is None:
        return None
    rows = table.detach().cpu().double().numpy()[probe]
    return project(rows) if np.isfinite(rows).all() else None


def _table(module: nn.Module, n_inputs: int) -> torch.Tensor | None:
    """Return the first table with a row for each input."""
    parts = list(module.modules())
    embeddings = (part.weight for part in parts if isinstance(part, nn.Embedding))
    own = (
        parameter
        for part in parts
        if not type(part).__module__.startswith("torch.")
        for parameter in part.parameters(recurse=False)
    )
    fitting = (t for t in chain(embeddings, own) if t.ndim == 2 and len(t) == n_inputs)
    return next(fitting, None)


def project(rows: FloatArray) -> Embedding:
    """Return points in the plane for the rows of a table, shape (P, d).

    Of principal components the sign is arbitrary: each is turned so that the dimension that
    weighs most in it counts as positive.
    """
    n_rows, dimensions = rows.shape
    if dimensions > 2:
        centred = rows - rows.mean(axis=0)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
        heaviest = np.abs(axes).argmax(axis=1)
        axes *= np.where(axes[np.arange(2), heaviest] < 0, -1.0, 1.0)[:, None]
        xy = centred @ axes.T
    else:
        xy = np.hstack([rows, np.zeros((n_rows, 2 - dimensions))])
    total = float(rows.var(axis=0).sum())
    along = xy.var(axis=0) / total if total > 0 else np.zeros(2)
    return Embedding(
        xy=tuple((float(x), float(y)) for x, y in xy),
        dimensions=dimensions,
        explained=(float(along[0]), float(along[1])),
    )


def has_embedding(record: RunRecord, registry: Registry, view: TaskView) -> bool:
    """Return whether the module of a run, built and not trained, has an embedding of its inputs.

    Raises:
        UsageError: The model is not to be had here, or has no such configuration.
    """
    if not issubclass(model_of(record, registry).cls, Model):
        return False
    return find_embedding(build(record, view, registry), np.arange(view.n_inputs or 0)) is not None


def draw_embedding(
    record: RunRecord, registry: Registry, cache: Path, data: str | None = None
) -> EmbeddingPicture | None:
    """Make a run again and return where its module has put each input at the end.

    Args:
        record: The run.
        registry: The plugins.
        cache: As in `repetition.repeat`.
        data: As in `repetition.repeat`.

    Returns:
        None where its module turns out to have no embedding.

    Raises:
        UsageError: It cannot be made again here, or comes to other weights, as on another machine.
    """
    again = repeat(record, registry, cache, data)
    if not again.same_weights:
        raise UsageError(
            f"{record.name} comes to other weights here; its embedding can be drawn on a machine "
            f"like its own: {record.machine.device_name}, torch {record.machine.torch}"
        )
    module = again.module
    found = find_embedding(module, again.job.dataset.evaluation) if module is not None else None
    if found is None:
        return None
    return EmbeddingPicture(
        **of_run(record),
        dimensions=found.dimensions,
        explained=tuple(_rounded(share) for share in found.explained),
        labels=asked(again.trajectory.task).targets,
        xy=tuple((_rounded(x), _rounded(y)) for x, y in found.xy),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


_MARKERS = "os^D"
_PLOT = np.array([425.0, 335.0])
_LETTER, _LINE, _TOGETHER = 3.7, 7.0, 9.0
"""In points: what the plot measures, a letter's width, a line's height, and what falls together."""

_MARGIN = 0.06
_SIDES = ((1, 0), (0, 1), (-1, 0), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1))


def draw_space(run: Run, embedding: Embedding) -> Figure:
    """Return a point for each input, named, with a colour and a shape for each class.

    Seven colours that the colour-blind can tell apart, in four shapes, make 28 classes; the
    class's name in the legend and the input's beside its point say the rest.
    """
    xy = np.asarray(embedding.xy)
    figure = new_figure(7.2, 5.6, run.title)
    axes = figure.subplots()
    for c, name in enumerate(run.classes):
        if len(points := xy[run.targets == c]):
            colour, marker = LINES[c % len(LINES)], _MARKERS[c // len(LINES) % len(_MARKERS)]
            edge: dict[str, Any] = {"edgecolors": "white", "linewidths": 0.4}
            x, y = points.T
            axes.scatter(x, y, s=26, color=colour, marker=marker, label=name, zorder=3, **edge)
    _name_points(axes, run, xy)
    _name_axes(axes, embedding)
    axes.legend(
        loc="center left",
        bbox_to_anchor=(1.0, 0.5),
        frameon=False,
        title="class",
        fontsize=7.5,
        title_fontsize=8,
        ncols=1 if len(run.classes) <= 24 else 2,
    )
    return figure


def _name_points(axes: Axes, run: Run, xy: np.ndarray) -> None:
    """Write the names of inputs beside their points, on the side where least is in the way.

    Inputs of one class whose points all but fall together share a label.
    """
    span = np.maximum(np.ptp(xy, axis=0), 1e-12)
    low = xy.min(axis=0) - _MARGIN * span
    axes.set_xlim(low[0], low[0] + (1 + 2 * _MARGIN) * span[0])
    axes.set_ylim(low[1], low[1] + (1 + 2 * _MARGIN) * span[1])
    points = (xy - low) / ((1 + 2 * _MARGIN) * span) * _PLOT  # where they come to lie on paper
    taken = [np.array([*point - 3, *point + 3]) for point in points]
    for members in _clusters(points, run.targets, _TOGETHER):
        names = [run.inputs[i] for i in members]
        lines = [" ".join(names[i : i + 2]) for i in range(0, len(names), 2)]
        middle = points[members].mean(axis=0)
        reach = np.ptp(points[members], axis=0) / 2 + 4.5
        size = np.array([_LETTER * max(map(len, lines)), _LINE * len(lines)])
        boxes = [_box(middle, side, reach, size) for side in _SIDES]
        best = min(range(len(boxes)), key=lambda k: (_in_the_way(boxes[k], taken), k))
        taken.append(boxes[best])
        centre = (boxes[best][:2] + boxes[best][2:]) / 2
        how: dict[str, Any] = {"ha": "center", "va": "center", "linespacing": 0.95, "zorder": 4}
        at, offset = xy[members].mean(axis=0), centre - middle
        note(axes, "\n".join(lines), at, offset, fontsize=5.8, color=BLACK, **how)


def _box(
    middle: np.ndarray, side: tuple[int, int], reach: np.ndarray, size: np.ndarray
) -> np.ndarray:
    """Return left, bottom, right and top of a label on one side of a point, in points."""
    centre = middle + np.asarray(side) * (reach + size / 2)
    return np.concatenate([centre - size / 2, centre + size / 2])


def _in_the_way(box: np.ndarray, taken: list[np.ndarray]) -> float:
    """Return how much of a box is taken already, or lies outside the plot."""
    others = np.stack(taken)
    width = np.minimum(box[2], others[:, 2]) - np.maximum(box[0], others[:, 0])
    height = np.minimum(box[3], others[:, 3]) - np.maximum(box[1], others[:, 1])
    overlap = float((np.maximum(width, 0) * np.maximum(height, 0)).sum())
    outside = np.maximum(-box[:2], 0).sum() + np.maximum(box[2:] - _PLOT, 0).sum()
    return overlap + 100 * float(outside)


def _clusters(xy: np.ndarray, labels: IntArray, reach: float) -> list[list[int]]:
    """Return the inputs in groups: of one class, and each within reach of another of its group."""
    close = np.hypot(*(xy[:, None] - xy).transpose(2, 0, 1)) <= reach
    number, group = connected_components(close & (labels[:, None] == labels), directed=False)
    return [np.flatnonzero(group == g).tolist() for g in range(number)]


def _name_axes(axes: Axes, embedding: Embedding) -> None:
    for axis, share, letter in zip("12", embedding.explained, "xy", strict=True):
        what = "principal component" if embedding.dimensions > 2 else "dimension"
        label = f"{what} {axis} ({share:.0%} of the variance)"
        (axes.set_xlabel if letter == "x" else axes.set_ylabel)(label)
    of = f"of {embedding.dimensions} dimensions"
    axes.set_title(f"embedding {of}" + (", projected" if embedding.dimensions > 2 else ""))
