"""A script as papers publish them: a DataLoader over encoded inputs and one-hot targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from contenders.ground import BATCH, Ground, timed


def alone(ground: Ground) -> float:
    """One seed."""
    torch.use_deterministic_algorithms(False)
    state, order, loss_of = ground.state(), ground.order(), nn.CrossEntropyLoss()
    module, optimizer, labels = state.module, state.optimizer, state.targets[order]
    data = TensorDataset(state.encode(order), F.one_hot(labels, state.view.n_outputs).float())

    def step(batch: list[Tensor]) -> None:
        optimizer.zero_grad()
        loss_of(module(batch[0]), batch[1]).backward()
        optimizer.step()

    return timed(step, iter(DataLoader(data, batch_size=BATCH, shuffle=True)), ground)
