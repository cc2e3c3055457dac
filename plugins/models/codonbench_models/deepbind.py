"""One layer of motif detectors, the best match of each, as in DeepBind."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class DeepBindConfig(SequenceConfig):
    """Hyperparameters of `DeepBind`."""

    filters: int = Field(default=64, ge=1, le=4096, description="motif detectors")
    width: int = Field(default=16, ge=1, le=127, description="letters that a detector sees")
    pooling: Literal["max", "max-mean"] = Field(
        default="max", description="what is kept of a detector's scores over the letters"
    )
    hidden: int = Field(
        default=0, ge=0, le=8192, description="units between detectors and output; 0 for none"
    )


class DeepBind(SequenceModel):
    """Motif detectors, ReLU, the highest score of each over the sequence, a small network."""

    info: ClassVar[ModelInfo] = ours(
        "deepbind",
        "One layer of motif detectors and the best match of each",
        reference="Alipanahi, Delong, Weirauch and Frey 2015, Nature Biotechnology 33, 831-838",
    )
    Config: ClassVar[type[ModelConfig]] = DeepBindConfig
    presets: ClassVar[Presets] = {
        "deepbind-published": {"filters": 16, "width": 24, "hidden": 32, "dropout": 0.5}
    }
    config: DeepBindConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the detectors."""
        from codonbench_models._deepbind import Detectors

        config = self.config
        both = config.pooling == "max-mean"
        detectors = Detectors(sequence.channels, config.filters, config.width, with_mean=both)
        return detectors, config.filters * (2 if both else 1)

    def hidden(self, width: int) -> tuple[nn.Module, int]:
        """Return the hidden layer, if there is one, after dropout."""
        from torch import nn

        from codonbench_models._sequence_nets import perceptron

        config = self.config
        layers = (config.hidden,) if config.hidden else ()
        steps, n_out = perceptron(width, layers, config.dropout)
        return nn.Sequential(nn.Dropout(config.dropout), *steps), n_out
