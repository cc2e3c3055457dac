"""What the recurrent networks share: letters in, last step out, and the initial state."""

from __future__ import annotations

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from codonbench.contracts import GradientConfig, Model, ModelConfig, TaskView

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


class LastStep(nn.Module):
    """Reads an input letter by letter and classifies it from the last layer's last step."""

    def __init__(self, recurrence: nn.RNNBase, n_classes: int, initial_state: InitialState) -> None:
        super().__init__()
        self.recurrence = recurrence
        self.output = nn.Linear(recurrence.hidden_size, n_classes, bias=False)
        self.initial_state = initial_state

    def forward(self, letters: Tensor) -> Tensor:
        """Map one-hot letters (B, length, alphabet) to logits (B, n_classes)."""
        steps, _ = self.recurrence(letters, self._state(letters))
        logits: Tensor = self.output(steps[:, -1])
        return logits

    def _state(self, letters: Tensor) -> Tensor | tuple[Tensor, Tensor] | None:
        """Return h0, for an LSTM (h0, c0), each (layers, B, hidden); None stands for zeros.

        In evaluation it is always zeros, so that a probe repeats and draws no random number.
        """
        if self.initial_state == "zero" or not self.training:
            return None
        if isinstance(self.recurrence, nn.LSTM):
            return self._orthogonal(letters), self._orthogonal(letters)
        return self._orthogonal(letters)

    def _orthogonal(self, letters: Tensor) -> Tensor:
        """Draw (layers, B, hidden) whose layers, each laid out as one vector, are orthonormal.

        That is what `torch.nn.init.orthogonal_` makes of three axes: the first against the
        rest. Each unit's state is then of size 1/sqrt(B * hidden): small.
        """
        shape = (self.recurrence.num_layers, letters.shape[0], self.recurrence.hidden_size)
        return nn.init.orthogonal_(torch.empty(shape, dtype=letters.dtype, device=letters.device))


class Recurrent(Model):
    """Base of `Rnn`, `Gru` and `Lstm`; they supply `info`, `presets` and `cell`.

    Class attributes:
        cell: Which of torch's recurrences is stacked, biases included.
    """

    Config: ClassVar[type[ModelConfig]] = RecurrentConfig
    cell: ClassVar[type[nn.RNN] | type[nn.GRU] | type[nn.LSTM]]
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
        """Return the stacked recurrence and its bias-free output layer for `task`."""
        recurrence = self.cell(
            len(task.alphabet), self.config.hidden, self.config.layers, batch_first=True
        )
        return LastStep(recurrence, task.n_classes, self.config.initial_state)
