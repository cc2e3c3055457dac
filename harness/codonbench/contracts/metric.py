"""What a metric is: a pure function of a trajectory, or of the outputs of one split."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, Literal

from codonbench.contracts.base import Frozen
from codonbench.contracts.dataset import Targets
from codonbench.contracts.task import TargetKind, TaskSpec
from codonbench.contracts.trajectory import Outputs, Trajectory


class NotMeasured(Enum):
    """The one value that says a run could not answer, which is not the same as never."""

    NOT_MEASURED = "not_measured"


NOT_MEASURED = NotMeasured.NOT_MEASURED

MetricValue = float | int | bool | None | NotMeasured
"""A number; None for never within the budget (right-censored) or not applicable;
NOT_MEASURED where the run ended before the question could be answered."""


class Output(Frozen):
    """One named value that a metric gives.

    Attributes:
        unit: ``pairs``, ``epochs``, ``probability``, ``nats``, ...
        direction: Which way is better.
        summary: One line.
    """

    unit: str
    direction: Literal["lower", "higher", "none"]
    summary: str


class Metric(ABC):
    """A metric plugin: of a whole trajectory.

    Class attributes:
        name: The metric's name, usually that of its chief output.
        version: Changes whenever a value could.
        summary: One line.
        protocols: Names of the protocols whose trajectories it reads; empty for all.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]
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
    """A metric of the outputs of one split: of the test split for a score, of others on the way.

    Class attributes:
        serves_targets: The kinds of target it is defined for.
    """

    serves_targets: ClassVar[frozenset[TargetKind]]

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

    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return the values for the test split; not measured where it was never asked."""
        if not len(trajectory.test_outputs):
            return dict.fromkeys(self.outputs(task), NOT_MEASURED)
        return self.score(trajectory.test_targets, trajectory.test_outputs, task)
