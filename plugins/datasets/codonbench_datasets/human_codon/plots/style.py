"""What of a run its pictures are drawn from, and how all of them look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.explain.style import BLACK as BLACK
from codonbench.explain.style import BLUE as BLUE
from codonbench.explain.style import FAINT as FAINT
from codonbench.explain.style import GREEN as GREEN
from codonbench.explain.style import GREY as GREY
from codonbench.explain.style import LINES as LINES
from codonbench.explain.style import MONO as MONO
from codonbench.explain.style import ORANGE as ORANGE
from codonbench.explain.style import PURPLE as PURPLE
from codonbench.explain.style import SKY as SKY
from codonbench.explain.style import VERMILLION as VERMILLION
from codonbench.explain.style import YELLOW as YELLOW
from codonbench.explain.style import as_file as as_file
from codonbench.explain.style import house_style as house_style
from codonbench.explain.style import new_figure as new_figure
from codonbench.explain.style import safe as safe
from codonbench.ranking.rows import name_text
from codonbench_datasets.human_codon.asked import asked

RIGHT_MAP = LinearSegmentedColormap.from_list("right", ["#ffffff", "#9ccbe6", BLUE, "#003b5f"])
WRONG_MAP = LinearSegmentedColormap.from_list(
    "wrong", ["#ffffff", "#f7c9a3", VERMILLION, "#7a3500"]
)
"""From p = 0 to p = 1, each darker all the way, so that they also read in black and white: the
true class in blue, a rival in vermillion."""


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
        first: Its beginning, above 0: a logarithm has no place for the evaluation before any pair.
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
    """Draw a line that holds each evaluation's value, shape (T,), until the next, but the first."""
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
