"""A selective state space over letters, as in Mamba, read from both ends as in Caduceus."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class MambaConfig(SequenceConfig):
    """Hyperparameters of `Mamba`."""

    layers: int = Field(default=1, ge=1, le=96, description="of state space")
    width: int = Field(default=32, ge=2, le=8192, description="features of a letter")
    expand: int = Field(
        default=2, ge=1, le=8, description="channels of the state space, as a multiple of the width"
    )
    states: int = Field(default=8, ge=1, le=256, description="states of a channel")
    both_ends: bool = Field(
        default=True, description="whether the sequence is read from its end, too, and both added"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="in training")
    learning_rate: float = Field(default=3e-3, gt=0, le=100, description="step size")


class Mamba(SequenceModel):
    """Layers of a state space whose step, input and output depend on the letter; pooled."""

    info: ClassVar[ModelInfo] = ours(
        "mamba",
        "Selective state space over the letters, from both ends",
        reference="Gu and Dao 2023, arXiv 2312.00752; Schiff et al. 2024 (Caduceus), "
        "arXiv 2403.03234",
    )
    Config: ClassVar[type[ModelConfig]] = MambaConfig
    presets: ClassVar[Presets] = {
        # The smallest network of Caduceus, without its equivariance
        "mamba-published": {"layers": 4, "width": 118, "states": 16, "learning_rate": 1e-3}
    }
    config: MambaConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the layers, all letters pooled."""
        from codonbench_models._mamba import MambaLayers

        config = self.config
        trunk = MambaLayers(
            sequence.channels,
            width=config.width,
            layers=config.layers,
            channels=config.expand * config.width,
            states=config.states,
            both_ends=config.both_ends,
            dropout=config.dropout,
        )
        return trunk, 2 * config.width
