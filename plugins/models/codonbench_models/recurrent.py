"""Recurrent networks over the letters of the input: plain (Elman), GRU and LSTM.

Plain: h' = tanh(W x + b + U h + c). GRU: h' = (1 - z) n + z h. LSTM: c' = f c + i g,
h' = o tanh(c').
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.presets import PAPER, Presets, one_sequence, ours, with_weighted_twins

if TYPE_CHECKING:
    from torch import nn

InitialState = Literal["zero", "orthogonal"]


class RecurrentConfig(GradientConfig):
    """Hyperparameters of a recurrent network."""

    layers: int = Field(default=2, ge=1, le=16, description="recurrent layers, stacked")
    hidden: int = Field(default=64, ge=1, le=8192, description="units in each recurrent layer")
    initial_state: InitialState = Field(
        default="zero",
        description="zero, or orthogonal: drawn afresh at every training pass, as the authors "
        "do, and zero in evaluation",
    )
    learning_rate: float = Field(default=0.005, gt=0, le=100, description="step size")


class Recurrent(Model):
    """Base of `Rnn`, `Gru` and `Lstm`; they supply `info`, `presets` and `cell`.

    Class attributes:
        cell: Which of `torch.nn`'s recurrences is stacked, biases included.
    """

    Config: ClassVar[type[ModelConfig]] = RecurrentConfig
    cell: ClassVar[Literal["RNN", "GRU", "LSTM"]]
    config: RecurrentConfig

    encoding = "symbol_onehot"
    """The letters in order, each a one-hot: (B, 3, 4) for codons."""

    @property
    def row_independent(self) -> bool:
        """True unless training draws one orthogonal initial state for the whole batch."""
        return self.config.initial_state == "zero"

    def build(self, task: TaskView) -> nn.Module:
        """Return the stacked recurrence and its bias-free output layer for `task`.

        Raises:
            ConfigError: The task's items are no single sequences, or differ in length, so that the
                last step of most is none.
        """
        from torch import nn

        from codonbench_models._last_step import LastStep

        letters = one_sequence(task, self.cell.lower())
        cell = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[self.cell]
        recurrence = cell(
            letters.channels, self.config.hidden, self.config.layers, batch_first=True
        )
        return LastStep(recurrence, task.n_classes, self.config.initial_state)


class Rnn(Recurrent):
    """Stacked plain recurrent network over the letters of the input."""

    info: ClassVar[ModelInfo] = ours(
        "rnn",
        "Stacked plain recurrent network over the letters of the input",
        reference=PAPER,
    )
    presets: ClassVar[Presets] = with_weighted_twins(
        {"rnn-64": {"layers": 2, "hidden": 64}, "rnn-256": {"layers": 2, "hidden": 256}}
    )
    cell = "RNN"


class Gru(Recurrent):
    """Stacked gated recurrent units over the letters of the input."""

    info: ClassVar[ModelInfo] = ours(
        "gru",
        "Stacked gated recurrent units over the letters of the input",
        reference=PAPER,
    )
    presets: ClassVar[Presets] = with_weighted_twins({"gru-64": {"layers": 2, "hidden": 64}})
    cell = "GRU"


class Lstm(Recurrent):
    """Stacked long short-term memory over the letters of the input."""

    info: ClassVar[ModelInfo] = ours(
        "lstm",
        "Stacked long short-term memory over the letters of the input",
        reference=PAPER,
    )
    presets: ClassVar[Presets] = with_weighted_twins({"lstm-64": {"layers": 2, "hidden": 64}})
    cell = "LSTM"
