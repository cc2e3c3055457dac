"""`bench verify` and `bench audit`: recorded runs made again, and compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.exit_codes import FAILED
from codonbench.cli.folders import RESULTS, ResultsOption, cache_folder

if TYPE_CHECKING:
    from codonbench.records import RunRecord

DataOption = Annotated[
    str | None,
    typer.Option("--data", "-d", help="Where the data are, if their recorded name is no path."),
]


def verify(
    records: Annotated[list[Path], typer.Argument(help="Record files.")],
    data: DataOption = None,
) -> None:
    """Run recorded runs again from their records and compare; exit 1 where one differs.

    On the same kind of machine weights and metrics must be identical, else
    the metrics must lie in the band that codonbench.verification states.
    """
    from codonbench.errors import StoreError
    from codonbench.store import BadRecord, read_record

    chosen = []
    for path in records:
        record = read_record(path)
        if isinstance(record, BadRecord):
            raise StoreError(f"{path} {record.reason}")
        chosen.append(record)
    _compare(chosen, data, chosen)


def audit(
    sample: Annotated[int, typer.Option(min=1, help="How many runs to repeat.")] = 3,
    data: Annotated[
        str | None, typer.Option("--data", "-d", help="Only runs on this data source.")
    ] = None,
    results: ResultsOption = RESULTS,
    seed: Annotated[
        int | None, typer.Option(help="Of the choice; printed, so that it can be repeated.")
    ] = None,
) -> None:
    """Repeat a random sample of finished runs; exit 1 where one differs from its record."""
    import random
    import secrets

    from codonbench.errors import StoreError
    from codonbench.records import FINISHED, RunRecord
    from codonbench.store import Store

    chosen_seed = secrets.randbelow(2**31) if seed is None else seed
    finished = [
        record
        for record in Store(results).scan()
        if isinstance(record, RunRecord)
        and record.status in FINISHED
        and data in (None, record.dataset.source)
    ]
    if not finished:
        raise StoreError(f"no finished run to repeat in {results}")
    chosen = random.Random(chosen_seed).sample(finished, min(sample, len(finished)))
    typer.echo(f"{len(chosen)} of {len(finished)} runs, chosen with --seed {chosen_seed}")
    _compare(chosen, None, finished)


def _compare(records: list[RunRecord], data: str | None, peers: list[RunRecord]) -> None:
    """Repeat each record, say what became of it, exit 1 where one differs."""
    from codonbench.cli.loading import load_plugins
    from codonbench.verification import verify as repeat

    registry = load_plugins()
    differ = False
    for record in records:
        verdict = repeat(record, registry, cache_folder(), data, peers)
        typer.echo(f"{verdict.name}: {verdict.outcome}")
        for difference in verdict.differences:
            typer.echo(f"  {difference}")
        differ = differ or verdict.outcome == "different"
    if differ:
        raise typer.Exit(FAILED)
