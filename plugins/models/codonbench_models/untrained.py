"""The network before its first pair: what random weights alone are worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from pydantic import Field
from torch import Tensor, nn

from codonbench import hookimpl
from codonbench.contracts import Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.mlp import ENCODINGS, Input, input_width, linear_layers


class UntrainedConfig(ModelConfig):
    """Hyperparameters of `Untrained`."""

    input: Input = Field(default="64-bit", description="as for mlp: 64-bit or 12-bit")


class Unmoved(nn.Module):
    """A network that is shown pairs and learns nothing from them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Do nothing."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map an encoded batch (B, ...) to logits (B, n_classes)."""
        logits: Tensor = self.network(inputs)
        return logits


class Untrained(Model):
    """The module of ``mlp-64`` at pair 0, for ever. If it deciphers, the harness leaks labels."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="untrained",
        version="1",
        summary="mlp-64 at its random start, never trained; must not decipher",
        authors=("codonbench",),
        licence="Apache-2.0",
        role="reference",
        row_independent=True,
    )
    Config: ClassVar[type[ModelConfig]] = UntrainedConfig
    config: UntrainedConfig

    @property
    def encoding(self) -> str:
        """One-hot of the input (B, 64), or of its letters end to end (B, 12)."""
        return ENCODINGS[self.config.input]

    def build(self, task: TaskView) -> nn.Module:
        """Return an ``mlp-64`` for `task` that ignores every update.

        Raises:
            ConfigError: ``64-bit`` input is asked of a task that cannot be enumerated.
        """
        return Unmoved(linear_layers(input_width(task, self.config.input), (64,), task))


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Untrained`."""
    register(Untrained)
