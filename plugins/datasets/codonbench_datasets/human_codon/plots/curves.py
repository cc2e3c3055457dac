"""How a model learns: what it knows after so many pairs, every seed a line."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codonbench_datasets.human_codon.asked import all_seen
from codonbench_datasets.human_codon.plots.runs import Run, true_probabilities
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    BLUE,
    GREY,
    fixed_ticks,
    new_figure,
    pairs_axis,
    short,
)

_CONFIDENT = 0.9  # the headline threshold of `confident_pairs`; see docs/scores.md


def draw_curves(runs: Sequence[Run], chosen: int = 0) -> Figure:
    """Return what is right, the stops among it, and how sure, over pairs: one line a seed.

    A line is a step: what a probe showed holds until the next one.

    Args:
        runs: The seeds of one model on one task.
        chosen: Which of them to draw in full colour, with a mark where its stream had shown
            every input.
    """
    run = runs[chosen]
    task = run.trajectory.task
    has_stops = bool(task.groups.get("stop"))
    figure = new_figure(7.0, 5.6 if has_stops else 4.2)
    grid = figure.subplots(3 if has_stops else 2, 1, sharex=True, height_ratios=None)
    panels: list[Axes] = list(grid)
    _draw_right(panels[0], runs, chosen)
    if has_stops:
        _draw_stops(panels[1], runs, chosen)
    _draw_confidence(panels[-1], runs, chosen)
    for axes in panels:
        pairs_axis(axes, run.first_batch, max(float(r.trajectory.pairs[-1]) for r in runs))
        axes.label_outer()
        _mark_all_seen(axes, run)
    _say_all_seen(panels[0], run)
    panels[-1].set_xlabel("training pairs (log scale)")
    figure.suptitle(
        f"{run.model}  ·  {run.task}  ·  {_seeds(runs, chosen)}", x=0.01, ha="left", fontsize=9
    )
    return figure


def _seeds(runs: Sequence[Run], chosen: int) -> str:
    seed = runs[chosen].record.seed
    return f"seed {seed}" if len(runs) == 1 else f"{len(runs)} seeds, seed {seed} in blue"


def _draw_right(axes: Axes, runs: Sequence[Run], chosen: int) -> None:
    n_inputs, unit = len(runs[chosen].trajectory.targets), runs[chosen].trajectory.task.input.unit
    _lines(axes, runs, chosen, [r.trajectory.right.sum(axis=1) for r in runs])
    axes.set_ylim(0, n_inputs * 1.04)
    axes.set_ylabel(f"{unit}s right")
    if n_inputs == 64:
        fixed_ticks(axes, [0, 16, 32, 48, 64])


def _draw_stops(axes: Axes, runs: Sequence[Run], chosen: int) -> None:
    stops = [list(r.trajectory.task.groups["stop"]) for r in runs]
    _lines(
        axes,
        runs,
        chosen,
        [r.trajectory.right[:, s].sum(axis=1) for r, s in zip(runs, stops, strict=True)],
    )
    n_stops = len(stops[chosen])
    axes.set_ylim(-0.05 * n_stops, n_stops * 1.08)
    axes.set_ylabel("stops right")
    if n_stops <= 8:
        fixed_ticks(axes, list(range(n_stops + 1)))


def _draw_confidence(axes: Axes, runs: Sequence[Run], chosen: int) -> None:
    _lines(axes, runs, chosen, [true_probabilities(r.trajectory).min(axis=1) for r in runs])
    axes.axhline(_CONFIDENT, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    axes.annotate(
        "confident: 0.9",
        (0, _CONFIDENT),
        xycoords=("axes fraction", "data"),
        xytext=(4, -3),
        textcoords="offset points",
        va="top",
        fontsize=7,
        color="#555555",
    )
    axes.set_ylim(-0.03, 1.04)
    axes.set_ylabel(f"lowest p(true)\nof any {runs[chosen].trajectory.task.input.unit}")
    fixed_ticks(axes, [0, 0.5, 1])


def _lines(axes: Axes, runs: Sequence[Run], chosen: int, values: Sequence[np.ndarray]) -> None:
    """Draw a step line for each run, the chosen one last and in blue."""
    order = [i for i in range(len(runs)) if i != chosen] + [chosen]
    for i in order:
        ours = i == chosen
        axes.plot(
            runs[i].trajectory.pairs[1:],
            values[i][1:],
            drawstyle="steps-post",
            color=BLUE if ours else GREY,
            linewidth=1.4 if ours else 0.7,
            alpha=1.0 if ours else 0.55,
            solid_joinstyle="bevel",
        )


def _mark_all_seen(axes: Axes, run: Run) -> None:
    seen = all_seen(run.trajectory)
    if seen is not None and seen <= run.trajectory.pairs[-1]:
        axes.axvline(seen, color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)))


def _say_all_seen(axes: Axes, run: Run) -> None:
    """Say beside the dotted line what it marks."""
    seen = all_seen(run.trajectory)
    if seen is None or seen > run.trajectory.pairs[-1]:
        return
    axes.annotate(
        f"all {run.trajectory.task.input.unit}s seen: {short(seen)}",
        (seen, 0),
        xycoords=("data", "axes fraction"),
        xytext=(-4, 5),
        textcoords="offset points",
        ha="right",
        fontsize=7,
    )
