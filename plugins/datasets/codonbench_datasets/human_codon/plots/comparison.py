"""Several models on one task: how they learn, and after how many pairs each seed was done."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codonbench.ranking.statistics import censored_median
from codonbench_datasets.human_codon.plots.runs import FloatArray, Run
from codonbench_datasets.human_codon.plots.style import (
    FAINT,
    GREY,
    LINES,
    fixed_ticks,
    new_figure,
    pairs_axis,
)

_POINTS = 400
_DASHES: tuple[str | tuple[int, tuple[int, ...]], ...] = ("-", (0, (5, 1)), (0, (1, 1)))

Row = Sequence[Run]
"""The seeds of one model."""


def draw_comparison(rows: Sequence[Row]) -> Figure:
    """Return each model's median curve beside the pairs at which each of its seeds deciphered.

    Models stand in the order of their medians, the quickest first; a seed that never got
    there is an open mark at the right edge, and counts as longer than anything measured.
    """
    rows = sorted(rows, key=lambda row: (_median(row), row[0].model))
    figure = new_figure(8.6, max(3.4, 1.5 + 0.24 * len(rows)))
    left, right = figure.subplots(1, 2, width_ratios=[1.05, 1])
    first = min(run.first_batch for row in rows for run in row)
    last = max(float(run.trajectory.pairs[-1]) for row in rows for run in row)
    _draw_curves(left, rows, first, last)
    _draw_seeds(right, rows, first, last)
    seeds = sorted({len(row) for row in rows})
    counted = "-".join(map(str, sorted({seeds[0], seeds[-1]})))
    title = f"{rows[0][0].task}  ·  seeds a model: {counted}"
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def _passage(run: Run) -> float | None:
    """Return the pairs at the first deciphered probe; None for never."""
    deciphered = run.trajectory.solved
    return float(run.trajectory.pairs[deciphered.argmax()]) if deciphered.any() else None


def _median(row: Row) -> float:
    """Return the median over the seeds, infinite where fewer than half got there."""
    median = censored_median([_passage(run) for run in row])
    return np.inf if median is None or median.value is None else median.value


def _ink(i: int) -> tuple[str, str | tuple[int, tuple[int, ...]]]:
    return LINES[i % len(LINES)], _DASHES[i // len(LINES) % len(_DASHES)]


def _draw_curves(axes: Axes, rows: Sequence[Row], first: float, last: float) -> None:
    """Draw the median share of the probe set that is right, and from the least to the most."""
    at = np.geomspace(first, max(last, 2 * first), _POINTS)
    for i, row in enumerate(rows):
        shares = np.stack([_share_at(run, at) for run in row])
        colour, dash = _ink(i)
        axes.fill_between(
            at, shares.min(axis=0), shares.max(axis=0), color=colour, alpha=0.13, linewidth=0
        )
        axes.plot(at, np.median(shares, axis=0), color=colour, linestyle=dash)
    pairs_axis(axes, first, last)
    axes.set_ylim(0, 1.03)
    fixed_ticks(axes, [0, 0.25, 0.5, 0.75, 1])
    unit = rows[0][0].trajectory.task.input.unit
    axes.set_ylabel(f"share of {unit}s right")
    axes.set_xlabel("training pairs (log scale)")
    axes.set_title("median over seeds; band: least to most")


def _share_at(run: Run, at: FloatArray) -> FloatArray:
    """Return the share that was right at these pairs; after a run's end, as it ended."""
    probe = np.searchsorted(run.trajectory.pairs, at, side="right") - 1
    return np.asarray(run.trajectory.right.mean(axis=1)[probe])


def _draw_seeds(axes: Axes, rows: Sequence[Row], first: float, last: float) -> None:
    never = max(last, 2 * first)
    for i, row in enumerate(rows):
        colour, dash = _ink(i)
        passages = [_passage(run) for run in row]
        axes.plot([first, never], [i, i], color=FAINT, linewidth=0.6, zorder=1)
        reached = [max(p, first) for p in passages if p is not None]
        axes.plot(reached, [i] * len(reached), "o", color=colour, markersize=4, alpha=0.55, mew=0)
        for _ in range(len(passages) - len(reached)):
            axes.plot(never, i, "o", mfc="white", color=colour, markersize=5, clip_on=False)
        if np.isfinite(_median(row)):
            axes.plot(max(_median(row), first), i, "|", color=colour, markersize=13, mew=2)
        axes.plot(
            [-0.035, -0.008],
            [i, i],
            color=colour,
            linestyle=dash,
            linewidth=2,
            transform=axes.get_yaxis_transform(),
            clip_on=False,
        )
        if len(reached) < len(passages):
            axes.annotate(
                f"{len(passages) - len(reached)} never",
                (never, i),
                xytext=(6, 0),
                textcoords="offset points",
                va="center",
                fontsize=6.5,
                color=GREY,
                annotation_clip=False,
            )
    axes.set_yticks(range(len(rows)), [row[0].model for row in rows])
    axes.tick_params(axis="y", length=0, pad=13)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    pairs_axis(axes, first, never)
    axes.set_xlabel("pairs until deciphered (log scale)")
    axes.set_title("dots: seeds; bar: median")
