"""A suite: a list of runs in a TOML file, read as requests.

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
in its folder ``suites``; they are found without loading it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field

from codonbench.contracts import Frozen, Name
from codonbench.contracts.run_spec import MAX_SEEDS, RunRequest, configure
from codonbench.errors import ConfigError
from codonbench.plugins.shipped_files import find_file, read_tables

FIELDS = tuple(name for name in RunRequest.model_fields if name not in ("offline", "force"))
"""What a run may set; whether to use the network or to repeat a run is not the suite's to say."""

MOST_RUNS = 1_000
"""In one suite, each model of a run counted, not each of its seeds; of these `MAX_SEEDS`."""

BUDGETS = {"epochs", "pairs", "examples"}
"""Fields of which one takes the place of another."""

Settings = Mapping[str, Any]


class _Head(Frozen):
    """The table ``[suite]``."""

    name: Name
    title: str = Field(max_length=200)


class Suite(_Head):
    """A list of runs.

    Attributes:
        name: As in ``--suite NAME``, where it is shipped.
        title: One line.
        requests: One for each model of each run, in order.
    """

    requests: tuple[RunRequest, ...]


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
    tables = read_tables(path, "suite")
    if unknown := set(tables) - {"suite", "defaults", "run"}:
        raise ConfigError(
            f"suite {path}: no table {min(unknown)!r}; it has [suite], [defaults] and [[run]]"
        )
    owner = f"suite {path}, [suite]"
    if "suite" not in tables:
        raise ConfigError(f"{owner} is missing")
    head = configure(_Head, _table(tables["suite"], owner), {}, owner)
    owner = f"suite {path}, [defaults]"
    defaults = _table(tables.get("defaults", {}), owner, FIELDS)
    if "model" in defaults:
        raise ConfigError(f"{owner}: field 'model' belongs in a [[run]]")
    configure(RunRequest, {"model": "any", **defaults}, {}, owner)
    runs = tables.get("run")
    if not isinstance(runs, list) or not runs:
        raise ConfigError(f"suite {path}: it needs at least one [[run]] with a field 'model'")
    requests: list[RunRequest] = []
    seeds = 0
    for i, table in enumerate(runs, 1):
        owner = f"suite {path}, [[run]] {i}"
        run = _table(table, owner, FIELDS)
        models = run.get("model")
        models = [models] if isinstance(models, str) else models
        if not (isinstance(models, list) and models and all(isinstance(m, str) for m in models)):
            raise ConfigError(f"{owner}: field 'model': got {models!r}; expected a name or several")
        if len(requests) + len(models) > MOST_RUNS:
            raise ConfigError(f"suite {path} has more than {MOST_RUNS:,} runs; cut it in parts")
        configure(RunRequest, {**run, "model": models[0]}, {}, owner)  # before it is joined
        settings = _over(_over(defaults, given or {}), run)
        request = configure(RunRequest, {**settings, "model": models[0]}, {}, owner)
        requests += [request.model_copy(update={"model": model}) for model in models]
        seeds += len(models) * len(request.seeds)
        if seeds > MAX_SEEDS:
            raise ConfigError(
                f"suite {path} has more than {MAX_SEEDS:,} runs, each seed counted; cut it in parts"
            )
    return Suite(**head.model_dump(), requests=tuple(requests))


def _table(table: Any, owner: str, fields: Sequence[str] = ()) -> dict[str, Any]:
    """Return a table, which has no fields but some, where they are given."""
    if not isinstance(table, dict):
        raise ConfigError(f"{owner}: got {table!r}; expected a table")
    for field in table:
        if fields and field not in fields:
            raise ConfigError(f"{owner}: no field {field!r}; it has {', '.join(sorted(fields))}")
    return table


def _over(lower: Settings, upper: Settings) -> dict[str, Any]:
    """Return settings in which the upper ones prevail.

    One kind of budget takes the place of the other; overrides are joined field by field.
    """
    merged = dict(lower)
    if upper.keys() & BUDGETS:
        merged = {field: value for field, value in lower.items() if field not in BUDGETS}
    for field, value in upper.items():
        joined = field in ("overrides", "task_overrides", "protocol_overrides")
        merged[field] = {**merged.get(field, {}), **value} if joined else value
    return merged
