"""A convolution and a bidirectional LSTM on what it finds."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from codonbench_models._sequence_nets import Convolutions, Layer, Recurrence, places_left


class Hybrid(nn.Module):
    """A convolution, and the states of a bidirectional LSTM at each of its places, end to end.

    Shorter items are filled up with zeros to the longest that the task has.
    """

    def __init__(
        self,
        letters: int,
        length: int,
        layer: Layer,
        hidden: int,
        *,
        ragged: bool,
        dropout: float,
    ) -> None:
        super().__init__()
        self.convolutions = Convolutions(letters, [layer])
        self.recurrence = Recurrence(layer.filters, hidden, ragged=ragged)
        self.dropout = nn.Dropout(dropout)
        self.places = places_left(length, [layer])
        self.width = self.places * 2 * hidden

    def forward(self, letters: Tensor) -> Tensor:
        """Return features (B, width)."""
        states = self.dropout(self.recurrence(*self.convolutions(letters)))
        return F.pad(states, (0, self.places - states.shape[2])).flatten(1)
