"""The trajectory: everything that metrics and pictures need of one run."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench.contracts.base import Frozen
from codonbench.contracts.task import TaskSpec

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class TrajectoryFacts(Frozen):
    """Facts of the stream and the run, beside the arrays.

    Attributes:
        batch_size: Pairs in a full batch.
        epoch_pairs: Pairs in one epoch.
        budget_pairs: The budget.
        pairs: Pairs presented when the run ended.
        complete: True where the run spent its whole budget or went non-finite,
            False where a stop rule ended it first.
        window_pairs: How long deciphering must last to count as sustained.
    """

    batch_size: int = Field(ge=1)
    epoch_pairs: int = Field(ge=1)
    budget_pairs: int = Field(ge=0)
    pairs: int = Field(ge=0)
    complete: bool
    window_pairs: int = Field(default=64_000, ge=1)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """Logits of the whole probe set at every scheduled probe of one run.

    Axes: T probes, P probe inputs, C classes in true order, F frames of the paper's
    instrument, B pairs in a batch.

    Attributes:
        task: What was asked.
        facts: Facts of the stream and the run.
        pairs: Pairs presented before each probe, shape (T,), rising, first 0.
        logits: Shape (T, P, C), float32: logits, because softmax ties distinct ones.
        first_seen: Position (from 1) at which the stream first shows each probe input,
            shape (P,); 0 where one pass over the training pairs never shows it.
        test_counts: How often each probe input is among the held-out pairs, shape (P,).
        frame_pairs: Pairs presented at each frame reached, shape (F,).
        frame_inputs: The batch behind each frame as indices of probe inputs, shape (F, B);
            -1 for an input that is not in the probe set.
    """

    task: TaskSpec
    facts: TrajectoryFacts
    pairs: IntArray
    logits: npt.NDArray[np.float32]
    first_seen: IntArray
    test_counts: IntArray
    frame_pairs: IntArray
    frame_inputs: IntArray

    @cached_property
    def labels(self) -> IntArray:
        """True class of each probe input, shape (P,)."""
        return np.asarray(self.task.probe_labels, dtype=np.int64)

    @cached_property
    def finite(self) -> BoolArray:
        """Which probes come before the first NaN or infinity, shape (T,)."""
        ok = np.isfinite(self.logits).all(axis=(1, 2))
        return np.logical_and.accumulate(ok)

    @cached_property
    def true_logit(self) -> FloatArray:
        """Logit of the true class, shape (T, P)."""
        index = np.broadcast_to(self.labels[None, :, None], (*self.logits.shape[:2], 1))
        return np.take_along_axis(self.logits, index, axis=2)[..., 0].astype(np.float64)

    @cached_property
    def best_rival_logit(self) -> FloatArray:
        """Largest logit among the wrong classes, shape (T, P)."""
        rivals = self.logits.astype(np.float64)
        rivals[:, np.arange(len(self.labels)), self.labels] = -np.inf
        return np.asarray(rivals.max(axis=2))

    @cached_property
    def right(self) -> BoolArray:
        """Whether the true class strictly beats every rival, shape (T, P); a tie is wrong.

        Nothing is right from the first non-finite probe on.
        """
        with np.errstate(invalid="ignore"):
            won = self.true_logit > self.best_rival_logit
        return won & self.finite[:, None]

    @cached_property
    def deciphered(self) -> BoolArray:
        """Whether enough of the probe set is right (all of it, for codons), shape (T,)."""
        needed = required_right(self.task)
        return np.asarray(self.right.sum(axis=1) >= needed)

    def probabilities(self, probe: int | slice = slice(None)) -> FloatArray:
        """Softmax of the logits over classes, in float64: shape (P, C) or (T, P, C)."""
        logits = self.logits[probe].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))

    @property
    def all_seen(self) -> int | None:
        """Pairs after which the stream has shown every probe input; None if it never does."""
        if not self.task.enumerable or not self.first_seen.all():
            return None
        return int(self.first_seen.max())


def required_right(task: TaskSpec) -> int:
    """How many probe inputs must be right for the task to count as deciphered."""
    return int(np.ceil(task.target_accuracy * len(task.probe_inputs) - 1e-9))
