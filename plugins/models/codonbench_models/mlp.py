"""The multilayer perceptron without hidden activations: a product of matrices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from codonbench import hookimpl
from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench_models.inputs import flat_width, whole_width
from codonbench_models.presets import PAPER, Presets, with_weighted_twins
from codonbench_models.widths import OneOrTwoWidths

if TYPE_CHECKING:
    from torch import nn

Input = Literal["64-bit", "12-bit"]
"""What an MLP reads, in the paper's words for codons: the one-hot of the whole input, or its
letters as one-hots end to end. For another task the numbers differ and the meaning does not."""

ENCODINGS: dict[Input, str] = {"64-bit": "input_onehot", "12-bit": "symbol_onehot_flat"}


class MlpConfig(GradientConfig):
    """Hyperparameters of `Mlp`."""

    hidden: OneOrTwoWidths = Field(
        default=(64,),
        description="units in each hidden layer, one layer or two, each 1 to 8192",
    )
    input: Input = Field(
        default="64-bit",
        description="64-bit: one-hot of the whole input; 12-bit: one-hot of each letter, "
        "end to end (64 and 12 are the numbers for codons)",
    )
    learning_rate: float = Field(default=0.05, gt=0, le=100, description="step size")


class Mlp(Model):
    """One or two hidden layers, no activation between them."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="mlp",
        version="1",
        summary="Linear perceptron with one or two hidden layers on one-hot input",
        authors=("codonbench",),
        licence="Apache-2.0",
        reference=PAPER,
        row_independent=True,
    )
    Config: ClassVar[type[ModelConfig]] = MlpConfig
    presets: ClassVar[Presets] = with_weighted_twins(
        {
            "mlp-64": {"hidden": (64,), "input": "64-bit"},
            "mlp-128": {"hidden": (128,), "input": "64-bit"},
            "mlp-1024": {"hidden": (1024,), "input": "64-bit"},
            "mlp-64-12bit": {"hidden": (64,), "input": "12-bit"},
            "mlp-64x1024": {"hidden": (64, 1024), "input": "64-bit"},
        }
    )
    config: MlpConfig

    @property
    def encoding(self) -> str:
        """One-hot of the input (B, 64), or of its letters end to end (B, 12)."""
        return ENCODINGS[self.config.input]

    def build(self, task: TaskView) -> nn.Module:
        """Return the layers for `task`.

        Raises:
            ConfigError: ``64-bit`` input is asked of a task that cannot be enumerated.
        """
        return linear_layers(input_width(task, self.config.input), self.config.hidden, task)


def input_width(task: TaskView, kind: Input) -> int:
    """Return the length of one encoded input: 64 or 12 for codons."""
    return whole_width(task, "mlp (input=64-bit)") if kind == "64-bit" else flat_width(task)


def linear_layers(n_in: int, hidden: tuple[int, ...], task: TaskView) -> nn.Sequential:
    """Return the layers as the authors committed them, mapping (B, n_in) to (B, n_classes).

    One hidden layer: ``n_in -> h -> classes``, no biases. Two: ``n_in -> h1 -> h2 -> classes``
    with a bias in the middle step alone.
    """
    from torch import nn

    first, *rest = hidden
    steps = [nn.Linear(n_in, first, bias=False)]
    steps += [nn.Linear(first, second, bias=True) for second in rest]
    return nn.Sequential(*steps, nn.Linear(hidden[-1], task.n_classes, bias=False))


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Mlp`."""
    register(Mlp)
