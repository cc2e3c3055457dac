"""The rungs of the ladder above the reference loop: each another way to execute one step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from codonbench.contracts.run_spec import EngineChoice
from codonbench.engines.capture import captured, compiled, recorded


@dataclass(frozen=True)
class Rung:
    """A way to execute the step of some seeds.

    Attributes:
        name, version: For the record; the version changes whenever a result's bits could.
        capture: Returns a function, recorded with an example, in the form it is executed in.
        shrinks: Whether seeds that have ended are left out on the way, which takes a new capture.
        device: Where it runs.
        in_blocks: Whether many steps are done at a time; see `blocks`.
    """

    name: str
    version: str
    capture: Callable[[Callable[..., Any], tuple[Any, ...]], Callable[..., Any]]
    shrinks: bool
    device: Literal["cpu", "cuda"] = "cpu"
    in_blocks: bool = False


TRACED = Rung("traced", "2", captured, shrinks=True)
COMPILED = Rung("compiled", "2", compiled, shrinks=False)

GRAPH = Rung("graph", "2", recorded, shrinks=False, device="cuda", in_blocks=True)

LADDER: dict[EngineChoice, tuple[Rung, ...]] = {
    "auto": (TRACED,),
    "eager": (),
    "traced": (TRACED,),
    "compiled": (COMPILED, TRACED),
    "graph": (GRAPH,),
}
"""What is tried in turn for each choice; below all of them lies the reference loop."""
