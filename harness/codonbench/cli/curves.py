"""`bench curves`: how much data each row needs, from runs of the protocol ``sample_efficiency``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli.board_tables import print_curves
from codonbench.cli.options import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    insist_on,
    load_plugins,
)
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.ranking.curves import learning_curves
from codonbench.records.files import plain_json
from codonbench.records.store import Store


def curves(
    results: ResultsOption = RESULTS,
    task: Annotated[str | None, typer.Option("--task", "-t", help="Of this task alone.")] = None,
    target: Annotated[
        float | None,
        typer.Option(help="A score; how many examples each row needs to reach it is shown, too."),
    ] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw them into a file, .svg or .png.")] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")] = False,
) -> None:
    """Show scores by the number of training examples, and the examples to reach row zero.

    Of runs made with --protocol sample_efficiency: their subsets are nested, and the same for every
    model. A row that never reaches row zero, the best reference row with all examples, is shown as
    beyond the largest size.
    """
    if plot is not None:
        insist_on("pictures", "matplotlib")
    store = Store(results)
    store.insist_on_folder()
    found = [r for r in store.scan() if isinstance(r, RunRecord) and task in (None, r.task)]
    registry = load_plugins(plugin, plugins_dir)
    made = learning_curves(found, registry.known_tasks, target)
    if not made:
        raise StoreError(
            f"{results} holds no runs on subsets; make some: "
            "bench run --protocol sample_efficiency --model NAME --task NAME"
        )
    if plot is not None:
        from codonbench.report.pictures import draw_curves

        draw_curves(made, plot)
    if as_json:
        content = [each.model_dump(mode="json") for each in made]
        typer.echo(plain_json(json.dumps(content, indent=1)))
        return
    for each in made:
        print_curves(each)
