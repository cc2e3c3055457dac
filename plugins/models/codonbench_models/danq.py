"""A convolution that finds motifs and a bidirectional LSTM that reads their order, as in DanQ."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class DanQConfig(SequenceConfig):
    """Hyperparameters of `DanQ`."""

    filters: int = Field(default=64, ge=1, le=4096, description="of the convolution")
    width: int = Field(default=15, ge=1, le=127, description="letters that a filter sees")
    pool: int = Field(default=5, ge=1, le=100, description="places of which the maximum is kept")
    hidden: int = Field(
        default=32, ge=1, le=4096, description="units of the LSTM in each direction"
    )
    connected: int = Field(default=64, ge=1, le=8192, description="fully connected units")
    dropout: float = Field(
        default=0.2,
        ge=0,
        lt=0.4,
        description="behind the convolution, in training; behind the LSTM two and a half times "
        "that",
    )


class DanQ(SequenceModel):
    """Convolution, maxima, a bidirectional LSTM, then its states at all places fully connected."""

    info: ClassVar[ModelInfo] = ours(
        "danq",
        "Convolution, then a bidirectional LSTM",
        reference="Quang and Xie 2016, Nucleic Acids Research 44, e107",
    )
    Config: ClassVar[type[ModelConfig]] = DanQConfig
    presets: ClassVar[Presets] = {
        "danq-published": {
            "filters": 320,
            "width": 26,
            "pool": 13,
            "hidden": 320,
            "connected": 925,
        }
    }
    config: DanQConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return convolution and LSTM, the states of all places end to end."""
        from codonbench_models._danq import Hybrid
        from codonbench_models._sequence_nets import Layer

        config = self.config
        layer = Layer(config.filters, config.width, config.pool, config.dropout)
        trunk = Hybrid(
            sequence.channels,
            sequence.max_length,
            layer,
            config.hidden,
            ragged=sequence.min_length < sequence.max_length,
            dropout=2.5 * config.dropout,
        )
        return trunk, trunk.width

    def hidden(self, width: int) -> tuple[nn.Module, int]:
        """Return the fully connected layer."""
        from codonbench_models._sequence_nets import perceptron

        return perceptron(width, (self.config.connected,), 0.0)
