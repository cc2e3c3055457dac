"""Convolutions over one-hot letters, whose answer for an item does not depend on the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Blocks(nn.Module):
    """Blocks of convolution and ReLU, each at half the scale of the one before, pooled.

    What lies behind the end of a shorter item is kept at zero, as convolution pads its edges, so
    that no item's features depend on how long its neighbours in the batch are.
    """

    def __init__(self, letters: int, channels: int, width: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(
            nn.Conv1d(n_in, channels, width, padding="same")
            for n_in in [letters] + [channels] * (blocks - 1)
        )

    def forward(self, letters: Tensor) -> Tensor:
        """Return maximum and mean over places of each block, (B, 2 * channels * blocks).

        Args:
            letters: One-hot letters and, as a last channel, 1 up to each item's end: (B, length,
                channels of a letter + 1).
        """
        both = letters.transpose(1, 2)
        places, inside = both[:, :-1], both[:, -1:]
        pooled = []
        for i, block in enumerate(self.blocks):
            if i:
                places = F.max_pool1d(places, 2, ceil_mode=True)
                inside = F.max_pool1d(inside, 2, ceil_mode=True)
            places = torch.relu(block(places)) * inside
            pooled += [places.amax(2), places.sum(2) / inside.sum(2)]
        return torch.cat(pooled, dim=1)


class Convolutions(nn.Module):
    """Blocks for each of an item's sequences, and a linear layer that reads what they pool."""

    def __init__(
        self,
        letters: Sequence[int],
        n_outputs: int,
        *,
        channels: int,
        width: int,
        blocks: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.sequences = nn.ModuleList(Blocks(n, channels, width, blocks) for n in letters)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(2 * channels * blocks * len(letters), n_outputs)

    def forward(self, letters: Tensor | tuple[Tensor, ...]) -> Tensor:
        """Map the letters of one sequence an item, or of each of several, to outputs (B, K)."""
        parts = (letters,) if isinstance(letters, Tensor) else letters
        pooled = [blocks(part) for blocks, part in zip(self.sequences, parts, strict=True)]
        outputs: Tensor = self.output(self.dropout(torch.cat(pooled, dim=1)))
        return outputs
