"""PyTorch Lightning, as its users train eight seeds: one `Trainer` after the other.

A DataLoader over encoded inputs and class ids, PyTorch's default Adam; logger, checkpoints,
progress bar and model summary off.
"""

from __future__ import annotations

import logging
import time
import warnings

import lightning
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from codonbench.training.state import TrainState
from contenders.ground import BATCH, SEEDS, Ground


class Learner(lightning.LightningModule):
    """A seed's module, its loss and its optimiser."""

    def __init__(self, state: TrainState) -> None:
        super().__init__()
        self.module = state.module
        self._optimizer = state.optimizer

    def training_step(self, batch: list[Tensor], batch_index: int) -> Tensor:
        """Return the loss of a batch."""
        inputs, labels = batch
        return F.cross_entropy(self.module(inputs), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimiser."""
        return self._optimizer


class Stopwatch(lightning.Callback):
    """Times the steps after the warm-up, so that what the Trainer sets up is not counted."""

    def __init__(self, ground: Ground) -> None:
        self._ground, self._started, self.seconds = ground, 0.0, 0.0

    def on_train_batch_end(
        self, trainer: object, module: object, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """Look at the clock after the last step of the warm-up and after the last of all."""
        done = batch_idx + 1
        if done == self._ground.warm:
            self._started = time.process_time()
        if done == self._ground.warm + self._ground.steps:
            self.seconds = (time.process_time() - self._started) / self._ground.steps


def _fit(ground: Ground, seed: int, shuffle: bool = True) -> tuple[float, TrainState]:
    """Train one seed; return CPU seconds a step, and the state learned."""
    state, order, watch = ground.state(seed), ground.order(seed), Stopwatch(ground)
    data = TensorDataset(state.encode(order), state.targets[order])
    loader = DataLoader(data, batch_size=BATCH, shuffle=shuffle)
    quiet = dict.fromkeys(("logger", "enable_checkpointing", "enable_progress_bar"), False)
    trainer = lightning.Trainer(
        accelerator="cpu",
        devices=1,
        max_epochs=1,
        callbacks=[watch],
        enable_model_summary=False,
        **quiet,
    )
    trainer.fit(Learner(state), loader)
    return watch.seconds, state


def _hush() -> None:
    """Silence advice on loader workers and the lines that name the hardware."""
    torch.use_deterministic_algorithms(False)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning")


def one_by_one(ground: Ground) -> float:
    """Eight seeds."""
    _hush()
    return sum(_fit(ground, seed)[0] for seed in range(SEEDS)) / SEEDS


def weights_after(ground: Ground) -> list[dict[str, Tensor]]:
    """Return every seed's weights, by name, at the end of the ground, its pairs in order."""
    _hush()
    states = [_fit(ground, seed, shuffle=False)[1] for seed in range(SEEDS)]
    return [state.module.state_dict() for state in states]
