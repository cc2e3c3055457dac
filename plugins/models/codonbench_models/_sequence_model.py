"""What our networks of any sequence share: a trunk for each of an item's sequences, one head."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from codonbench.contracts import GradientConfig, Model, ModelConfig, TaskView
from codonbench.contracts.task import Input

if TYPE_CHECKING:
    from torch import nn


class SequenceConfig(GradientConfig):
    """Base of the ``Config`` of a `SequenceModel`."""

    dropout: float = Field(
        default=0.2, ge=0, lt=1, description="share of features left out in training"
    )


class SequenceModel(Model):
    """A network for sequences of any length, one or several an item, and for any target."""

    Config: ClassVar[type[ModelConfig]] = SequenceConfig
    config: SequenceConfig

    encoding = "symbol_onehot_mask"
    """The letters in order, each a one-hot, and 1 up to the item's end: (B, length, channels + 1);
    a tuple of these where items are several sequences."""

    @abstractmethod
    def trunk(self, sequence: Input) -> tuple[nn.Module, int]:
        """Return what maps one of an item's sequences (B, length, channels + 1) to features (B, D).

        Args:
            sequence: Its alphabet and lengths.

        Returns:
            The module, and D.
        """

    def hidden(self, width: int) -> tuple[nn.Module, int]:
        """Return what the output reads of all trunks' features (B, width), and how wide that is."""
        from torch import nn

        return nn.Dropout(self.config.dropout), width

    def build(self, task: TaskView) -> nn.Module:
        """Return the network for `task`."""
        from torch import nn

        from codonbench_models._sequence_nets import PerSequence

        trunks, widths = zip(*(self.trunk(sequence) for sequence in task.sequences), strict=True)
        hidden, width = self.hidden(sum(widths))
        return PerSequence(trunks, hidden, nn.Linear(width, task.n_outputs))
