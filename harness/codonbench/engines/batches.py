"""Batches as the captured step takes them: how much each input weighs in each seed's batch.

A batch of 64 pairs holds fewer distinct inputs. Where overhead dominates, a step is given all
inputs: it costs no more, and its logits are a probe for nothing. Where arithmetic dominates, it is
given the distinct ones, as many rows in every step so that one recording serves all. A batch with
more of them takes a second pass, in which the rows of the seeds that had room weigh nothing and add
exactly zero: so a seed's result does not depend on the batches beside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from codonbench.data.stream import Batch
from codonbench.engines.recurrent import Recurrent
from codonbench.training.feed import Feed
from codonbench.training.state import TrainState

Weights = npt.NDArray[np.float64]

StepInput = list[tuple[Tensor, ...]]
"""What one step is given: for each pass, the arguments of `Ensemble.gradients` after the first."""

_WIDE = 1 << 15  # parameters from which on a step's time is arithmetic


def rows_of(state: TrainState) -> int | None:
    """Return how many rows a step computes for each seed; None for all inputs.

    Depends on nothing but the model and the task, for it decides a result's last bits. Recurrent
    layers share the work of common prefixes among all inputs, which is worth more.
    """
    n_inputs = len(state.targets)
    parameters = sum(p.numel() for p in state.module.parameters())
    recurrent = any(isinstance(part, Recurrent) for part in state.module.modules())
    on_cpu = state.targets.device.type == "cpu"  # on a GPU, more rows cost nothing
    if parameters < _WIDE or recurrent or state.batch_size > n_inputs or not on_cpu:
        return None
    return min(n_inputs, -(-3 * state.batch_size // 32) * 8)  # 3/4 of a batch, by eights


def step_inputs(
    states: Sequence[TrainState], chunk: Sequence[Sequence[Batch]], dtype: torch.dtype
) -> Iterator[StepInput]:
    """Yield what each step of a chunk of batches is given.

    Args:
        states: One a seed.
        chunk: As many batches of each seed.
        dtype: Of the weights.
    """
    weights = [coefficients(*pair) for pair in zip(states, chunk, strict=True)]
    like = torch.empty(0, dtype=dtype, device=states[0].targets.device)
    return steps(np.stack(weights, axis=1), rows_of(states[0]), like)


def steps(weights: Weights, rows: int | None, like: Tensor) -> Iterator[StepInput]:
    """Yield what each step is given.

    Args:
        weights: Of each input in each batch of each seed, shape (T, S, K).
        rows: As `rows_of` says.
        like: Of the dtype and on the device that a step takes them.
    """
    if rows is None:
        for step in torch.as_tensor(weights).to(like):
            yield [(step,)]
        return
    index = np.argsort(weights == 0, axis=-1, kind="stable")  # the distinct ones to the front
    sorted_weights = np.take_along_axis(weights, index, axis=-1)
    passes = -(-(weights != 0).sum(axis=-1).max(axis=-1) // rows)
    spare = -weights.shape[-1] % rows
    places = torch.as_tensor(np.pad(index, ((0, 0), (0, 0), (0, spare))))
    values = torch.as_tensor(np.pad(sorted_weights, ((0, 0), (0, 0), (0, spare)))).to(like)
    for t, count in enumerate(passes.tolist()):
        yield [
            (places[t, :, a : a + rows].contiguous(), values[t, :, a : a + rows].contiguous())
            for a in range(0, count * rows, rows)
        ]


def coefficients(state: TrainState, batches: Sequence[Batch]) -> Weights:
    """Return the weight of each input in each batch of one seed, shape (T, K).

    The cross-entropy of a batch is the sum over inputs of this weight times the input's own.
    """
    n_inputs = len(state.targets)
    sizes = [len(batch.index) for batch in batches]
    place = np.repeat(np.arange(len(batches)) * n_inputs, sizes)
    index = np.concatenate([batch.index for batch in batches])
    counts = np.bincount(place + index, minlength=len(batches) * n_inputs)
    weighted = counts.reshape(len(batches), n_inputs).astype(np.float64)
    total = np.asarray(sizes, dtype=np.float64)
    if state.weighting != "none" and state.class_weights is not None:
        weighted *= state.class_weights[state.targets].double().cpu().numpy()
        if state.weighting == "sum":
            total = weighted.sum(axis=1)
    return weighted / total[:, None]


class Ahead:
    """The steps ahead of one run: what has been handed out, as weights.

    Args:
        feed: Whose.
    """

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._weights = np.zeros((0, len(feed.state.targets)))

    def next(self, count: int) -> Weights:
        """Return the weights of the next `count` steps, shape (count, K); 0 once it is over."""
        if self._feed.over:
            return np.zeros((count, self._weights.shape[1]))
        new = self._feed.ahead[len(self._weights) :]
        if new:
            more = coefficients(self._feed.state, new)
            self._weights = np.concatenate([self._weights, more])
        head, self._weights = self._weights[:count], self._weights[count:]
        return head
