"""The codon table of the textbooks, with the pairs after which each codon was deciphered."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from codonbench.errors import UsageError
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.plots.passage import settled_pairs
from codonbench_datasets.human_codon.plots.runs import Run
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    FAINT,
    RIGHT_MAP,
    VERMILLION,
    new_figure,
    short,
)

_SIZE = 4
_GAP = 0.18
"""Letters of the alphabet; space between boxes, in heights of a cell."""


def draw_codon_table(run: Run) -> Figure:
    """Return the table: each codon with its meaning, when it settled, and when it was first seen.

    A codon has settled once it is right at every later probe. The first letter leads down, the
    second across, the third down within a box, each in the order of the task's alphabet. Darker is
    earlier.

    Raises:
        UsageError: The task's inputs are not the 64 words of three letters out of four.
    """
    if not _is_table(run):
        raise UsageError(
            f"task {run.record.task!r} has no codon table: its inputs are not all words of three "
            "letters out of four"
        )
    settled = settled_pairs(run.trajectory)
    first = run.first_batch
    reached = [max(float(pairs), first) for pairs in settled if np.isfinite(pairs)] or [first]
    least = min(reached)
    scale = ScalarMappable(LogNorm(least, max([*reached, 2 * least])), RIGHT_MAP.reversed())
    figure = new_figure(7.2, 5.4)
    axes = figure.subplots()
    for i in range(len(settled)):
        _draw_cell(axes, run, i, float(settled[i]), scale)
    _draw_letters(axes, run.trajectory.task.input.alphabet)
    bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=50, pad=0.02, fraction=0.03)
    bar.set_label("pairs after which the codon is right for good (log scale; dark is early)")
    bar.ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    figure.suptitle(f"{run.title}  ·  small: first seen", x=0.01, ha="left", fontsize=9)
    return figure


def _is_table(run: Run) -> bool:
    task = run.trajectory.task
    words = [
        a + b + c
        for a in task.input.alphabet
        for b in task.input.alphabet
        for c in task.input.alphabet
    ]
    return len(task.input.alphabet) == _SIZE and list(asked(task).inputs) == words


def _corner(i: int) -> tuple[float, float]:
    """Return where codon ``16*n1 + 4*n2 + n3`` lies: its cell's upper left corner."""
    n1, rest = divmod(i, _SIZE * _SIZE)
    n2, n3 = divmod(rest, _SIZE)
    return n2 * (1 + _GAP / 4), n1 * (_SIZE + _GAP) + n3


def _draw_cell(axes: Axes, run: Run, i: int, settled: float, scale: ScalarMappable) -> None:
    x, y = _corner(i)
    never = not np.isfinite(settled)
    fill = (
        (1.0, 1.0, 1.0, 1.0)
        if never
        else scale.to_rgba(np.array([max(settled, run.first_batch)]))[0]
    )
    axes.add_patch(
        Rectangle(
            (x, y),
            1,
            1,
            facecolor=fill,
            edgecolor=VERMILLION if never else FAINT,
            hatch="////" if never else None,
            linewidth=0.6,
        )
    )
    luminance = float(np.dot(fill[:3], (0.299, 0.587, 0.114)))
    ink = VERMILLION if never else BLACK if luminance > 0.5 else "white"
    plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if never else None
    mono = "DejaVu Sans Mono"
    middle = y + 0.54
    name = f"{run.inputs[i]} {run.meanings[i]}"
    text: dict[str, Any] = {"va": "center", "color": ink, "bbox": plate}
    axes.text(x + 0.04, middle, name, fontsize=8.5, family=mono, **text)
    axes.text(x + 0.70, middle, _when(settled), fontsize=8, ha="right", **text)
    seen = int(run.trajectory.arrays["first_seen"][i])
    axes.text(x + 0.96, middle, short(seen) if seen else "-", fontsize=5.8, ha="right", **text)


def _when(settled: float) -> str:
    return short(settled) if np.isfinite(settled) else "never"


def _draw_letters(axes: Axes, alphabet: str) -> None:
    """Name the letters at the margins, and frame the boxes."""
    for n1 in range(_SIZE):
        for n2 in range(_SIZE):
            x, y = _corner(16 * n1 + 4 * n2)
            axes.add_patch(Rectangle((x, y), 1, _SIZE, fill=False, edgecolor=BLACK, linewidth=0.8))
    for n in range(_SIZE):
        x, _ = _corner(4 * n)
        _, y = _corner(16 * n)
        axes.text(x + 0.5, -0.35, alphabet[n], ha="center", va="center", weight="bold", fontsize=9)
        axes.text(-0.07, y + 2, alphabet[n], ha="center", va="center", weight="bold", fontsize=9)
    right, bottom = _corner(63)
    axes.set_xlim(-0.14, right + 1.02)
    axes.set_ylim(bottom + 1.05, -0.75)
    axes.axis("off")
