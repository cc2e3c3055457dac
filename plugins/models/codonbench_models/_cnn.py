"""Convolutions over one-hot letters, whose answer for an item does not depend on the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn

LATER_WIDTH = 7
"""Places that the filters of the second block and the later ones see."""


class Convolutions(nn.Module):
    """Blocks of convolution, ReLU and pooling by two, each block's maxima over the length, linear.

    What lies behind the end of a shorter item is kept at zero, as convolution pads its edges, so
    that no item's outputs depend on how long its neighbours in the batch are.
    """

    def __init__(
        self,
        letters: int,
        n_outputs: int,
        *,
        channels: int,
        width: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        sizes = [(letters, width)] + [(channels, LATER_WIDTH)] * (blocks - 1)
        self.blocks = nn.ModuleList(
            nn.Conv1d(n_in, channels, size, padding="same") for n_in, size in sizes
        )
        self.halve = nn.MaxPool1d(2, ceil_mode=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * channels, n_outputs)

    def forward(self, letters: Tensor) -> Tensor:
        """Map one-hot letters (B, length, alphabet) to outputs (B, n_outputs)."""
        inside = up_to_the_end(letters)
        places = letters.transpose(1, 2)
        for i, block in enumerate(self.blocks):
            if i:
                places, inside = self.halve(places), self.halve(inside)
            places = torch.relu(block(places)) * inside
        mean = places.sum(2) / inside.sum(2).clamp(min=1)
        pooled = torch.cat([places.amax(2), mean], dim=1)
        outputs: Tensor = self.output(self.dropout(pooled))
        return outputs


def up_to_the_end(letters: Tensor) -> Tensor:
    """Return 1 up to the last known letter of each item (B, length, alphabet), then 0.

    Shape (B, 1, length).
    """
    count = torch.arange(1, letters.shape[1] + 1, dtype=letters.dtype, device=letters.device)
    known = letters.sum(2)
    return (count <= (known * count).amax(1, keepdim=True)).to(letters.dtype)[:, None]
