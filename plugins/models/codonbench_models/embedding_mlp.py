"""A perceptron above a learned embedding of the input's index."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench import hookimpl
from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.inputs import whole_width
from codonbench_models.presets import PAPER, Presets, with_weighted_twins
from codonbench_models.widths import TwoWidths

if TYPE_CHECKING:
    from torch import nn


class EmbeddingMlpConfig(GradientConfig):
    """Hyperparameters of `EmbeddingMlp`."""

    d: int = Field(default=10, ge=1, le=1024, description="length of an embedding vector")
    activation: Literal["relu", "tanh"] = Field(
        default="relu", description="what follows each hidden layer"
    )
    hidden: TwoWidths = Field(
        default=(64, 1024),
        description="units in the two hidden layers, each 1 to 8192",
    )
    learning_rate: float = Field(default=0.05, gt=0, le=100, description="step size")


class EmbeddingMlp(Model):
    """Embedding of d, then d -> 64 -> activation -> 1024 -> activation -> classes, no biases."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="embedding-mlp",
        version="1",
        summary="Perceptron with two activated hidden layers above a learned embedding",
        authors=("codonbench",),
        licence="Apache-2.0",
        reference=PAPER,
        row_independent=True,
    )
    Config: ClassVar[type[ModelConfig]] = EmbeddingMlpConfig
    presets: ClassVar[Presets] = with_weighted_twins(
        {
            "embedding10-relu": {"d": 10, "activation": "relu"},
            "embedding2-tanh": {"d": 2, "activation": "tanh"},
        }
    )
    config: EmbeddingMlpConfig

    @property
    def encoding(self) -> str:
        """Index of the input (B,)."""
        return "input_index"

    def build(self, task: TaskView) -> nn.Module:
        """Return the layers for `task`.

        Raises:
            ConfigError: The task's inputs cannot be enumerated.
        """
        from torch import nn

        first, second = self.config.hidden
        activation = {"relu": nn.ReLU, "tanh": nn.Tanh}[self.config.activation]
        return nn.Sequential(
            nn.Embedding(whole_width(task, self.info.name), self.config.d),
            nn.Linear(self.config.d, first, bias=False),
            activation(),
            nn.Linear(first, second, bias=False),
            activation(),
            nn.Linear(second, task.n_classes, bias=False),
        )


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `EmbeddingMlp`."""
    register(EmbeddingMlp)
