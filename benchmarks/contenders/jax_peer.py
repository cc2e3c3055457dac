"""JAX: a `lax.scan` over batches under `jit`, Adam by hand, eight seeds in one program.

In three forms, of which the first is the one goals are set for:

- ``vmapped``: seeds by `vmap`; each step gathers its batch of 64 rows from the table of inputs.
- ``mapped``: the same, seeds one after the other within a step (`lax.map`), whose plain matrix
  products XLA sometimes computes faster than batched ones.
- ``counted``: seeds by `vmap`; each step runs on all 64 codons, weighted by how often the batch
  holds each. That is the trick of our own engines; JAX's users do not get it by themselves.

Batches are drawn, in the third form counted, and put on the device beforehand. The measuring
process is held to one core, so that XLA's thread pool has one thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import torch
from jax import Array, lax
from torch import Tensor

from contenders.ground import BATCH, SEEDS, Ground
from contenders.jax_models import FORWARD, Weights

State = tuple[Weights, Weights, Weights, Array]
"""Weights, their gradients' running means and squares (leaves (S, ...)), and steps so far."""

BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8


def adam(state: State, gradients: Weights, learning_rate: float) -> State:
    """Return the state after one update, as `torch.optim.Adam` makes it."""
    weights, means, squares, steps = state
    steps = steps + 1
    means = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, means, gradients)
    squares = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, squares, gradients)
    size, scale = learning_rate / (1 - BETA1**steps), 1 - BETA2**steps

    def updated(w: Array, m: Array, v: Array) -> Array:
        return w - size * m / (jnp.sqrt(v / scale) + EPSILON)

    return jax.tree.map(updated, weights, means, squares), means, squares, steps


class Program:
    """One form of the training of eight seeds.

    Attributes:
        start: The state before the first step.
        warm, counted: Batches before and within the time that is taken, (T, S, 64): input
            indices, or in the form ``counted`` each input's share of its batch.
        train: From a state and batches to the state after them.
    """

    def __init__(self, ground: Ground, form: str) -> None:
        if ground.dtype == torch.float64:
            jax.config.update("jax_enable_x64", True)
        states = [ground.state(seed) for seed in range(SEEDS)]
        first = states[0]
        self._forward = FORWARD[ground.model]
        self._inputs = _array(first.encode(torch.arange(len(first.targets))))
        self._labels = _array(torch.stack([state.targets for state in states]))
        self._n_classes = first.view.n_outputs
        self._learning_rate: float = first.optimizer.param_groups[0]["lr"]
        seeds = [dict(state.module.named_parameters()) for state in states]
        weights = {name: _array(torch.stack([s[name] for s in seeds])) for name in seeds[0]}
        zeros, dtype = jax.tree.map(jnp.zeros_like, weights), next(iter(weights.values())).dtype
        self.start: State = (weights, zeros, zeros, jnp.zeros((), dtype))
        order = torch.stack([ground.order(s).view(-1, BATCH) for s in range(SEEDS)], dim=1)
        batches = order.numpy().astype(np.int32)
        if form == "counted":
            counts = (batches[..., None] == np.arange(len(first.targets))).sum(axis=2)
            batches = (counts / BATCH).astype(dtype)
        self.warm = jnp.asarray(batches[: ground.warm])
        self.counted = jnp.asarray(batches[ground.warm :])
        self._gradients: Callable[[Weights, Array, Array], Weights] = {
            "vmapped": jax.vmap(jax.grad(self._loss)),
            "mapped": lambda *seeds: lax.map(lambda seed: jax.grad(self._loss)(*seed), seeds),
            "counted": jax.vmap(jax.grad(self._counted_loss)),
        }[form]
        self.train = jax.jit(lambda state, batches: lax.scan(self._step, state, batches)[0])

    def _step(self, state: State, batch: Array) -> tuple[State, None]:
        gradients = self._gradients(state[0], batch, self._labels)
        return adam(state, gradients, self._learning_rate), None

    def _loss(self, weights: Weights, index: Array, labels: Array) -> Array:
        """Return one seed's mean cross-entropy of a batch of input indices (64,)."""
        likely = jax.nn.log_softmax(self._forward(weights, self._inputs[index]))
        return -jnp.sum(jax.nn.one_hot(labels[index], self._n_classes) * likely) / len(index)

    def _counted_loss(self, weights: Weights, shares: Array, labels: Array) -> Array:
        """Return the same from each input's share of the batch (64,)."""
        likely = jax.nn.log_softmax(self._forward(weights, self._inputs))
        return -jnp.sum(shares[:, None] * jax.nn.one_hot(labels, self._n_classes) * likely)


def _array(tensor: Tensor) -> Array:
    return jnp.asarray(tensor.detach().numpy())


@cache
def _compiled(ground: Ground, form: str) -> Program:
    """Return a program that has run once, on either number of batches."""
    program = Program(ground, form)
    for batches in (program.warm, program.counted):
        jax.block_until_ready(program.train(program.start, batches))
    return program


def _measure(ground: Ground, form: str) -> float:
    program = _compiled(ground, form)
    state = jax.block_until_ready(program.train(program.start, program.warm))
    started = time.process_time()
    jax.block_until_ready(program.train(state, program.counted))
    return (time.process_time() - started) / ground.steps / SEEDS


def vmapped(ground: Ground) -> float:
    """Eight seeds by `vmap`, 64 gathered rows a batch."""
    return _measure(ground, "vmapped")


def mapped(ground: Ground) -> float:
    """Eight seeds one after the other, 64 gathered rows a batch."""
    return _measure(ground, "mapped")


def counted(ground: Ground) -> float:
    """Eight seeds by `vmap`, all 64 codons weighted by their counts."""
    return _measure(ground, "counted")


def weights_after(ground: Ground, form: str) -> list[dict[str, Tensor]]:
    """Return every seed's weights, by name, at the end of the ground."""
    program = Program(ground, form)
    weights, *_ = program.train(program.train(program.start, program.warm), program.counted)
    on_host = {name: torch.tensor(np.asarray(leaf)) for name, leaf in weights.items()}
    return [{name: leaf[seed] for name, leaf in on_host.items()} for seed in range(SEEDS)]
