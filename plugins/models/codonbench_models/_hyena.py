"""The Hyena operator: convolutions as long as the sequence, with implicit filters, and gates."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codonbench_models._sequence_nets import feed_forward_layers, pool, split


def long_convolution(places: Tensor, filters: Tensor) -> Tensor:
    """Return each place's sum, by a filter, over itself and all places before: (B, D, L).

    By FFT, in time proportional to L log L.

    Args:
        places: Shape (B, D, L).
        filters: What the place t before counts, shape (D, L).
    """
    length = places.shape[-1]
    size = 1 << (2 * length - 1).bit_length()  # so that nothing wraps around
    spectrum = torch.fft.rfft(places, n=size) * torch.fft.rfft(filters, n=size)
    sums: Tensor = torch.fft.irfft(spectrum, n=size)[..., :length]
    return sums


BANDS = 2
"""Frequencies of sine and cosine that the filters' network is told a distance by."""

FREQUENCY = 10.0
"""Of the network's sines: how fast a filter may change from place to place."""

FAST, SLOW = 0.3, 1.5
"""Shares of the length at which the windows of the first and the last channel fall to 1 %."""


class Filters(nn.Module):
    """Filters as a function of the distance: a small network of sines, times a window that falls.

    Args:
        length: The longest distance there is.
        filters: How many.
        width: Units of the network.
    """

    distance: Tensor
    decay: Tensor

    def __init__(self, length: int, filters: int, width: int) -> None:
        super().__init__()
        steps = torch.linspace(0, 1, length)
        angles = 2 * math.pi * steps[:, None] * torch.arange(1, BANDS + 1)
        told = torch.cat([steps[:, None], angles.cos(), angles.sin()], dim=1)
        self.register_buffer("distance", told, persistent=False)
        shares = torch.linspace(FAST, SLOW, filters)
        self.register_buffer("decay", math.log(100) / shares, persistent=False)
        self.first = nn.Linear(1 + 2 * BANDS, width)
        self.second = nn.Linear(width, width)
        self.last = nn.Linear(width, filters, bias=False)

    def forward(self, length: int) -> Tensor:
        """Return the filters up to a length, (filters, length)."""
        told = self.distance[:length]
        told = torch.sin(FREQUENCY * self.first(told))
        told = torch.sin(FREQUENCY * self.second(told))
        window = torch.exp(-self.distance[:length, :1] * self.decay)
        filters: Tensor = self.last(told) * window
        return filters.T


class HyenaOperator(nn.Module):
    """Values, convolved and multiplied by a gate, once and again (Poli et al. 2023, section 3).

    Values and gates are linear in the letters' features and in those of two letters before. No
    place sees one that comes after, so that what stands behind an item's end does not matter.
    """

    def __init__(self, width: int, length: int, order: int, filter_width: int) -> None:
        super().__init__()
        self.order = order
        self.enter = nn.Linear(width, (order + 1) * width)
        self.short = nn.Conv1d(
            (order + 1) * width, (order + 1) * width, 3, groups=(order + 1) * width
        )
        self.filters = Filters(length, order * width, filter_width)
        self.skip = nn.Parameter(torch.randn(order, width))
        self.leave = nn.Linear(width, width)

    def forward(self, letters: Tensor) -> Tensor:
        """Map features (B, L, D) to features (B, L, D)."""
        entered = F.pad(self.enter(letters).transpose(1, 2), (2, 0))
        value, *gates = self.short(entered).chunk(self.order + 1, dim=1)
        filters = self.filters(letters.shape[1]).chunk(self.order)
        for gate, each, skip in zip(gates, filters, self.skip, strict=True):
            value = gate * (long_convolution(value, each) + skip[:, None] * value)
        left: Tensor = self.leave(value.transpose(1, 2))
        return left


class HyenaLayer(nn.Module):
    """The operator, then two linear layers with GELU, each after a layer norm and added."""

    def __init__(self, operator: HyenaOperator, width: int, between: int, dropout: float) -> None:
        super().__init__()
        self.before_operator = nn.LayerNorm(width)
        self.operator = operator
        self.before_feed_forward = nn.LayerNorm(width)
        self.feed_forward = feed_forward_layers(width, between, dropout)
        self.dropout = nn.Dropout(dropout)

    def forward(self, letters: Tensor) -> Tensor:
        """Map features (B, L, D) to features (B, L, D)."""
        letters = letters + self.dropout(self.operator(self.before_operator(letters)))
        added: Tensor = letters + self.dropout(self.feed_forward(self.before_feed_forward(letters)))
        return added


class HyenaLayers(nn.Module):
    """Letters' features, Hyena layers, a last layer norm; all letters pooled."""

    def __init__(
        self,
        letters: int,
        length: int,
        *,
        width: int,
        layers: int,
        order: int,
        filter_width: int,
        feed_forward: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.table = nn.Linear(letters, width)
        self.layers = nn.Sequential(
            *(
                HyenaLayer(
                    HyenaOperator(width, length, order, filter_width), width, feed_forward, dropout
                )
                for _ in range(layers)
            )
        )
        self.norm = nn.LayerNorm(width)

    def forward(self, letters: Tensor) -> Tensor:
        """Return maximum and mean over an item's letters, (B, 2 width)."""
        places, inside = split(letters)
        features = self.norm(self.layers(self.table(places.transpose(1, 2))))
        return pool(features.transpose(1, 2), inside)
