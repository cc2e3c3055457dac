"""The learner that ignores its input and answers with the class it has seen most."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo, TaskView
from codonbench_models.count_table import log_counts


class ClassCounts(nn.Module):
    """How often each class was seen: `counts`, shape (n_classes,)."""

    counts: Tensor

    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.register_buffer("counts", torch.zeros(n_classes, dtype=torch.int64))

    def update(self, inputs: Tensor, labels: Tensor) -> None:
        """Count a batch of class ids (B,); `inputs` is not looked at."""
        self.counts.index_put_((labels,), torch.ones_like(labels), accumulate=True)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return the same logits for each row, (B, n_classes): softmax gives class shares."""
        return log_counts(self.counts).expand(len(inputs), -1)


class Majority(Model):
    """Right about one class and never about two: the floor for accuracy."""

    info: ClassVar[ModelInfo] = ModelInfo(
        name="majority",
        version="1",
        summary="Always answers with the class seen most so far; must not decipher",
        authors=("codonbench",),
        licence="Apache-2.0",
        role="reference",
        row_independent=True,
    )

    @property
    def encoding(self) -> str:
        """Letter indices (B, length), which every task offers; only their number B is used."""
        return "symbol_index"

    def build(self, task: TaskView) -> nn.Module:
        """Return empty counts for `task`."""
        return ClassCounts(task.n_classes)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Majority`."""
    register(Majority)
