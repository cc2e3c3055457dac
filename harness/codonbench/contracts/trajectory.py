"""The trajectory, which is everything that a run leaves, and the metrics that score it."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, JsonValue

from codonbench.contracts.base import Frozen
from codonbench.contracts.dataset import Targets
from codonbench.contracts.task import TargetKind, TaskSpec

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
Outputs = npt.NDArray[np.float32]
"""What a module returns for N items, shape (N, K): logits of classes or labels, or quantities."""


class TrajectoryFacts(Frozen):
    """Facts of the stream and the run, beside the arrays.

    Attributes:
        split: Split evaluated during training: ``evaluation`` or ``validation``.
        batch_size: Pairs (an item and its target) in a full batch.
        epoch_pairs: Pairs in one epoch.
        budget_pairs: The budget.
        pairs: Pairs presented when the run ended.
        complete: True where the run spent its whole budget or went non-finite,
            False where a stop rule ended it first.
        selected_pairs: Position of the state that was chosen and tested; None where none was.
        protocol: Facts of the protocol: ``{"window_pairs": 64000}``.
    """

    split: str = "evaluation"
    batch_size: int = Field(ge=1)
    epoch_pairs: int = Field(ge=0)
    budget_pairs: int = Field(ge=0)
    pairs: int = Field(ge=0)
    complete: bool
    selected_pairs: int | None = None
    protocol: dict[str, JsonValue] = Field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Trajectory:
    """What one run's module returned for the evaluated items, at positions in the stream.

    Axes: T snapshots, N items, K outputs in true order.

    Attributes:
        task: The task.
        facts: Facts of the stream and the run.
        pairs: Pairs presented before each snapshot, shape (T,), rising.
        outputs: Of the evaluated items, shape (T, N, K), float32: logits, because softmax ties
            distinct ones.
        test_outputs: Of the test items, from the selected state, shape (M, K); empty if the
            protocol asks for none.
        targets: The targets of the N items.
        test_targets: The targets of the M test items.
        arrays: What the protocol itself noted, by name.
    """

    task: TaskSpec
    facts: TrajectoryFacts
    pairs: IntArray
    outputs: Outputs
    targets: Targets
    test_outputs: Outputs = field(default_factory=lambda: np.zeros((0, 0), dtype=np.float32))
    test_targets: Targets = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    arrays: Mapping[str, IntArray] = field(default_factory=dict)

    @cached_property
    def finite(self) -> BoolArray:
        """Which snapshots come before the first NaN or infinity, shape (T,)."""
        ok = np.isfinite(self.outputs).all(axis=(1, 2))
        return np.logical_and.accumulate(ok)

    @cached_property
    def true_logit(self) -> FloatArray:
        """Logit of the true class, shape (T, N)."""
        index = self.targets.astype(np.int64)[None, :, None]
        return np.take_along_axis(self.outputs, index, axis=2)[..., 0].astype(np.float64)

    @cached_property
    def best_rival_logit(self) -> FloatArray:
        """Largest logit among the wrong classes, shape (T, N)."""
        rivals = self.outputs.astype(np.float64)
        rivals[:, np.arange(len(self.targets)), self.targets] = -np.inf
        return np.asarray(rivals.max(axis=2))

    @cached_property
    def right(self) -> BoolArray:
        """Whether the true class strictly beats every rival, shape (T, N); a tie is wrong.

        Nothing is right from the first non-finite snapshot on.
        """
        with np.errstate(invalid="ignore"):
            won = self.true_logit > self.best_rival_logit
        return won & self.finite[:, None]

    @cached_property
    def solved(self) -> BoolArray:
        """Whether enough of the evaluation set is right, shape (T,)."""
        return np.asarray(self.right.sum(axis=1) >= required_right(self.task))

    def probabilities(self, snapshot: int | slice = slice(None)) -> FloatArray:
        """Softmax of the outputs over classes, in float64: shape (N, K) or (T, N, K)."""
        logits = self.outputs[snapshot].astype(np.float64)
        with np.errstate(invalid="ignore", over="ignore"):
            shifted = np.exp(logits - logits.max(axis=-1, keepdims=True))
            return np.asarray(shifted / shifted.sum(axis=-1, keepdims=True))


def required_right(task: TaskSpec) -> int:
    """How many items of the evaluation set must be right for the task to count as solved."""
    evaluation = task.evaluation_set
    return int(np.ceil(evaluation.target_accuracy * len(evaluation.inputs) - 1e-9))


class NotMeasured(Enum):
    """The value of a metric that a run could not measure, which is not the same as never."""

    NOT_MEASURED = "not_measured"


NOT_MEASURED = NotMeasured.NOT_MEASURED

MetricValue = float | int | bool | None | NotMeasured
"""A number; None for never within the budget (right-censored) or not applicable;
NOT_MEASURED where the run ended before the question could be answered."""


class Output(Frozen):
    """One named value that a metric gives.

    Attributes:
        unit: ``pairs``, ``epochs``, ``probability``, ``nats``, ...
        direction: Whether ``higher`` or ``lower`` is better, or ``none`` of them.
        summary: One line.
        least, most: No value lies below or above; None where there is no such bound.
    """

    unit: str
    direction: Literal["lower", "higher", "none"]
    summary: str
    least: float | None = None
    most: float | None = None


class Metric(ABC):
    """A metric plugin, computed from a whole trajectory.

    Class attributes:
        name: The metric's name, usually that of its chief output.
        version: To be raised with every change that could change a value.
        summary: One line.
        title: Heading on a board's page, as ``MCC``, where a task gives none; empty for the name.
        protocols: Names of the protocols whose trajectories it reads; empty for all.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
    title: ClassVar[str] = ""
    protocols: ClassVar[tuple[str, ...]] = ()

    def serves(self, task: TaskSpec) -> bool:
        """Return whether it can be computed for a task; it is left out where it cannot."""
        return not self.protocols or task.protocol in self.protocols

    @abstractmethod
    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the values this metric gives for `task`, by name."""

    @abstractmethod
    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return exactly the values that `outputs` names, from the trajectory alone."""


