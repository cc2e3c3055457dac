"""p(class | input): the whole matrix at the end of a run, and how it came about."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from codonbench_datasets.human_codon.plots.runs import FloatArray, IntArray, Run, probabilities
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    FAINT,
    RIGHT_MAP,
    VERMILLION,
    WRONG_MAP,
    new_figure,
    pairs_axis,
)

_COURSE_COLUMNS = 400


def draw_heat_map(run: Run) -> Figure:
    """Return the matrix at the last probe and, beside it, p(true) of each input over pairs.

    A row an input, in the task's order. The true class is blue, rivals are vermillion; the
    name of an input that is not right at the end is vermillion too.
    """
    p = probabilities(run.trajectory)
    n_inputs = p.shape[1]
    height = max(3.0, 0.128 * n_inputs + 1.3)
    figure = new_figure(7.2, height)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.15])
    _draw_matrix(left, run, p[-1])
    _draw_course(right, run, p[:, np.arange(n_inputs), run.targets])
    _draw_bars(figure, [left, right])
    figure.suptitle(run.title, x=0.01, ha="left", fontsize=9)
    return figure


def colours(p: FloatArray, labels: IntArray) -> FloatArray:
    """Return the colour of each cell: blue by p where the class is true, vermillion elsewhere.

    Args:
        p: Probabilities, or whatever else from 0 to 1, shape (P, C).
        labels: True class of each input, shape (P,).

    Returns:
        Red, green, blue and opacity, shape (P, C, 4).
    """
    cells = np.asarray(WRONG_MAP(p))
    rows = np.arange(len(labels))
    cells[rows, labels] = RIGHT_MAP(p[rows, labels])
    return cells


def label_rows(axes: Axes, run: Run) -> None:
    """Name each row by its input and what that means, in vermillion where it is not right."""
    names = [f"{text} {meaning}" for text, meaning in zip(run.inputs, run.meanings, strict=True)]
    size = 6.4 if len(names) > 40 else 7.0
    axes.set_yticks(range(len(names)), names, fontsize=size, family="DejaVu Sans Mono")
    axes.tick_params(axis="y", length=0, pad=2)
    for label, is_right in zip(axes.get_yticklabels(), run.trajectory.right[-1], strict=True):
        label.set_color(BLACK if is_right else VERMILLION)


def rule_blocks(axes: Axes, run: Run) -> None:
    """Rule off every block of inputs that share all letters but the last."""
    block = len(run.trajectory.task.input.alphabet)
    for row in range(block, len(run.targets), block):
        axes.axhline(row - 0.5, color=FAINT, linewidth=0.5)


def _draw_matrix(axes: Axes, run: Run, p: FloatArray) -> None:
    axes.imshow(colours(p, run.targets), aspect="auto", interpolation="nearest")
    axes.set_xticks(range(p.shape[1]), run.classes, fontsize=6.8, family="DejaVu Sans Mono")
    axes.tick_params(axis="x", length=0, pad=2, top=False, labeltop=True)
    label_rows(axes, run)
    rule_blocks(axes, run)
    axes.set_xlabel("class")
    axes.set_title(
        f"p(class | {run.trajectory.task.input.unit}) after {run.trajectory.pairs[-1]:,} pairs"
    )


def _draw_course(axes: Axes, run: Run, p_true: FloatArray) -> None:
    """Draw p(true) of each input, sampled at points even on the log axis."""
    first, last = run.first_batch, max(float(run.trajectory.pairs[-1]), run.first_batch * 2)
    edges = np.geomspace(first, last, _COURSE_COLUMNS + 1)
    at = np.maximum(np.searchsorted(run.trajectory.pairs, edges[:-1], side="right") - 1, 0)
    rows = np.arange(p_true.shape[1] + 1) - 0.5
    axes.pcolormesh(edges, rows, p_true[at].T, cmap=RIGHT_MAP, vmin=0, vmax=1, rasterized=True)
    seen = run.trajectory.arrays["first_seen"]
    shown = seen > 0
    axes.scatter(
        np.maximum(seen[shown], first), np.flatnonzero(shown), s=5, color=VERMILLION, linewidths=0
    )
    pairs_axis(axes, first, last)
    rule_blocks(axes, run)
    axes.tick_params(axis="y", length=0, labelleft=False)
    axes.set_xlabel("training pairs (log scale)")
    # As high as the title beside it, which stands above the names of the classes.
    axes.set_title("p(true) over pairs; dots: first seen", pad=14)


def _draw_bars(figure: Figure, panels: list[Axes]) -> None:
    """Draw the two scales of colour below the panels."""
    for axes, colours_of, label in (
        (panels[0], WRONG_MAP, "p of a wrong class"),
        (panels[1], RIGHT_MAP, "p of the true class"),
    ):
        scale = ScalarMappable(Normalize(0, 1), colours_of)
        bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=40, pad=0.01, fraction=0.02)
        bar.set_label(label, fontsize=7)
        bar.outline.set_linewidth(0.4)
