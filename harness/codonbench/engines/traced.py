"""Several seeds trained together: each step is executed from a recording of it.

`comparison` holds the recording to the plain loop.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import numpy as np
import torch
from torch import Tensor

from codonbench.engines.capture import TRACED, Rung
from codonbench.engines.ensemble import (
    Ahead,
    Ensemble,
    StepInput,
    Weights,
    recognise,
    rows_of,
    steps,
)
from codonbench.errors import CannotCapture
from codonbench.training.loop import Checkpointer, Feed, ask
from codonbench.training.state import State, TrainState

_CHUNK = 128  # steps that are laid out at once
_PATIENCE = 32  # chunks after which even one finished seed is worth a new capture
_CACHE = 8 << 20  # bytes of parameters and their optimiser's state that a step runs through


def most_seeds(state: TrainState) -> int:
    """Return how many seeds may share a step: as many as fit the cache together.

    Small networks gain by sharing a step's overhead, large ones lose by leaving the cache. On a GPU
    there is no such limit. No result depends on it.
    """
    if state.targets.device.type != "cpu":
        return 1 << 20
    parameters = sum(p.numel() for p in state.module.parameters())
    return max(1, _CACHE // (16 * max(parameters, 1)))  # value, gradient and two moments each


class Traced:
    """Some seeds of one model, ready to be trained together.

    Args:
        states: One a seed.
        rung: How a step is executed.

    Raises:
        CannotCapture: The module, its optimiser or the task does not allow it.
    """

    def __init__(self, states: Sequence[TrainState], rung: Rung = TRACED) -> None:
        self.rung = rung
        self.states = tuple(states)
        first = states[0]
        inputs = first.encode(torch.arange(len(first.targets), device=first.targets.device))
        modules = [state.module for state in states]
        n_classes, rows = first.view.n_outputs, rows_of(first)
        self.ensemble = Ensemble(modules, inputs, n_classes, first.fan, rows)
        self.tell()
        self.flats = list(self.ensemble.flat.unbind(0))
        assert first.optimizer is not None
        self.rule = recognise(first.optimizer, first.module, self.flats)
        flat = self.ensemble.flat
        example = (flat, self.ensemble.targets, *self.ensemble.example())
        self._gradients = rung.capture(self.ensemble.gradients, example)
        self._forward = rung.capture(self.ensemble.forward, (flat,))

    def tell(self) -> None:
        """Take in the targets that the states have been told so far."""
        self.ensemble.tell([state.targets for state in self.states])

    def heed(self, feeds: Sequence[Feed]) -> None:
        """Take in the targets that have been told since the last call, if there are any."""
        if any(feed.news for feed in feeds):
            self.tell()
            for feed in feeds:
                feed.news = False

    def state(self, seed: int) -> State:
        """Return what one seed needs to go on from here."""
        return {"tensors": [tensor.clone() for tensor in self._tensors_of(seed)]}

    def put(self, seed: int, state: State) -> None:
        """Let one seed go on from what it was when `state` was taken."""
        for tensor, value in zip(self._tensors_of(seed), state["tensors"], strict=True):
            tensor.copy_(value)

    def fits(self, seed: int, state: State) -> bool:
        """Return whether a state is of such a seed."""
        found = [getattr(tensor, "shape", None) for tensor in state.get("tensors", [])]
        return [tensor.shape for tensor in self._tensors_of(seed)] == found

    def _tensors_of(self, seed: int) -> list[Tensor]:
        """Return one seed's parameters and the state of its update rule."""
        return [self.flats[seed], *self.rule.state_of(seed)]

    def without(self, feeds: Sequence[Feed], kept: list[int]) -> Traced:
        """Return an engine that goes on with some of the seeds, from where they are."""
        for i in kept:
            self.ensemble.write_back(self.flats[i], feeds[i].state.module)
        smaller = Traced([feeds[i].state for i in kept], self.rung)
        self.rule.keep(kept)
        smaller.rule = self.rule
        return smaller

    def gradients(self, step_input: StepInput) -> tuple[Tensor, Tensor | None]:
        """Return every seed's gradient (S, N) on a batch, and perhaps the logits before the update.

        The logits of all inputs, (S, K, C), where the step computes them anyway; else None.
        """
        return self.ensemble.summed(self._gradients, self.ensemble.flat, step_input)

    def update(self, gradients: Tensor) -> None:
        """Move every seed's parameters by its gradient."""
        self.rule.update(self.flats, list(gradients.unbind(0)))

    def logits(self) -> Tensor:
        """Return the logits of all inputs, shape (S, K, C)."""
        return torch.as_tensor(self._forward(self.ensemble.flat))


Recheck = Callable[[int, Sequence[Tensor]], None]
"""Given position and parameters of the runs, checks that the captured step still holds."""


