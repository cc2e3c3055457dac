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
    lesson, order, loss_of = ground.lesson(), ground.order(), nn.CrossEntropyLoss()
    module, optimizer, labels = lesson.module, lesson.optimizer, lesson.labels[order]
    data = TensorDataset(lesson.encode(order), F.one_hot(labels, lesson.n_classes).float())

    def step(batch: list[Tensor]) -> None:
        optimizer.zero_grad()
        loss_of(module(batch[0]), batch[1]).backward()
        optimizer.step()

    return timed(step, iter(DataLoader(data, batch_size=BATCH, shuffle=True)), ground)