class SplitMetric(Metric):
    """A metric of the outputs of one split: the test split for a score, others during training.

    Class attributes:
        serves_targets: The kinds of target it is defined for.
        default_for: Kinds whose tasks are ranked by it by default; one metric may be the default
            for a kind.
        by_order: Whether it depends on how items are ordered or binned by their outputs, so that
            rounding may change it much.
    """

    serves_targets: ClassVar[frozenset[TargetKind]]
    default_for: ClassVar[frozenset[TargetKind]] = frozenset()
    by_order: ClassVar[bool] = False

    def serves(self, task: TaskSpec) -> bool:
        """Return whether the task has a test split and a target of a kind that is served."""
        fits = task.target.kind in self.serves_targets and task.evaluation is None
        return fits and super().serves(task)

    @abstractmethod
    def score(
        self, targets: Targets, outputs: Outputs, task: TaskSpec
    ) -> Mapping[str, MetricValue]:
        """Return exactly the values that `outputs` names, for one split.

        Args:
            targets: What is right: class ids (N,), or labels or quantities (N, K), NaN where
                one is missing.
            outputs: What the module returned, shape (N, K): logits, or quantities.
            task: The task.
        """

    def resampled(
        self, name: str, targets: Targets, outputs: Outputs, counts: FloatArray, task: TaskSpec
    ) -> FloatArray:
        """Return one of the values for each of B samples of the items, shape (B,), NaN for None.

        An interval takes thousands of samples; a subclass that can use counts is faster than this
        default, which scores one after another.

        Args:
            name: Name of the value.
            targets: As for `score`.
            outputs: Likewise.
            task: Likewise.
            counts: Multiplicity of each item in each sample, shape (B, N), whole numbers.
        """
        values = []
        for row in counts.astype(np.int64):
            drawn = np.repeat(np.arange(len(outputs)), row)
            value = self.score(targets[drawn], outputs[drawn], task)[name]
            values.append(value if isinstance(value, bool | int | float) else np.nan)
        return np.asarray(values, dtype=np.float64)

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the values for the test split; not measured if it was never evaluated."""
        if not len(trajectory.test_outputs):
            return dict.fromkeys(self.outputs(task), NOT_MEASURED)
        return self.score(trajectory.test_targets, trajectory.test_outputs, task)
