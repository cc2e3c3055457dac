"""Long short-term memory: c' = f c + i g, h' = o tanh(c')."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo
from codonbench_models.presets import PAPER, Presets, with_weighted_twins
from codonbench_models.recurrent import Recurrent


class Lstm(Recurrent):
    """Stacked long short-term memory over the letters of the input."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="lstm",
        version="1",
        summary="Stacked long short-term memory over the letters of the input",
        authors=("codonbench",),
        licence="Apache-2.0",
        reference=PAPER,
    )
    presets: ClassVar[Presets] = with_weighted_twins({"lstm-64": {"layers": 2, "hidden": 64}})
    cell = "LSTM"


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Lstm`."""
    register(Lstm)
