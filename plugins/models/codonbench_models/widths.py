"""Widths of hidden layers as people write them: ``64``, ``64x1024``, ``64,1024``."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

Width = Annotated[int, Field(ge=1, le=8192)]
"""Units in one hidden layer."""


def _split(value: Any) -> Any:
    """Return a lone number or a text of numbers as a sequence; leave anything else alone."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        return tuple(part.strip() for part in value.strip("[]() ").replace("x", ",").split(","))
    return value


# Not Field(min_length=1): where a width is out of range, pydantic then adds that none was given.
def _one_or_two(widths: tuple[int, ...]) -> tuple[int, ...]:
    if len(widths) not in (1, 2):
        raise PydanticCustomError(
            "one_or_two", "give one width or two, not {given}", {"given": len(widths)}
        )
    return widths


OneOrTwoWidths = Annotated[tuple[Width, ...], BeforeValidator(_split), AfterValidator(_one_or_two)]
"""Units in each of one or two hidden layers, first to last."""

TwoWidths = Annotated[tuple[Width, Width], BeforeValidator(_split)]
"""Units in each of two hidden layers, first to last."""
