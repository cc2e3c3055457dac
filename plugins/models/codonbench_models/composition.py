"""What the length of a sequence and its letters say, whatever their order beyond pairs."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from codonbench.contracts import ModelInfo, Sequences, SequenceTuples, TaskView
from codonbench.errors import ConfigError
from codonbench_models._kmers import count_kmers, sequences_of
from codonbench_models.linear import LinearModel
from codonbench_models.presets import ours

FloatArray = npt.NDArray[np.float32]


class LengthComposition(LinearModel):
    """Logistic or ridge regression on length, shares of letters and shares of dinucleotides."""

    info: ClassVar[ModelInfo] = ours(
        "length-composition",
        "Logistic regression, ridge for quantities, on length and shares of letters and of pairs",
        role="reference",
    )

    encoding = "items"
    """Sequences as the task has them, one or several an item."""

    def check_task(self, task: TaskView) -> None:
        """Refuse features, which have neither letters nor a length."""
        if not task.sequences:
            raise ConfigError(
                f"model {self.info.name!r} counts letters of sequences, but the items of task "
                f"{task.task!r} are features; choose 'linear', which reads those"
            )

    def columns(self, items: Sequences | SequenceTuples) -> FloatArray:
        """Return length and shares, shape (N, D): D = 1 + 4 + 16 for DNA.

        ``AACA`` has length 4, A 0.75, C 0.25, AA, AC and CA each 1/3.
        """
        found: list[npt.NDArray[Any]] = []
        for sequences, size in sequences_of(items, self.task):
            found.append(sequences.lengths[:, None])
            for k in (1, 2):
                counts = count_kmers(sequences, k, size)
                found.append(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1))
        return np.concatenate(found, axis=1, dtype=np.float32)
