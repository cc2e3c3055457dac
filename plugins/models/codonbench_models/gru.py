"""The gated recurrent unit: h' = (1 - z) n + z h."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo
from codonbench_models.presets import PAPER, Presets, with_weighted_twins
from codonbench_models.recurrent import Recurrent


class Gru(Recurrent):
    """Stacked gated recurrent units over the letters of the input."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="gru",
        version="1",
        summary="Stacked gated recurrent units over the letters of the input",
        authors=("codonbench",),
        licence="Apache-2.0",
        reference=PAPER,
    )
    presets: ClassVar[Presets] = with_weighted_twins({"gru-64": {"layers": 2, "hidden": 64}})
    cell = "GRU"


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Gru`."""
    register(Gru)
