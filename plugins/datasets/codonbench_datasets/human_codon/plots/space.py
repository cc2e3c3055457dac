"""Where a model has put each input: its embedding in the plane, coloured by meaning."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse.csgraph import connected_components

from codonbench.contracts.trajectory import IntArray
from codonbench_datasets.human_codon.plots.embedding import Embedding
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    LINES,
    Run,
    new_figure,
    note,
)

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
