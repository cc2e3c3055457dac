"""Chance under control: the global generators, seeded for a run and put back after it."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from codonbench.streams import generator

_MODEL = 2  # beside the stream's own uses of the seed


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's global generators; restore them on leaving.

    So that a run's result depends neither on what ran before it nor on what it leaves behind.
    """
    python, numpy = random.getstate(), np.random.get_state()
    cuda = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=cuda):
        chance = generator(seed, _MODEL)
        torch.manual_seed(int(chance.integers(2**63)))
        random.seed(int(chance.integers(2**63)))
        np.random.seed(int(chance.integers(2**32)))
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
