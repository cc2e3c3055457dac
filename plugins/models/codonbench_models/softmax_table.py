"""A table of logits trained by gradient: what softmax regression costs above remembering."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench import hookimpl
from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.inputs import whole_width

if TYPE_CHECKING:
    from torch import nn


class SoftmaxTableConfig(GradientConfig):
    """Hyperparameters of `SoftmaxTable`."""

    learning_rate: float = Field(default=0.05, gt=0, le=100, description="step size")


class SoftmaxTable(Model):
    """A logit for each input and class, all zero at first: 64 x 21 for codons.

    It is a bias-free linear layer on the one-hot of the input, whose weight (C, n_inputs) holds
    input i's logits in column i. No column shares anything with another, so each input is
    learned alone, from a start at which all classes tie.
    """

    info: ClassVar[ModelInfo] = ModelInfo(
        name="softmax-table",
        version="1",
        summary="Softmax regression on the one-hot input, from zero: each input learned alone",
        authors=("codonbench",),
        licence="Apache-2.0",
        role="reference",
        row_independent=True,
    )
    Config: ClassVar[type[ModelConfig]] = SoftmaxTableConfig
    config: SoftmaxTableConfig

    @property
    def encoding(self) -> str:
        """One-hot of the input (B, 64)."""
        return "input_onehot"

    def build(self, task: TaskView) -> nn.Module:
        """Return the table of zeros for `task`.

        Raises:
            ConfigError: The task's inputs cannot be enumerated.
        """
        from torch import nn

        table = nn.Linear(whole_width(task, self.info.name), task.n_classes, bias=False)
        nn.init.zeros_(table.weight)
        return table


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `SoftmaxTable`."""
    register(SoftmaxTable)
