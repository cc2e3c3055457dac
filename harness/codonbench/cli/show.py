"""`bench show`: one run's record, its matrix of probabilities and its learning curve."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.folders import RESULTS, ResultsOption

if TYPE_CHECKING:
    from codonbench.records import RunRecord
    from codonbench.store import Store


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
    record = _find(store, run)
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


def _find(store: Store, wanted: str) -> RunRecord:
    """Return the one record that `wanted` names, in whole or by the beginning of its id.

    Raises:
        UnknownNameError: No record or more than one.
        StoreError: The file of that name is no sound record.
    """
    from codonbench.errors import StoreError, UnknownNameError
    from codonbench.records import RunRecord

    if not store.folder.is_dir():
        raise StoreError(f"no results folder {store.folder}; 'bench run' makes one")
    wanted = wanted.removesuffix(".json")
    found = []
    for item in store.scan():
        if isinstance(item, RunRecord):
            names = (item.name, f"{item.model}-s{item.seed}")
            if wanted in names or item.run_id.startswith(wanted):
                found.append(item)
        elif item.path.stem == wanted:
            raise StoreError(f"{item.path} {item.reason}")
    if len(found) == 1:
        return found[0]
    if not found:
        raise UnknownNameError(
            f"no run {wanted!r} in {store.folder}; give a record's name or the beginning of its id"
        )
    first = ", ".join(r.name for r in found[:5])
    more = ", ..." if len(found) > 5 else ""
    raise UnknownNameError(f"{wanted!r} fits {len(found)} runs, give more of it: {first}{more}")
