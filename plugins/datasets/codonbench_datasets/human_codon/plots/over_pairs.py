"""Pictures over pairs: learning curves, the rare stop codons, and models beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from codonbench.contracts.trajectory import FloatArray
from codonbench.errors import UsageError
from codonbench.ranking.statistics import censored_median
from codonbench_datasets._deciphering import CONFIDENCE
from codonbench_datasets.human_codon.asked import (
    all_seen,
    probabilities,
    settled_pairs,
    true_probabilities,
)
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    BLUE,
    FAINT,
    GREY,
    LINES,
    Run,
    fixed_ticks,
    new_figure,
    note,
    pairs_axis,
    short,
    steps,
)

_POINTS = 400

Dash = str | tuple[int, tuple[int, ...]]
_DASHES: tuple[Dash, ...] = ("-", (0, (5, 1)), (0, (1, 1)))

Row = Sequence[Run]
"""The seeds of one model."""


def draw_curves(runs: Row, chosen: int = 0) -> Figure:
    """Return what is right, the stops among it, and how sure, over pairs: one line a seed.

    Args:
        runs: The seeds of one model on one task.
        chosen: Which of them to draw in full colour, with a mark where its stream had shown
            every input.
    """
    run = runs[chosen]
    stops = list(run.trajectory.task.groups.get("stop", ()))
    seed = f"seed {run.record.seed}"
    seeds = seed if len(runs) == 1 else f"{len(runs)} seeds, {seed} in blue"
    figure = new_figure(7.0, 5.6 if stops else 4.2, f"{run.model}  ·  {run.task}  ·  {seeds}")
    panels: list[Axes] = list(figure.subplots(3 if stops else 2, 1, sharex=True))
    _draw_right(panels[0], runs, chosen, list(range(len(run.targets))), f"{run.unit}s")
    if stops:
        _draw_right(panels[1], runs, chosen, stops, "stops")
    _draw_confidence(panels[-1], runs, chosen)
    seen = all_seen(run.trajectory)
    for axes in panels:
        pairs_axis(axes, run.first_batch, max(r.last for r in runs))
        axes.label_outer()
        if seen is not None and seen <= run.last:
            axes.axvline(seen, color=BLACK, linewidth=0.8, linestyle=(0, (1, 2)))
    if seen is not None and seen <= run.last:
        text = f"all {run.unit}s seen: {short(seen)}"
        note(panels[0], text, (seen, 0), (-4, 5), xycoords=("data", "axes fraction"), ha="right")
    panels[-1].set_xlabel("training pairs (log scale)")
    return figure


def _draw_right(axes: Axes, runs: Row, chosen: int, inputs: list[int], name: str) -> None:
    """Draw how many of some inputs are right."""
    _lines(axes, runs, chosen, [r.trajectory.right[:, inputs].sum(axis=1) for r in runs])
    n, few = len(inputs), len(inputs) <= 8
    axes.set_ylim(-0.05 * n if few else 0, n * (1.08 if few else 1.04))
    axes.set_ylabel(f"{name} right")
    if few or n == 64:
        fixed_ticks(axes, range(0, n + 1, 1 if few else 16))


def _draw_confidence(axes: Axes, runs: Row, chosen: int) -> None:
    _lines(axes, runs, chosen, [true_probabilities(r.trajectory).min(axis=1) for r in runs])
    axes.axhline(CONFIDENCE, color=GREY, linewidth=0.6, linestyle=(0, (4, 3)))
    place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "va": "top", "color": "#555555"}
    note(axes, "confident: 0.9", (0, CONFIDENCE), (4, -3), **place)
    axes.set_ylim(-0.03, 1.04)
    axes.set_ylabel(f"lowest p(true)\nof any {runs[chosen].unit}")
    fixed_ticks(axes, [0, 0.5, 1])


def _lines(axes: Axes, runs: Row, chosen: int, values: Sequence[Any]) -> None:
    """Draw a line for each run, the chosen one last and in blue."""
    others: dict[str, Any] = {"color": GREY, "linewidth": 0.7, "alpha": 0.55}
    ours: dict[str, Any] = {"color": BLUE, "linewidth": 1.4, "alpha": 1.0}
    for i in sorted(range(len(runs)), key=lambda i: i == chosen):
        steps(axes, runs[i].trajectory.pairs, values[i], **(ours if i == chosen else others))


def draw_stops(run: Run) -> Figure:
    """Return p(stop) of each stop codon, and the highest of any other codon, over pairs.

    Below stands for how long each stop codon had been seen and was not yet right for good.

    Raises:
        UsageError: The task has no stop codons, or more than can be told apart.
    """
    stops = list(run.trajectory.task.groups.get("stop", ()))
    if not 0 < len(stops) <= len(LINES):
        raise UsageError(
            f"task {run.record.task!r} has {len(stops)} stop codons; "
            f"this picture needs 1 to {len(LINES)}"
        )
    figure = new_figure(7.0, 3.5 + 0.22 * len(stops), run.title)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3.2, 0.35 * len(stops)])
    _draw_probabilities(upper, run, stops)
    _draw_waits(lower, run, stops)
    pairs_axis(upper, run.first_batch, run.last)
    pairs_axis(lower, run.first_batch, run.last, "training pairs")
    upper.label_outer()
    return figure


def _draw_probabilities(axes: Axes, run: Run, stops: list[int]) -> None:
    p, pairs, labels = probabilities(run.trajectory), run.trajectory.pairs, run.targets
    others = np.setdiff1d(np.arange(len(labels)), stops)
    falsely = p[1:, others][:, :, np.unique(labels[stops])].max(axis=(1, 2), initial=0.0)
    label = f"highest of any other {run.unit}"
    band: dict[str, Any] = {"color": GREY, "alpha": 0.35, "linewidth": 0, "label": label}
    axes.fill_between(pairs[1:], falsely, step="post", **band)
    dashes = ("-", (0, (5, 1)), (0, (2, 1)))
    for i, stop in enumerate(stops):
        style: dict[str, Any] = {
            "color": LINES[i],
            "linestyle": dashes[i % 3],
            "label": run.inputs[stop],
        }
        steps(axes, pairs, p[:, stop, labels[stop]], **style)
    axes.set_ylim(-0.03, 1.04)
    axes.set_ylabel(f"p(stop | {run.unit})")
    fixed_ticks(axes, [0, 0.5, 1])
    place: dict[str, Any] = {
        "loc": "lower left",
        "bbox_to_anchor": (0.0, 1.0),
        "borderaxespad": 0.2,
    }
    axes.legend(ncols=1 + len(stops), frameon=False, fontsize=7.5, **place)


def _draw_waits(axes: Axes, run: Run, stops: list[int]) -> None:
    """Draw a bar for each stop codon, from first seen to right for good."""
    settled, first = settled_pairs(run.trajectory), run.first_batch
    for i, stop in enumerate(stops):
        seen, end = float(run.trajectory.arrays["first_seen"][stop]), float(settled[stop])
        if not 0 < seen <= run.last:
            axes.text(first, i, " not seen", va="center", fontsize=7, color=LINES[i])
            continue
        known, begin = np.isfinite(end), max(seen, first)
        end = max(end, first) if known else run.last
        bar: dict[str, Any] = {"color": LINES[i], "linewidth": 3, "solid_capstyle": "butt"}
        axes.plot([begin, end], [i, i], **bar)
        axes.plot(begin, i, "o", color=LINES[i], markersize=4.5)
        if known:
            axes.plot(end, i, "|", color=LINES[i], markersize=10, mew=2)
    axes.set_yticks(range(len(stops)), [run.inputs[stop] for stop in stops])
    for i, label in enumerate(axes.get_yticklabels()):
        label.set_color(LINES[i])
    axes.set_ylim(len(stops) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.set_title("dot: first seen; bar: right for good", fontsize=7.5)


def draw_comparison(rows: Sequence[Row]) -> Figure:
    """Return each model's median curve beside the pairs at which each of its seeds deciphered.

    Models stand in the order of their medians, the quickest first; a seed that never got
    there is an open mark at the right edge, and counts as longer than anything measured.
    """
    rows = sorted(rows, key=lambda row: (_median(row), row[0].model))
    seeds = [len(row) for row in rows]
    counted = "-".join(map(str, sorted({min(seeds), max(seeds)})))
    title = f"{rows[0][0].task}  ·  seeds a model: {counted}"
    figure = new_figure(8.6, max(3.4, 1.5 + 0.24 * len(rows)), title)
    left, right = figure.subplots(1, 2, width_ratios=[1.05, 1])
    first = min(run.first_batch for row in rows for run in row)
    last = max(2 * first, *(run.last for row in rows for run in row))
    _draw_shares(left, rows, first, last)
    _draw_seeds(right, rows, first, last)
    return figure


def _passage(run: Run) -> float | None:
    """Return the pairs at the first deciphered evaluation; None for never."""
    deciphered = run.trajectory.solved
    return float(run.trajectory.pairs[deciphered.argmax()]) if deciphered.any() else None


def _median(row: Row) -> float:
    """Return the median over the seeds, infinite where fewer than half got there."""
    median = censored_median([_passage(run) for run in row])
    return np.inf if median is None or median.value is None else median.value


def _ink(i: int) -> tuple[str, Dash]:
    return LINES[i % len(LINES)], _DASHES[i // len(LINES) % len(_DASHES)]


def _draw_shares(axes: Axes, rows: Sequence[Row], first: float, last: float) -> None:
    """Draw the median share of the evaluation set that is right, and from the least to the most."""
    at = np.geomspace(first, last, _POINTS)
    for i, row in enumerate(rows):
        shares = np.stack([_share_at(run, at) for run in row])
        colour, dash = _ink(i)
        band: dict[str, Any] = {"color": colour, "alpha": 0.13, "linewidth": 0}
        axes.fill_between(at, shares.min(axis=0), shares.max(axis=0), **band)
        axes.plot(at, np.median(shares, axis=0), color=colour, linestyle=dash)
    pairs_axis(axes, first, last, "training pairs")
    axes.set_ylim(0, 1.03)
    fixed_ticks(axes, [0, 0.25, 0.5, 0.75, 1])
    axes.set_ylabel(f"share of {rows[0][0].unit}s right")
    axes.set_title("median over seeds; band: least to most")


def _share_at(run: Run, at: FloatArray) -> FloatArray:
    """Return the share that was right at these pairs; after a run's end, as it ended."""
    probe = np.searchsorted(run.trajectory.pairs, at, side="right") - 1
    return np.asarray(run.trajectory.right.mean(axis=1)[probe])


