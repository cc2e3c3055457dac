"""Attention over features, such as genes, without a graph of which belong together."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Self

from pydantic import Field, model_validator

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class AttentionFeaturesConfig(GradientConfig):
    """Hyperparameters of `AttentionFeatures`."""

    width: int = Field(default=16, ge=1, le=1024, description="numbers that tell a feature")
    queries: int = Field(default=8, ge=1, le=1024, description="learned, that gather from them all")
    heads: int = Field(default=2, ge=1, le=64, description="of attention, which divide the width")
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of what is gathered, in training")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} should be a multiple of the heads, {self.heads}")
        return self


class AttentionFeatures(Model):
    """Each feature a token; few learned queries attend to all; a linear output.

    Tokens are those of Gorishniy et al.: a vector times the value, and one added. Queries in place
    of all pairs, as in Jaegle et al., so that time is proportional to the number of features.
    """

    info: ClassVar[ModelInfo] = ours(
        "attention-features",
        "Learned queries that attend to standardised features, each a token",
        reference="Gorishniy et al. 2021 (FT-Transformer), arXiv 2106.11959; Jaegle et al. 2021 "
        "(Perceiver), arXiv 2103.03206",
    )
    Config: ClassVar[type[ModelConfig]] = AttentionFeaturesConfig
    presets: ClassVar[Presets] = {
        "attention-features-wide": {"width": 64, "queries": 32, "heads": 8}
    }
    config: AttentionFeaturesConfig

    encoding = "features"
    """Numbers (B, F)."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the network for `task`."""
        from codonbench_models._features import Gathering

        config = self.config
        return Gathering(
            task.max_length,
            task.n_outputs,
            width=config.width,
            queries=config.queries,
            heads=config.heads,
            dropout=config.dropout,
        )
