"""Three convolutions of growing width and one fully connected layer, as in DeepSEA."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class DeepSeaConfig(SequenceConfig):
    """Hyperparameters of `DeepSea`."""

    filters: int = Field(
        default=32,
        ge=1,
        le=4096,
        description="in the first layer; half as many more in the second, thrice as many in the "
        "third",
    )
    hidden: int = Field(default=64, ge=1, le=8192, description="fully connected units")
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=0.4,
        description="of features behind the first two layers, in training; behind the third, "
        "two and a half times that",
    )


class DeepSea(SequenceModel):
    """Filters of 8 places in each layer, maxima of 4 between them, then all fully connected."""

    info: ClassVar[ModelInfo] = ours(
        "deepsea",
        "Three convolutions of growing width and a fully connected layer",
        reference="Zhou and Troyanskaya 2015, Nature Methods 12, 931-934",
    )
    Config: ClassVar[type[ModelConfig]] = DeepSeaConfig
    presets: ClassVar[Presets] = {"deepsea-published": {"filters": 320, "hidden": 925}}
    config: DeepSeaConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the convolutions, their features of all places end to end."""
        from codonbench_models._sequence_nets import FlatConvolutions, Layer

        n, dropout = self.config.filters, self.config.dropout
        layers = (
            Layer(n, 8, 4, dropout),
            Layer(n * 3 // 2, 8, 4, dropout),
            Layer(n * 3, 8, 1, 2.5 * dropout),
        )
        trunk = FlatConvolutions(sequence.channels, sequence.max_length, layers)
        return trunk, trunk.width

    def hidden(self, width: int) -> tuple[nn.Module, int]:
        """Return the fully connected layer."""
        from codonbench_models._sequence_nets import perceptron

        return perceptron(width, (self.config.hidden,), 0.0)
