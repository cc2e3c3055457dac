"""The whole code in one picture: its matrix, its codon table, its matrix over time."""

from __future__ import annotations

import io
from bisect import bisect_right
from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator
from PIL import Image

from codonbench.contracts import Trajectory
from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.errors import UsageError
from codonbench_datasets.human_codon.asked import (
    SATURATES,
    asked,
    each_shown,
    frames,
    probabilities,
    settled_pairs,
    true_probabilities,
)
from codonbench_datasets.human_codon.plots.style import (
    BLACK,
    FAINT,
    MONO,
    RIGHT_MAP,
    VERMILLION,
    WRONG_MAP,
    Run,
    name_rows,
    new_figure,
    pairs_axis,
    short,
)

_COURSE_COLUMNS = 400

_SIZE, _GAP = 4, 0.18
"""Of a codon table: letters of the alphabet; space between boxes, in heights of a cell."""

MOST_FRAMES = 120
_DPI = 100
_FRAME_MS, _LAST_MS = 100, 3_000
_WHITE = 0  # its place in the palette
_UNDRAWN = (0.9, 0.9, 0.9, 1.0)


def draw_heat_map(run: Run) -> Figure:
    """Return the matrix at the last evaluation and, beside it, p(true) of each input over pairs.

    A row an input, in the task's order. The true class is blue, rivals are vermillion; the
    name of an input that is not right at the end is vermillion too.

    Raises:
        UsageError: There are too many inputs for a row each.
    """
    each_shown(run.trajectory.task, "heat map")
    p = probabilities(run.trajectory)[-1]
    figure = new_figure(7.2, max(3.0, 0.128 * len(p) + 1.3), run.title)
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.15])
    _draw_matrix(left, run, p)
    _draw_course(right, run, true_probabilities(run.trajectory))
    for axes, colour_map, label in (
        (left, WRONG_MAP, "p of a wrong class"),
        (right, RIGHT_MAP, "p of the true class"),
    ):
        scale = ScalarMappable(Normalize(0, 1), colour_map)
        bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=40, pad=0.01, fraction=0.02)
        bar.set_label(label, fontsize=7)
        bar.outline.set_linewidth(0.4)
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


def _rule_blocks(axes: Axes, run: Run) -> None:
    """Rule off every block of inputs that share all letters but the last."""
    block = len(run.trajectory.task.input.alphabet)
    for row in range(block, len(run.targets), block):
        axes.axhline(row - 0.5, color=FAINT, linewidth=0.5)


def _draw_matrix(axes: Axes, run: Run, p: FloatArray) -> None:
    axes.imshow(colours(p, run.targets), aspect="auto", interpolation="nearest")
    axes.set_xticks(range(p.shape[1]), run.classes, fontsize=6.8, family=MONO)
    axes.tick_params(axis="x", length=0, pad=2, top=False, labeltop=True)
    name_rows(axes, run.names, run.trajectory.right[-1])
    _rule_blocks(axes, run)
    axes.set_xlabel("class")
    axes.set_title(f"p(class | {run.unit}) after {run.trajectory.pairs[-1]:,} pairs")


def _draw_course(axes: Axes, run: Run, p_true: FloatArray) -> None:
    """Draw p(true) of each input, sampled at points even on the log axis."""
    first, last = run.first_batch, max(run.last, run.first_batch * 2)
    edges = np.geomspace(first, last, _COURSE_COLUMNS + 1)
    at = np.maximum(np.searchsorted(run.trajectory.pairs, edges[:-1], side="right") - 1, 0)
    rows = np.arange(p_true.shape[1] + 1) - 0.5
    axes.pcolormesh(edges, rows, p_true[at].T, cmap=RIGHT_MAP, vmin=0, vmax=1, rasterized=True)
    seen = run.trajectory.arrays["first_seen"]
    (shown,) = np.nonzero(seen)
    axes.scatter(np.maximum(seen[shown], first), shown, s=5, color=VERMILLION, linewidths=0)
    pairs_axis(axes, first, last, "training pairs")
    _rule_blocks(axes, run)
    axes.tick_params(axis="y", length=0, labelleft=False)
    # As high as the title beside it, which stands above the names of the classes.
    axes.set_title("p(true) over pairs; dots: first seen", pad=14)


