"""Multilayer perceptrons: products of matrices, or activated above a learned embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic_core import PydanticCustomError

from codonbench.contracts import GradientConfig, Model, ModelConfig, ModelInfo, TaskView
from codonbench.errors import ConfigError
from codonbench_models.presets import PAPER, Presets, one_sequence, ours, with_weighted_twins

if TYPE_CHECKING:
    from torch import nn

Width = Annotated[int, Field(ge=1, le=8192)]
"""Units in one hidden layer."""


def _split(value: Any) -> Any:
    """Return a lone number or a text of numbers as a sequence; leave anything else alone."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if isinstance(value, str):
        return tuple(part.strip() for part in value.strip("[]() ").replace("x", ",").split(","))
    return value


# Not Field(min_length=1): where a width is out of range, pydantic then adds that none was given.
def _one_or_two(widths: tuple[int, ...]) -> tuple[int, ...]:
    if len(widths) not in (1, 2):
        raise PydanticCustomError(
            "one_or_two", "give one width or two, not {given}", {"given": len(widths)}
        )
    return widths


OneOrTwoWidths = Annotated[tuple[Width, ...], BeforeValidator(_split), AfterValidator(_one_or_two)]
"""Units in each of one or two hidden layers, first to last."""

TwoWidths = Annotated[tuple[Width, Width], BeforeValidator(_split)]
"""Units in each of two hidden layers, first to last."""

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

    info: ClassVar[ModelInfo] = ours(
        "mlp",
        "Linear perceptron with one or two hidden layers on one-hot input",
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
            ConfigError: The task cannot be enumerated, for ``64-bit`` input; or its items are no
                single sequences of one length, for ``12-bit``.
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

    info: ClassVar[ModelInfo] = ours(
        "embedding-mlp",
        "Perceptron with two activated hidden layers above a learned embedding",
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

    encoding = "input_index"
    """Index of the input (B,)."""

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


def whole_width(task: TaskView, model: str) -> int:
    """Return how many distinct inputs `task` has: 64 for codons.

    Args:
        task: The task.
        model: Who asks, for the message.

    Raises:
        ConfigError: The task's inputs cannot be enumerated.
    """
    if task.n_inputs is None:
        raise ConfigError(
            f"model {model!r} needs a task whose inputs can be enumerated, but {task.task!r} "
            "lists none; choose a model that reads letter by letter, such as 'cnn'"
        )
    return task.n_inputs


def flat_width(task: TaskView) -> int:
    """Return the length of an input's letters as one-hots end to end: 3 x 4 = 12 for codons.

    Raises:
        ConfigError: The task's items are no single sequences, or differ in length.
    """
    return task.length * one_sequence(task, "mlp (input=12-bit)").channels
