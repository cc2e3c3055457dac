"""Motif detectors: filters over letters, rectified, and the best match of each."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from codonbench_models._sequence_nets import Filters, pool, split


class Detectors(nn.Module):
    """Filters over the letters, the bias of each its threshold."""

    def __init__(self, letters: int, filters: int, width: int, *, with_mean: bool) -> None:
        super().__init__()
        self.filters = Filters(letters, filters, width)
        self.with_mean = with_mean

    def forward(self, letters: Tensor) -> Tensor:
        """Return each filter's highest score, and its mean where that is asked for: (B, D)."""
        places, inside = split(letters)
        scores = torch.relu(self.filters(places)) * inside
        return pool(scores, inside) if self.with_mean else scores.amax(2)
