"""What a model is: a validated configuration, and a module or an estimator that learns."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Literal,
    Protocol,
    Self,
    runtime_checkable,
)

import numpy as np
import numpy.typing as npt
from pydantic import Field, model_validator

from codonbench.contracts.base import Frozen, Name, Version
from codonbench.contracts.dataset import Items, Targets
from codonbench.contracts.task import TaskSpec, TaskView
from codonbench.errors import ConfigError

if TYPE_CHECKING:
    import torch

ClassWeights = Literal["none", "sum", "n", "balanced"]

OFF: Mapping[str, Any] = {
    "momentum": 0.0,
    "weight_decay": 0.0,
    "schedule": "constant",
    "warmup": 0.0,
    "gradient_clip": None,
    "accumulate": 1,
    "precision": "float32",
    "reverse_complement": False,
}
"""Settings of a `GradientConfig` at which they do nothing. One that is off is not recorded, so that
a record from before it existed says the same; see `as_recorded` and `from_record`."""


def as_recorded(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return a configuration's values without those that are off and not set."""
    return {n: v for n, v in values.items() if n not in OFF or n in overrides or v != OFF[n]}


def from_record(config: type[BaseConfig], recorded: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a record's configuration, of fields that `config` has."""
    return {n: v for n, v in OFF.items() if n in config.model_fields} | dict(recorded)


class ModelInfo(Frozen):
    """What a model is called, and facts about it.

    Attributes:
        name: Name in ``--model NAME``.
        version: To be raised with every change that could change a score.
        summary: One line.
        authors, licence, reference: For the record.
        pretrained_on: The data that its weights were pretrained on; empty on the main track.
        role: ``contestant`` rows are ranked, ``reference`` rows are shown apart.
        row_independent: True where one row's output depends on that row alone, and on nothing
            random: no batch norm, no dropout. The harness checks the claim before using it.
        instance_based: True if outputs are targets of training items or means of a few, as in
            nearest neighbours. They are not published if targets must not be.
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
    instance_based: bool = Field(default=False, exclude_if=lambda value: not value)


class Needs(Frozen):
    """The resources of one run of a model, by which a cluster places it.

    Attributes:
        cpus: Processors; None: as many as the run has threads.
        memory: GiB; None: not considered.
        gpus: GPUs, or a share of one; None: one, if the run uses a GPU.
    """

    cpus: float | None = Field(default=None, gt=0, le=1024, description="processors")
    memory: float | None = Field(default=None, gt=0, le=1 << 20, description="GiB")
    gpus: float | None = Field(default=None, gt=0, le=64, description="GPUs, or a share of one")

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.gpus is not None and self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"got gpus={self.gpus:g}; expected a share of one, or whole ones")
        return self


@dataclass(frozen=True)
class Tune:
    """How `bench tune` draws a field: ``rate: Annotated[float, Tune(low=1e-4, high=0.1)]``.

    Attributes:
        low, high: Both ends of a range.
        log: Whether to draw on a log scale.
        choices: The values to choose from, instead of a range.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[bool | int | float | str | None, ...] = ()

    def __post_init__(self) -> None:
        ranged = self.low is not None and self.high is not None
        if ranged == bool(self.choices):
            raise ValueError("give low and high, or choices")
        low, high = self.low or 0.0, self.high or 0.0
        if ranged and (low >= high or (self.log and low <= 0)):
            raise ValueError(f"cannot draw from {low:g} to {high:g}")


class BaseConfig(Frozen):
    """Base of every ``Config``.

    Every field of a subclass is a hyperparameter that ``--set field=value`` can override,
    so each is typed, bounded and documented.
    """


class ModelConfig(BaseConfig):
    """Base of the ``Config`` of a model trained batch by batch: what the harness needs to know."""

    batch_size: Annotated[int, Tune(choices=(32, 64, 128, 256))] = Field(
        default=64, ge=1, le=1 << 20, description="pairs in a training batch"
    )
    class_weights: ClassWeights = Field(
        default="none",
        description="loss weighting by class: none; the task's own weights, where sum divides by "
        "the batch's summed weights and n by its number of pairs; or balanced, weights that make "
        "each class of the training split count the same, divided by their sum",
    )


class GradientConfig(ModelConfig):
    """Base of the ``Config`` of a model trained by gradient.

    All but the first two settings are off unless a model or ``--set`` gives them a value, and are
    recorded only then; see `OFF`. Where they are on, the plain loop trains.
    """

    optimizer: Literal["adam", "adamw", "sgd"] = Field(default="adam", description="update rule")
    learning_rate: Annotated[float, Tune(low=1e-4, high=0.1, log=True)] = Field(
        default=1e-3, gt=0, le=100, description="step size"
    )
    momentum: float = Field(default=0.0, ge=0, lt=1, description="of sgd")
    weight_decay: float = Field(
        default=0.0,
        ge=0,
        le=100,
        description="pull of each parameter towards 0: decoupled from the gradient with adamw, "
        "added to it with adam and sgd",
    )
    schedule: Literal["constant", "cosine", "one-cycle"] = Field(
        default="constant",
        description="of the step size over the whole budget: constant; cosine, down to 0; or "
        "one-cycle, up from 1/25 of it for 30 % of the steps and down to 1/250,000",
    )
    warmup: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        description="share of the steps in which the step size first rises from 0 to its value",
    )
    gradient_clip: float | None = Field(
        default=None, gt=0, description="largest norm of a step's gradient; null for any"
    )
    accumulate: int = Field(
        default=1,
        ge=1,
        le=1 << 20,
        description="parts of a batch that are computed one after another, their gradients added "
        "up: the same step in less memory",
    )
    precision: Literal["float32", "bfloat16"] = Field(
        default="float32",
        description="of the module's products; bfloat16 keeps parameters and loss in float32",
    )
    reverse_complement: bool = Field(
        default=False,
        description="hand each training sequence as its reverse complement half of the time",
    )

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(f"momentum is a setting of sgd; optimizer is {self.optimizer!r}")
        if self.warmup and self.schedule == "one-cycle":
            raise ValueError("one-cycle has a warm-up of its own; leave warmup out")
        return self


