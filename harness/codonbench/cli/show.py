"""`bench show`: one run's record, its matrix of probabilities and its learning curve."""

from __future__ import annotations

from typing import Annotated

import typer

from codonbench.cli.finding import find_run
from codonbench.cli.folders import RESULTS, ResultsOption


def show(
    run: Annotated[
        str, typer.Argument(help="A run id, its beginning, or a record's name (mlp-64-s0).")
    ],
    results: ResultsOption = RESULTS,
) -> None:
    """Show a run: what it was, its metrics, p(class | input) at its end, and how it learned."""
    from codonbench.cli.console import output
    from codonbench.cli.pictures import curve, facts, matrix
    from codonbench.store import Store

    store = Store(results)
    record = find_run(store, run)
    trace = store.load_trace(record)
    console = output()
    console.print(record.name, style="bold")
    console.print(facts(record))
    if record.trace_sha256 is None:
        console.print("No trace: nothing was probed, so there is no matrix and no curve.")
    elif trace is None:
        console.print(
            f"No trace in {results / 'traces'}: matrix and curve need one. "
            "'bench run ... --force' runs it again."
        )
    else:
        console.print(matrix(trace, console.width))
        console.print(curve(trace))
