"""The network of OpenSpliceAI, with the names that its state dicts have, and what is read off."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

CHANNELS = 32
SHAPES = ((11, 1), (11, 4), (21, 10))
"""Width and dilation of each four residual units, for 80, 400 and 2,000 letters of context."""


class ResidualUnit(nn.Module):
    """Twice batch norm, leaky ReLU and convolution, added to what came in."""

    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        padding = (width - 1) * dilation // 2
        self.batchnorm1, self.batchnorm2 = nn.BatchNorm1d(CHANNELS), nn.BatchNorm1d(CHANNELS)
        self.conv1, self.conv2 = (
            nn.Conv1d(CHANNELS, CHANNELS, width, dilation=dilation, padding=padding)
            for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return activations of the same shape (B, 32, L)."""
        inner: Tensor = self.conv1(F.leaky_relu(self.batchnorm1(x), 0.1))
        outer: Tensor = self.conv2(F.leaky_relu(self.batchnorm2(inner), 0.1))
        return x + outer


class Skip(nn.Module):
    """A convolution of width 1 towards the output."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return what is added up, (B, 32, L)."""
        found: Tensor = self.conv(x)
        return found


class Network(nn.Module):
    """From one-hot letters (B, 4, L + context) to logits of neither, acceptor, donor (B, 3, L)."""

    def __init__(self, context: int) -> None:
        super().__init__()
        self.context = context
        self.initial_conv = nn.Conv1d(4, CHANNELS, 1)
        self.initial_skip = Skip()
        blocks = {80: 1, 400: 2, 2000: 3}[context]
        self.residual_units = nn.ModuleList()
        for width, dilation in SHAPES[:blocks]:
            self.residual_units.extend(ResidualUnit(width, dilation) for _ in range(4))
            self.residual_units.append(Skip())
        self.final_conv = nn.Conv1d(CHANNELS, 3, 1)

    def features(self, letters: Tensor) -> Tensor:
        """Return the activations before the output, (B, 32, L)."""
        x = self.initial_conv(letters)
        total = self.initial_skip(x)
        for unit in self.residual_units:
            if isinstance(unit, Skip):
                total = total + unit(x)
            else:
                x = unit(x)
        half = self.context // 2
        inner: Tensor = total[:, :, half:-half]
        return inner

    def forward(self, letters: Tensor) -> Tensor:
        """Return the logits."""
        logits: Tensor = self.final_conv(self.features(letters))
        return logits


class SpliceSites(nn.Module):
    """Answers with the most probable site near the middle; scores variants by what they move.

    Args:
        context: Letters of context.
        within: Letters from the middle in which a site counts.
        threshold: Probability below which there is none.
    """

    def __init__(self, context: int, within: int, threshold: float) -> None:
        super().__init__()
        self.network = Network(context)
        self.within = within
        self.threshold = threshold

    def probabilities(self, letters: Tensor) -> Tensor:
        """Return the probability of neither, acceptor, donor at each letter, (B, 3, L)."""
        half = self.network.context // 2
        logits: Tensor = self.network(F.pad(letters.transpose(1, 2), (half, half)))
        return logits.softmax(dim=1)

    def forward(self, letters: Tensor) -> Tensor:
        """Return log-probabilities of acceptor, donor, and of the threshold, (B, 3).

        So the answer is the larger of the two, or the third class where both are below.
        """
        middle = letters.shape[1] // 2
        near = self.probabilities(letters)[:, 1:, max(0, middle - self.within) :]
        sites = near[:, :, : 2 * self.within + 1].amax(dim=2)
        none = torch.full_like(sites[:, :1], self.threshold)
        return torch.cat([sites, none], dim=1).clamp(min=1e-12).log()

    def score_variants(self, reference: Tensor, alternative: Tensor) -> Tensor:
        """Return -max |change of a probability| at any letter, on either strand, (B,)."""
        changes = []
        for old, new in (
            (reference, alternative),
            (reference.flip(1, 2), alternative.flip(1, 2)),  # ACGT backwards is its complement
        ):
            moved = self.probabilities(new) - self.probabilities(old)
            changes.append(moved[:, 1:].abs().amax(dim=(1, 2)))
        return -torch.maximum(*changes)

    def embed(self, letters: Tensor) -> Tensor:
        """Return the mean activation before the output, (B, 32)."""
        half = self.network.context // 2
        return self.network.features(F.pad(letters.transpose(1, 2), (half, half))).mean(dim=2)
