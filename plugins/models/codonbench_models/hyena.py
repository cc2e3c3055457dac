"""Long convolutions gated by the sequence itself, as in Hyena: subquadratic in the length."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class HyenaConfig(SequenceConfig):
    """Hyperparameters of `Hyena`."""

    layers: int = Field(default=2, ge=1, le=96, description="of long convolution and feed-forward")
    width: int = Field(default=32, ge=2, le=8192, description="features of a letter")
    order: int = Field(default=2, ge=1, le=8, description="long convolutions, each gated, a layer")
    filter_width: int = Field(
        default=16, ge=2, le=1024, description="units of the network that makes the filters"
    )
    feed_forward: int = Field(
        default=2, ge=1, le=16, description="units between, as a multiple of the width"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="in training")
    learning_rate: float = Field(default=2e-3, gt=0, le=100, description="step size")


class Hyena(SequenceModel):
    """Layers of gated convolutions as long as the sequence, by FFT, and feed-forward; pooled."""

    info: ClassVar[ModelInfo] = ours(
        "hyena",
        "Gated convolutions as long as the sequence, their filters made by a network",
        reference="Poli et al. 2023, arXiv 2302.10866; Nguyen et al. 2023 (HyenaDNA), "
        "arXiv 2306.15794",
    )
    Config: ClassVar[type[ModelConfig]] = HyenaConfig
    presets: ClassVar[Presets] = {
        # The smallest network of HyenaDNA
        "hyena-published": {
            "width": 128,
            "filter_width": 64,
            "feed_forward": 4,
            "learning_rate": 6e-4,
        }
    }
    config: HyenaConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the layers, all letters pooled."""
        from codonbench_models._hyena import HyenaLayers

        config = self.config
        trunk = HyenaLayers(
            sequence.channels,
            sequence.max_length,
            width=config.width,
            layers=config.layers,
            order=config.order,
            filter_width=config.filter_width,
            feed_forward=config.feed_forward * config.width,
            dropout=config.dropout,
        )
        return trunk, 2 * config.width