def draw_codon_table(run: Run) -> Figure:
    """Return the table: each codon with its meaning, when it settled, and when it was first seen.

    A codon has settled once it is right at every later evaluation. The first letter leads down, the
    second across, the third down within a box, each in the order of the task's alphabet. Darker is
    earlier.

    Raises:
        UsageError: The task's inputs are not the 64 words of three letters out of four.
    """
    alphabet = run.trajectory.task.input.alphabet
    words = map("".join, product(alphabet, repeat=3))
    if len(alphabet) != _SIZE or list(asked(run.trajectory.task).inputs) != list(words):
        raise UsageError(
            f"task {run.record.task!r} has no codon table: its inputs are not all words of three "
            "letters out of four"
        )
    settled = settled_pairs(run.trajectory)
    first = run.first_batch
    reached = [max(float(pairs), first) for pairs in settled if np.isfinite(pairs)] or [first]
    least = min(reached)
    scale = ScalarMappable(LogNorm(least, max([*reached, 2 * least])), RIGHT_MAP.reversed())
    figure = new_figure(7.2, 5.4, f"{run.title}  ·  small: first seen")
    axes = figure.subplots()
    for i in range(len(settled)):
        _draw_cell(axes, run, i, float(settled[i]), scale)
    _draw_letters(axes, alphabet)
    bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=50, pad=0.02, fraction=0.03)
    bar.set_label("pairs after which the codon is right for good (log scale; dark is early)")
    bar.ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    bar.ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    bar.ax.xaxis.set_minor_locator(NullLocator())
    return figure


def _corner(i: int) -> tuple[float, float]:
    """Return where codon ``16*n1 + 4*n2 + n3`` lies: its cell's upper left corner."""
    n1, rest = divmod(i, _SIZE * _SIZE)
    n2, n3 = divmod(rest, _SIZE)
    return n2 * (1 + _GAP / 4), n1 * (_SIZE + _GAP) + n3


def _draw_cell(axes: Axes, run: Run, i: int, settled: float, scale: ScalarMappable) -> None:
    x, y = _corner(i)
    never = not np.isfinite(settled)
    fill = np.ones(4) if never else scale.to_rgba(np.array([max(settled, run.first_batch)]))[0]
    frame = Rectangle((x, y), 1, 1, facecolor=fill, linewidth=0.6)
    frame.set(edgecolor=VERMILLION if never else FAINT, hatch="////" if never else None)
    axes.add_patch(frame)
    luminance = float(np.dot(fill[:3], (0.299, 0.587, 0.114)))
    ink = VERMILLION if never else BLACK if luminance > 0.5 else "white"
    plate = {"facecolor": "white", "edgecolor": "none", "pad": 1.0} if never else None
    text: dict[str, Any] = {"va": "center", "color": ink, "bbox": plate}
    when = "never" if never else short(settled)
    seen = int(run.trajectory.arrays["first_seen"][i])
    axes.text(x + 0.04, y + 0.54, run.names[i], fontsize=8.5, family=MONO, **text)
    axes.text(x + 0.70, y + 0.54, when, fontsize=8, ha="right", **text)
    axes.text(x + 0.96, y + 0.54, short(seen) if seen else "-", fontsize=5.8, ha="right", **text)


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


def thinned(pairs: IntArray, most: int = MOST_FRAMES) -> list[int]:
    """Return at most `most` evaluations, even on a log scale, the first and the last among them.

    Where evaluations are further apart than that, as in the beginning, none is left out, and what
    that saves goes to where they are close together.

    Args:
        pairs: Pairs at each evaluation, rising, shape (T,).
        most: How many at most; at least 2.
    """
    if len(pairs) <= most:
        return list(range(len(pairs)))
    finest = range(most, 64 * most)
    points = finest[bisect_right(finest, most, key=lambda n: len(_nearest(pairs, n))) - 1]
    return _nearest(pairs, points)


def _nearest(pairs: IntArray, points: int) -> list[int]:
    """Return the evaluations nearest to so many points, even on a log scale."""
    place = np.log1p(pairs.astype(np.float64))
    wanted = np.linspace(place[0], place[-1], points)
    after = np.clip(np.searchsorted(place, wanted), 1, len(place) - 1)
    nearer = np.where(wanted - place[after - 1] <= place[after] - wanted, after - 1, after)
    return sorted({int(i) for i in nearer})


def animate(run: Run, most: int = MOST_FRAMES) -> bytes:
    """Return the dynamic heat map as the bytes of a GIF, at most `most` frames, one an evaluation.

    Above, p(class | input) of every input then. Below, in a run that got as far as the paper's
    instrument looks, the heat map that the paper would have shown at that moment.

    Raises:
        UsageError: There are too many inputs for a column each.
    """
    trajectory = run.trajectory
    each_shown(trajectory.task, "animation")
    probes = thinned(trajectory.pairs, most)
    p, drawn = probabilities(trajectory), instrument_maps(trajectory, probes)
    n_panels, n_probes = 1 if drawn is None else 2, len(trajectory.pairs)
    chosen = "" if len(probes) == n_probes else f"  ·  {len(probes)} of {n_probes} evaluations"
    figure = new_figure(9.6, 0.5 + 3.35 * n_panels, f"{run.title}{chosen}")
    figure.set_dpi(_DPI)
    canvas: Any = FigureCanvasAgg(figure)
    panels = [_Panel(axes, run) for axes in np.atleast_1d(figure.subplots(n_panels, 1))]
    canvas.draw()  # once: each frame changes the maps and their captions only
    empty, images = canvas.copy_from_bbox(figure.bbox), []
    for k, probe in enumerate(probes):
        canvas.restore_region(empty)
        right, pairs = int(trajectory.right[probe].sum()), int(trajectory.pairs[probe])
        of = f"{right} of {len(run.targets)} {run.unit}s right after {pairs:,} pairs"
        panels[0].show(colours(p[probe], run.targets), f"exact: {of}")
        if drawn is not None:
            panels[1].show(*_as_drawn(run, drawn[k], pairs))
        images.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy()))
    return _as_gif(images)


