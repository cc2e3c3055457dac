"""How wide a task's one-hot inputs are, refused in a sentence where there is no such input."""

from codonbench.contracts import TaskView
from codonbench.errors import ConfigError


def whole_width(task: TaskView, model: str) -> int:
    """Return how many distinct inputs `task` has: 64 for codons.

    Args:
        task: The task.
        model: Who asks, for the message.

    Raises:
        ConfigError: The task's inputs cannot be enumerated.
    """
    if task.n_inputs is None:
        raise ConfigError(
            f"model {model!r} needs a task whose inputs can be enumerated, but {task.task!r} "
            f"has {len(task.alphabet)} letters by {task.length} positions and no list of inputs; "
            "choose a model that reads letter by letter, such as 'mlp' with input=12-bit or 'lstm'"
        )
    return task.n_inputs


def one_length(task: TaskView, model: str) -> None:
    """Refuse a task whose items differ in length.

    Args:
        task: The task.
        model: Who asks, for the message.

    Raises:
        ConfigError: They do.
    """
    if task.min_length != task.max_length:
        raise ConfigError(
            f"model {model!r} reads items of one length, but those of {task.task!r} have "
            f"{task.min_length} to {task.max_length} letters; choose a model that serves any, "
            "such as 'cnn'"
        )


def flat_width(task: TaskView) -> int:
    """Return the length of an input's letters as one-hots end to end: 3 x 4 = 12 for codons."""
    return task.length * len(task.alphabet)
