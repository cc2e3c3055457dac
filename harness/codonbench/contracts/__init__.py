"""The contracts between the harness and its plugins."""

from codonbench.contracts.base import Frozen, MetricName, Name, Version
from codonbench.contracts.metric import (
    NOT_MEASURED,
    Metric,
    MetricValue,
    NotMeasured,
    Output,
)
from codonbench.contracts.model import (
    BatchLearner,
    ClassWeights,
    GradientConfig,
    Model,
    ModelConfig,
    ModelInfo,
    Reference,
)
from codonbench.contracts.task import (
    Column,
    Dataset,
    DataSource,
    Ranking,
    Task,
    TaskOptions,
    TaskSpec,
    TaskView,
)
from codonbench.contracts.trajectory import Trajectory, TrajectoryFacts, required_right

__all__ = [
    "NOT_MEASURED",
    "BatchLearner",
    "ClassWeights",
    "Column",
    "DataSource",
    "Dataset",
    "Frozen",
    "GradientConfig",
    "Metric",
    "MetricName",
    "MetricValue",
    "Model",
    "ModelConfig",
    "ModelInfo",
    "Name",
    "NotMeasured",
    "Output",
    "Ranking",
    "Reference",
    "Task",
    "TaskOptions",
    "TaskSpec",
    "TaskView",
    "Trajectory",
    "TrajectoryFacts",
    "Version",
    "required_right",
]
