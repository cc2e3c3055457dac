"""`bench verify` and `bench audit`: recorded runs made again, and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.exit_codes import FAILED
from codonbench.cli.folders import (
    RESULTS,
    PluginOption,
    PluginsDirOption,
    ResultsOption,
    cache_folder,
)

if TYPE_CHECKING:
    from codonbench.records import RunRecord
    from codonbench.registry import Registry

DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Where the data are, if their recorded name is no path."),
]


def verify(
    records: Annotated[list[Path], typer.Argument(help="Record files.")],
    data: DataOption = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """Run recorded runs again from their records and compare; exit 1 where one differs.

    On the same kind of machine weights and metrics must be identical, else
    the metrics must lie in the band that codonbench.verification states.
    """
    from codonbench.cli.loading import load_plugins
    from codonbench.errors import StoreError
    from codonbench.store import BadRecord, read_record

    chosen = []
    for path in records:
        record = read_record(path)
        if isinstance(record, BadRecord):
            raise StoreError(f"{path} {record.reason}")
        chosen.append(record)
    _compare(chosen, load_plugins(plugin, plugins_dir), data, chosen)


def audit(
    sample: Annotated[int, typer.Option(min=1, help="How many runs to repeat.")] = 3,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Only runs on this data source.")
    ] = None,
    file: Annotated[
        str | None, typer.Option("--file", help="Where that source is, if it is a file.")
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    results: ResultsOption = RESULTS,
    seed: Annotated[
        int | None, typer.Option(help="Of the choice; printed, so that it can be repeated.")
    ] = None,
) -> None:
    """Repeat a random sample of finished runs; exit 1 where one differs from its record.

    Runs on a file are left out unless --data names it and --file says where it is.
    """
    import random
    import secrets

    from codonbench.cli.loading import load_plugins
    from codonbench.errors import StoreError
    from codonbench.records import FINISHED, RunRecord
    from codonbench.store import Store

    registry = load_plugins(plugin, plugins_dir)
    chosen_seed = secrets.randbelow(2**31) if seed is None else seed
    finished = [
        record
        for record in Store(results).scan()
        if isinstance(record, RunRecord)
        and record.status in FINISHED
        and (record.dataset.source == data or (data is None and _is_named(record, registry)))
    ]
    if not finished:
        raise StoreError(f"no finished run to repeat in {results}")
    chosen = random.Random(chosen_seed).sample(finished, min(sample, len(finished)))
    typer.echo(f"{len(chosen)} of {len(finished)} runs, chosen with --seed {chosen_seed}")
    _compare(chosen, registry, file, finished)


def _is_named(record: RunRecord, registry: Registry) -> bool:
    """Return whether a record's data need no path."""
    task = registry.tasks.get(record.task)
    return task is not None and record.dataset.source in task.task.data_names


def _compare(
    records: list[RunRecord], registry: Registry, data: str | None, peers: list[RunRecord]
) -> None:
    """Repeat each record, say what became of it, exit 1 where one differs."""
    from codonbench.verification import verify as repeat

    differ = False
    for record in records:
        seconds = record.timings.total
        typer.echo(f"{record.name}: {record.pairs:,} pairs, took {seconds:.0f} s", err=True)
        verdict = repeat(record, registry, cache_folder(), data, peers)
        typer.echo(f"{verdict.name}: {verdict.outcome}")
        for difference in verdict.differences:
            typer.echo(f"  {difference}")
        differ = differ or verdict.outcome == "different"
    if differ:
        raise typer.Exit(FAILED)
