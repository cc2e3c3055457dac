"""`bench export`: the records of a folder as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli.folders import RESULTS, ResultsOption


def export(
    file: Annotated[Path, typer.Argument(help="The file to write.")],
    kind: Annotated[
        str | None,
        typer.Option("--format", help="csv, parquet or json; by the file's ending by default."),
    ] = None,
    results: ResultsOption = RESULTS,
) -> None:
    """Write the records as a table: one row a run, a column a metric."""
    from codonbench.cli.console import say
    from codonbench.errors import ConfigError
    from codonbench.records.table import export as write
    from codonbench.records.table import load_records

    chosen = kind or file.suffix.removeprefix(".")
    if chosen not in ("csv", "parquet", "json"):
        raise ConfigError(f"--format {chosen!r}: expected csv, parquet or json")
    records = load_records(results)
    write(records, file, chosen)  # type: ignore[arg-type]
    say(f"{len(records)} records are in {file}")
