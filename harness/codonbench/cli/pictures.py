"""A run in the terminal: its facts, its matrix of probabilities, its learning curve."""

from __future__ import annotations

import numpy as np
from rich.table import Table
from rich.text import Text

from codonbench.cli.phrases import ending, number
from codonbench.cli.tables import new_table
from codonbench.contracts import Task, Trajectory
from codonbench.contracts.run_record import RunRecord

_BLOCKS = " ▁▂▃▄▅▆▇█"
_CURVE_COLUMNS = 64
_VISIBLE = 0.056  # where the colours of the paper's heat map saturate; see docs/scores.md


def facts(record: RunRecord, task: Task | None) -> Table:
    """Return what a run was and what it measured, a row each; `task` is the run's, if installed."""
    simulated = " (simulated)" if record.dataset.simulated else ""
    config = ", ".join(f"{field}={value}" for field, value in record.run_spec.config.items())
    machine = record.machine
    rows = {
        "status": _status(record, task),
        "run id": record.run_id,
        "model": f"{record.model}, version {record.run_spec.model_version}; {config}",
        "task": f"{record.task} on {record.dataset.source}{simulated}",
        **({"about it": " ".join(record.dataset.notes)} if record.dataset.notes else {}),
        "seed": str(record.seed),
        "parameters": f"{record.parameters:,}",
        "pairs": f"{record.pairs:,} of {record.run_spec.budget_pairs:,}",
        "machine": f"{machine.device_name}; torch {machine.torch}; threads: {machine.threads}",
        "weights": record.weights_sha256 or "none",
        "engine": record.engine.name
        + (f" ({record.engine.reason})" if record.engine.reason else ""),
        "notes": "; ".join((*record.flags, *(f"knows {k}" for k in record.knowledge))) or "none",
    }
    for name, value in record.metrics.items():
        if name not in record.not_measured:
            rows[name] = "never, or not applicable" if value is None else number(value)
    if record.not_measured:
        rows["not measured"] = ", ".join(record.not_measured)
    table = new_table(show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, fact in rows.items():
        table.add_row(Text(name), Text(fact))
    return table


def _status(record: RunRecord, task: Task | None) -> str:
    """Return ``done after 5,120 pairs: MCC 0.573``, ``error after 0 pairs: ...``."""
    text = ending(record, task)
    return text if text.startswith(record.status) else f"{record.status}: {text}"


def matrix(trajectory: Trajectory, width: int) -> Table:
    """Return p(class | input) at the last probe in percent: green where right, red where not.

    Args:
        trajectory: The run's trajectory.
        width: Columns of the terminal; with enough of them the cells stand apart.
    """
    p = trajectory.probabilities(len(trajectory.pairs) - 1)
    right = trajectory.right[-1]
    unit, classes = trajectory.task.unit, trajectory.task.classes
    apart = 4 if width >= 4 * len(classes) + 8 else 3
    table = new_table()
    table.box = None
    table.padding = (0, 0)
    table.title = f"p(class | {unit}) in percent after {trajectory.pairs[-1]:,} pairs"
    table.title_justify = "left"
    table.add_column(unit, no_wrap=True)
    for name in classes:
        table.add_column(name, justify="right", no_wrap=True, min_width=max(apart, len(name) + 1))
    for i, text in enumerate(trajectory.task.probe_inputs):
        cells = [Text(f"{text} ", style="" if right[i] else "bold red")]
        for c in range(len(classes)):
            is_true = c == trajectory.labels[i]
            cells.append(Text(_percent(p[i, c]), style=_style(p[i, c], is_true, bool(right[i]))))
        table.add_row(*cells)
    return table


def curve(trajectory: Trajectory) -> Text:
    """Return the share of the probe set that is right, over pairs on a log scale."""
    last = int(trajectory.pairs[-1])
    edges = np.geomspace(1, max(last, 1), _CURVE_COLUMNS)
    probe = np.searchsorted(np.maximum(trajectory.pairs, 1), edges, side="right") - 1
    share = trajectory.right.mean(axis=1)[np.maximum(probe, 0)]
    # A block is full only where everything is right.
    bars = "".join(_BLOCKS[int(s * (len(_BLOCKS) - 1))] for s in share)
    axis = f"1{f'{last:,} pairs':>{_CURVE_COLUMNS - 1}}"
    return Text(
        f"\n{trajectory.task.unit}s right of {len(trajectory.labels)}, log scale\n{bars}\n{axis}"
    )


def _percent(p: float) -> str:
    if np.isnan(p):
        return "nan"
    return str(round(100 * p)) if p >= 0.005 else "·"


def _style(p: float, is_true: bool, is_right: bool) -> str:
    if is_true:
        return "black on green" if is_right else "white on red"
    return "yellow" if p >= _VISIBLE else "dim"
