"""Where a model has put each input: its embedding in the plane, coloured by meaning."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.sparse.csgraph import connected_components

from codonbench.embedding import Embedding
from codonbench.pictures.runs import IntArray, Run
from codonbench.pictures.style import BLACK, LINES, new_figure

_MARKERS = "os^D"
_TOGETHER, _NEAR = 0.03, 0.06
"""As shares of the picture: what falls together, and what pushes a label away."""


def draw_space(run: Run, embedding: Embedding) -> Figure:
    """Return a point for each input, named, with a colour and a shape for each class.

    Seven colours that the colour-blind can tell apart, in four shapes, make 28 classes; the
    class's name in the legend and the input's beside its point say the rest.
    """
    xy = np.asarray(embedding.xy)
    figure = new_figure(7.2, 5.6)
    axes = figure.subplots()
    for c, name in enumerate(run.classes):
        members = np.flatnonzero(run.trace.labels == c)
        if len(members):
            _draw_class(axes, xy[members], c, name)
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
    figure.suptitle(run.title, x=0.01, ha="left", fontsize=9)
    return figure


def _draw_class(axes: Axes, points: np.ndarray, c: int, name: str) -> None:
    axes.scatter(
        points[:, 0],
        points[:, 1],
        s=26,
        color=LINES[c % len(LINES)],
        marker=_MARKERS[c // len(LINES) % len(_MARKERS)],
        edgecolors="white",
        linewidths=0.4,
        label=name,
        zorder=3,
    )


def _name_points(axes: Axes, run: Run, xy: np.ndarray) -> None:
    """Write the names of inputs beside their points, away from their neighbours.

    Inputs of one class whose points all but fall together share a label.
    """
    size = float(np.ptp(xy, axis=0).max()) or 1.0
    for members in _clusters(xy, run.trace.labels, _TOGETHER * size):
        middle = xy[members].mean(axis=0)
        others = np.setdiff1d(np.arange(len(xy)), members)
        near = np.exp(-(((xy[others] - middle) / (_NEAR * size)) ** 2).sum(axis=1))
        away = (near[:, None] * (middle - xy[others])).sum(axis=0)
        length = float(np.hypot(*away))
        x, y = away / length if length > 1e-12 * size else (0.0, 1.0)
        names = [run.inputs[i] for i in members]
        lines = [" ".join(names[i : i + 2]) for i in range(0, len(names), 2)]
        axes.annotate(
            "\n".join(lines),
            middle,
            xytext=(7.5 * x, 6.5 * y),
            textcoords="offset points",
            ha="left" if x > 0.35 else "right" if x < -0.35 else "center",
            va="bottom" if y > 0.35 else "top" if y < -0.35 else "center",
            fontsize=5.8,
            color=BLACK,
            linespacing=0.95,
            zorder=4,
        )


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
    axes.margins(0.07)
