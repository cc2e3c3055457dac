"""`bench new`: a project for a model, metric or task of one's own, ready to install and test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated

import typer
from pydantic import TypeAdapter, ValidationError

from codonbench import __version__
from codonbench.cli.console import output, say
from codonbench.cli.options import load_plugins
from codonbench.contracts import MetricName, Name, SplitMetric
from codonbench.contracts.run_spec import parse_settings
from codonbench.errors import ConfigError, StoreError, UsageError
from codonbench.plugins.entries import Entry
from codonbench.plugins.registry import Registry

_TEMPLATES = Path(__file__).parents[1] / "templates"
_ENDING = ".template"
"""Of every template, so that no tool takes one for a file of ours."""

_TRY = {
    "model": "bench run --model {name} --seeds 0-2",
    "metric": "bench ls metrics --trust {distribution}",
    "task": "bench run --task {name} --model {model} --seeds 0-2 --trust {distribution}",
}


def new(
    kind: Annotated[str, typer.Argument(help="model, metric or task")],
    name: Annotated[
        str | None,
        typer.Argument(help="Its name, as in --model NAME; with --from, by default the table's."),
    ] = None,
    into: Annotated[Path, typer.Option(help="Folder to make the project's folder in.")] = Path(),
    table: Annotated[
        str | None,
        typer.Option("--from", help="For a task: describe this table in a TOML file."),
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--task-set", metavar="FIELD=VALUE", help="With --from: as for 'bench run'."),
    ] = None,
) -> None:
    """Write a plugin project for your own model, metric or task, with passing tests.

    The folder codonbench-NAME holds a pyproject.toml with the entry point, a working module,
    its tests, a README and a workflow for GitHub. A task --from a table needs none of that:
    NAME.toml says how the table is read; you can edit it, share it and give it to bench run
    --data.
    """
    if kind not in _TRY:
        raise UsageError(f"cannot make a {kind!r}; choose model, metric or task")
    if table is not None and kind == "task":
        _describe_table(table, name, into, settings or [])
        return
    if name is None or table is not None:
        raise UsageError(f"bench new {kind} needs a name and no --from: bench new {kind} NAME")
    registry = load_plugins()
    values = _values(kind, name) | (_neighbours(registry) if kind == "task" else {})
    _refuse_taken(registry, kind, name, values["package"])
    folder = into / values["distribution"]
    if folder.exists():
        raise UsageError(f"{folder} exists already; remove it or choose another name or --into")
    for path, content in _rendered(kind, values):
        _write(folder / path, content)
    place = f"cd {shlex.quote(str(folder))}"
    _print(
        f"wrote the {kind} {name}: {folder}/src/{values['package']}/__init__.py\n",
        (f"{place} && pip install -e '.[test]'", "pytest", _TRY[kind].format(**values)),
    )


def _describe_table(table: str, name: str | None, into: Path, settings: list[str]) -> None:
    """Write the description of a table beside others in a folder."""
    from codonbench.data.own_table import describe  # which reads tables

    given = parse_settings(settings, "--task-set") | ({"name": name} if name else {})
    name, text = describe(table, given, into)
    path = into / f"{name}.toml"
    if path.exists():
        raise UsageError(f"{path} exists already; remove it or choose another name or --into")
    _write(path, text)
    command = f"bench run --data {shlex.quote(str(path))} --model MODEL --seeds 0-4"
    _print(f"wrote {path}\n\n{text}", [command])


def _write(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror}; choose --into") from error


def _print(done: str, commands: Iterable[str]) -> None:
    """Say what was done, and which commands come next."""
    for line in (done, "next:", *(f"  {command}" for command in commands)):
        say(line, console=output())


def _values(kind: str, name: str) -> dict[str, str]:
    """Return the values of the templates' placeholders.

    ``lstm-64`` is ``Lstm64Model`` in the package ``codonbench_lstm_64`` of the distribution
    ``codonbench-lstm-64``: with the prefix, no name is a keyword, a number or somebody else's.

    Raises:
        ConfigError: `name` is no valid name.
    """
    _check(kind, name)
    words = [word for word in re.split(r"[-_.]+", name) if word]
    stem, suffix = "".join(word.capitalize() for word in words), kind.capitalize()
    distribution = "-".join(["codonbench", *(word.lower() for word in words)])
    return {
        "kind": kind,
        "name": name,
        "distribution": distribution,
        "package": distribution.replace("-", "_"),
        "cls": f"{suffix}{stem}" if stem[0].isdigit() else f"{stem}{suffix}",
        "version": __version__,
    }


def _check(kind: str, name: str) -> None:
    try:
        TypeAdapter(MetricName if kind == "metric" else Name).validate_python(name)
    except ValidationError as error:
        allowed = (
            "letters, digits and _"
            if kind == "metric"
            else "lower-case letters, digits and any of . _ -"
        )
        raise ConfigError(
            f"{kind} name {name!r}: expected {allowed}, at most 64 of them, a letter or digit first"
        ) from error


def _neighbours(registry: Registry) -> dict[str, str]:
    """Return a model that takes any sequences, and a score of classes, to go with a new task."""
    models = (
        name
        for name, entry in sorted(registry.models.items())
        if entry.cls.info.role == "reference" and getattr(entry.cls, "encoding", "") == "items"
    )
    scores = (
        name
        for name, entry in sorted(registry.metrics.items())
        if isinstance(entry.metric, SplitMetric) and "classes" in entry.metric.serves_targets
    )
    return {"model": next(models, "MODEL"), "metric": next(scores, "METRIC")}


def _refuse_taken(registry: Registry, kind: str, name: str, package: str) -> None:
    """Raise UsageError where a plugin or a package of that name is installed already."""
    tables: dict[str, Mapping[str, Entry]] = {
        "model": registry.models,
        "metric": registry.metrics,
        "task": registry.tasks,
    }
    if name in tables[kind]:
        owner = tables[kind][name].origin.distribution
        raise UsageError(f"{kind} {name!r} is there already, from {owner}; choose another name")
    if find_spec(package) is not None:
        raise UsageError(f"package {package} is installed already; choose another name")


def _rendered(kind: str, values: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the path of each file of the project, and its content."""
    for part in ("project", kind):
        folder = _TEMPLATES / part
        for path in sorted(folder.rglob(f"*{_ENDING}")):
            name = str(path.relative_to(folder)).removesuffix(_ENDING)
            text = Template(path.read_text(encoding="utf-8")).substitute(values)
            yield name.replace("PACKAGE", values["package"]), text
