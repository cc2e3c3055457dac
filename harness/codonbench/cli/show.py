"""`bench show`: one run's record, its 64 x 21 matrix and its learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.folders import RESULTS, ResultsOption

if TYPE_CHECKING:
    from rich.table import Table

    from codonbench.contracts import Trace
    from codonbench.records import RunRecord

_BLOCKS = " ▁▂▃▄▅▆▇█"
_CURVE_COLUMNS = 64


def show(
    run: Annotated[str, typer.Argument(help="A run id, its beginning, or a record's name.")],
    results: ResultsOption = RESULTS,
) -> None:
    """Show a run: what it was, its metrics, p(class | input) at its end, and how it learned."""
    from codonbench.cli.console import output
    from codonbench.store import Store

    store = Store(results)
    record = _find(store, run)
    console = output()
    console.print(_facts(record))
    trace = store.load_trace(record)
    if trace is None or not len(trace.pairs):
        console.print("No trace here: matrix and curve need one. --force runs it again.")
        return
    console.print(_matrix(trace))
    console.print(_curve(trace), markup=False)


def _find(store: object, run: str) -> RunRecord:
    """Return the one record whose id begins with `run` or whose name it is."""
    from codonbench.errors import UnknownNameError
    from codonbench.records import RunRecord
    from codonbench.store import Store

    assert isinstance(store, Store)
    wanted = run.removesuffix(".json")
    found = [
        r
        for r in store.scan()
        if isinstance(r, RunRecord) and (r.run_id.startswith(wanted) or r.name == wanted)
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownNameError(
            f"no run {run!r} in {store.folder}; give a record's name or the beginning of its id"
        )
    names = ", ".join(r.name for r in found[:5])
    raise UnknownNameError(f"{run!r} fits {len(found)} runs: {names}; give more of the id")


def _facts(record: RunRecord) -> Table:
    from rich.table import Table
    from rich.text import Text

    table = Table(title=record.name, title_justify="left", show_header=False)
    simulated = " (simulated)" if record.dataset.simulated else ""
    config = ", ".join(f"{field}={value}" for field, value in record.plan.config.items())
    facts = {
        "status": record.status + (f": {record.error}" if record.error else ""),
        "model": f"{record.model}, version {record.plan.model_version}; {config}",
        "task": f"{record.task} on {record.dataset.source}{simulated}",
        "parameters": f"{record.parameters:,}",
        "pairs": f"{record.pairs:,} of {record.plan.budget_pairs:,}",
        "machine": f"{record.machine.device_name}; torch {record.machine.torch}; "
        f"{record.machine.threads} threads",
        "weights": record.weights_sha256 or "none",
        "flags": "; ".join((*record.flags, *record.knowledge)) or "none",
    }
    for name, value in record.metrics.items():
        state = "not measured" if name in record.not_measured else "never or not applicable"
        facts[name] = state if value is None else _number(value)
    for name, fact in facts.items():
        table.add_row(name, Text(fact))
    return table


def _number(value: bool | int | float) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _matrix(trace: Trace) -> Table:
    """Return p(class | input) at the last probe: green where right, red where not."""
    from rich.table import Table
    from rich.text import Text

    p = trace.probabilities(len(trace.pairs) - 1)
    right = trace.right[-1]
    table = Table(
        title=f"p(class | {trace.task.unit}) in percent after {trace.facts.pairs:,} pairs",
        title_justify="left",
        padding=(0, 0),
        show_edge=False,
    )
    table.add_column(trace.task.unit)
    for name in trace.task.classes:
        table.add_column(name, justify="right", width=4)
    for i, text in enumerate(trace.task.probe_inputs):
        cells = [Text(text, style="" if right[i] else "bold red")]
        for c in range(len(trace.task.classes)):
            percent = round(100 * float(p[i, c])) if p[i, c] == p[i, c] else 0
            if c == trace.labels[i]:
                style = "black on green" if right[i] else "white on red"
            else:
                style = "yellow" if p[i, c] >= 0.056 else "dim"
            cells.append(Text(str(percent) if percent else "·", style=style))
        table.add_row(*cells)
    return table


def _curve(trace: Trace) -> str:
    """Return the share of the probe set that is right, over pairs on a log scale."""
    import numpy as np

    share = trace.right.mean(axis=1)
    pairs = np.maximum(trace.pairs, 1)
    edges = np.geomspace(1, pairs[-1], _CURVE_COLUMNS)
    last = np.searchsorted(pairs, edges, side="right") - 1
    bars = "".join(_BLOCKS[int(share[max(i, 0)] * (len(_BLOCKS) - 1))] for i in last)
    n = len(trace.labels)
    return (
        f"{trace.task.unit}s right of {n}, over pairs (log scale)\n{bars}\n"
        f"{'1':<{_CURVE_COLUMNS - 10}}{pairs[-1]:>10,}"
    )
