"""The network before its first pair: what random weights alone are worth."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench import hookimpl
from codonbench.contracts import Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.mlp import ENCODINGS, Input, input_width, linear_layers

if TYPE_CHECKING:
    from torch import nn


class UntrainedConfig(ModelConfig):
    """Hyperparameters of `Untrained`."""

    input: Input = Field(default="64-bit", description="as for mlp: 64-bit or 12-bit")


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
        from codonbench_models._unmoved import Unmoved

        return Unmoved(linear_layers(input_width(task, self.config.input), (64,), task))


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Untrained`."""
    register(Untrained)
