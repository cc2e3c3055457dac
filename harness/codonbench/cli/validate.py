"""`bench validate`: are these records what the harness would have written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli.exit_codes import FAILED


def validate(
    records: Annotated[list[Path], typer.Argument(help="Record files, and folders of them.")],
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for problems.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Check records against format, checksum and rules; exit 1 where one is invalid.

    Reads them as untrusted input and loads no plugin. That a run can be
    repeated is checked by 'bench verify'.
    """
    import json

    from codonbench.validation import validate as look_at

    report = look_at(records, strict=strict)
    if as_json:
        facts = report.model_dump(mode="json") | {"invalid": report.invalid}
        typer.echo(json.dumps(facts))
    else:
        for problem in report.problems:
            typer.echo(problem)
        typer.echo(
            f"records: {report.records:,}, invalid: {report.invalid:,}, "
            f"warnings: {report.warnings:,}"
        )
    if report.invalid:
        raise typer.Exit(FAILED)
