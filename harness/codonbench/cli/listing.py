"""`bench ls` and `bench plugins`: what there is, where it comes from, and what did not load."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import typer

from codonbench.cli import FAILED
from codonbench.cli.console import output, print_list, say
from codonbench.cli.options import (
    PluginOption,
    PluginsDirOption,
    debug,
    load_plugins,
    selection,
    survey_plugins,
)
from codonbench.errors import UnknownNameError
from codonbench.plugins.entries import ModelEntry
from codonbench.plugins.registry import Registry
from codonbench.plugins.selection import Candidate
from codonbench.records.files import plain_json

_Row = dict[str, Any]


def ls(
    kind: Annotated[str, typer.Argument(help="models, tasks, metrics or rows")] = "models",
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="For rows: only this task.")
    ] = None,
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
) -> None:
    """List models, tasks, metrics, or the rows of the official board.

    The official board, without its figures, is installed with codonbench.

    A terminal too narrow for a board leaves out, in this order: parameters, intervals (last
    those of the first figure and of gains), figures from the last to the second, tiers,
    success. Rank, model and the first figure stay, and a line says what is left out. A list
    leaves out the data of tasks, then versions; what still does not fit is cut with an
    ellipsis. In a file or a pipe a list is complete.
    """
    if kind not in ("models", "tasks", "metrics", "rows"):
        raise UnknownNameError(f"cannot list {kind!r}; choose models, tasks, metrics or rows")
    registry = load_plugins(plugin, plugins_dir, listing="" if kind == "rows" else kind)
    if kind == "rows":
        from codonbench.cli.board_tables import print_table_of  # takes a second: SciPy
        from codonbench.ranking.board import official_tables

        wanted = registry.known_tasks if task is None else {task: registry.task(task).task}
        tables = official_tables(wanted)
        for table in tables:
            print_table_of(table)
        if not tables:
            of = "no task here" if task is None else f"task {task!r}"
            say(f"the official board has no rows of {of}")
    elif kind == "models":
        print_list(("model", "summary, or settings"), _models(registry))
    elif kind == "tasks":
        tasks = sorted(registry.known_tasks.items())
        rows = ((n, task.version, ", ".join(task.data_names), task.title) for n, task in tasks)
        print_list(("task", "version", "data", "title"), rows, spare=("data", "version"))
    else:
        metrics = [(name, entry.metric) for name, entry in sorted(registry.metrics.items())]
        lines = ((n, m.version, m.summary) for n, m in metrics)
        print_list(("metric", "version", "summary"), lines, spare=("version",))


def _models(registry: Registry) -> Iterator[tuple[str, str]]:
    """Yield each model with its presets below it; the reference rows last."""
    roots = [e for name, e in registry.models.items() if name == e.cls.info.name]
    for root in sorted(roots, key=lambda e: (e.cls.info.role == "reference", e.name)):
        info = root.cls.info
        reference = "reference: " if info.role == "reference" else ""
        yield root.name, reference + info.summary
        for preset, fields in root.cls.presets.items():
            yield f"  {preset}", ", ".join(f"{f}={_short(v)}" for f, v in fields.items())


def _short(value: object) -> str:
    """Return a setting as it is typed after --set: ``[64,1024]`` for ``(64, 1024)``."""
    return f"[{','.join(map(str, value))}]" if isinstance(value, tuple) else str(value)


def plugins(
    plugin: PluginOption = None,
    plugins_dir: PluginsDirOption = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document, presets and all.")
    ] = False,
) -> None:
    """List plugins, their commands, and those that failed to load; exit 1 if any failed.

    Each plugin belongs to a distribution and has its own version. --debug adds the
    traceback of each failure.
    """
    registry = survey_plugins(plugin, plugins_dir, installed=True)
    registry.enter_all()
    rows = _rows(registry)
    if as_json:
        typer.echo(plain_json(json.dumps(_document(registry, rows), indent=1)))
    else:
        _print_loaded(rows)
        for owner, found in groupby(_added_commands(), lambda c: (c.distribution, c.version)):
            names = ", ".join(command.point for command in found)
            say(f"commands of {' '.join(owner)}: {names}", console=output())
        _print_missing(registry)
    if registry.failures or registry.clashes:
        raise typer.Exit(FAILED)


def _added_commands() -> list[Candidate]:
    """Return the commands that plugins add, those of one distribution beside one another."""
    from codonbench.cli.main import SUMMARIES, commands

    points = (point for name, point in commands(selection().off).items() if name not in SUMMARIES)
    return sorted(map(Candidate.of, points), key=lambda c: (c.distribution, c.version, c.point))


def _rows(registry: Registry) -> list[_Row]:
    """Return what loaded, a preset below its model, by distribution and folder."""
    tables = (("task", registry.tasks), ("model", registry.models), ("metric", registry.metrics))
    rows = [
        {
            "name": entry.name,
            "kind": kind,
            "version": entry.version,
            "preset_of": entry.cls.info.name
            if isinstance(entry, ModelEntry) and entry.name != entry.cls.info.name
            else None,
            "distribution": entry.origin.distribution,
            "distribution_version": entry.origin.version,
            "module": entry.origin.module,
            "file": entry.file,
        }
        for kind, table in tables
        for entry in table.values()
    ]
    return sorted(rows, key=lambda row: (row["distribution"], Path(row["file"]).parent))


def _document(registry: Registry, rows: Sequence[_Row]) -> _Row:
    failures = [
        {name: getattr(failure, name) for name in ("point", "module", "distribution", "file")}
        | {"distribution_version": failure.version, "line": failure.line, "error": failure.error}
        | {"hint": failure.hint, "traceback": failure.details}
        for failure in registry.failures
    ]
    return {
        "schema_version": 1,
        "plugins": rows,
        "commands": [
            {
                "name": command.point,
                "distribution": command.distribution,
                "distribution_version": command.version,
                "module": command.module,
            }
            for command in _added_commands()
        ],
        "failures": failures,
        "clashes": [str(clash) for clash in registry.clashes],
        "switched_off": registry.switched_off,
        "not_trusted": [
            {"name": each.name, "kind": each.kind, "distribution": each.candidate.distribution}
            for each in registry.refused
        ],
    }


def _print_loaded(rows: Sequence[_Row]) -> None:
    """Print a table for each folder of plugins, headed by its distribution.

    A model's presets are counted; 'bench ls models' spells them out.
    """
    presets = Counter(row["preset_of"] for row in rows)
    names = {
        row["name"]: row["name"] + (f" + {n} preset{'s' * (n > 1)}" if n else "")
        for row in rows
        if not row["preset_of"]
        for n in [presets[row["name"]]]
    }
    width = max(map(len, names.values()), default=0)
    for heading, group in groupby(rows, key=_heading):
        say(heading, style="bold", console=output())
        cells = (
            (names[row["name"]].ljust(width), row["kind"], row["version"], Path(row["file"]).name)
            for row in group
            if not row["preset_of"]
        )
        print_list(("name", "kind", "version", "file"), cells, spare=("version",))
        output().print()


def _heading(row: _Row) -> str:
    """Return the distribution of a plugin, its version and the folder of its file."""
    owner = f"{row['distribution'] or 'no distribution'} {row['distribution_version']}".strip()
    return f"{owner}, in {Path(row['file']).parent}" if row["file"] else owner


def _print_missing(registry: Registry) -> None:
    """Print what is not in the tables, and why."""
    console = output()
    for off in registry.switched_off:
        say(f"switched off: {off}", console=console)
    for refused in registry.refused:
        say(f"not loaded: {refused.why}", console=console)
    for clash in registry.clashes:
        say(f"name given twice: {clash}", style="red", console=console)
    for failure in registry.failures:
        say(f"did not load: {failure.whose}", style="bold red", console=console)
        if failure.place:
            say(f"  {failure.place}", console=console)
        say(f"  {failure.error}", style="red", console=console)
        say(f"  {failure.hint}", console=console)
        if debug():
            say(failure.details, console=console)
