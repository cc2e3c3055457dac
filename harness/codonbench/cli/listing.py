"""`bench ls`: the models, tasks and metrics there are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from codonbench.cli.folders import PluginOption, PluginsDirOption

if TYPE_CHECKING:
    from codonbench.plugins.registry import Registry

_Cells = Iterator[tuple[str, ...]]


def ls(
    kind: Annotated[str, typer.Argument(help="models, tasks or metrics")] = "models",
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
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
    print_table(headers, rows(load_plugins(plugin, plugins_dir)))


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


def _short(value: object) -> str:
    """Return a setting as it is typed after --set: ``[64,1024]`` for ``(64, 1024)``."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)
