"""The search space: fields of a model's configuration and their ranges."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from codonbench.contracts import BaseConfig, Tune
from codonbench.contracts.tunable import Tunable, tunable
from codonbench.errors import ConfigError
from codonbench.plugins.entries import ModelEntry

Space = dict[str, Tune]
"""The range of each field."""


def fields_of(entry: ModelEntry, config: BaseConfig) -> Mapping[str, Tunable]:
    """Return the fields of a model's configuration, as sent by the worker of an isolated plugin."""
    return tunable(config) if entry.fields is None else entry.fields


def space_of(
    fields: Mapping[str, Tunable], given: Mapping[str, str], fixed: Collection[str]
) -> Space:
    """Return the search space.

    Args:
        fields: Fields of the model's configuration.
        given: Ranges by field, as text for `parse_range`, that replace the model's own.
        fixed: Fields with fixed values, to be left out.

    Raises:
        ConfigError: A field is unknown, has no such range or is also fixed, or no field is left.
    """
    for name in given:
        if name not in fields:
            known = ", ".join(sorted(fields))
            raise ConfigError(f"--space {name!r}: the model has no such field; it has {known}")
        if name in fixed:
            raise ConfigError(f"--space {name!r}: it is set by --set, too; leave one out")
    space: Space = {}
    for name, field in fields.items():
        drawn = parse_range(name, given[name], field) if name in given else field.drawn
        if drawn is not None and name not in fixed:
            space[name] = drawn
    if not space:
        raise ConfigError("the model has no field to tune; name one: --space FIELD=LOW..HIGH")
    return space


def parse_range(name: str, text: str, field: Tunable) -> Tune:
    """Parse a range such as ``1e-4..1e-1:log``, ``16..256`` or ``16,32,64``.

    Raises:
        ConfigError: The text is not a range.
    """
    match = re.fullmatch(r"\s*([^.,:]+(?:\.\d+)?[^.,:]*)\.\.([^,:]+?)(:log)?\s*", text)
    try:
        if match:
            return Tune(low=float(match[1]), high=float(match[2]), log=bool(match[3]))
        return Tune(choices=tuple(_value(part.strip(), field) for part in text.split(",")))
    except ValueError as error:
        raise ConfigError(
            f"--space {name}={text}: expected LOW..HIGH, LOW..HIGH:log or several values A,B,C"
        ) from error


def as_text(drawn: Tune) -> str:
    """Return a range as text for `parse_range`: ``0.0001..0.1:log`` or ``16,32,64``."""
    if drawn.choices:
        words = {True: "true", False: "false"}
        return ",".join(words[c] if isinstance(c, bool) else str(c) for c in drawn.choices)
    return f"{drawn.low:.12g}..{drawn.high:.12g}{':log' if drawn.log else ''}"


def _value(text: str, field: Tunable) -> Any:
    if field.kind != "other":
        return int(text) if field.kind == "whole" else float(text)
    return {"true": True, "false": False}.get(text, text)
