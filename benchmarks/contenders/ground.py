"""The ground all contenders stand on: the same weights, the same pairs, the same stopwatch."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import prepare
from codonbench.plugins.discovery import load_registry
from codonbench.protocols.referee import RunSetup
from codonbench.records.files import cache_folder
from codonbench.training.determinism import seeded_globals
from codonbench.training.request import train_request
from codonbench.training.state import TrainState, make_state

BATCH, SEEDS = 64, 8
WARM = 128  # steps not counted; our engines draw up this many batches at a time


class Ground:
    """One model on the embedded data: the same start for every contender and repetition.

    Args:
        model: A preset's name.
        steps: Counted steps of each seed, after the warm-up.
        engine: Ours, by name.
        warm: Steps before those, not counted.
        dtype: Of weights and one-hot inputs.
    """

    def __init__(
        self,
        model: str,
        steps: int,
        engine: str,
        warm: int = WARM,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.model, self.engine, self.dtype = model, engine, dtype
        self.warm, self.steps = warm, steps
        self.warm_pairs, self.pairs = warm * BATCH, (warm + steps) * BATCH
        asked = {"overrides": {"batch_size": str(BATCH)}, "pairs": self.pairs, "device": "cpu"}
        request = RunRequest(model=model, seeds=tuple(range(SEEDS)), full=True, **asked)
        self._job = prepare(request, load_registry(), cache_folder())
        self.setups = [
            RunSetup(run_spec, self._job.dataset, self._job.protocol, BATCH)
            for run_spec in self._job.run_specs
        ]

    def state(self, seed: int = 0) -> TrainState:
        """Return a seed's training state before its first pair."""
        config, entry = self._job.config, self._job.entry
        with seeded_globals(seed):
            setup = self.setups[seed]
            request = train_request(seed, setup)
            return make_state(entry.cls(config), config, request, self.dtype, setup.hidden)

    def order(self, seed: int = 0) -> Tensor:
        """Return a seed's pairs, as input indices."""
        return torch.as_tensor(self.setups[seed].stream.epoch(0)[: self.pairs])

    def batches(self, seed: int = 0) -> list[Tensor]:
        """Return a seed's pairs, batch by batch."""
        return list(self.order(seed).split(BATCH))


def timed(step: Callable[[Any], None], batches: Iterator[Any], ground: Ground) -> float:
    """Return CPU seconds a step, after the warm-up."""
    for _ in range(ground.warm):
        step(next(batches))
    started = time.process_time()
    for batch in batches:
        step(batch)
    return (time.process_time() - started) / ground.steps
