"""The honest guesser: who has counted classes knows that what is still unseen is rare."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from codonbench.contracts import Model, ModelInfo, TaskView
from codonbench_models.mlp import whole_width
from codonbench_models.presets import ours

if TYPE_CHECKING:
    from torch import nn


class FrequencyGuess(Model):
    """Remembers each input once seen, and takes any other for the class seen least often so far.

    It knows nothing but its stream. Where rare inputs are of rare classes, as stop codons are, it
    is right about them before they come, so that ``all_seen`` is no bound for it.
    """

    info: ClassVar[ModelInfo] = ours(
        "frequency-guess",
        "Remembers inputs it has seen; guesses the rarest class so far for any other",
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
        from codonbench_models._frequency_guess import RarestClass

        return RarestClass(whole_width(task, self.info.name), task.n_classes)
