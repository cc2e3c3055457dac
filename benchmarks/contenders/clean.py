"""A good loop in plain PyTorch: index targets, gathered encodings, fused Adam."""

from __future__ import annotations

import torch

from contenders.bare import by_hand
from contenders.ground import Ground


def alone(ground: Ground) -> float:
    """One seed."""
    torch.use_deterministic_algorithms(False)  # which nobody asks for unless there is a reason
    state = ground.state()
    lr = state.optimizer.param_groups[0]["lr"]
    adam = torch.optim.Adam(state.module.parameters(), lr=lr, fused=True)
    return by_hand(ground, state, adam)
