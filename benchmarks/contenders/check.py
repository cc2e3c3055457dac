"""Do all contenders compute the same? A few steps in float64 from the same weights will tell."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module

import torch
from torch import Tensor

from codonbench.training.determinism import pin_arithmetic
from codonbench.training.loop import make_step
from contenders.ground import SEEDS, Ground

STEPS, WARM = 5, 1

Weights = list[dict[str, Tensor]]

CHECKED = ("ours", "lightning", "jax", "jax-mapped", "jax-counted")


def learner(name: str) -> Callable[[Ground], Weights]:
    """Return what trains the seeds of a ground as a contender does, and gives their weights."""
    if name == "ours":
        return import_module("contenders.ours").weights_after
    if name == "lightning":
        return import_module("contenders.lightning_peer").weights_after
    form = name.partition("-")[2] or "vmapped"
    return partial(import_module("contenders.jax_peer").weights_after, form=form)


def reference(ground: Ground) -> Weights:
    """Return every seed's weights after the reference's own steps."""
    states = [ground.state(seed) for seed in range(SEEDS)]
    for seed, state in enumerate(states):
        step = make_step(state)
        for index in ground.batches(seed):
            step(index)
    return [state.module.state_dict() for state in states]


def differences(name: str, model: str, engine: str) -> tuple[float, float]:
    """Return the largest difference from the reference's weights, and how far those moved."""
    ground = Ground(model, STEPS, engine, warm=WARM, dtype=torch.float64)
    pin_arithmetic(1)
    start = [ground.state(seed).module.state_dict() for seed in range(SEEDS)]
    expected = reference(ground)
    return _largest(learner(name)(ground), expected), _largest(start, expected)


def _largest(some: Weights, others: Weights) -> float:
    """Return the largest difference between two sets of seeds' weights."""
    return max(
        float((mine[key] - theirs[key]).abs().max())
        for mine, theirs in zip(some, others, strict=True)
        for key in theirs
    )
