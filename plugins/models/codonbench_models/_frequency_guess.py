"""Module of the baseline that guesses by class frequency."""

import torch
from torch import Tensor

from codonbench_models._baselines import CountTable, log_counts


class RarestClass(CountTable):
    """A count table that takes an input it has not seen for the class seen least often so far.

    A class that was never seen is not guessed, and of two that were seen least often neither is:
    they tie, which is wrong.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Map input indices (B,) to logits (B, n_classes), float32."""
        counts, of_class = self.counts[inputs], self.counts.sum(0)
        rarity = torch.where(of_class > 0, 1 / of_class.double(), 0.0)
        seen = counts.sum(-1, keepdim=True) > 0
        return log_counts(torch.where(seen, counts.double(), rarity))
