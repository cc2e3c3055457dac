"""What the recurrent networks share: letters in, last step out, and the initial state."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import GradientConfig, Model, ModelConfig, TaskView
from codonbench_models.inputs import one_length

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

    @property
    def encoding(self) -> str:
        """The letters in order, each a one-hot: (B, 3, 4) for codons."""
        return "symbol_onehot"

    @property
    def row_independent(self) -> bool:
        """True unless training draws one orthogonal initial state for the whole batch."""
        return self.config.initial_state == "zero"

    def build(self, task: TaskView) -> nn.Module:
        """Return the stacked recurrence and its bias-free output layer for `task`.

        Raises:
            ConfigError: The task's items differ in length, so that the last step of most is none.
        """
        from torch import nn

        from codonbench_models._last_step import LastStep

        one_length(task, self.cell.lower())
        cell = {"RNN": nn.RNN, "GRU": nn.GRU, "LSTM": nn.LSTM}[self.cell]
        recurrence = cell(
            len(task.alphabet), self.config.hidden, self.config.layers, batch_first=True
        )
        return LastStep(recurrence, task.n_classes, self.config.initial_state)
