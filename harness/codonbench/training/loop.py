"""The plain training loop: the reference for every engine."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import BatchLearner, ClassWeights, Outputs
from codonbench.data.stream import Batch
from codonbench.errors import PluginError
from codonbench.training.checkpoint import Checkpointer, whole_state
from codonbench.training.feed import Feed
from codonbench.training.state import TrainState

_MOST_LETTERS = {"cpu": 1 << 14, "cuda": 1 << 22}
"""Letters or features evaluated at a time, but no fewer items than are trained on at a time.

A module's own memory is some hundred times that; on a CPU it had better fit the cache.
"""


def train(feed: Feed, checkpointer: Checkpointer, selected: dict[str, Any] | None = None) -> None:
    """Train until the feed ends.

    Args:
        feed: Of the run.
        checkpointer: Keeps how far it has come.
        selected: The selected state of a run that goes on where it was cut short.

    Raises:
        Whatever the plugin's module or optimiser raises; the referee keeps what came before.
    """
    state = feed.state
    best = {"selected": selected}
    step = make_step(state)
    for item in feed:
        if isinstance(item, Batch):
            checkpointer.offer([feed], lambda _: whole_state(state, best["selected"]))
            step(torch.as_tensor(item.index, device=state.targets.device))
            continue
        if item.of_selected and best["selected"] is not None:
            state.module.load_state_dict(best["selected"])
        feed.show(evaluate(state, item.split))
        if feed.keep:
            best["selected"] = deepcopy(state.module.state_dict())


def make_step(state: TrainState) -> Callable[[Tensor], None]:
    """Return the function that trains on one batch of item indices (B,)."""
    module, encode, targets = state.module, state.encode, state.targets
    module.train()
    if state.optimizer is None:
        assert isinstance(module, BatchLearner)
        learner: BatchLearner = module

        def update(index: Tensor) -> None:
            with torch.no_grad():
                learner.update(encode(index), targets[index])

        return update

    optimizer = state.optimizer

    def descend(index: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = loss_of(state, module(encode(index)), targets[index])
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return descend


def loss_of(state: TrainState, outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the loss of a batch's outputs (B, K), by the kind of target."""
    if state.view.target == "classes":
        return cross_entropy(outputs, targets, state.class_weights, state.weighting)
    if outputs.shape != targets.shape:
        raise PluginError(
            f"the module gives outputs {tuple(outputs.shape)}, expected {tuple(targets.shape)}"
        )
    if state.view.target == "labels":
        return binary_cross_entropy(outputs, targets.to(outputs.dtype))
    return squared_error(outputs, targets.to(outputs.dtype))


def cross_entropy(
    logits: Tensor, labels: Tensor, weights: Tensor | None, weighting: ClassWeights
) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        logits: Shape (B, C).
        labels: Class ids, shape (B,).
        weights: Per class, shape (C,); None for no weighting.
        weighting: ``sum`` divides by the summed weights of the batch (PyTorch's default for
            index targets); ``n`` by B, as one-hot float targets do.
    """
    if weighting == "none" or weights is None:
        return F.cross_entropy(logits, labels)
    if weighting == "sum":
        return F.cross_entropy(logits, labels, weight=weights)
    return F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the mean binary cross-entropy over the labels that are known.

    Args:
        logits: Shape (B, K).
        targets: 0 or 1, NaN where a label is missing; shape (B, K).
    """
    known = ~torch.isnan(targets)
    each = F.binary_cross_entropy_with_logits(
        logits, torch.where(known, targets, 0.0), reduction="none"
    )
    return torch.where(known, each, 0.0).sum() / known.sum().clamp(min=1)


def squared_error(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean squared error over the quantities that are known.

    Args:
        outputs: Shape (B, K).
        targets: NaN where a quantity is missing; shape (B, K).
    """
    known = ~torch.isnan(targets)
    error = torch.where(known, outputs - torch.where(known, targets, 0.0), 0.0)
    return (error**2).sum() / known.sum().clamp(min=1)


@torch.no_grad()
def evaluate(state: TrainState, split: str) -> Outputs:
    """Return the outputs for all items of a split (N, K), in evaluation mode, float32.

    Random numbers that a module draws from PyTorch here are given back, so that evaluating more
    or less often does not change training.

    Raises:
        PluginError: The module gives something else.
    """
    items, module = state.evaluated[split], state.module
    was_training = module.training
    module.eval()
    at_once = max(state.batch_size, _MOST_LETTERS[items.device.type] // state.view.length)
    with torch.random.fork_rng(devices=_cuda_devices(items.device)):
        parts = [_outputs(state, part) for part in torch.split(items, at_once)]
    module.train(was_training)
    outputs = torch.cat(parts) if len(parts) > 1 else parts[0]
    if state.scale is not None:
        outputs = outputs * state.scale.deviation + state.scale.mean
    return np.asarray(outputs.to("cpu", torch.float32).numpy(), dtype=np.float32).copy()


def _outputs(state: TrainState, items: Tensor) -> Tensor:
    outputs = state.module(state.encode(items))
    # A column too many would go unnoticed otherwise, and with it a rival of the true class.
    given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    expected = (len(items), state.view.n_outputs)
    if given != expected:
        raise PluginError(f"the module gives outputs {given}, expected {expected}")
    return torch.as_tensor(outputs).detach()


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
