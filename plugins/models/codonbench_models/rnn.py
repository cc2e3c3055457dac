"""The plain (Elman) recurrent network: h' = tanh(W x + b + U h + c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo
from codonbench_models.presets import PAPER, Presets, with_weighted_twins
from codonbench_models.recurrent import Recurrent


class Rnn(Recurrent):
    """Stacked plain recurrent network over the letters of the input."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="rnn",
        version="1",
        summary="Stacked plain recurrent network over the letters of the input",
        authors=("codonbench",),
        licence="Apache-2.0",
        reference=PAPER,
    )
    presets: ClassVar[Presets] = with_weighted_twins(
        {"rnn-64": {"layers": 2, "hidden": 64}, "rnn-256": {"layers": 2, "hidden": 256}}
    )
    cell = "RNN"


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Rnn`."""
    register(Rnn)
