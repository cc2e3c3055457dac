"""The rungs of the ladder above the reference loop: each another way to execute one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from codonbench.config import EngineChoice
from codonbench.engines.capture import captured, compiled


@dataclass(frozen=True)
class Rung:
    """A way to execute the step of some seeds.

    Attributes:
        name, version: For the record; the version changes whenever a result's bits could.
        capture: Returns a function, recorded with an example, in the form it is executed in.
        shrinks: Whether seeds that have ended are left out on the way, which takes a new capture.
    """

    name: str
    version: str
    capture: Callable[[Callable[..., Any], tuple[Any, ...]], Callable[..., Any]]
    shrinks: bool


TRACED = Rung("traced", "1", captured, shrinks=True)
COMPILED = Rung("compiled", "1", compiled, shrinks=False)

LADDER: dict[EngineChoice, tuple[Rung, ...]] = {
    "auto": (TRACED,),
    "eager": (),
    "traced": (TRACED,),
    "compiled": (COMPILED, TRACED),
}
"""What is tried in turn for each choice; below all of them lies the reference loop."""
