"""A run in the terminal: its matrix of probabilities and its learning curve."""

from __future__ import annotations

import numpy as np
from rich.table import Table
from rich.text import Text

from codonbench.cli.console import new_table
from codonbench.contracts import Trajectory
from codonbench_datasets.human_codon.asked import SATURATES, each_shown

_BLOCKS = " ▁▂▃▄▅▆▇█"
_CURVE_COLUMNS = 64


def matrix(trajectory: Trajectory, width: int) -> Table:
    """Return p(class | input) at the last evaluation in percent: green where right, red where not.

    Args:
        trajectory: The run's trajectory.
        width: Columns of the terminal; with enough of them the cells stand apart.

    Raises:
        UsageError: There are too many inputs for a row each.
    """
    inputs = each_shown(trajectory.task, "matrix").inputs
    p = trajectory.probabilities(len(trajectory.pairs) - 1)
    right = trajectory.right[-1]
    unit, classes = trajectory.task.input.unit, trajectory.task.target.names
    apart = 4 if width >= 4 * len(classes) + 8 else 3
    table = new_table()
    table.box = None
    table.padding = (0, 0)
    table.title = f"p(class | {unit}) in percent after {trajectory.pairs[-1]:,} pairs"
    table.title_justify = "left"
    table.add_column(unit, no_wrap=True)
    for name in classes:
        table.add_column(name, justify="right", no_wrap=True, min_width=max(apart, len(name) + 1))
    for i, text in enumerate(inputs):
        cells = [Text(f"{text} ", style="" if right[i] else "bold red")]
        for c in range(len(classes)):
            is_true = c == trajectory.targets[i]
            cells.append(Text(_percent(p[i, c]), style=_style(p[i, c], is_true, bool(right[i]))))
        table.add_row(*cells)
    return table


def curve(trajectory: Trajectory) -> Text:
    """Return the share of the evaluation set that is right, over pairs on a log scale."""
    last = int(trajectory.pairs[-1])
    edges = np.geomspace(1, max(last, 1), _CURVE_COLUMNS)
    probe = np.searchsorted(np.maximum(trajectory.pairs, 1), edges, side="right") - 1
    share = trajectory.right.mean(axis=1)[np.maximum(probe, 0)]
    # A block is full only where everything is right.
    bars = "".join(_BLOCKS[int(s * (len(_BLOCKS) - 1))] for s in share)
    unit, n_inputs = trajectory.task.input.unit, len(trajectory.targets)
    axis = f"1{f'{last:,} pairs':>{_CURVE_COLUMNS - 1}}"
    return Text(f"\n{unit}s right of {n_inputs}, log scale\n{bars}\n{axis}")


def _percent(p: float) -> str:
    if np.isnan(p):
        return "nan"
    return str(round(100 * p)) if p >= 0.005 else "·"


def _style(p: float, is_true: bool, is_right: bool) -> str:
    if is_true:
        return "black on green" if is_right else "white on red"
    return "yellow" if p >= SATURATES else "dim"
