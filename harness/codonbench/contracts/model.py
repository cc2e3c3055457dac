"""What a model is: a validated configuration, a module, and how it learns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts.base import Frozen, Name, Version
from codonbench.contracts.task import TaskSpec, TaskView

if TYPE_CHECKING:
    import torch

ClassWeights = Literal["none", "sum", "n"]


class ModelInfo(Frozen):
    """Who a model is.

    Attributes:
        name: As in ``--model NAME``.
        version: Changes whenever a score could.
        summary: One line.
        authors, licence, reference: For the record.
        pretrained_on: What its weights have seen before the first pair; empty on the main track.
        role: ``contestant`` rows are ranked, ``reference`` rows are shown apart.
        row_independent: True where one row's output depends on that row alone, and on nothing
            random: no batch norm, no dropout. The harness checks the claim before using it.
    """

    name: Name
    version: Version
    summary: str = Field(max_length=200)
    authors: tuple[str, ...] = ()
    licence: str = ""
    reference: str = ""
    pretrained_on: str = ""
    role: Literal["contestant", "reference"] = "contestant"
    row_independent: bool = False


class ModelConfig(Frozen):
    """Base of a model's ``Config``: what the harness itself needs to know.

    Every field of a subclass is a hyperparameter that ``--set field=value`` can override,
    so each is typed, bounded and documented.
    """

    batch_size: int = Field(default=64, ge=1, le=1 << 20, description="pairs in a training batch")
    class_weights: ClassWeights = Field(
        default="none",
        description="loss weighting by class: none; sum divides by the batch's summed weights; "
        "n divides by its number of pairs",
    )


class GradientConfig(ModelConfig):
    """Base of the ``Config`` of a model trained by gradient."""

    optimizer: Literal["adam", "sgd"] = Field(default="adam", description="update rule")
    learning_rate: float = Field(default=1e-3, gt=0, le=100, description="step size")


@runtime_checkable
class BatchLearner(Protocol):
    """A module that learns without gradients: the harness calls `update` once a batch."""

    def update(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Learn from one batch.

        Args:
            inputs: The encoded batch, first axis B.
            labels: Class ids, shape (B,).
        """


class Model(ABC):
    """A model plugin. The harness owns data, loop, counting, clock and score.

    The instance is made from a validated `Config`. What `build` returns is either trained by
    gradient, with the optimiser from `configure_optimizer`, or is a `BatchLearner`.

    Class attributes:
        info: Who it is.
        Config: Its hyperparameters.
        presets: Named configurations: ``{"lstm-64": {"hidden": 64}}``.
    """

    info: ClassVar[ModelInfo]
    Config: ClassVar[type[ModelConfig]] = ModelConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    @abstractmethod
    def encoding(self) -> str:
        """What the module is handed, one of the names in `codonbench.data.encodings`."""

    @property
    def row_independent(self) -> bool:
        """The claim in `info`; override where it depends on the configuration."""
        return self.info.row_independent

    @abstractmethod
    def build(self, task: TaskView) -> torch.nn.Module:
        """Return a fresh module that maps an encoded batch (B, ...) to logits (B, n_classes)."""

    def configure_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of `module`; by default from ``optimizer`` and ``learning_rate``."""
        import torch

        config = self.config
        if not isinstance(config, GradientConfig):
            raise TypeError(
                f"{type(self).__name__}.Config must extend GradientConfig, or the model must "
                "define configure_optimizer(), or its module must define update(inputs, labels)"
            )
        rule = torch.optim.Adam if config.optimizer == "adam" else torch.optim.SGD
        return rule(module.parameters(), lr=config.learning_rate)


class Reference(ABC):
    """A row that is computed, not trained: a bound or an oracle.

    Metrics that neither `logits` nor `values` supports are null in its record.
    """

    info: ClassVar[ModelInfo]
    Config: ClassVar[type[ModelConfig]] = ModelConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    def __init__(self, config: Any) -> None:
        self.config = config

    def logits(self, task: TaskSpec) -> npt.NDArray[np.float32] | None:
        """Return constant logits (P, C) in true class order, scored like a trained model's."""
        return None

    def values(
        self, task: TaskSpec, frequencies: npt.NDArray[np.float64] | None
    ) -> Mapping[str, float | None]:
        """Return metric values known in closed form.

        Args:
            task: The task.
            frequencies: Probability of each probe input (P,), or None where unknown.
        """
        return {}
