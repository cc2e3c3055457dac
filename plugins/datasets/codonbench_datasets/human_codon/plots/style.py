"""How every picture looks, what of a run it is drawn from, and how it becomes the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.ranking.rows import name_text
from codonbench.records.files import visible
from codonbench_datasets.human_codon.asked import asked

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
"""Colours that people with any of the usual colour blindnesses can tell apart: M. Okabe and
K. Ito, Color Universal Design (2008)."""

LINES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
"""In the order they are given out; yellow is too pale for a line on white."""

MONO = "DejaVu Sans Mono"

GREY = "#8a8a8a"
FAINT = "#dcdcdc"

RIGHT_MAP = LinearSegmentedColormap.from_list("right", ["#ffffff", "#9ccbe6", BLUE, "#003b5f"])
WRONG_MAP = LinearSegmentedColormap.from_list(
    "wrong", ["#ffffff", "#f7c9a3", VERMILLION, "#7a3500"]
)
"""From p = 0 to p = 1, each darker all the way, so that they also read in black and white: the
true class in blue, a rival in vermillion."""

_RC: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": 8.0,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 8.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "lines.linewidth": 1.2,
    "text.parse_math": False,  # a `$` in a name is a dollar
    "text.usetex": False,
    "svg.fonttype": "path",  # the same letters on a machine without the font
    "svg.hashsalt": "codonbench",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}

_NO_DATES: dict[str, dict[str, None]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}

_LONGEST = 60


@contextmanager
def house_style() -> Iterator[None]:
    """Draw and save under our settings and no one else's; the caller's are put back."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for key, value in _RC.items():
            mpl.rcParams[key] = value  # type: ignore[index]
        yield


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure, in inches, laid out to hold its labels and unknown to pyplot."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def as_file(figure: Figure, form: str) -> bytes:
    """Return a figure as the bytes of a file: the same for the same figure, whenever and where."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=_NO_DATES[form])
    return buffer.getvalue()


def safe(text: str, longest: int = _LONGEST) -> str:
    """Return text that can stand in a picture, whatever a record holds.

    On one line, without control and formatting characters, cut where overlong; a character that
    the font lacks is shown as a box.
    """
    return "".join(c if ord(c) in _glyphs() else "\u25a1" for c in visible(text, longest))


@cache
def _glyphs() -> frozenset[int]:
    """Return the code points that the font of all pictures has."""
    path = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    return frozenset(FT2Font(path).get_charmap())


class Run:
    """One run that left a trajectory.

    Attributes:
        record, trajectory: Of the run.
        model: The model's name, where it departs from that, and who supplies it.
        task: ``human-codon on usage (simulated)``, and the control where there is one.
        title: Model, task and seed.
        unit: What one input is: ``codon``.
        inputs, names: Each input as text, and with its class: ``UUU F``.
        classes: The classes' names.
        targets: The true class of each input, shape (P,).
        first_batch, last: Pairs at the end of the first batch, where axes begin, and at the end.
    """

    def __init__(self, record: RunRecord, trajectory: Trajectory) -> None:
        self.record, self.trajectory, spec = record, trajectory, trajectory.task
        self.model = safe(name_text(record.model, record.overrides, record.plugin.distribution))
        simulated = " (simulated)" if record.dataset.simulated else ""
        control = record.run_spec.task_options.get("control")
        under = f", control {control}" if control else ""
        self.task = safe(f"{record.task} on {record.dataset.source}{simulated}{under}")
        self.title = f"{self.model}  ·  {self.task}  ·  seed {record.seed}"
        self.unit = spec.input.unit
        self.inputs = [safe(text, 12) for text in asked(spec).inputs]
        self.classes = [safe(name, 12) for name in spec.target.names]
        self.targets = trajectory.targets.astype(np.int64)
        named = zip(self.inputs, self.targets, strict=True)
        self.names = [f"{text} {self.classes[label]}" for text, label in named]
        self.first_batch = float(trajectory.facts.batch_size)
        self.last = float(trajectory.pairs[-1])


def short(pairs: float) -> str:
    """Return a number of pairs as an axis has it: ``64``, ``6.4k``, ``128k``, ``2.3M``."""
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if pairs >= size:
            return f"{pairs / size:.3g}{letter}"
    return f"{pairs:.0f}"


def pairs_axis(axes: Axes, first: float, last: float, label: str = "") -> None:
    """Give an axes a logarithmic x axis in pairs.

    Args:
        axes: Whose.
        first: Its beginning, above 0: a logarithm has no place for the probe before any pair.
        last: Its end.
        label: What is counted; no label where empty.
    """
    axes.set_xscale("log")
    axes.set_xlim(first, max(last, first * 2))
    decades = np.log10(axes.get_xlim()[1] / first)
    steps = (1.0,) if decades > 4 else (1.0, 3.0) if decades > 1.5 else (1.0, 2.0, 5.0)
    axes.xaxis.set_major_locator(LogLocator(subs=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: short(x)))
    axes.xaxis.set_minor_locator(LogLocator(subs=tuple(range(2, 10))))
    axes.xaxis.set_minor_formatter(NullFormatter())
    if label:
        axes.set_xlabel(f"{label} (log scale)")


def steps(axes: Axes, pairs: IntArray, values: FloatArray | IntArray, **style: Any) -> None:
    """Draw a line that holds each probe's value, shape (T,), until the next; but for the first."""
    axes.plot(pairs[1:], values[1:], drawstyle="steps-post", solid_joinstyle="bevel", **style)


def note(
    axes: Axes, text: str, at: tuple[float, float], offset: tuple[int, int], **how: Any
) -> None:
    """Write a small text some points away from a place."""
    how = {"fontsize": 7, **how}
    axes.annotate(text, at, xytext=offset, textcoords="offset points", **how)


def name_rows(axes: Axes, names: Sequence[str], right: Sequence[bool]) -> None:
    """Name each row, in vermillion where it is not right."""
    size = 6.4 if len(names) > 40 else 7.0
    axes.set_yticks(range(len(names)), names, fontsize=size, family=MONO)
    axes.tick_params(axis="y", length=0, pad=2)
    for label, is_right in zip(axes.get_yticklabels(), right, strict=True):
        label.set_color(BLACK if is_right else VERMILLION)


def fixed_ticks(axes: Axes, ticks: Sequence[float]) -> None:
    """Give an axes these ticks along y and no others."""
    axes.yaxis.set_major_locator(FixedLocator(list(ticks)))
