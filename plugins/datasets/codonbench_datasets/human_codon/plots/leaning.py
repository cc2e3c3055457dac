"""Which letters a model leans on: each position's share, input by input."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codonbench_datasets.human_codon.explain.explanation import Attribution, Explanation, summaries
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    SKY,
    VERMILLION,
    name_rows,
    new_figure,
    safe,
)

_TITLES = {
    "substitution": "the model, by substitution",
    "integrated gradients": "by integrated gradients",
}


def draw_leaning(explanation: Explanation, title: str) -> Figure:
    """Return a panel for each method, with a bar for each input, divided among its positions.

    A dot marks an input whose last position is silent: whatever letter stands there, the class
    is the same. Below stand the means over all inputs and over those.

    Args:
        explanation: What to draw.
        title: Of the picture.
    """
    n_inputs, n_positions = len(explanation.inputs), len(explanation.silent[0])
    shown = explanation.attributions
    title = (
        f"{title}\ndots: position {n_positions} is silent, any letter there gives the same class"
    )
    figure = new_figure(2.0 + 1.85 * len(shown), max(3.0, 0.128 * n_inputs + 1.6), title)
    grid = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    colours = _colours(n_positions)
    for axes, attribution in zip(grid, shown, strict=True):
        _draw_bars(axes, attribution, explanation, colours)
    words = zip(explanation.inputs, explanation.meanings, strict=True)
    names = [f"{safe(text, 12)} {safe(meaning, 12)}" for text, meaning in words]
    name_rows(grid[0], names, explanation.right)
    figure.legend(
        handles=grid[0].containers,
        labels=[f"position {p + 1}" for p in range(n_positions)],
        loc="outside lower center",
        ncols=n_positions,
        frameon=False,
        fontsize=7.5,
    )
    return figure


def _colours(n_positions: int) -> list[str]:
    """Return a colour for each position; the last, where the wobble is, stands out."""
    return [(BLUE, SKY, ORANGE, GREY)[p % 4] for p in range(n_positions - 1)] + [VERMILLION]


def _draw_bars(
    axes: Axes, attribution: Attribution, explanation: Explanation, colours: list[str]
) -> None:
    shares = attribution.shares
    rows, left = np.arange(len(shares)), np.zeros(len(shares))
    for position, colour in enumerate(colours):
        axes.barh(rows, shares[:, position], left=left, height=0.84, color=colour)
        left = left + shares[:, position]
    silent = np.flatnonzero([row[-1] for row in explanation.silent])
    axes.plot(np.full(len(silent), 1.03), silent, ".", color=BLACK, markersize=3, clip_on=False)
    axes.set_xlim(0, 1)
    axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
    axes.set_ylim(len(shares) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0, pad=2)
    axes.set_title(_TITLES.get(attribution.method, attribution.method), fontsize=7.5)
    means = [s for s in summaries(explanation) if s.method == attribution.method]
    lines = [f"{s.over} ({s.n}): " + " · ".join(f"{x:.2f}" for x in s.shares) for s in means]
    axes.set_xlabel("share\n" + "\n".join(lines), fontsize=6.2)
