"""`bench show`: one run's record, its matrix of probabilities and its learning curve."""

from __future__ import annotations

from typing import Annotated

import typer

from codonbench.cli.finding import find_run
from codonbench.cli.folders import RESULTS, ResultsOption


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
    from codonbench.cli.pictures import curve, facts, matrix
    from codonbench.errors import StoreError

    found = find_run(run, results)
    record, console = found.record, output()
    console.print(record.name, style="bold")
    console.print(facts(record, load_plugins().known_tasks.get(record.task)))
    if record.trajectory_sha256 is None:
        console.print("No trajectory: nothing was probed, so there is no matrix and no curve.")
        return
    try:
        trajectory = found.trajectory()
    except StoreError as error:
        say(f"No matrix and no curve: {error}", console=console)
        return
    console.print(matrix(trajectory, console.width))
    console.print(curve(trajectory))
