"""The rare stop codons: p(stop) over pairs, and how long each was seen before it was known."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codonbench.errors import UsageError
from codonbench_datasets.human_codon.plots.passage import settled_pairs
from codonbench_datasets.human_codon.plots.runs import Run, probabilities
from codonbench_datasets.human_codon.plots.style import (
    GREY,
    LINES,
    fixed_ticks,
    new_figure,
    pairs_axis,
)

_MOST = len(LINES)


def draw_stops(run: Run) -> Figure:
    """Return p(stop) of each stop codon, and the highest of any other codon, over pairs.

    Below stands for how long each stop codon had been seen and was not yet right for good.

    Raises:
        UsageError: The task has no stop codons, or more than can be told apart.
    """
    stops = list(run.trajectory.task.groups.get("stop", ()))
    if not 0 < len(stops) <= _MOST:
        raise UsageError(
            f"task {run.record.task!r} has {len(stops)} stop codons; "
            f"this picture needs 1 to {_MOST}"
        )
    figure = new_figure(7.0, 3.5 + 0.22 * len(stops))
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 0.35 * len(stops)])
    _draw_probabilities(upper, run, stops)
    _draw_waits(lower, run, stops)
    for axes in (upper, lower):
        pairs_axis(axes, run.first_batch, float(run.trajectory.pairs[-1]))
    upper.label_outer()
    lower.set_xlabel("training pairs (log scale)")
    figure.suptitle(run.title, x=0.01, ha="left", fontsize=9)
    return figure


def _draw_probabilities(axes: Axes, run: Run, stops: list[int]) -> None:
    p, pairs, labels = (
        probabilities(run.trajectory),
        run.trajectory.pairs[1:],
        run.trajectory.targets,
    )
    others = np.setdiff1d(np.arange(len(labels)), stops)
    falsely = p[1:, others][:, :, np.unique(labels[stops])].max(axis=(1, 2), initial=0.0)
    sense = f"highest of any other {run.trajectory.task.input.unit}"
    axes.fill_between(pairs, falsely, step="post", color=GREY, alpha=0.35, linewidth=0, label=sense)
    for i, stop in enumerate(stops):
        axes.plot(
            pairs,
            p[1:, stop, labels[stop]],
            drawstyle="steps-post",
            color=LINES[i],
            linestyle=("-", (0, (5, 1)), (0, (2, 1)))[i % 3],
            label=run.inputs[stop],
            solid_joinstyle="bevel",
        )
    axes.set_ylim(-0.03, 1.04)
    axes.set_ylabel(f"p(stop | {run.trajectory.task.input.unit})")
    fixed_ticks(axes, [0, 0.5, 1])
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=1 + len(stops),
        frameon=False,
        fontsize=7.5,
        borderaxespad=0.2,
    )


def _draw_waits(axes: Axes, run: Run, stops: list[int]) -> None:
    """Draw a bar for each stop codon, from first seen to right for good."""
    settled, last = settled_pairs(run.trajectory), float(run.trajectory.pairs[-1])
    for i, stop in enumerate(stops):
        seen = float(run.trajectory.arrays["first_seen"][stop])
        if not 0 < seen <= last:
            axes.text(run.first_batch, i, " not seen", va="center", fontsize=7, color=LINES[i])
            continue
        end = float(settled[stop])
        known = np.isfinite(end)
        begin = max(seen, run.first_batch)
        axes.plot(
            [begin, max(end, run.first_batch) if known else last],
            [i, i],
            color=LINES[i],
            linewidth=3,
            solid_capstyle="butt",
        )
        axes.plot(begin, i, "o", color=LINES[i], markersize=4.5)
        if known:
            axes.plot(max(end, run.first_batch), i, "|", color=LINES[i], markersize=10, mew=2)
    axes.set_yticks(range(len(stops)), [run.inputs[stop] for stop in stops])
    for i, label in enumerate(axes.get_yticklabels()):
        label.set_color(LINES[i])
    axes.set_ylim(len(stops) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_title("dot: first seen; bar: right for good", fontsize=7.5)
