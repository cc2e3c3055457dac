"""A convolutional network for sequences of any length: one convolution block a scale."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.presets import ours

if TYPE_CHECKING:
    from torch import nn


class CnnConfig(GradientConfig):
    """Hyperparameters of `Cnn`."""

    batch_size: int = Field(default=128, ge=1, le=1 << 20, description="pairs in a training batch")
    channels: int = Field(default=128, ge=1, le=4096, description="filters in each block")
    width: int = Field(default=11, ge=1, le=127, description="places that a filter sees")
    blocks: int = Field(
        default=1, ge=1, le=8, description="convolution blocks, each at half the scale before"
    )
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of pooled features, in training")
    learning_rate: float = Field(default=0.003, gt=0, le=100, description="step size")


class Cnn(Model):
    """Convolution and ReLU at each scale; maximum and mean over places; a linear output."""

    info: ClassVar[ModelInfo] = ours(
        "cnn",
        "Convolution blocks on one-hot letters, pooled over the length",
    )
    Config: ClassVar[type[ModelConfig]] = CnnConfig
    config: CnnConfig

    encoding = "symbol_onehot_mask"
    """The letters in order, each a one-hot, and 1 up to the item's end: (B, length, channels + 1);
    a tuple of these where items are several sequences."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the network for `task`."""
        from codonbench_models._cnn import Convolutions

        config = self.config
        return Convolutions(
            [sequence.channels for sequence in task.sequences],
            task.n_outputs,
            channels=config.channels,
            width=config.width,
            blocks=config.blocks,
            dropout=config.dropout,
        )
