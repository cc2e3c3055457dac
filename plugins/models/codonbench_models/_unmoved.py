"""A network whose updates do nothing."""

from __future__ import annotations

from torch import Tensor, nn


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
