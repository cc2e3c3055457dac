"""What a training step needs: a module, its optimiser, and the data as its device has them.

What it is made from stands in a `TrainRequest`: no target of an item that is not trained on, no
seed and no salt among it. Where targets are told pair by pair, none is known before; see
`protocols.referee`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from codonbench.contracts import (
    BatchLearner,
    ClassWeights,
    Items,
    Model,
    ModelConfig,
    Sequences,
    Targets,
    TaskView,
)
from codonbench.data.encodings import Encoder, canonical, make_encoder
from codonbench.training.request import TrainRequest


class Scale(NamedTuple):
    """What quantities are measured in while they are learned, each of shape (K,).

    The mean and the standard deviation over the training items, so that no learning rate depends
    on units.
    """

    mean: Tensor
    deviation: Tensor


@dataclass(frozen=True)
class TrainState:
    """Everything a training step needs.

    Attributes:
        module: What is trained.
        optimizer: Its optimiser; None for a `BatchLearner`.
        encode: From item indices to what the module is handed.
        view: The task, as a model may know it.
        targets: Of each item as far as it is known, shape (N, ...): class ids, permuted where they
            are hidden; labels; or quantities, in units of `scale`. 0 elsewhere.
        evaluated: Items of each split, as indices.
        fan: How many letters there are, where the items are every word of one length in
            lexicographic order; None where they are not.
        class_weights: Loss weight of each class id (C,), or None.
        weighting: How the weighted loss is averaged.
        batch_size: Pairs in a full batch.
        scale: Of quantities; None for other targets.
    """

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer | None
    encode: Encoder
    view: TaskView
    targets: Tensor
    evaluated: dict[str, Tensor]
    fan: int | None
    class_weights: Tensor | None
    weighting: ClassWeights
    batch_size: int
    scale: Scale | None = None


def make_state(
    plugin: Model,
    config: ModelConfig,
    request: TrainRequest,
    dtype: torch.dtype = torch.float32,
    targets: Targets | None = None,
) -> TrainState:
    """Put module, optimiser and items on the device.

    Args:
        plugin: Whose module.
        config: Its configuration.
        request: What it is told.
        dtype: Of its parameters and inputs.
        targets: Targets (N, ...) that it knows from the start; those of the request by default.

    Raises:
        ConfigError: The task does not offer the encoding that the plugin asks for.
    """
    view, device = request.view, torch.device(request.device)
    if view.kind == "features":  # which a model of sequences need not expect as it builds
        canonical(plugin.encoding, view)
    module = plugin.build(view).to(device)
    if dtype != torch.float32:
        module = module.to(dtype)
    weights = request.class_weights
    known = torch.as_tensor(request.targets if targets is None else targets).clone()
    scale = None
    if view.target == "quantities":
        scale = _scale(known[torch.as_tensor(request.trained)].to(dtype).to(device))
        known = (known.to(dtype).to(device) - scale.mean) / scale.deviation
    return TrainState(
        module=module,
        optimizer=None if isinstance(module, BatchLearner) else plugin.configure_optimizer(module),
        encode=make_encoder(plugin.encoding, view, request.items, device, dtype),
        view=view,
        targets=known.to(device),
        evaluated={
            name: torch.as_tensor(index, device=device) for name, index in request.evaluated.items()
        },
        fan=_fan(view, request.items),
        class_weights=None
        if weights is None
        else torch.as_tensor(weights, dtype=dtype, device=device),
        weighting=config.class_weights,
        batch_size=config.batch_size,
        scale=scale,
    )


def _scale(targets: Tensor) -> Scale:
    """Return mean and standard deviation of each quantity (n, K), what is missing left out."""
    known = ~torch.isnan(targets)
    count = known.sum(0).clamp(min=1)
    mean = torch.where(known, targets, 0.0).sum(0) / count
    variance = torch.where(known, (targets - mean) ** 2, 0.0).sum(0) / count
    deviation = variance.sqrt()
    return Scale(mean, torch.where(deviation > 0, deviation, 1.0))


def _fan(view: TaskView, items: Items) -> int | None:
    """Return the alphabet's size where the items are every word in lexicographic order."""
    size, length = len(view.alphabet), view.length
    if view.n_inputs is None or not isinstance(items, Sequences) or size**length != len(items):
        return None
    words = np.indices((size,) * length).reshape(length, -1).T
    return size if np.array_equal(words, items.rows()) else None
