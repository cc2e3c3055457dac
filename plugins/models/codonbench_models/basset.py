"""Three convolutions with batch norm and two fully connected layers, as in Basset."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class BassetConfig(SequenceConfig):
    """Hyperparameters of `Basset`."""

    filters: int = Field(
        default=48, ge=1, le=4096, description="in the first layer; the others have two thirds"
    )
    hidden: int = Field(
        default=64, ge=1, le=8192, description="units in each of two fully connected layers"
    )
    dropout: float = Field(
        default=0.3, ge=0, lt=1, description="of fully connected units, in training"
    )


class Basset(SequenceModel):
    """Filters of 19, 11 and 7 places, maxima of 3, 4 and 4, then all places fully connected."""

    info: ClassVar[ModelInfo] = ours(
        "basset",
        "Three convolutions with batch norm and two fully connected layers",
        reference="Kelley, Snoek and Rinn 2016, Genome Research 26, 990-999",
    )
    Config: ClassVar[type[ModelConfig]] = BassetConfig
    presets: ClassVar[Presets] = {"basset-published": {"filters": 300, "hidden": 1000}}
    config: BassetConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the convolutions, their features of all places end to end."""
        from codonbench_models._sequence_nets import FlatConvolutions, Layer

        first = self.config.filters
        rest = max(1, first * 2 // 3)
        layers = (Layer(first, 19, 3), Layer(rest, 11, 4), Layer(rest, 7, 4))
        trunk = FlatConvolutions(sequence.channels, sequence.max_length, layers, norm=True)
        return trunk, trunk.width

    def hidden(self, width: int) -> tuple[nn.Module, int]:
        """Return the two fully connected layers."""
        from codonbench_models._sequence_nets import perceptron

        config = self.config
        return perceptron(width, (config.hidden,) * 2, config.dropout, norm=True)
