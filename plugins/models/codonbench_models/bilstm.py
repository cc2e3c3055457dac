"""A recurrent network that reads the letters of a sequence from both ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import ModelConfig, ModelInfo, Tune
from codonbench.contracts.task import Input
from codonbench_models._sequence_model import SequenceConfig, SequenceModel
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class BiLstmConfig(SequenceConfig):
    """Hyperparameters of `BiLstm`."""

    cell: Literal["LSTM", "GRU"] = Field(default="LSTM", description="of the recurrence")
    hidden: Annotated[int, Tune(low=8, high=128, log=True)] = Field(
        default=32, ge=1, le=4096, description="units in each direction"
    )
    layers: Annotated[int, Tune(low=1, high=3)] = Field(
        default=1, ge=1, le=16, description="recurrent layers, stacked"
    )
    learning_rate: float = Field(default=3e-3, gt=0, le=100, description="step size")


class BiLstm(SequenceModel):
    """Bidirectional LSTM or GRU over the letters; maximum and mean of its states; an output."""

    info: ClassVar[ModelInfo] = ours(
        "bilstm",
        "Bidirectional LSTM or GRU over the letters",
        reference="Graves and Schmidhuber 2005, Neural Networks 18, 602-610",
    )
    Config: ClassVar[type[ModelConfig]] = BiLstmConfig
    presets: ClassVar[Presets] = {
        "bilstm-published": {"hidden": 93},
        "bigru": {"cell": "GRU"},
    }
    config: BiLstmConfig

    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return the recurrence, its states pooled."""
        from codonbench_models._bilstm import PooledRecurrence
        from codonbench_models._sequence_nets import Recurrence

        config = self.config
        recurrence = Recurrence(
            sequence.channels,
            config.hidden,
            config.layers,
            cell=config.cell,
            ragged=sequence.min_length < sequence.max_length,
            dropout=config.dropout,
        )
        return PooledRecurrence(recurrence), 4 * config.hidden
