"""A recurrent network that classifies an input by its last step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

InitialState = Literal["zero", "orthogonal"]


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
