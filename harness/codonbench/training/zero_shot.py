"""How a model that reads one sequence answers a variant: by what it makes of the two sequences."""

from __future__ import annotations

import torch
from torch import Tensor

from codonbench.contracts import TaskView, VariantScorer
from codonbench.errors import ConfigError


class VariantScores(torch.nn.Module):
    """Answers variants with a module that reads one sequence.

    The module's own `score_variants`, where it is a `VariantScorer`; else what it returns for the
    alternative less what it returns for the reference.

    Args:
        module: Maps one encoded sequence to a number, (B, ...) to (B, 1).
        view: The task, whose items are variants; all its outputs get the same answer.
        encoding: What the module is handed.

    Raises:
        ConfigError: The model looks at no item.
    """

    def __init__(self, module: torch.nn.Module, view: TaskView, encoding: str) -> None:
        super().__init__()
        if encoding == "none":
            raise ConfigError(
                f"task {view.task!r} asks what a variant changes, and the model looks at no item; "
                "choose one that reads sequences"
            )
        self.module = module
        self.n_outputs = view.n_outputs

    def about(self) -> dict[str, str | int | float | bool]:
        """Return the facts of the module's ``about()``."""
        report = getattr(self.module, "about", dict)
        return dict(report())

    def forward(self, variants: tuple[Tensor, Tensor]) -> Tensor:
        """Return the effect of each variant, shape (B, K).

        Args:
            variants: Encoded references (B, ...) and alternatives (B, ...).
        """
        reference, alternative = variants
        if isinstance(self.module, VariantScorer):
            scores = self.module.score_variants(reference, alternative)
        else:
            # Most variants of a batch share their reference.
            distinct, which = torch.unique(reference, dim=0, return_inverse=True)
            scores = self.module(alternative) - self.module(distinct)[which]
        return scores.reshape(-1, 1).expand(-1, self.n_outputs)
