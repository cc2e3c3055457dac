"""`bench ls` and `bench plugins`: what there is, and what did not load."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.exit_codes import FAILED
from codonbench.cli.folders import PluginOption

if TYPE_CHECKING:
    from codonbench.registry import Registry

_Cells = Iterator[tuple[str, ...]]


def ls(
    kind: Annotated[str, typer.Argument(help="models, tasks or metrics")] = "models",
    plugin: PluginOption = None,
) -> None:
    """List models, tasks or metrics."""
    from codonbench.errors import UnknownNameError

    kinds = {
        "models": (("model", "what it is, or where its settings differ"), _models),
        "tasks": (("task", "version", "data", "title"), _tasks),
        "metrics": (("metric", "version", "summary"), _metrics),
    }
    if kind not in kinds:
        raise UnknownNameError(f"cannot list {kind!r}; choose models, tasks or metrics")
    from codonbench.cli.loading import load_plugins
    from codonbench.cli.tables import print_table

    headers, rows = kinds[kind]
    print_table(headers, rows(load_plugins(plugin)))


def plugins(ctx: typer.Context) -> None:
    """List every plugin that loaded and every one that did not; exit 1 if any did not."""
    from codonbench.cli.console import say
    from codonbench.cli.tables import print_table
    from codonbench.registry import load_registry

    registry = load_registry()
    print_table(("distribution and module", "offers"), _modules(registry))
    for failure in registry.failures:
        say(
            f"did not load: {failure.module} of {failure.distribution or 'no distribution'}: "
            f"{failure.error}",
            style="red",
        )
        if ctx.parent is not None and ctx.parent.params.get("debug"):
            say(failure.details)
    if registry.failures:
        raise typer.Exit(FAILED)


def _models(registry: Registry) -> _Cells:
    """Yield each model with its presets below it; the reference rows last."""
    roots = [e for name, e in registry.models.items() if name == e.cls.info.name]
    for root in sorted(roots, key=lambda e: (e.cls.info.role == "reference", e.name)):
        info = root.cls.info
        reference = "reference: " if info.role == "reference" else ""
        yield root.name, reference + info.summary
        for preset, fields in root.cls.presets.items():
            yield f"  {preset}", ", ".join(f"{f}={_short(v)}" for f, v in fields.items())


def _tasks(registry: Registry) -> _Cells:
    for name, entry in sorted(registry.tasks.items()):
        yield name, entry.task.version, ", ".join(entry.task.data_names), entry.task.title


def _metrics(registry: Registry) -> _Cells:
    for name, entry in sorted(registry.metrics.items()):
        yield name, entry.metric.version, entry.metric.summary


def _modules(registry: Registry) -> _Cells:
    """Yield each distribution and, below it, what each of its modules registers."""
    entries = [
        *(("model", entry) for entry in registry.models.values()),
        *(("task", entry) for entry in registry.tasks.values()),
        *(("metric", entry) for entry in registry.metrics.values()),
    ]
    offers = sorted(
        (f"{entry.origin.distribution} {entry.origin.version}", entry.origin.module, kind, i)
        for i, (kind, entry) in enumerate(entries)
    )
    for owner, of_owner in groupby(offers, key=lambda offer: offer[0]):
        yield owner, ""
        for (module, kind), group in groupby(of_owner, key=lambda offer: offer[1:3]):
            first, *others = (entries[i][1].name for *_, i in group)
            more = f" and {len(others)} more" if others else ""
            yield f"  {module}", f"{kind} {first}{more}"


def _short(value: object) -> str:
    """Return a setting as it is typed after --set: ``[64,1024]`` for ``(64, 1024)``."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
