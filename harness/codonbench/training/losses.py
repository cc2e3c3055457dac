"""What is minimised: one loss for each kind of target."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import ClassWeights


def cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, weighting: ClassWeights
) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        logits: Shape (B, C).
        labels: Class ids, shape (B,).
        weights: Per class, shape (C,); None for no weighting.
        weighting: ``sum`` divides by the summed weights of the batch (PyTorch's default for
            index targets); ``n`` by B, as one-hot float targets do.
    """
    if weighting == "none" or weights is None:
        return F.cross_entropy(logits, labels)
    if weighting == "sum":
        return F.cross_entropy(logits, labels, weight=weights)
    return F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the labels that are known.

    Args:
        logits: Shape (B, K).
        targets: 0 or 1, NaN where a label is missing; shape (B, K).
    """
    known = ~torch.isnan(targets)
    each = F.binary_cross_entropy_with_logits(
        logits, torch.where(known, targets, 0.0), reduction="none"
    )
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error over the quantities that are known.

    Args:
        outputs: Shape (B, K).
        targets: NaN where a quantity is missing; shape (B, K).
    """
    known = ~torch.isnan(targets)
    error = torch.where(known, outputs - torch.where(known, targets, 0.0), 0.0)
    return (error**2).sum() / known.sum().clamp(min=1)
