"""Our own steps without the harness around them: what its loop and bookkeeping cost."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.training.state import TrainState
from contenders.ground import SEEDS, Ground, timed
from contenders.ours import captured_step


def alone(ground: Ground) -> float:
    """One seed: the engine's captured step in a loop, or what the reference does, by hand."""
    if ground.engine == "eager":
        return by_hand(ground, state := ground.state(), state.optimizer)
    return timed(*captured_step(ground, 1), ground)


def by_hand(ground: Ground, state: TrainState, optimizer: torch.optim.Optimizer) -> float:
    """A loop as one writes it down: encode, forward, loss, backward, update."""
    module, encode, labels = state.module, state.encode, state.targets

    def step(index: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(module(encode(index)), labels[index]).backward()
        optimizer.step()

    return timed(step, iter(ground.batches()), ground)


def together(ground: Ground) -> float:
    """Eight seeds; the reference takes them one by one, each at the price of one."""
    if ground.engine == "eager":
        return alone(ground)
    return timed(*captured_step(ground, SEEDS), ground) / SEEDS
