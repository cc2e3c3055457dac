"""The dynamic heat map: the whole code at every probe, and what the paper's instrument shows."""

from __future__ import annotations

import io
from bisect import bisect_right
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from codonbench_datasets.human_codon.plots.heat_map import colours
from codonbench_datasets.human_codon.plots.instrument import SATURATES, instrument_maps
from codonbench_datasets.human_codon.plots.runs import FloatArray, IntArray, Run, probabilities
from codonbench_datasets.human_codon.plots.style import FAINT, RIGHT_MAP, WRONG_MAP, new_figure

MOST_FRAMES = 120
_DPI = 100
_FRAME_MS, _LAST_MS = 100, 3_000
_WHITE = 0  # its place in the palette
_UNDRAWN = (0.9, 0.9, 0.9, 1.0)


def thinned(pairs: IntArray, most: int = MOST_FRAMES) -> list[int]:
    """Return at most `most` probes, even on a log scale, the first and the last among them.

    Where probes are further apart than that, as in the beginning, none is left out, and what
    that saves goes to where they are close together.

    Args:
        pairs: Pairs at each probe, rising, shape (T,).
        most: How many at most; at least 2.
    """
    if len(pairs) <= most:
        return list(range(len(pairs)))
    finest = range(most, 64 * most)
    points = finest[bisect_right(finest, most, key=lambda n: len(_nearest(pairs, n))) - 1]
    return _nearest(pairs, points)


def _nearest(pairs: IntArray, points: int) -> list[int]:
    """Return the probes nearest to so many points, even on a log scale."""
    place = np.log1p(pairs.astype(np.float64))
    wanted = np.linspace(place[0], place[-1], points)
    after = np.clip(np.searchsorted(place, wanted), 1, len(place) - 1)
    nearer = np.where(wanted - place[after - 1] <= place[after] - wanted, after - 1, after)
    return sorted({int(i) for i in nearer})


def animate(run: Run, most: int = MOST_FRAMES) -> bytes:
    """Return the dynamic heat map as the bytes of a GIF, one frame a probe, thinned to `most`.

    Above, p(class | input) of every input at that probe. Below, in a run that got as far as the
    paper's instrument looks, the heat map that the paper would have shown at that moment.
    """
    probes = thinned(run.trajectory.pairs, most)
    p = probabilities(run.trajectory)
    instrument = instrument_maps(run.trajectory, probes)
    stage = _Stage(run, len(probes), instrument is not None)
    images = []
    for k, probe in enumerate(probes):
        drawn = None if instrument is None else instrument[k]
        images.append(stage.frame(probe, p[probe], drawn))
    return _as_gif(images)


@dataclass
class _Panel:
    """One heat map: its image, and the line above it."""

    axes: Axes
    image: AxesImage
    caption: Text


class _Stage:
    """The figure, drawn once; each frame changes the maps and their captions only."""

    def __init__(self, run: Run, n_frames: int, with_instrument: bool) -> None:
        self.run = run
        n_panels = 2 if with_instrument else 1
        self.figure: Figure = new_figure(9.6, 0.5 + 3.35 * n_panels)
        self.figure.set_dpi(_DPI)
        self.canvas = FigureCanvasAgg(self.figure)
        axes = np.atleast_1d(self.figure.subplots(n_panels, 1))
        self.panels = [_make_panel(one, run) for one in axes]
        n_probes = len(run.trajectory.pairs)
        chosen = "" if n_frames == n_probes else f"  ·  {n_frames} of {n_probes} probes"
        self.figure.suptitle(f"{run.title}{chosen}", x=0.01, ha="left", fontsize=9)
        self.canvas.draw()  # type: ignore[no-untyped-call]
        self.empty = self.canvas.copy_from_bbox(self.figure.bbox)  # type: ignore[no-untyped-call]

    def frame(self, probe: int, p: FloatArray, drawn: FloatArray | None) -> Image.Image:
        """Return the picture at one probe."""
        trajectory = self.run.trajectory
        self.canvas.restore_region(self.empty)  # type: ignore[no-untyped-call]
        right, unit = int(trajectory.right[probe].sum()), trajectory.task.input.unit
        pairs = int(trajectory.pairs[probe])
        self._show(
            self.panels[0],
            colours(p, self.run.targets),
            f"exact: {right} of {len(trajectory.targets)} {unit}s right after {pairs:,} pairs",
        )
        if drawn is not None:
            missing = np.isnan(drawn[:, 0])
            cells = colours(np.nan_to_num(np.minimum(drawn / SATURATES, 1.0)), self.run.targets)
            cells[missing] = _UNDRAWN
            frames = int((trajectory.arrays["frame_pairs"] <= pairs).sum())
            self._show(
                self.panels[1],
                cells,
                f"the paper's instrument: {frames} frames so far, {int(missing.sum())} {unit}s "
                f"not yet drawn; full colour from p = {SATURATES}",
            )
        pixels = np.asarray(self.canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return Image.fromarray(pixels[..., :3].copy())

    def _show(self, panel: _Panel, cells: FloatArray, caption: str) -> None:
        panel.image.set_data(cells.transpose(1, 0, 2))
        panel.caption.set_text(caption)
        for artist in (panel.image, panel.caption):
            panel.axes.draw_artist(artist)


def _make_panel(axes: Axes, run: Run) -> _Panel:
    """Lay out an empty heat map: inputs across, classes down."""
    n_inputs, n_classes = run.trajectory.outputs.shape[1:]
    image = axes.imshow(
        np.ones((n_classes, n_inputs, 4)), aspect="auto", interpolation="nearest", animated=True
    )
    names = [f"{text} {meaning}" for text, meaning in zip(run.inputs, run.meanings, strict=True)]
    mono = "DejaVu Sans Mono"
    axes.set_xticks(range(n_inputs), names, rotation=90, fontsize=6.6, family=mono)
    axes.set_yticks(range(n_classes), run.classes, fontsize=6.4, family=mono)
    axes.tick_params(length=0, pad=2)
    for spine in axes.spines.values():
        spine.set(visible=True, color=FAINT)
    caption = axes.text(
        0.0, 1.02, " ", transform=axes.transAxes, fontsize=8.5, va="bottom", animated=True
    )
    return _Panel(axes, image, caption)


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
