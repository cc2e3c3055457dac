"""A multilayer perceptron on features, such as the expression of genes."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.presets import Presets, ours

if TYPE_CHECKING:
    from torch import nn


class MlpFeaturesConfig(GradientConfig):
    """Hyperparameters of `MlpFeatures`."""

    hidden: int = Field(default=64, ge=1, le=16384, description="units in each hidden layer")
    layers: int = Field(default=1, ge=0, le=16, description="hidden layers")
    activation: Literal["relu", "tanh"] = Field(
        default="relu", description="what follows each hidden layer"
    )
    dropout: float = Field(default=0.2, ge=0, lt=1, description="of hidden units, in training")


class MlpFeatures(Model):
    """Features standardised, hidden layers with dropout, a linear output."""

    info: ClassVar[ModelInfo] = ours(
        "mlp-features",
        "Multilayer perceptron on standardised features",
        reference="Chen et al. 2016 (D-GEX), Bioinformatics 32, 1832-1839",
    )
    Config: ClassVar[type[ModelConfig]] = MlpFeaturesConfig
    presets: ClassVar[Presets] = {
        # The largest network of D-GEX
        "mlp-features-published": {
            "hidden": 9000,
            "layers": 3,
            "activation": "tanh",
            "dropout": 0.1,
            "learning_rate": 5e-4,
        }
    }
    config: MlpFeaturesConfig

    encoding = "features"
    """Numbers (B, F)."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the layers for `task`."""
        from codonbench_models._features import Perceptron

        config = self.config
        return Perceptron(
            task.max_length,
            task.n_outputs,
            hidden=(config.hidden,) * config.layers,
            activation=config.activation,
            dropout=config.dropout,
        )
