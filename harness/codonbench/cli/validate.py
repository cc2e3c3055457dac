"""`bench validate`: are these records what the harness would have written?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from codonbench.cli.exit_codes import FAILED
from codonbench.cli.folders import PluginOption, PluginsDirOption


def validate(
    records: Annotated[list[Path], typer.Argument(help="Record files, and folders of them.")],
    strict: Annotated[bool, typer.Option("--strict", help="Take warnings for problems.")] = False,
    keys: Annotated[
        Path | None,
        typer.Option(
            help="A folder of public keys, NAME.pub: check signatures, too, and say whose they are."
        ),
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Check records against format, checksum and rules; exit 1 where one is invalid.

    Reads them as untrusted input; of plugins, it asks the tasks that are
    installed here, and loads nothing that a record names. That a run can be
    repeated is checked by 'bench verify': a signature says who ran it, not
    that it is true.
    """
    import json
    from collections import Counter

    from codonbench.audit.validate import validate as look_at
    from codonbench.cli.loading import load_plugins
    from codonbench.records.signing import read_public_keys

    tasks = load_plugins(plugin, plugins_dir).known_tasks
    report = look_at(
        records, tasks, strict=strict, keys=None if keys is None else read_public_keys(keys)
    )
    if as_json:
        facts = report.model_dump(mode="json") | {"invalid": report.invalid}
        typer.echo(json.dumps(facts))
    else:
        for problem in report.problems:
            typer.echo(problem)
        for name, count in sorted(Counter(report.signers.values()).items()):
            typer.echo(f"signed by {name}: {count:,}")
        typer.echo(
            f"records: {report.records:,}, invalid: {report.invalid:,}, "
            f"warnings: {report.warnings:,}"
        )
    if report.invalid:
        raise typer.Exit(FAILED)
