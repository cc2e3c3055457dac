"""The seven networks as functions of their weights, in JAX, under PyTorch's names and layouts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import jax
import jax.numpy as jnp
from jax import Array

Weights = dict[str, Array]
Cell = Callable[[Array, Array, Array, Array], tuple[Array, Array]]
"""From the gates' share of the input and of the state, each (B, gates * H), and the state (h, c),
each (B, H), to the next (h, c); c is an LSTM's alone."""


def linear(weights: Weights, name: str, x: Array) -> Array:
    """Return x W' + b, or x W' where there is no bias."""
    y = x @ weights[f"{name}.weight"].T
    return y + weights[f"{name}.bias"] if f"{name}.bias" in weights else y


def perceptron(weights: Weights, onehot: Array) -> Array:
    """Map one-hot inputs (B, 64) to logits (B, C), layer after layer, nothing between them."""
    x = onehot
    for name in sorted({key.partition(".")[0] for key in weights}):
        x = linear(weights, name, x)
    return x


def embedding_relu(weights: Weights, index: Array) -> Array:
    """Map input indices (B,) to logits (B, C)."""
    x = weights["0.weight"][index]
    x = jax.nn.relu(linear(weights, "1", x))
    x = jax.nn.relu(linear(weights, "3", x))
    return linear(weights, "5", x)


def rnn(x: Array, u: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """Elman's cell."""
    return jnp.tanh(x + u), c


def gru(x: Array, u: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """The gated recurrent unit."""
    x_reset, x_update, x_new = jnp.split(x, 3, axis=1)
    u_reset, u_update, u_new = jnp.split(u, 3, axis=1)
    reset, update = jax.nn.sigmoid(x_reset + u_reset), jax.nn.sigmoid(x_update + u_update)
    new = jnp.tanh(x_new + reset * u_new)
    return (1 - update) * new + update * h, c


def lstm(x: Array, u: Array, h: Array, c: Array) -> tuple[Array, Array]:
    """Long short-term memory."""
    in_, forget, cell, out = jnp.split(x + u, 4, axis=1)
    c = jax.nn.sigmoid(forget) * c + jax.nn.sigmoid(in_) * jnp.tanh(cell)
    return jax.nn.sigmoid(out) * jnp.tanh(c), c


def recurrent(cell: Cell, weights: Weights, letters: Array) -> Array:
    """Map one-hot letters (B, 3, 4) to logits (B, C): two layers, unrolled over three letters."""
    sequence: Sequence[Array] = jnp.unstack(letters, axis=1)
    for layer in ("l0", "l1"):
        named = {
            f"{part}.{kind}": weights[f"recurrence.{kind}_{part}_{layer}"]
            for part in ("ih", "hh")
            for kind in ("weight", "bias")
        }
        hidden = named["hh.weight"].shape[1]
        h = c = jnp.zeros((len(letters), hidden), letters.dtype)
        outputs = []
        for x in sequence:
            h, c = cell(linear(named, "ih", x), linear(named, "hh", h), h, c)
            outputs.append(h)
        sequence = outputs
    return linear(weights, "output", sequence[-1])


FORWARD: dict[str, Callable[[Weights, Array], Array]] = {
    "mlp-64": perceptron,
    "mlp-64x1024": perceptron,
    "embedding10-relu": embedding_relu,
    "rnn-64": partial(recurrent, rnn),
    "rnn-256": partial(recurrent, rnn),
    "gru-64": partial(recurrent, gru),
    "lstm-64": partial(recurrent, lstm),
}
