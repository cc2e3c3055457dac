"""A suite: a list of runs in a TOML file, and what it comes to as requests.

    [suite]
    name = "recurrent"
    title = "Recurrent networks, with either optimiser"

    [defaults]
    seeds = "0-9"

    [[run]]
    model = ["rnn-64", "lstm-64"]

    [[run]]
    model = "rnn-64"
    overrides = { optimizer = "sgd" }

A package that an entry point of the group ``codonbench`` names ships its suites as TOML files
in its folder ``suites``; they are found without loading it (`shipped`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from pydantic import Field

from codonbench.contracts import Frozen, Name
from codonbench.contracts.run_spec import RunRequest, configure, parse_seeds
from codonbench.errors import ConfigError
from codonbench.plugins.shipped_files import find_file, read_tables, shipped_files

FIELDS = tuple(name for name in RunRequest.model_fields if name not in ("offline", "force"))
"""What a run may set; whether to use the network or to repeat a run is not the suite's to say."""

Settings = Mapping[str, Any]


class Suite(Frozen):
    """A list of runs.

    Attributes:
        name: As in ``--suite NAME``, where it is shipped.
        title: One line.
        requests: One for each model of each run, in order.
    """

    name: str
    title: str
    requests: tuple[RunRequest, ...]


class _Head(Frozen):
    """The table ``[suite]``."""

    name: Name
    title: str = Field(max_length=200)


def shipped_suites(points: Iterable[EntryPoint] | None = None) -> dict[str, Path]:
    """Return the suites that installed packages ship, by name; see `shipped.shipped_files`."""
    return shipped_files("suites", "suite", points)


def find_suite(name: str) -> Path:
    """Return the file of a suite given as a path or as a shipped name.

    Raises:
        UnknownNameError: It is neither; lists what is shipped.
    """
    return find_file(name, "suites", "suite")


def read_suite(path: Path, given: Settings | None = None) -> Suite:
    """Return the suite in a file.

    Args:
        path: A TOML file.
        given: Settings that stand in for the suite's defaults; a run's own stay.

    Raises:
        ConfigError: Names the file, the table and the field that is wrong.
        StoreError: The file cannot be read.
    """
    tables = _tables(path)
    owner = f"suite {path}, [suite]"
    head = configure(_Head, _table(tables, "suite", owner), {}, owner)
    owner = f"suite {path}, [defaults]"
    defaults = _table(tables, "defaults", owner) if "defaults" in tables else {}
    if "model" in defaults:
        raise ConfigError(f"{owner}: field 'model' belongs in a [[run]]")
    defaults = _settings(defaults, owner)
    configure(RunRequest, {"model": "any", **defaults}, {}, owner)
    common = _over(defaults, given or {})
    runs = tables.get("run")
    if not isinstance(runs, list) or not runs:
        raise ConfigError(f"suite {path}: it needs at least one [[run]] with a field 'model'")
    requests = [
        request
        for i, run in enumerate(runs, 1)
        for request in _requests(run, common, f"suite {path}, [[run]] {i}")
    ]
    return Suite(name=head.name, title=head.title, requests=tuple(requests))


def _tables(path: Path) -> dict[str, Any]:
    tables = read_tables(path, "suite")
    unknown = set(tables) - {"suite", "defaults", "run"}
    if unknown:
        raise ConfigError(
            f"suite {path}: no table {min(unknown)!r}; it has [suite], [defaults] and [[run]]"
        )
    return tables


def _table(tables: Settings, name: str, owner: str) -> dict[str, Any]:
    table = tables.get(name)
    if not isinstance(table, dict):
        state = "is missing" if name not in tables else f"got {table!r}; expected a table"
        raise ConfigError(f"{owner} {state}")
    return table


def _requests(run: Any, common: Settings, owner: str) -> list[RunRequest]:
    """Return a request for each model that a ``[[run]]`` names."""
    if not isinstance(run, dict):
        raise ConfigError(f"{owner}: got {run!r}; expected a table")
    models = run.get("model")
    models = [models] if isinstance(models, str) else models
    if not isinstance(models, list) or not models or not all(isinstance(m, str) for m in models):
        raise ConfigError(f"{owner}: field 'model': got {models!r}; expected a name or several")
    settings = _over(common, _settings(run, owner))
    return [configure(RunRequest, {**settings, "model": model}, {}, owner) for model in models]


def _settings(table: Settings, owner: str) -> dict[str, Any]:
    """Return a table's settings as a request takes them.

    Raises:
        ConfigError: A field is unknown, or names no seeds or no settings.
    """
    settings = dict(table)
    for field in settings:
        if field not in FIELDS:
            raise ConfigError(f"{owner}: no field {field!r}; it has {', '.join(sorted(FIELDS))}")
    if "seeds" in settings:
        settings["seeds"] = _seeds(settings["seeds"], owner)
    for field in ("overrides", "task_overrides"):
        if field in settings:
            settings[field] = _texts(settings[field], f"{owner}: field {field!r}")
    return settings


def _seeds(value: Any, owner: str) -> tuple[int, ...]:
    """Return seeds from ``"0-9"``, ``3`` or ``[0, 3, 5]``."""
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    try:
        return parse_seeds(text)
    except ConfigError as error:
        raise ConfigError(f"{owner}: field 'seeds': {error}") from error


def _texts(value: Any, owner: str) -> dict[str, str]:
    """Return ``{hidden = [8, 8]}`` as ``--set hidden=[8,8]`` would give it."""
    if not isinstance(value, dict):
        raise ConfigError(f"{owner}: got {value!r}; expected a table such as {{ hidden = 128 }}")
    return {k: v if isinstance(v, str) else json.dumps(v, default=str) for k, v in value.items()}


def _over(lower: Settings, upper: Settings) -> dict[str, Any]:
    """Return settings in which the upper ones prevail.

    One kind of budget takes the place of the other; overrides are joined field by field.
    """
    merged = dict(lower)
    if "epochs" in upper or "pairs" in upper:
        merged.pop("epochs", None)
        merged.pop("pairs", None)
    for field, value in upper.items():
        joined = field in ("overrides", "task_overrides")
        merged[field] = {**merged.get(field, {}), **value} if joined else value
    return merged
