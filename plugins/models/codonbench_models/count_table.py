"""The learner that writes down what it has seen: each input is right from its first pair on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from codonbench import hookimpl
from codonbench.contracts import Model, ModelInfo, TaskView
from codonbench_models.inputs import whole_width

if TYPE_CHECKING:
    from torch import nn


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
        from codonbench_models._counts import CountTable

        return CountTable(whole_width(task, self.info.name), task.n_classes)


@hookimpl
def register_models(register: Callable[[type[Model]], None]) -> None:
    """Register `CountTableModel`."""
    register(CountTableModel)