def train_together(
    feeds: Sequence[Feed], engine: Traced, checkpointer: Checkpointer, recheck: Recheck
) -> Iterator[Feed]:
    """Train several runs step by step together; yield each as it is over, its module filled.

    As runs end, the others go on in a smaller ensemble.

    Args:
        feeds: One a seed, all at one position; they share batch size, epoch and budget.
        engine: Made of their states, in that order.
        checkpointer: Told when they may be kept.
        recheck: Called between steps.

    Raises:
        CannotCapture: By `recheck`.
    """
    members = list(feeds)
    ahead = [Ahead(feed) for feed in feeds]
    waited = 0
    ask(members)
    try:
        while running := [i for i, feed in enumerate(members) if not feed.over]:
            waited += 1
            if engine.rung.shrinks and _is_worth_a_capture(len(running), len(members), waited):
                with suppress(CannotCapture):  # it goes on as it is, then
                    engine = engine.without(members, running)
                    members = [members[i] for i in running]
                    ahead = [ahead[i] for i in running]
                waited = 0
            recheck(next(feed for feed in members if not feed.over).position, engine.flats)
            checkpointer.offer(members, engine.state)
            ready = supplied(members)
            if not ready:  # the budget is spent, so no next step has the last evaluation's logits
                yield from _show(engine, members, None)
                continue
            engine.heed(members)
            count = min(ready, _CHUNK)
            weights = np.stack([supply.next(count) for supply in ahead], axis=1)
            yield from _train_chunk(engine, members, weights)
    finally:  # also after Ctrl-C: the module gets the parameters it has by now
        for flat, feed in zip(engine.flats, members, strict=True):
            if not feed.over:
                engine.ensemble.write_back(flat, feed.state.module)


def _train_chunk(engine: Traced, members: Sequence[Feed], weights: Weights) -> Iterator[Feed]:
    """Take T steps with the weights (T, S, K); yield the feeds that end on the way."""
    at, due = positions(members, len(weights)), positions_due(members)
    taken = noted = 0
    try:
        for taken, step_input in enumerate(
            steps(weights, engine.ensemble.rows, engine.ensemble.flat)
        ):
            gradients, logits = engine.gradients(step_input)
            if at[taken] in due:
                trained(members, taken - noted)
                noted = taken
                yield from _show(engine, members, logits)
                due = positions_due(members)
                if not due:
                    return
            engine.update(gradients)
        taken = len(weights)
    finally:
        trained(members, taken - noted)


def _show(engine: Traced, members: Sequence[Feed], logits: Tensor | None) -> Iterator[Feed]:
    """Show the evaluations that are due; yield the members that are over now, modules filled."""
    for i in show_due(members, engine.logits() if logits is None else logits):
        engine.ensemble.write_back(engine.flats[i], members[i].state.module)
        yield members[i]


def _is_worth_a_capture(running: int, members: int, waited: int) -> bool:
    """Return whether to capture a smaller step for the members still running.

    Args:
        running: How many are.
        members: How many share the present step.
        waited: Chunks since that was captured.
    """
    return running <= members / 2 or (running < members and waited >= _PATIENCE)


def supplied(feeds: Sequence[Feed]) -> int:
    """Return how many batches every run that is not over has ahead, after asking for more.

    None are left once the budget is spent: then all are due for their last evaluation.
    """
    running = [feed for feed in feeds if not feed.over]
    ask([feed for feed in running if not feed.ahead and not feed.is_due])
    return min((len(feed.ahead) for feed in running if not feed.over), default=0)


def positions(feeds: Sequence[Feed], steps: int) -> list[int]:
    """Return the position of the runs before each of the next steps."""
    feed = next(feed for feed in feeds if not feed.over)
    ends = (batch.pairs for batch in feed.ahead[: steps - 1])
    return [feed.position, *ends]


def positions_due(feeds: Sequence[Feed]) -> set[int]:
    """Return the positions of the next evaluations; none once all runs are over."""
    return {feed.due.position for feed in feeds if feed.due is not None}


def trained(feeds: Sequence[Feed], steps: int) -> None:
    """Note that the runs that are not over have been trained on so many batches."""
    for feed in feeds:
        if not feed.over:
            feed.trained(steps)


def show_due(feeds: Sequence[Feed], logits: Tensor) -> list[int]:
    """Show the evaluations that are due; return the indices of the runs that are over now.

    Args:
        feeds: Of runs that train together.
        logits: Of all items, (S, K, C).
    """
    started = time.perf_counter()
    outputs = logits.to("cpu").float().numpy()
    due = [i for i, feed in enumerate(feeds) if feed.is_due]
    (items,) = feeds[0].state.evaluated.values()
    asked = items.cpu().numpy()
    ask([feeds[i] for i in due], [outputs[i][asked] for i in due])
    spent = (time.perf_counter() - started) / max(len(due), 1)
    for i in due:
        feeds[i].seconds += spent
    return [i for i in due if feeds[i].over]
