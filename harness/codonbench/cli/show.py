"""`bench show`: one run's record, and what plugins show of its trajectory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.finding import find_run
from codonbench.cli.folders import RESULTS, ResultsOption

if TYPE_CHECKING:
    from rich.table import Table

    from codonbench.contracts import Task
    from codonbench.contracts.run_record import RunRecord


def show(
    run: Annotated[
        str,
        typer.Argument(
            help="A record's name (mymodel-s0), the beginning of it or of a run id, or its file."
        ),
    ],
    results: ResultsOption = RESULTS,
) -> None:
    """Show a run: what it was, its metrics, p(class | input) at its end, and how it learned."""
    from codonbench.cli.console import output, say
    from codonbench.cli.loading import load_plugins
    from codonbench.errors import StoreError

    found = find_run(run, results)
    record, console = found.record, output()
    console.print(record.name, style="bold")
    registry = load_plugins()
    console.print(facts(record, registry.known_tasks.get(record.task)))
    if record.trajectory_sha256 is None:
        console.print("No trajectory: nothing was probed, so there is no matrix and no curve.")
        return
    try:
        trajectory = found.trajectory()
    except StoreError as error:
        say(f"No matrix and no curve: {error}", console=console)
        return
    run_facts = {"record": record, "trajectory": trajectory, "width": console.width}
    for shown in registry.ask("show_run", **run_facts):
        for part in shown:
            console.print(part)


def facts(record: RunRecord, task: Task | None) -> Table:
    """Return what a run was and what it measured, a row each; `task` is the run's, if installed."""
    from rich.text import Text

    from codonbench.cli.phrases import number
    from codonbench.cli.tables import new_table

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
    from codonbench.cli.phrases import ending

    text = ending(record, task)
    return text if text.startswith(record.status) else f"{record.status}: {text}"
