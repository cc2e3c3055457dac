"""What our models' descriptions share, the published ones' presets among it."""

from collections.abc import Mapping
from typing import Any

from codonbench.contracts import EvaluationSet, Input, ModelInfo, TaskSpec, TaskView
from codonbench.errors import ConfigError

PAPER = "Joiret et al. 2023, Frontiers in Artificial Intelligence 6, doi 10.3389/frai.2023.1128153"

Presets = Mapping[str, Mapping[str, Any]]


def with_weighted_twins(presets: Presets) -> Presets:
    """Return `presets` with, after each, its twin that weights the loss as the authors did.

    ``{"lstm-64": {"hidden": 64}}`` gains
    ``{"lstm-64-weighted": {"hidden": 64, "class_weights": "n"}}``.
    """
    twins: dict[str, Mapping[str, Any]] = {}
    for name, fields in presets.items():
        twins[name] = fields
        twins[f"{name}-weighted"] = {**fields, "class_weights": "n"}
    return twins


_INSTANCE_BASED = ("nearest",)
"""Said here, as the hash of a model's own file stands in its records."""


def ours(name: str, summary: str, **fields: Any) -> ModelInfo:
    """Return who a model of ours is, in its first version."""
    by: dict[str, Any] = {"authors": ("codonbench",), "licence": "Apache-2.0"}
    by["instance_based"] = name in _INSTANCE_BASED
    return ModelInfo(name=name, version="1", summary=summary, **by, **fields)


def one_sequence(task: TaskView, model: str) -> Input:
    """Return what a task's items are, where each is one sequence and all have one length.

    Args:
        task: The task.
        model: Who asks, for the message.

    Raises:
        ConfigError: They are not.
    """
    letters = None
    if len(task.sequences) != 1:
        have = f"{len(task.sequences)} sequences" if task.sequences else "features"
    elif task.min_length != task.max_length:
        have, letters = f"{task.min_length} to {task.max_length} letters", task.max_length
    else:
        return task.sequences[0]
    raise ConfigError(
        f"model {model!r} reads items of one sequence and one length, but those of task "
        f"{task.task!r} have {have}; choose another, such as 'cnn' or 'nearest'",
        letters=letters,
    )


def evaluation_set(task: TaskSpec, model: str) -> EvaluationSet:
    """Return the inputs that are asked all along a run.

    Args:
        task: The task.
        model: Who needs them, for the message.

    Raises:
        ConfigError: It has none.
    """
    if task.evaluation is None:
        raise ConfigError(
            f"model {model!r} is computed from inputs that are asked all along a run, but task "
            f"{task.name!r} has validation and test splits; choose 'majority' or 'nearest'"
        )
    return task.evaluation
