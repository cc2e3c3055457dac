"""The model ``letter-votes``: each letter, by its place, votes for classes."""

import torch
from pydantic import Field
from torch import nn

from codonbench import Model, ModelConfig, ModelInfo, TaskView


class LetterVotesConfig(ModelConfig):
    """Hyperparameters of `LetterVotes`."""

    batch_size: int = Field(default=32, ge=1, le=4096, description="pairs in a training batch")
    learning_rate: float = Field(default=0.02, gt=0, le=1, description="step size at the start")
    decay: float = Field(default=1e-4, ge=0, le=1, description="weight decay")


class LetterVotes(Model):
    """A class's logit is the product of what each letter says of it, as a sum of logits."""

    info = ModelInfo(
        name="letter-votes",
        version="1",
        summary="Each letter votes for classes by its place; the votes are added",
        authors=("A. Stranger",),
        licence="MIT",
        row_independent=True,
    )
    Config = LetterVotesConfig
    presets = {"letter-votes-slow": {"learning_rate": 0.002}}  # noqa: RUF012
    encoding = "symbol_onehot_flat"
    config: LetterVotesConfig

    def build(self, task: TaskView) -> nn.Module:
        """Return one linear layer, (B, length * letters) to (B, n_classes)."""
        return nn.Linear(task.length * len(task.alphabet), task.n_classes)

    def configure_optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """Return AdamW."""
        config = self.config
        return torch.optim.AdamW(
            module.parameters(), lr=config.learning_rate, weight_decay=config.decay
        )
