"""What a protocol is: what is evaluated and when, which state is selected, when a run ends."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from pydantic import JsonValue

from codonbench.contracts import Dataset, Outputs, Targets
from codonbench.contracts.run_spec import RunSpec
from codonbench.data.relabelling import Relabelling, hidden_generator, relabelling
from codonbench.data.stream import BatchClock, Stream

IntArray = npt.NDArray[np.int64]


class RunSetup:
    """What is fixed about one run.

    Args:
        run_spec: What was asked.
        dataset: On what.
        protocol: By which protocol.
        batch_size: Pairs in a full batch.

    Attributes:
        dataset: The targets are this run's, where it is a control.
        clock: Where batches end.
        stream: The seed's split and its pairs.
        labels: The seed's permutation of class ids; None where there is none.
        hidden: Each item's target as the model is told it, shape (N, ...).
    """

    def __init__(
        self, run_spec: RunSpec, dataset: Dataset, protocol: Protocol, batch_size: int
    ) -> None:
        self.run_spec = run_spec
        self.protocol = protocol
        salt, seed = run_spec.salt, run_spec.seed
        self.dataset = dataset = dataset.for_run(hidden_generator(salt, seed, "control"))
        self.stream = Stream(dataset, seed)
        self._batch_size = batch_size
        self.labels: Relabelling | None = None
        self.hidden: Targets = dataset.targets
        if not protocol.tells_targets:
            self.labels = relabelling(len(dataset.spec.target.names), salt, seed)
            self.hidden = self.labels.hide(dataset.targets.astype(np.int64, copy=False))

    @cached_property
    def clock(self) -> BatchClock:
        """Where batches end; the split is drawn for it."""
        return BatchClock(self._batch_size, self.epoch_pairs, self.run_spec.budget_pairs)

    @property
    def epoch_pairs(self) -> int:
        """Pairs in one epoch."""
        if self.dataset.spec.evaluation is not None:  # nothing is cut from training
            return self.dataset.spec.train_size
        return self.stream.epoch_pairs

    def evaluated(self) -> dict[str, IntArray]:
        """Return the items of each split that a model may be asked about, by its name."""
        if self.dataset.spec.evaluation is not None:
            return {"evaluation": self.dataset.evaluation}
        split = self.stream.split
        return {"validation": split.validation, "test": split.test}

    @property
    def class_weights(self) -> npt.NDArray[np.float64] | None:
        """Loss weight of each class id as the model knows it, shape (C,); None for none."""
        weights = self.dataset.spec.target.class_weights
        if weights is None:
            return None
        values = np.asarray(weights, dtype=np.float64)
        return values if self.labels is None else self.labels.hide_columns(values)

    def revealed(self, outputs: Outputs) -> Outputs:
        """Return outputs (..., K) with their columns in true order."""
        return outputs if self.labels is None else self.labels.reveal_columns(outputs)


@dataclass(frozen=True)
class Evaluation:
    """Outputs that a run owes.

    Attributes:
        position: Pairs presented before them.
        split: Of which items: ``evaluation``, ``validation`` or ``test``.
        of_selected: Whether of the state that was selected, which is put back for it.
    """

    position: int
    split: str
    of_selected: bool = False


class Schedule(ABC):
    """One run's evaluations, each decided once the one before is known.

    Attributes:
        keep: Whether the state that was evaluated last is the one selected so far.
        selected: Where the selected state stands; None where no state is selected.
        finite: False once an output was NaN or infinite.
    """

    keep: bool = False
    selected: int | None = None
    finite: bool = True

    @abstractmethod
    def first(self) -> Evaluation:
        """Return the first evaluation."""

    @abstractmethod
    def next(self, evaluation: Evaluation, outputs: Outputs) -> Evaluation | None:
        """Return the evaluation after one that is done; None where the run is over.

        Args:
            evaluation: What was owed.
            outputs: What came, shape (N, K), in the model's own labels. Not finite is the end.
        """

    @abstractmethod
    def progress(self) -> str:
        """Return in a few words how far the run has come, for the person who waits."""

    def arrays(self) -> Mapping[str, IntArray]:
        """Return what goes into the trajectory beside outputs."""
        return {}

    def facts(self) -> dict[str, JsonValue]:
        """Return what the trajectory's `TrajectoryFacts.protocol` says."""
        return {}


class Protocol(ABC):
    """A protocol plugin.

    Class attributes:
        name: As in `TaskSpec.protocol`.
        summary: One line.
        stop_rules: What may end a run before its budget, by name, the default first; ``budget``
            is the rule that spends it all.
        split: What is looked at along the way.
        tells_targets: True where training targets are known from the start; where they are not,
            each is told as its pair is presented, and class ids are permuted by salt and seed.
        needs: The splits that a task must have for it, beside training.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    stop_rules: ClassVar[tuple[str, ...]] = ("budget",)
    split: ClassVar[str]
    tells_targets: ClassVar[bool]

    @abstractmethod
    def schedule(self, setup: RunSetup) -> Schedule:
        """Return the schedule of one run."""

    def constant(self, setup: RunSetup) -> Sequence[Evaluation]:
        """Return the evaluations that tell all of a row whose outputs never change."""
        return (Evaluation(setup.clock.budget_pairs, self.split),)
