"""Rows that cost little and put the others in proportion: what chance, counting and memory do."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts import (
    GradientConfig,
    Model,
    ModelConfig,
    ModelInfo,
    Reference,
    TaskSpec,
    TaskView,
)
from codonbench_models.mlp import ENCODINGS, Input, input_width, linear_layers, whole_width
from codonbench_models.presets import evaluation_set, ours

if TYPE_CHECKING:
    from torch import nn


class Majority(Model):
    """Right about one class and never about two: the floor for accuracy; or the mean, for R2."""

    info: ClassVar[ModelInfo] = ours(
        "majority",
        "Always answers with the class seen most so far; must not decipher",
        role="reference",
        row_independent=True,
    )

    encoding = "none"
    """Nothing of the items (B, 0)."""

    def build(self, task: TaskView) -> nn.Module:
        """Return empty counts for `task`, or empty means of its quantities or labels."""
        from codonbench_models._baselines import ClassCounts, Means

        if task.target != "classes":
            return Means(task.n_outputs, log_odds=task.target == "labels")
        return ClassCounts(task.n_classes)


class CountTableModel(Model):
    """Remembers each input once seen, and so attains ``all_seen`` exactly: excess pairs 0."""

    info: ClassVar[ModelInfo] = ours(
        "count-table",
        "Counts classes for each input: right about an input once it has seen it",
        role="reference",
        row_independent=True,
    )

    encoding = "input_index"
    """Index of the input (B,)."""

    def build(self, task: TaskView) -> nn.Module:
        """Return an empty table for `task`.

        Raises:
            ConfigError: The task's inputs cannot be enumerated.
        """
        from codonbench_models._baselines import CountTable

        return CountTable(whole_width(task, self.info.name), task.n_classes)


class SoftmaxTableConfig(GradientConfig):
    """Hyperparameters of `SoftmaxTable`."""

    learning_rate: float = Field(default=0.05, gt=0, le=100, description="step size")


class SoftmaxTable(Model):
    """A logit for each input and class, all zero at first: 64 x 21 for codons.

    It is a bias-free linear layer on the one-hot of the input, whose weight (C, n_inputs) holds
    input i's logits in column i. No column shares anything with another, so each input is
    learned alone, from a start at which all classes tie.
    """

    info: ClassVar[ModelInfo] = ours(
        "softmax-table",
        "Softmax regression on the one-hot input, from zero: each input learned alone",
        role="reference",
        row_independent=True,
    )
    Config: ClassVar[type[ModelConfig]] = SoftmaxTableConfig
    config: SoftmaxTableConfig

    encoding = "input_onehot"
    """One-hot of the input (B, 64)."""

    def build(self, task: TaskView) -> nn.Module:
        """Return the table of zeros for `task`.

        Raises:
            ConfigError: The task's inputs cannot be enumerated.
        """
        from torch import nn

        table = nn.Linear(whole_width(task, self.info.name), task.n_classes, bias=False)
        nn.init.zeros_(table.weight)
        return table


class UntrainedConfig(ModelConfig):
    """Hyperparameters of `Untrained`."""

    input: Input = Field(default="64-bit", description="as for mlp: 64-bit or 12-bit")


class Untrained(Model):
    """The module of ``mlp-64`` at pair 0, for ever. If it deciphers, the harness leaks labels."""

    info: ClassVar[ModelInfo] = ours(
        "untrained",
        "mlp-64 at its random start, never trained; must not decipher",
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
        from codonbench_models._baselines import Unmoved

        return Unmoved(linear_layers(input_width(task, self.config.input), (64,), task))


CONFIDENT_LOGIT = 20.0
"""Above the zero of every rival: with 21 classes p(true) is 20 exp(-20) = 4e-8 short of 1."""


class Oracle(Reference):
    """Right about everything, always. Whatever pairs a metric gives it are the metric's own."""

    info: ClassVar[ModelInfo] = ours(
        "oracle",
        "Knows every answer from pair 0: what it still costs, the instrument costs",
        role="reference",
    )

    def logits(self, task: TaskSpec) -> npt.NDArray[np.float32]:
        """Return 20 for each probe input's true class and 0 elsewhere, shape (P, C)."""
        targets = list(evaluation_set(task, self.info.name).targets)
        logits = np.zeros((len(targets), len(task.target.names)), dtype=np.float32)
        logits[np.arange(len(targets)), targets] = CONFIDENT_LOGIT
        return logits