@runtime_checkable
class BatchLearner(Protocol):
    """A module that learns without gradients: the harness calls `update` once a batch."""

    def update(self, inputs: torch.Tensor, labels: torch.Tensor) -> None:
        """Learn from one batch.

        Args:
            inputs: The encoded batch, first axis B.
            labels: Class ids, shape (B,).
        """


@runtime_checkable
class Embedder(Protocol):
    """A module with an embedding, which a linear probe reads.

    If it has an attribute `trunk`, the embedding depends on that part alone and is cached by its
    weights. A method ``about()`` may return what the record should state.
    """

    def embed(self, inputs: torch.Tensor) -> torch.Tensor:
        """Return the embedding of an encoded batch (B, ...), shape (B, D)."""


@runtime_checkable
class VariantScorer(Protocol):
    """A module that reads one sequence and has its own way to score a variant of it."""

    def score_variants(self, reference: torch.Tensor, alternative: torch.Tensor) -> torch.Tensor:
        """Return the effect of each variant, shape (B,): higher where more of what is measured.

        Args:
            reference: Encoded sequences, first axis B.
            alternative: The same sequences, each with its variant.
        """


@runtime_checkable
class AuxiliaryLearner(Protocol):
    """A module that adds a term of its own to the task's loss, as an autoencoder adds its error.

    The plain loop trains it. Evaluations call its `forward`, as any module's.
    """

    def outputs_and_loss(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what `forward` returns in training, (B, K), and a number to add to the mean loss.

        Args:
            inputs: The encoded batch, first axis B.
        """


class Encoding(ABC):
    """An encoding beside those of `codonbench.data.encodings`.

    It has to be defined in the file or distribution of the models that name it.

    Class attributes:
        name: Name in a model's `encoding`; a task's own names come first.
    """

    name: ClassVar[str]

    def serves(self, view: TaskView) -> bool:
        """Return whether a task's items can be encoded: by default where they are sequences."""
        return view.kind == "sequence"

    @abstractmethod
    def encode(self, items: Items, view: TaskView) -> npt.NDArray[Any]:
        """Return the encoding of B items, shape (B, ...): numbers, or int64 indices."""


ENCODINGS: dict[str, Encoding] = {}
"""Those of the plugins that this process has imported, by name."""


class ModelBase(ABC):
    """What the three kinds of model plugin share: `Model`, `Estimator` and `Reference`.

    The instance is made from a validated `Config`.

    Class attributes:
        info: Its name and facts about it.
        Config: Its hyperparameters.
        presets: Named configurations: ``{"lstm-64": {"hidden": 64}}``.
        files: Names of the files that it reads, weights or tables, relative to the folder of the
            file that defines the class: ``("weights.pt",)``. They are part of the run's identity,
            as its source is, and are there in a sandbox.
        needs: The resources of a run.
    """

    info: ClassVar[ModelInfo]
    Config: ClassVar[type[BaseConfig]] = BaseConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    files: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[Needs] = Needs()

    def __init__(self, config: Any) -> None:
        self.config = config


class Model(ModelBase):
    """A model plugin that is trained batch by batch.

    The harness owns data, loop, counting, clock and score. What `build` returns is either trained
    by gradient, with the optimiser from `configure_optimizer`, or is a `BatchLearner`. One that is
    trained by gradient may add to the loss: see `AuxiliaryLearner`.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The module's input, one of the names in `codonbench.data.encodings`."""

    @property
    def row_independent(self) -> bool:
        """The claim in `info`; override where it depends on the configuration."""
        return self.info.row_independent

    @abstractmethod
    def build(self, task: TaskView) -> torch.nn.Module:
        """Return a fresh module that maps an encoded batch (B, ...) to logits (B, n_classes)."""

    def configure_optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Return the optimiser of `module`, by default that of the configuration.

        Raises:
            TypeError: The configuration has no optimiser.
        """
        import torch

        config = self.config
        if not isinstance(config, GradientConfig):
            raise TypeError(
                f"{type(self).__name__}.Config must extend GradientConfig, or the model must "
                "define configure_optimizer(), or its module must define update(inputs, labels)"
            )
        parameters, rate, decay = module.parameters(), config.learning_rate, config.weight_decay
        if config.optimizer == "sgd":
            return torch.optim.SGD(
                parameters, lr=rate, momentum=config.momentum, weight_decay=decay
            )
        rule = torch.optim.Adam if config.optimizer == "adam" else torch.optim.AdamW
        return rule(parameters, lr=rate, weight_decay=decay)

    def configure_schedule(
        self, optimizer: torch.optim.Optimizer, steps: int
    ) -> torch.optim.lr_scheduler.LRScheduler | None:
        """Return the learning-rate schedule, by default that of the configuration; None for none.

        Args:
            optimizer: From `configure_optimizer`.
            steps: Updates in the whole budget. After each, the harness calls ``step()`` once; it
                keeps the schedule's ``state_dict()`` in checkpoints.
        """
        from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

        config = self.config
        if not isinstance(config, GradientConfig):
            return None
        if config.schedule == "one-cycle":
            highest = [group["lr"] for group in optimizer.param_groups]
            return OneCycleLR(optimizer, highest, total_steps=steps, cycle_momentum=False)
        warmup = round(config.warmup * steps)
        cosine = config.schedule == "cosine"
        if not warmup and not cosine:
            return None
        return LambdaLR(optimizer, lambda step: step_size(step, steps, warmup, cosine=cosine))


def step_size(step: int, steps: int, warmup: int, *, cosine: bool) -> float:
    """Return the step size as a share of the configured one.

    Linear from 1 / `warmup` to 1 in the first `warmup` steps; then 1, or half a cosine from 1 to 0
    (Loshchilov and Hutter 2017, equation 5, without restarts).

    Args:
        step: Updates made so far, 0 before the first.
        steps: Updates in all.
        warmup: Of them, those of the warm-up.
        cosine: Whether it falls afterwards.
    """
    if step < warmup:
        return (step + 1) / warmup
    if not cosine:
        return 1.0
    return (1 + math.cos(math.pi * (step - warmup) / max(steps - warmup, 1))) / 2


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What an `Estimator` is fitted on: all training items of a seed's split, and their targets.

    Attributes:
        task: Shapes and names of inputs and targets.
        items: N of them, in the estimator's encoding.
        targets: Class ids (N,), int64; or labels, 0 or 1, or quantities in their own units (N, K),
            float32, NaN where one is missing.
        rng: The seed's own generator.
        weights: Weight of each item, from 0 up, shape (N,); None if all are equal.
    """

    task: TaskView
    items: Any
    targets: Targets
    rng: np.random.Generator
    weights: npt.NDArray[np.float32] | None = None


class Estimator(ModelBase):
    """A model plugin that is fitted in one call, as in scikit-learn.

    The harness calls `fit` once, on the training items of the seed's split, then `predict` for
    validation and for test. Their targets never enter its process, so it chooses hyperparameters,
    such as a penalty, by cross-validation within training, or takes them from its configuration.

    It serves tasks whose targets may all be known at once: those of the protocol ``supervised``.
    """

    @property
    @abstractmethod
    def encoding(self) -> str:
        """The input of `fit` and `predict` for N items.

        ``items`` are as the task has them: `Sequences`, `SequenceTuples` or `Features`. ``text`` is
        a list of N texts, or of tuples of texts if items are several sequences. Any other name is
        an array, shape (N, ...): see `codonbench.data.encodings`.
        """

    def check_task(self, task: TaskView) -> None:
        """Refuse a task that it does not serve, though that offers the encoding; called first.

        Raises:
            ConfigError: In one sentence, why, and what to choose instead.
        """

    @abstractmethod
    def fit(self, training: TrainingSet) -> None:
        """Learn from the training set."""

    @abstractmethod
    def predict(self, items: Any) -> npt.NDArray[np.floating[Any]]:
        """Return outputs for M items in the encoding, shape (M, K).

        Logits of K classes or labels, of which log-probabilities are one kind; or quantities in
        their own units.
        """

    def score_variants(self, reference: Any, alternative: Any) -> npt.NDArray[np.floating[Any]]:
        """Return the effect of each of M variants, shape (M,), without having been fitted.

        Args:
            reference: M sequences in the encoding.
            alternative: The same sequences, each with its variant.

        Raises:
            ConfigError: By default, as it has to be fitted.
        """
        raise ConfigError(
            f"model {self.info.name!r} has to be fitted, and by the protocol 'zero_shot' nothing "
            "is; choose one that answers as it is built"
        )

    def learned(self) -> Mapping[str, npt.NDArray[Any]]:
        """Return the learned parameters as arrays by name; the record has their number and hash.

        Empty if they are not arrays, as in a tree.
        """
        return {}


class Reference(ModelBase):
    """A row that is computed, not trained: a bound or an oracle.

    Metrics that neither `logits` nor `values` supports are null in its record.
    """

    Config: ClassVar[type[ModelConfig]] = ModelConfig

    def logits(self, task: TaskSpec) -> npt.NDArray[np.float32] | None:
        """Return constant logits (P, C) in true class order, scored like a trained model's."""
        return None

    def values(
        self, task: TaskSpec, frequencies: npt.NDArray[np.float64] | None
    ) -> Mapping[str, float | None]:
        """Return metric values known in closed form.

        Args:
            task: The task.
            frequencies: Probability of each evaluation input (P,), or None if unknown.
        """
        return {}
