"""A lesson: a module, its optimiser, and what its learner is told of the task.

What that is stands in a `Brief`: no true class, no label, no seed and no salt among it. Labels,
permuted, come with the pairs, and no sooner; see `guide`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codonbench.contracts import BatchLearner, ClassWeights, Model, ModelConfig, TaskView
from codonbench.contracts.machine import DeviceKind
from codonbench.contracts.run_spec import EngineChoice
from codonbench.data.encodings import Encoder, make_encoder
from codonbench.protocols.schedule import BatchClock
from codonbench.training.seeding import Chance

IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Brief:
    """What a learner knows of its run before the first pair.

    Attributes:
        view: The task, as a model may know it.
        inputs: Letter indices of each input, shape (N, length).
        probe: The probe set, as indices of inputs, shape (P,).
        class_weights: Loss weight of each class id (C,), permuted as the ids are; or None.
        clock: Where batches end.
        chance: Where the global generators begin.
        device, threads, engine: As in the spec.
    """

    view: TaskView
    inputs: IntArray
    probe: IntArray
    class_weights: npt.NDArray[np.float64] | None
    clock: BatchClock
    chance: Chance
    device: DeviceKind
    threads: int
    engine: EngineChoice


@dataclass(frozen=True)
class Lesson:
    """Everything a training step needs.

    Attributes:
        module: What learns.
        optimizer: Its optimiser; None for a `BatchLearner`.
        encode: From input indices to what the module is handed.
        labels: Permuted class id of every input that has been told of, shape (N,); 0 elsewhere.
        n_classes: How many class ids there are.
        probe: The probe set, as input indices, shape (P,).
        fan: How many letters there are, where the inputs are every word of one length in
            lexicographic order; None where they are not.
        class_weights: Loss weight of each class id (C,), or None.
        weighting: How the weighted loss is averaged.
        batch_size: Pairs in a full batch.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer | None
    encode: Encoder
    labels: Tensor
    n_classes: int
    probe: Tensor
    fan: int | None
    class_weights: Tensor | None
    weighting: ClassWeights
    batch_size: int


def make_lesson(
    plugin: Model,
    config: ModelConfig,
    brief: Brief,
    dtype: torch.dtype = torch.float32,
    labels: IntArray | None = None,
) -> Lesson:
    """Put module, optimiser and encoded inputs on the device.

    Args:
        plugin: Who learns.
        config: Its configuration.
        brief: What it is told.
        dtype: Of its parameters and inputs.
        labels: Class ids (N,) that it knows from the start; none by default.
    """
    view, device = brief.view, torch.device(brief.device)
    module = plugin.build(view).to(device)
    if dtype != torch.float32:
        module = module.to(dtype)
    weights = brief.class_weights
    known = np.zeros(len(brief.inputs), dtype=np.int64) if labels is None else labels
    return Lesson(
        module=module,
        optimizer=None if isinstance(module, BatchLearner) else plugin.configure_optimizer(module),
        encode=make_encoder(plugin.encoding, view, brief.inputs, device, dtype),
        labels=torch.tensor(known, device=device),
        n_classes=view.n_classes,
        probe=torch.as_tensor(brief.probe, device=device),
        fan=_fan(view, brief.inputs),
        class_weights=None
        if weights is None
        else torch.as_tensor(weights, dtype=dtype, device=device),
        weighting=config.class_weights,
        batch_size=config.batch_size,
    )


def _fan(view: TaskView, inputs: IntArray) -> int | None:
    """Return the alphabet's size where the inputs are every word in lexicographic order."""
    size, length = len(view.alphabet), view.length
    if size**length != len(inputs):
        return None
    words = np.indices((size,) * length).reshape(length, -1).T
    return size if np.array_equal(words, inputs) else None
