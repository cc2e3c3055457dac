"""How the fields of a configuration may be tuned: by their class, and by their bounds."""

from __future__ import annotations

import math
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from codonbench.contracts.base import Frozen
from codonbench.contracts.model import BaseConfig, GradientConfig, Tune

FAR_APART = 64.0
"""Bounds whose ratio is larger say what is possible, not what is sensible: such a field is sought
by ratio, from an eighth of its default to eight times it."""

_NEAR = 8.0


class Tunable(Frozen):
    """A field of a configuration.

    Attributes:
        kind: Kind of its values; ``other`` than numbers.
        drawn: How it is tuned by default; None for not at all.
    """

    kind: Literal["whole", "number", "other"]
    drawn: Tune | None = None


def tunable(config: BaseConfig) -> dict[str, Tunable]:
    """Return each field of a configuration, whose values narrow bounds that lie far apart.

    Those are sought that declare how (`Tune`), in the class or in one it extends, and the class's
    own that have bounds or a list of values; the other settings of a `GradientConfig` are not.
    """
    cls, found = type(config), {}
    for name, field in cls.model_fields.items():
        kinds = {field.annotation, *get_args(field.annotation)}
        drawn = _declared(cls, name)
        if drawn is None and name not in GradientConfig.model_fields:
            drawn = _by_bounds(field, kinds, getattr(config, name))
        kind = "whole" if int in kinds else "number" if float in kinds else "other"
        found[name] = Tunable(kind=kind, drawn=drawn)
    return found


def _declared(config: type[BaseConfig], name: str) -> Tune | None:
    """Return what a field declares, or else the same field of a class that is extended."""
    for cls in config.__mro__:
        field = getattr(cls, "__pydantic_fields__", {}).get(name)
        for declared in () if field is None else field.metadata:
            if isinstance(declared, Tune):
                return declared
    return None


def _by_bounds(field: FieldInfo, kinds: set[Any], default: Any) -> Tune | None:
    """Return how a field with a type and bounds alone is drawn; None if it is not."""
    if get_origin(field.annotation) is Literal:
        return Tune(choices=get_args(field.annotation))
    if bool in kinds:
        return Tune(choices=(False, True))
    whole = int in kinds
    if not whole and float not in kinds:
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
    log = default > 0 and high > FAR_APART * (low or default)
    if log:
        low, high = max(low, default / _NEAR), min(high, default * _NEAR)
        low, high = (math.ceil(low), math.floor(high)) if whole else (low, high)
    elif not whole and "lt" in bounds:
        high = low + 0.9 * (high - low)
    return Tune(low=low, high=high, log=log) if low < high < math.inf else None
