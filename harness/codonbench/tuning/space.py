"""What is sought: which fields of a model's configuration, within which bounds."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from codonbench.contracts import BaseConfig, GradientConfig, Tune
from codonbench.errors import ConfigError

FAR_APART = 64.0
"""Bounds whose ratio is larger say what is possible, not what is sensible: such a field is sought
by ratio, from an eighth of its default to eight times it."""

_NEAR = 8.0

Space = dict[str, Tune]
"""By field."""


def space_of(
    config: type[BaseConfig],
    default: Mapping[str, Any],
    given: Mapping[str, str],
    fixed: Collection[str],
) -> Space:
    """Return the fields to seek, and how each is drawn.

    Those are sought that declare how (`Tune`), in the class or in one it extends, and the class's
    own that have bounds or a list of values; the other settings of a `GradientConfig` only where
    they are given.

    Args:
        config: The model's.
        default: Its values, by which far bounds are narrowed.
        given: Ranges in text by field, see `parse_range`, which stand in for its own.
        fixed: Fields that are set, and not sought.

    Raises:
        ConfigError: A field is unknown or cannot be sought, or there is none.
    """
    for name in given:
        if name not in config.model_fields:
            known = ", ".join(sorted(config.model_fields))
            raise ConfigError(f"--space {name!r}: the model has no such field; it has {known}")
        if name in fixed:
            raise ConfigError(f"--space {name!r}: it is set by --set, too; leave one out")
    space: Space = {}
    for name, field in config.model_fields.items():
        if name in fixed:
            continue
        declared = _declared(config, name)
        if name in given:
            space[name] = parse_range(name, given[name], field)
        elif declared is not None:
            space[name] = declared
        elif name not in GradientConfig.model_fields:
            drawn = _by_bounds(field, default.get(name))
            space |= {} if drawn is None else {name: drawn}
    if not space:
        raise ConfigError("the model has no field to seek; name one: --space FIELD=LOW..HIGH")
    return space


def parse_range(name: str, text: str, field: FieldInfo) -> Tune:
    """Return ``1e-4..1e-1:log``, ``16..256`` or ``16,32,64`` as what it says.

    Raises:
        ConfigError: It says neither.
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


def _value(text: str, field: FieldInfo) -> Any:
    for kind in (int, float):
        if kind in _kinds(field):
            return kind(text)
    return {"true": True, "false": False}.get(text, text)


def _declared(config: type[BaseConfig], name: str) -> Tune | None:
    """Return what a field declares, or else the same field of a class that is extended."""
    for cls in config.__mro__:
        field = getattr(cls, "__pydantic_fields__", {}).get(name)
        for declared in () if field is None else field.metadata:
            if isinstance(declared, Tune):
                return declared
    return None


def is_whole(config: type[BaseConfig], name: str) -> bool:
    """Return whether a field is a whole number."""
    return int in _kinds(config.model_fields[name])


def _kinds(field: FieldInfo) -> set[Any]:
    return {field.annotation, *get_args(field.annotation)}


def _by_bounds(field: FieldInfo, default: Any) -> Tune | None:
    """Return how a field is drawn that says no more than its type and bounds; None for not."""
    if get_origin(field.annotation) is Literal:
        return Tune(choices=get_args(field.annotation))
    if bool in _kinds(field):
        return Tune(choices=(False, True))
    whole = int in _kinds(field)
    if not whole and float not in _kinds(field):
        return None
    bounds: dict[str, float] = {}
    for limit in field.metadata:
        for side in ("ge", "gt", "le", "lt"):
            if (value := getattr(limit, side, None)) is not None:
                bounds[side] = float(value)
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if low is None or high is None or not isinstance(default, int | float):
        return None
    if whole:
        low, high = low + ("gt" in bounds), high - ("lt" in bounds)
    if default > 0 and high > FAR_APART * (low or default):
        low, high = max(low, default / _NEAR), min(high, default * _NEAR)
        low, high = (math.ceil(low), math.floor(high)) if whole else (low, high)
        return Tune(low=low, high=high, log=True) if low < high else None
    if not whole and "lt" in bounds:
        high = low + 0.9 * (high - low)
    return Tune(low=low, high=high, log=False)
