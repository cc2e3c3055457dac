"""What a metric is: a pure function of a trajectory."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import ClassVar, Literal

from codonbench.contracts.base import Frozen
from codonbench.contracts.task import TaskSpec
from codonbench.contracts.trajectory import Trajectory


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
    """A metric plugin.

    Class attributes:
        name: The metric's name, usually that of its chief output.
        version: Changes whenever a value could.
        summary: One line.
    """

    name: ClassVar[str]
    version: ClassVar[str]
    summary: ClassVar[str]

    @abstractmethod
    def outputs(self, task: TaskSpec) -> Mapping[str, Output]:
        """Return the values this metric gives for `task`, by name."""

    @abstractmethod
    def compute(self, trajectory: Trajectory, task: TaskSpec) -> Mapping[str, MetricValue]:
        """Return exactly the values that `outputs` names, from the trajectory alone."""