def _draw_seeds(axes: Axes, rows: Sequence[Row], first: float, last: float) -> None:
    for i, row in enumerate(rows):
        colour, dash = _ink(i)
        reached = [max(p, first) for run in row if (p := _passage(run)) is not None]
        axes.plot([first, last], [i, i], color=FAINT, linewidth=0.6, zorder=1)
        axes.plot(reached, [i] * len(reached), "o", color=colour, markersize=4, alpha=0.55, mew=0)
        if np.isfinite(_median(row)):
            axes.plot(max(_median(row), first), i, "|", color=colour, markersize=13, mew=2)
        key: dict[str, Any] = {
            "transform": axes.get_yaxis_transform(),
            "clip_on": False,
            "linewidth": 2,
        }
        axes.plot([-0.035, -0.008], [i, i], color=colour, linestyle=dash, **key)
        if never := len(row) - len(reached):
            axes.plot(last, i, "o", mfc="white", color=colour, markersize=5, clip_on=False)
            how: dict[str, Any] = {
                "va": "center",
                "fontsize": 6.5,
                "color": GREY,
                "annotation_clip": False,
            }
            note(axes, f"{never} never", (last, i), (6, 0), **how)
    axes.set_yticks(range(len(rows)), [row[0].model for row in rows])
    axes.tick_params(axis="y", length=0, pad=13)
    axes.spines["left"].set_visible(False)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    pairs_axis(axes, first, last, "pairs until deciphered")
    axes.set_title("dots: seeds; bar: median")
