"""Residual blocks of dilated convolutions over letters."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from codonbench_models._sequence_nets import BatchNorm, Filters, pool, split


class Block(nn.Module):
    """Batch norm, ReLU and a dilated convolution, twice, added to what came in."""

    def __init__(self, channels: int, width: int, dilation: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(BatchNorm(channels) for _ in range(2))
        self.convolutions = nn.ModuleList(
            Filters(channels, channels, width, dilation) for _ in range(2)
        )
        self.actives = nn.ModuleList(nn.ReLU() for _ in range(2))  # one a call, for DeepLIFT

    def forward(self, places: Tensor, inside: Tensor) -> Tensor:
        """Return features of the same shape (B, D, L), 0 behind an item's end."""
        added = places
        for norm, active, convolution in zip(
            self.norms, self.actives, self.convolutions, strict=True
        ):
            added = convolution(active(norm(added)) * inside)
        return (places + added) * inside


class ResidualBlocks(nn.Module):
    """Each letter's own features, and residual blocks that let them see ever further."""

    def __init__(
        self, letters: int, channels: int, width: int, dilations: Sequence[int], *, centre: bool
    ) -> None:
        super().__init__()
        self.filters = nn.Conv1d(letters, channels, 1)
        self.blocks = nn.ModuleList(Block(channels, width, d) for d in dilations)
        self.centre = centre

    def forward(self, letters: Tensor) -> Tensor:
        """Return the features of the middle place (B, D), or those of all pooled (B, 2 D)."""
        places, inside = split(letters)
        places = self.filters(places) * inside
        for block in self.blocks:
            places = block(places, inside)
        if not self.centre:
            return pool(places, inside)
        middle = (inside.sum(2, keepdim=True).long() // 2).expand(-1, places.shape[1], -1)
        read: Tensor = places.gather(2, middle)[:, :, 0]
        return read
