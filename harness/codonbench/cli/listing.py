"""`bench ls` and `bench plugins`: what there is, and what did not load."""

from __future__ import annotations

from typing import Annotated

import typer

from codonbench.cli.exit_codes import FAILED


def ls(
    kind: Annotated[str, typer.Argument(help="models, tasks or metrics")] = "models",
) -> None:
    """List models, tasks or metrics."""
    from rich.table import Table
    from rich.text import Text

    from codonbench.cli.console import output
    from codonbench.errors import UnknownNameError
    from codonbench.registry import load_registry

    registry = load_registry()
    rows: list[tuple[str, str, str, str]]
    if kind == "models":
        rows = [
            (name, entry.cls.info.role, _settings(dict(entry.preset)), entry.cls.info.summary)
            for name, entry in registry.models.items()
        ]
        headers = ("model", "role", "preset", "summary")
    elif kind == "tasks":
        rows = [
            (name, entry.task.version, ", ".join(entry.task.data_names), entry.task.title)
            for name, entry in registry.tasks.items()
        ]
        headers = ("task", "version", "data", "title")
    elif kind == "metrics":
        rows = [
            (name, entry.metric.version, entry.origin.distribution, entry.metric.summary)
            for name, entry in registry.metrics.items()
        ]
        headers = ("metric", "version", "distribution", "summary")
    else:
        raise UnknownNameError(f"cannot list {kind!r}; choose models, tasks or metrics")
    table = Table(*headers)
    for row in sorted(rows):
        table.add_row(*(Text(cell) for cell in row))
    output().print(table)


def plugins() -> None:
    """List every plugin that loaded and every one that did not; exit 1 if any did not."""
    from rich.table import Table
    from rich.text import Text

    from codonbench.cli.console import output
    from codonbench.registry import load_registry

    registry = load_registry()
    table = Table("kind", "name", "version", "distribution", "file or error")
    entries = [
        *(("model", e, e.cls.info.version) for e in registry.models.values()),
        *(("task", e, e.task.version) for e in registry.tasks.values()),
        *(("metric", e, e.metric.version) for e in registry.metrics.values()),
    ]
    for kind, entry, version in entries:
        owner = f"{entry.origin.distribution} {entry.origin.version}"
        table.add_row(*(Text(c) for c in (kind, entry.name, version, owner, entry.file)))
    for failure in registry.failures:
        cells = ("failed", failure.module, "", failure.distribution, failure.error)
        table.add_row(*(Text(cell) for cell in cells), style="red")
    output().print(table)
    if registry.failures:
        raise typer.Exit(FAILED)


def _settings(preset: dict[str, object]) -> str:
    return ", ".join(f"{field}={value}" for field, value in preset.items())
