"""Figures of explanations: attribution logos, motif logos and embeddings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from codonbench.explain.motifs import Motif, information
from codonbench.explain.style import (
    BLACK,
    BLUE,
    GREEN,
    LINES,
    ORANGE,
    VERMILLION,
    new_figure,
    safe,
)

FloatArray = npt.NDArray[np.float64]

COLOURS = {"A": GREEN, "C": BLUE, "G": ORANGE, "T": VERMILLION, "U": VERMILLION}
"""Colours of bases; other letters are black."""

MOST_PLACES = 120
"""Most positions of a sequence to draw: the window with the largest attributions."""

MOST_MOTIFS = 12


class Valued(Protocol):
    """An item with attributions by method."""

    @property
    def item(self) -> str:
        """Name of the item."""

    @property
    def text(self) -> str:
        """Letters of the item."""

    @property
    def asked(self) -> str:
        """Name of the explained output."""

    @property
    def values(self) -> Mapping[Any, tuple[float, ...]]:
        """Attributions (L,) by method."""


@cache
def _shape(letter: str) -> Path:
    """Return the outline of a letter scaled to the unit square."""
    outline = TextPath(
        (0, 0), letter, size=1, prop=FontProperties(family="DejaVu Sans", weight="bold")
    )
    box = outline.get_extents()
    fit = Affine2D().translate(-box.x0, -box.y0).scale(1 / box.width, 1 / box.height)
    return fit.transform_path(outline)


def draw_logo(axes: Axes, heights: FloatArray, letters: Sequence[str], first: int = 0) -> None:
    """Draw a sequence logo: positive letters above 0, negative ones below, the largest outside.

    Args:
        axes: The axes to draw on.
        heights: Height of each letter at each position, (L, len(letters)).
        letters: The alphabet.
        first: Position of the first stack.
    """
    for at, column in enumerate(heights):
        for sign in (1, -1):
            base = 0.0
            for index in np.argsort(sign * column):
                height = float(column[index])
                if height * sign <= 0:
                    continue
                placed = Affine2D().scale(0.92, height).translate(first + at + 0.04, base)
                outline = placed.transform_path(_shape(letters[index]))
                colour = COLOURS.get(letters[index], BLACK)
                axes.add_patch(PathPatch(outline, facecolor=colour, linewidth=0))
                base += height
    above, below = np.clip(heights, 0, None).sum(1), np.clip(heights, None, 0).sum(1)
    top, bottom = float(above.max(initial=0)), float(below.min(initial=0))
    room = 0.05 * max(top - bottom, 1e-12)
    axes.set_ylim(bottom - room * (bottom < 0), top + room)
    axes.set_xlim(first, first + len(heights))
    axes.axhline(0, color=BLACK, linewidth=0.5)


def draw_letters(items: Sequence[Valued], title: str) -> Figure:
    """Return a figure with an attribution logo for each item and method.

    For a long sequence the window with the largest mutagenesis values is drawn.
    """
    panels = [(item, method) for item in items for method in item.values]
    widest = max(min(len(item.text), MOST_PLACES) for item in items)
    figure = new_figure(1.2 + 0.085 * widest, 0.5 + 0.85 * len(panels), title)
    grid = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (item, method) in zip(grid, panels, strict=True):
        start = _stretch(np.asarray(item.values["mutagenesis"]))
        text = item.text[start : start + MOST_PLACES]
        values = np.asarray(item.values[method])[start : start + MOST_PLACES]
        letters = sorted(set(text))
        heights = np.zeros((len(text), len(letters)))
        heights[np.arange(len(text)), [letters.index(letter) for letter in text]] = values
        draw_logo(axes, heights, letters, start)
        axes.set_ylabel(method.replace(" ", "\n"), fontsize=6.5)
        axes.tick_params(labelsize=6)
        if method == "mutagenesis":
            axes.set_title(safe(f"item {item.item}: {item.asked}"), fontsize=7.5)
    grid[-1].set_xlabel("place, from 0", fontsize=7)
    return figure


def _stretch(values: FloatArray) -> int:
    """Return the start of the `MOST_PLACES` positions with the largest sum of absolute values."""
    if len(values) <= MOST_PLACES:
        return 0
    sums = np.cumsum(np.concatenate([[0.0], np.abs(values)]))
    return int(np.argmax(sums[MOST_PLACES:] - sums[:-MOST_PLACES]))


def draw_motifs(motifs: Sequence[Motif], alphabet: str, title: str) -> Figure:
    """Return a figure with logos of the first motifs, in bits."""
    shown = motifs[:MOST_MOTIFS]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = new_figure(2.6 * columns, 0.5 + 1.15 * rows, title)
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, motif in zip(grid, shown, strict=False):
        probabilities = np.asarray(motif.probabilities)[:, : len(alphabet)]
        draw_logo(axes, probabilities * information(probabilities)[:, None], alphabet)
        like = f", like {motif.known} ({motif.similarity:.2f})" if motif.known else ""
        caption = f"filter {motif.filter}, {motif.sites:,} sites{like}"
        axes.set_title(safe(caption), fontsize=6.5)
        axes.set_ylim(0, np.log2(len(alphabet)))
        axes.tick_params(labelsize=6)
    for axes in grid[len(shown) :]:
        axes.set_axis_off()
    grid[0].set_ylabel("bits", fontsize=7)
    return figure


def draw_embedding(
    points: FloatArray, names: tuple[str, str], right: Sequence[str], title: str
) -> Figure:
    """Return a scatter plot of items, coloured by target.

    Args:
        points: Coordinates of items, (n, 2).
        names: Names of the two coordinates.
        right: Target of each item as text; a colour scale is used if there are too many.
        title: Title of the figure.
    """
    figure = new_figure(4.2, 3.8, title)
    axes = figure.subplots()
    kinds = sorted(set(right))
    if len(kinds) > len(LINES):
        try:
            values = np.array([float(each) for each in right])
        except ValueError:
            values = np.array([kinds.index(each) for each in right], dtype=np.float64)
        drawn = axes.scatter(
            points[:, 0], points[:, 1], c=values, s=5, linewidths=0, cmap="viridis"
        )
        figure.colorbar(drawn, ax=axes)
    else:
        for kind, colour in zip(kinds, LINES, strict=False):
            own = np.array([each == kind for each in right])
            axes.scatter(
                points[own, 0],
                points[own, 1],
                color=colour,
                s=5,
                alpha=0.6,
                linewidths=0,
                label=safe(kind, 20),
            )
        axes.legend(frameon=False, fontsize=7, markerscale=2)
    axes.set_xlabel(names[0])
    axes.set_ylabel(names[1])
    return figure
