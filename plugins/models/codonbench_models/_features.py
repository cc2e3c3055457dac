"""Networks of features: a perceptron, and attention of learned queries."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from codonbench_models._sequence_nets import Standardise


class Perceptron(nn.Module):
    """Features standardised, hidden layers, and an output."""

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        hidden: Sequence[int],
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        kind = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
        widths, steps = [n_features, *hidden], []
        for n_in, n_out in zip(widths, hidden, strict=False):
            steps += [nn.Linear(n_in, n_out), kind(), nn.Dropout(dropout)]
        self.hidden = nn.Sequential(Standardise(n_features), *steps)
        self.output = nn.Linear(widths[-1], n_outputs)

    def embed(self, features: Tensor) -> Tensor:
        """Return what the output layer reads of features (B, F): (B, H)."""
        embedded: Tensor = self.hidden(features)
        return embedded

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F) to outputs (B, K)."""
        outputs: Tensor = self.output(self.embed(features))
        return outputs


class Gathering(nn.Module):
    """Each feature a token, learned queries that attend to all of them, and an output.

    A token's key and value are linear in its vector times the feature's value, and one more.
    """

    def __init__(
        self,
        n_features: int,
        n_outputs: int,
        *,
        width: int,
        queries: int,
        heads: int,
        dropout: float,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.standardise = Standardise(n_features)
        self.scale = nn.Parameter(torch.randn(n_features, width) / width**0.5)
        self.shift = nn.Parameter(torch.randn(n_features, width) / width**0.5)
        self.queries = nn.Parameter(torch.randn(queries, width))
        self.enter = nn.Linear(width, 2 * width)
        self.norm = nn.LayerNorm(queries * width)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(queries * width, n_outputs)

    def embed(self, features: Tensor) -> Tensor:
        """Return what the output layer reads of features (B, F): (B, queries x width)."""
        values = self.standardise(features)
        tokens = values[..., None] * self.scale + self.shift
        key, value = self._apart(self.enter(tokens)).chunk(2, dim=-1)
        query = self._apart(self.queries.expand(len(features), -1, -1))
        gathered = F.scaled_dot_product_attention(query, key, value)
        embedded: Tensor = self.dropout(self.norm(gathered.transpose(1, 2).flatten(1)))
        return embedded

    def forward(self, features: Tensor) -> Tensor:
        """Map features (B, F) to outputs (B, K)."""
        outputs: Tensor = self.output(self.embed(features))
        return outputs

    def _apart(self, vectors: Tensor) -> Tensor:
        """Return vectors (B, N, D) by heads, (B, heads, N, D / heads)."""
        return vectors.reshape(*vectors.shape[:2], self.heads, -1).transpose(1, 2)
