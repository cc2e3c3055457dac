"""The learner that ignores its input and answers with the class it has seen most."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo, TaskView

if TYPE_CHECKING:
    from torch import nn


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
        from codonbench_models._counts import ClassCounts

        return ClassCounts(task.n_classes)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `Majority`."""
    register(Majority)
