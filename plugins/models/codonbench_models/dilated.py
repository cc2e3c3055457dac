"""Residual blocks of dilated convolutions, as in SpliceAI and Basenji."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class DilatedConfig(SequenceConfig):
    """Hyperparameters of `Dilated`."""

    channels: int = Field(default=32, ge=1, le=4096, description="features of a place")
    width: int = Field(default=11, ge=1, le=127, description="places that a filter sees")
    blocks: int = Field(default=4, ge=1, le=64, description="residual blocks")
    same: int = Field(
        default=1, ge=1, le=64, description="blocks in a row before the dilation changes"
    )
    growth: int = Field(
        default=2, ge=1, le=10, description="factor of the dilation from one such row to the next"
    )
    read: Literal["pooled", "centre"] = Field(
        default="pooled",
        description="what the output sees: maximum and mean over the places, or the middle place",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="of features read, in training")


class Dilated(SequenceModel):
    """Residual blocks of two convolutions, batch norm and ReLU before each, ever wider apart."""

    info: ClassVar[ModelInfo] = ours(
        "dilated",
        "Residual blocks of dilated convolutions",
        reference="Jaganathan et al. 2019, Cell 176, 535-548; Kelley et al. 2018, "
        "Genome Research 28, 739-750",
    )
    Config: ClassVar[type[ModelConfig]] = DilatedConfig
    presets: ClassVar[Presets] = {
        # The network of SpliceAI that sees 400 nucleotides around each
        "dilated-published": {
            "blocks": 8,
            "same": 4,
            "growth": 4,
            "read": "centre",
            "dropout": 0.0,
        }
    }
    config: DilatedConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the residual blocks, pooled or read in the middle."""
        from codonbench_models._dilated import ResidualBlocks

        config = self.config
        dilations = [config.growth ** (i // config.same) for i in range(config.blocks)]
        centre = config.read == "centre"
        trunk = ResidualBlocks(
            sequence.channels, config.channels, config.width, dilations, centre=centre
        )
        return trunk, config.channels * (1 if centre else 2)
