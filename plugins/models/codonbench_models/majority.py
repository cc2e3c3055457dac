"""The learner that ignores its input: the class it has seen most, or the mean of quantities."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo, TaskView

if TYPE_CHECKING:
    from torch import nn


class Majority(Model):
    """Right about one class and never about two: the floor for accuracy; or the mean, for R2."""

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
        """Letter indices (B, length), which every task of sequences offers; B alone is used."""
        return "symbol_index"

    def build(self, task: TaskView) -> nn.Module:
        """Return empty counts for `task`, or empty means of its quantities or labels."""
        from codonbench_models._counts import ClassCounts, Means

        if task.target != "classes":
            return Means(task.n_outputs, log_odds=task.target == "labels")
        return ClassCounts(task.n_classes)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Majority`."""
    register(Majority)
