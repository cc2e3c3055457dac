"""The learner that writes down what it has seen: each input is right from its first pair on."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo, TaskView
from codonbench_models.inputs import whole_width

PSEUDO_COUNT = 1e-6
"""Added before the logarithm. Never seen: all classes tie, which is wrong. Seen once, with 21
classes: p(true) = 1 / (1 + 20e-6) = 0.99998, so confident at once."""


def log_counts(counts: Tensor) -> Tensor:
    """Return logits whose softmax is each class's share of `counts` (last axis), as float32."""
    return (counts.double() + PSEUDO_COUNT).log().float()


class CountTable(nn.Module):
    """How often each class was seen with each input: `counts`, shape (n_inputs, n_classes)."""

    counts: Tensor

    def __init__(self, n_inputs: int, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(n_inputs, n_classes, dtype=torch.int64))

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Count a batch of input indices (B,) and class ids (B,)."""
        self.counts.index_put_((inputs, labels), torch.ones_like(labels), accumulate=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map input indices (B,) to logits (B, n_classes), float32."""
        return log_counts(self.counts[inputs])


class CountTableModel(Model):
    """Remembers each input once seen, and so attains ``all_seen`` exactly: excess pairs 0."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="count-table",
        version="1",
        summary="Counts classes for each input: right about an input once it has seen it",
        authors=("codonbench",),
        licence="Apache-2.0",
        role="reference",
        row_independent=True,
    )

    @property
    def encoding(self) -> str:
        """Index of the input (B,)."""
        return "input_index"

    def build(self, task: TaskView) -> nn.Module:
        """Return an empty table for `task`.

        Raises:
            ConfigError: The task's inputs cannot be enumerated.
        """
        return CountTable(whole_width(task, self.info.name), task.n_classes)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `CountTableModel`."""
    register(CountTableModel)
