"""Convolutions over one-hot letters, whose answer for an item does not depend on the others."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Convolutions(nn.Module):
    """Blocks of convolution and ReLU, each at half the scale of the one before.

    What a linear layer reads is the maximum and the mean over places of each block. What lies
    behind the end of a shorter item is kept at zero, as convolution pads its edges, so that no
    item's outputs depend on how long its neighbours in the batch are.
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
        self.blocks = nn.ModuleList(
            nn.Conv1d(n_in, channels, width, padding="same")
            for n_in in [letters] + [channels] * (blocks - 1)
        )
        self.halve = nn.MaxPool1d(2, ceil_mode=True)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * channels * blocks, n_outputs)

    def forward(self, letters: Tensor) -> Tensor:
        """Map one-hot letters (B, length, alphabet) to outputs (B, n_outputs)."""
        inside = up_to_the_end(letters)
        places, pooled = letters.transpose(1, 2), []
        for i, block in enumerate(self.blocks):
            if i:
                places, inside = self.halve(places), self.halve(inside)
            places = torch.relu(block(places)) * inside
            pooled += [places.amax(2), places.sum(2) / inside.sum(2).clamp(min=1)]
        outputs: Tensor = self.output(self.dropout(torch.cat(pooled, dim=1)))
        return outputs


def up_to_the_end(letters: Tensor) -> Tensor:
    """Return 1 up to the last known letter of each item (B, length, alphabet), then 0.

    Shape (B, 1, length).
    """
    count = torch.arange(1, letters.shape[1] + 1, dtype=letters.dtype, device=letters.device)
    known = letters.sum(2)
    return (count <= (known * count).amax(1, keepdim=True)).to(letters.dtype)[:, None]
