"""Many steps at a time without the host in between, which keeps a GPU busy.

The batches of a block of steps lie on the device, and so do the logits that each step computes
anyway. On a GPU the whole block is one CUDA graph, replayed: Python launches no kernel. The host
reads the logits only where an evaluation is due within the block. A seed that turns out to have
ended inside it gets the parameters it ended with: the block is undone and repeated step by step up
to there, which gives the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from codonbench.engines.ensemble import (
    Ahead,
    Recheck,
    Traced,
    positions,
    positions_due,
    show_due,
    supplied,
    trained,
)
from codonbench.errors import CannotCapture
from codonbench.training.loop import Checkpointer, Feed, ask

STEPS = 64  # of a block: a few milliseconds on a GPU


class Blocks:
    """Buffers on the device for a block of steps, and the block itself, ready to be replayed.

    Args:
        engine: Of S seeds; it computes all K inputs in every step.

    Attributes:
        weights: Weight of each input in each step's batch of each seed, shape (T, S, K).
        logits: Of all inputs before each step, shape (T, S, K, C).

    Raises:
        CannotCapture: A block replayed is not its steps, to the bit.
    """

    def __init__(self, engine: Traced) -> None:
        self.engine = engine
        (example,), logits = engine.ensemble.example(), engine.logits()
        self.weights = example.new_zeros((STEPS, *example.shape))
        self.logits = logits.new_zeros((STEPS, *logits.shape))
        self._state = [engine.ensemble.flat, *engine.rule.state()]
        self._saved = [tensor.clone() for tensor in self._state]
        self._block = self._ready(STEPS)
        self._single = self._ready(1)
        self._check()

    def _check(self) -> None:
        """Compare the replayed block with its steps done one by one."""
        steps = torch.linspace(0, 1, self.weights.numel()).reshape(self.weights.shape)
        self.load(steps.to(self.weights) / self.weights.shape[-1])
        self._block()
        replayed = [tensor.clone() for tensor in (*self._state, self.logits)]
        self.take_back()
        self._first(STEPS)
        done = (*self._state, self.logits)
        same = all(torch.equal(a, b) for a, b in zip(replayed, done, strict=True))
        self.take_back()
        if not same:
            raise CannotCapture(f"{STEPS} steps replayed as one graph are not the steps themselves")

    def load(self, weights: Tensor) -> None:
        """Copy the next block's batches to the device, and save the state it begins with."""
        self.weights[: len(weights)].copy_(weights)
        for kept, tensor in zip(self._saved, self._state, strict=True):
            kept.copy_(tensor)

    def run(self, steps: int) -> None:
        """Do the block's first steps."""
        if steps == STEPS:
            self._block()
        else:
            self.run_again(0, steps)

    def take_back(self) -> None:
        """Restore the state that the block began with."""
        for kept, tensor in zip(self._saved, self._state, strict=True):
            tensor.copy_(kept)

    def run_again(self, start: int, stop: int) -> None:
        """Do some of the block's steps one by one."""
        whole, seen = self.weights.clone(), self.logits.clone()
        for t in range(start, stop):
            self.weights[0].copy_(whole[t])
            self._single()
            seen[t].copy_(self.logits[0])
        self.weights.copy_(whole)
        self.logits.copy_(seen)

    def _first(self, steps: int) -> None:
        for t in range(steps):
            gradients, logits = self.engine.gradients([(self.weights[t],)])
            assert logits is not None
            self.logits[t].copy_(logits)
            self.engine.update(gradients)

    def _ready(self, steps: int) -> Callable[[], None]:
        """Return what does the block's first steps: a CUDA graph, where there is a GPU."""
        if self.weights.device.type != "cuda":
            return lambda: self._first(steps)
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):  # kernels are chosen and memory is had before recording
            self._first(steps)
        torch.cuda.current_stream().wait_stream(stream)
        self.take_back()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._first(steps)
        return graph.replay


def train_in_blocks(
    feeds: Sequence[Feed], blocks: Blocks, checkpointer: Checkpointer, recheck: Recheck
) -> Iterator[Feed]:
    """Train several runs together, block by block; yield each as it is over.

    As `traced.train_together`, and with its results to the bit where the arithmetic is the same.
    After Ctrl-C the weights are those of the end of a block.

    Args:
        feeds: One a seed, at one place; they share batch size, epoch and budget.
        blocks: Of an engine made of their states, in that order.
        checkpointer: Called when states may be kept.
        recheck: Called between blocks.

    Raises:
        CannotCapture: By `recheck`.
    """
    engine = blocks.engine
    ahead = [Ahead(feed) for feed in feeds]
    ask(feeds)
    try:
        while not all(feed.over for feed in feeds):
            recheck(next(feed.position for feed in feeds if not feed.over), engine.flats)
            checkpointer.offer(feeds, engine.state)
            steps = min(supplied(feeds), STEPS)
            if steps == 0:  # the budget is spent, so no next step has the last evaluation's logits
                ended = {0: show_due(feeds, engine.logits())}
            else:
                engine.update_targets(feeds)
                weights = np.stack([supply.next(steps) for supply in ahead], axis=1)
                blocks.load(torch.as_tensor(weights).to(engine.ensemble.dtype))
                blocks.run(steps)
                ended = _follow(blocks, feeds, steps)
            _give_weights(blocks, feeds, ended, steps)
            yield from (feeds[i] for t in sorted(ended) for i in ended[t])
    finally:
        for flat, feed in zip(engine.flats, feeds, strict=True):
            if not feed.over:
                engine.ensemble.write_back(flat, feed.state.module)


def _follow(blocks: Blocks, feeds: Sequence[Feed], steps: int) -> dict[int, list[int]]:
    """Go through a block that has been run; return which feeds were over before which step."""
    ended: dict[int, list[int]] = {}
    seen: Tensor | None = None
    noted = 0
    for t, place in enumerate(positions(feeds, steps)):
        if place in positions_due(feeds):
            if seen is None:  # fetched once, and only where an evaluation is due
                seen = blocks.logits[:steps].cpu()
            trained(feeds, t - noted)
            noted = t
            over = show_due(feeds, seen[t])
            if over:
                ended[t] = over
    trained(feeds, steps - noted)
    return ended


def _give_weights(
    blocks: Blocks, feeds: Sequence[Feed], ended: dict[int, list[int]], steps: int
) -> None:
    """Put each ended run's last parameters into its module; leave the other runs as they are."""
    engine, done = blocks.engine, 0
    if ended and steps:
        blocks.take_back()
    for t in sorted(ended):
        blocks.run_again(done, t)
        done = t
        for i in ended[t]:
            engine.ensemble.write_back(engine.flats[i], feeds[i].state.module)
    if ended and not all(feed.over for feed in feeds):
        blocks.run_again(done, steps)
