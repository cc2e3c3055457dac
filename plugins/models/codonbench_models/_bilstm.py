"""A bidirectional recurrence over letters, pooled."""

from __future__ import annotations

from torch import Tensor, nn

from codonbench_models._sequence_nets import Recurrence, pool, split


class PooledRecurrence(nn.Module):
    """Maximum and mean, over an item's letters, of the states of both directions."""

    def __init__(self, recurrence: Recurrence) -> None:
        super().__init__()
        self.recurrence = recurrence

    def forward(self, letters: Tensor) -> Tensor:
        """Return features (B, 4 hidden)."""
        places, inside = split(letters)
        return pool(self.recurrence(places, inside), inside)