def _as_drawn(run: Run, p: FloatArray, pairs: int) -> tuple[FloatArray, str]:
    """Return the colours of the instrument's map after so many pairs, and its caption."""
    missing = np.isnan(p[:, 0])
    cells = colours(np.nan_to_num(np.minimum(p / SATURATES, 1.0)), run.targets)
    cells[missing] = _UNDRAWN
    n_frames = int((run.trajectory.arrays["frame_pairs"] <= pairs).sum())
    return cells, (
        f"the paper's instrument: {n_frames} frames so far, {int(missing.sum())} {run.unit}s "
        f"not yet drawn; full colour from p = {SATURATES}"
    )


class _Panel:
    """A heat map, inputs across and classes down, and the line above it."""

    def __init__(self, axes: Axes, run: Run) -> None:
        self.axes, shape = axes, (len(run.classes), len(run.names))
        self.image = axes.imshow(
            np.ones((*shape, 4)), aspect="auto", interpolation="nearest", animated=True
        )
        axes.set_xticks(range(shape[1]), run.names, rotation=90, fontsize=6.6, family=MONO)
        axes.set_yticks(range(shape[0]), run.classes, fontsize=6.4, family=MONO)
        axes.tick_params(length=0, pad=2)
        for spine in axes.spines.values():
            spine.set(visible=True, color=FAINT)
        self.caption = axes.text(
            0.0, 1.02, " ", transform=axes.transAxes, fontsize=8.5, va="bottom", animated=True
        )

    def show(self, cells: FloatArray, caption: str) -> None:
        """Draw other cells, shape (P, C, 4), under another caption."""
        self.image.set_data(cells.transpose(1, 0, 2))
        self.caption.set_text(caption)
        self.axes.draw_artist(self.image)
        self.axes.draw_artist(self.caption)


def _as_gif(images: list[Image.Image]) -> bytes:
    """Return frames as a GIF that repeats; one palette for all, so that no colour flickers."""
    palette = _palette()
    frames = [_in_palette(image, palette) for image in images]
    buffer = io.BytesIO()
    frames[0].save(
        buffer,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[_FRAME_MS] * (len(frames) - 1) + [_LAST_MS],
        loop=0,
        optimize=False,
    )
    return buffer.getvalue()


def _in_palette(image: Image.Image, palette: Image.Image) -> Image.Image:
    """Return a frame in a palette; Pillow takes the nearest colour but roughly, even of white."""
    frame = image.quantize(palette=palette, dither=Image.Dither.NONE)
    index = np.asarray(frame).copy()
    index[(np.asarray(image) == 255).all(axis=2)] = _WHITE
    exact = Image.fromarray(index, mode="P")
    exact.putpalette(palette.getpalette() or [])
    return exact


def _palette() -> Image.Image:
    """Return a palette with both scales of colour and the greys that letters are made of."""
    steps = np.linspace(0, 1, 90)
    scales = np.concatenate([RIGHT_MAP(steps), WRONG_MAP(steps)])[:, :3]
    greys = np.repeat(np.linspace(1, 0, 60)[:, None], 3, axis=1)
    entries = np.concatenate([greys, scales, [_UNDRAWN[:3]]])
    made = Image.new("P", (1, 1))
    made.putpalette(np.round(entries * 255).astype(np.uint8).reshape(-1).tolist())
    return made


def instrument_maps(trajectory: Trajectory, probes: list[int]) -> FloatArray | None:
    """Return what the heat map of Joiret et al. (2023) would show at some evaluations.

    A column that a frame does not redraw keeps what an earlier one drew. With two codons, frames
    that redraw {0}, {0} and {1}: after the second the map shows codon 0 as the second frame saw it
    and nothing of codon 1; after the third, both, codon 0 as before.

    Args:
        trajectory: The run's.
        probes: Indices of evaluations, K of them.

    Returns:
        p as drawn, shape (K, P, C), NaN where no frame has drawn yet; None where the run has no
        frame, or the trajectory lacks the evaluation of one.
    """
    at, redrawn = frames(trajectory)
    if not len(at) or len(at) < len(trajectory.arrays["frame_pairs"]):
        return None
    latest = np.maximum.accumulate(np.where(redrawn, at[:, None], -1), axis=0)
    frame = np.searchsorted(at, probes, side="right") - 1
    drawn = np.where(frame[:, None] >= 0, latest[frame], -1)
    maps = probabilities(trajectory)[drawn, np.arange(drawn.shape[1])]
    return np.where(drawn[..., None] >= 0, maps, np.nan)
