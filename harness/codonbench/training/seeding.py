"""Chance under control: the global generators, seeded for a run and put back after it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from codonbench.training.request import Chance, chance_of


@contextmanager
def seeded_globals(seed: int | Chance) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's global generators; restore them on leaving.

    So that a run's result depends neither on what ran before it nor on what it leaves behind.

    Args:
        seed: A seed, or where it lets the generators begin.
    """
    for_torch, for_python, for_numpy = chance_of(seed) if isinstance(seed, int) else seed
    python, numpy = random.getstate(), np.random.get_state()
    cuda = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(for_torch)
        random.seed(for_python)
        np.random.seed(for_numpy)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
