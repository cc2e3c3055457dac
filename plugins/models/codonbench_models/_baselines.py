"""Modules of the baselines: that count classes or take means, and one that learns nothing."""

from __future__ import annotations

import torch
from torch import Tensor, nn

PSEUDO_COUNT = 1e-6
"""Added before the logarithm. Never seen: all classes tie, which is wrong. Seen once, with 21
classes: p(true) = 1 / (1 + 20e-6) = 0.99998, so confident at once."""


def log_counts(counts: Tensor) -> Tensor:
    """Return logits whose softmax is each class's share of `counts` (last axis), as float32."""
    return (counts.double() + PSEUDO_COUNT).log().float()


class CountTable(nn.Module):
    """How often each class was seen with each input: `counts`, shape (n_inputs, n_classes)."""

    counts: Tensor

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(n_inputs, n_classes, dtype=torch.int64))

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Count a batch of input indices (B,) and class ids (B,)."""
        self.counts.index_put_((inputs, labels), torch.ones_like(labels), accumulate=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map input indices (B,) to logits (B, n_classes), float32."""
        return log_counts(self.counts[inputs])


class ClassCounts(nn.Module):
    """How often each class was seen: `counts`, shape (n_classes,)."""

    counts: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(n_classes, dtype=torch.int64))

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Count a batch of class ids (B,); `inputs` is not looked at."""
        self.counts.index_put_((labels,), torch.ones_like(labels), accumulate=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same logits for each row, (B, n_classes): softmax gives class shares."""
        return log_counts(self.counts).expand(len(inputs), -1)


class Means(nn.Module):
    """The mean of each quantity, or the share of each label, as far as it was seen.

    Attributes:
        seen, sums: How often each was known, and the sum of its values, shape (n_outputs,).
    """

    seen: Tensor
    sums: Tensor

    def __init__(self, n_outputs: int, *, log_odds: bool) -> None:
        super().__init__()
        self.log_odds = log_odds
        self.register_buffer("seen", torch.zeros(n_outputs, dtype=torch.int64))
        self.register_buffer("sums", torch.zeros(n_outputs, dtype=torch.float64))

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Take in a batch of targets (B, n_outputs), NaN where one is missing."""
        known = ~labels.isnan()
        self.seen += known.sum(0)
        self.sums += torch.where(known, labels, 0).double().sum(0)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same for each row, (B, n_outputs): means, or the log odds of labels."""
        sums, seen = self.sums, self.seen.double()
        if self.log_odds:
            row = ((sums + PSEUDO_COUNT) / (seen - sums + PSEUDO_COUNT)).log()
        else:
            row = sums / seen.clamp(min=1)
        return row.float().expand(len(inputs), -1)


class Unmoved(nn.Module):
    """A network that is shown pairs and learns nothing from them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Do nothing."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map an encoded batch (B, ...) to logits (B, n_classes)."""
        logits: Tensor = self.network(inputs)
        return logits
