"""Style of figures, and saving them reproducibly."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font

from codonbench.records.files import visible

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
YELLOW, BLUE, VERMILLION, PURPLE = "#F0E442", "#0072B2", "#D55E00", "#CC79A7"
"""Colours for all common types of colour vision: M. Okabe and K. Ito, Color Universal Design
(2008)."""

LINES = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, BLACK)
"""Colours of lines, in order of use; yellow is too pale on white."""

MONO = "DejaVu Sans Mono"

GREY = "#8a8a8a"
FAINT = "#dcdcdc"

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
    "text.parse_math": False,  # a `$` in a name is literal
    "text.usetex": False,
    "svg.fonttype": "path",  # the same on a machine without the font
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
    """Use these settings alone for drawing and saving; restore the caller's on leaving."""
    with mpl.rc_context():
        mpl.rcdefaults()
        for key, value in _RC.items():
            mpl.rcParams[key] = value  # type: ignore[index]
        yield


def new_figure(width: float, height: float, title: str) -> Figure:
    """Return an empty figure with constrained layout, not managed by pyplot; size in inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    figure.suptitle(title, x=0.01, ha="left", fontsize=9)
    return figure


def as_file(figure: Figure, form: str) -> bytes:
    """Return a figure as the content of a file, the same bytes at any time and place."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=form, metadata=_NO_DATES[form])
    return buffer.getvalue()


def safe(text: str, longest: int = _LONGEST) -> str:
    """Return untrusted text made safe for a figure.

    It is on one line, without control and formatting characters, and truncated; characters that the
    font lacks become boxes.
    """
    return "".join(c if ord(c) in _glyphs() else "\u25a1" for c in visible(text, longest))


@cache
def _glyphs() -> frozenset[int]:
    """Return the code points in the font of all figures."""
    path = font_manager.findfont("DejaVu Sans", fallback_to_default=False)
    return frozenset(FT2Font(path).get_charmap())
