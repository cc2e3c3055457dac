"""The plain training loop, the reference for every engine, and the feed that it pulls from.

A feed yields batches to train on and evaluations that are due, in order. It gets them from a
referee, in this process or at the other end of a pipe: given the outputs of an evaluation, the
referee says where the next one is due and which pairs come until there, and one batch more. So
whatever a plugin reads in its own process, its outputs cannot rest on targets of pairs that have
not been counted, but for that batch.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import AuxiliaryLearner, BatchLearner, ClassWeights, Outputs
from codonbench.data.stream import Batch, BatchClock
from codonbench.errors import ConfigError, PluginError
from codonbench.protocols.referee import Evaluation, Instructions, RunOutputs
from codonbench.training.outside_state import changed, outside_state
from codonbench.training.state import State, TrainState, can_be_cut, cut, whole_state


class Referees(Protocol):
    """The referees of some runs, each called by its number."""

    def begin(self, run: int) -> None:
        """Note that a run begins."""

    def answer(self, shown: Sequence[RunOutputs]) -> list[Instructions]:
        """Take the outputs of some runs; return their instructions."""

    def keep(self, run: int, position: int, write: Callable[[Path], None]) -> None:
        """Keep the file, once written, that a run needs to go on from here if it is cut short."""


class Feed:
    """One run's batches and evaluations.

    Attributes:
        run: Number of the run for the referees.
        state: What is trained.
        clock: Positions at which batches end.
        position: Pairs presented so far.
        due: The evaluation that is owed next.
        keep: Whether the state shown last is the one selected so far.
        over: Whether the run came to its end.
        ahead: The batches that have been handed out and not yet trained on.
        news: Whether new targets have arrived; reset by the code that uses them.
        seconds: Time spent on evaluations.
    """

    def __init__(
        self, run: int, state: TrainState, clock: BatchClock, referees: Referees, start: int = 0
    ) -> None:
        self.run = run
        self.state = state
        self.clock = clock
        self.referees = referees
        self.position = self._end = start
        self.due: Evaluation | None = None
        self.keep = self.over = self.news = False
        self.ahead: list[Batch] = []
        self.seconds = 0.0
        self._known = np.zeros(len(state.targets), dtype=np.bool_)

    def __iter__(self) -> Iterator[Batch | Evaluation]:
        """Yield what is to be trained on and what is owed, until the run is over.

        An evaluation is to be answered with `show` before the next is asked for.
        """
        ask([self])
        while not self.over:
            if self.is_due:
                assert self.due is not None
                started = time.perf_counter()
                yield self.due
                self.seconds += time.perf_counter() - started
            elif not self.ahead:
                ask([self])
            else:
                yield self.ahead[0]
                self.trained()

    def show(self, outputs: Outputs) -> None:
        """Show the outputs that are owed, shape (N, K)."""
        ask([self], [outputs])

    @property
    def is_due(self) -> bool:
        """Whether the state as it is now is to be evaluated."""
        return self.due is not None and self.position == self.due.position

    def trained(self, batches: int = 1) -> None:
        """Note that the next batches have been trained on."""
        if batches:
            self.position = self.ahead[batches - 1].pairs
            del self.ahead[:batches]

    def take(self, instructions: Instructions) -> None:
        """Follow the referee's instructions."""
        self.due = instructions.evaluation
        self.over = self.due is None
        self.keep = instructions.keep
        index, targets = instructions.index, instructions.targets
        if len(targets):
            self._learn_targets(index, targets)
        offset = 0
        while offset < len(index):
            end = self.clock.end_of(self._end + 1)
            size = end - self._end
            self.ahead.append(Batch(index[offset : offset + size], end))
            offset, self._end = offset + size, end

    def _learn_targets(self, index: np.ndarray, targets: np.ndarray) -> None:
        unknown = ~self._known[index]
        if unknown.any():
            self._known[index] = True
            known = torch.as_tensor(targets, device=self.state.targets.device)
            self.state.targets[torch.as_tensor(index, device=known.device)] = known
            self.news = True


def ask(feeds: Sequence[Feed], outputs: Sequence[Outputs] | None = None) -> None:
    """Ask the referees how some runs go on, and hand each feed its instructions.

    Args:
        feeds: Whose.
        outputs: The evaluation (N, K) of each, where one is owed; None for more pairs only.
    """
    if not feeds:
        return
    shown = [
        RunOutputs(feed.run, feed.position, None if outputs is None else outputs[i])
        for i, feed in enumerate(feeds)
    ]
    for feed, instructions in zip(feeds, feeds[0].referees.answer(shown), strict=True):
        feed.take(instructions)


SPARING = 20
"""Until the next checkpoint, at least so many times as long as the last one took."""


class Checkpointer:
    """Keeps, every so often, how far runs have come.

    A run whose module or optimiser has changed something outside their states cannot be resumed
    from there: of it is only kept that it had begun.

    Args:
        referees: They keep the file.
        every: Seconds between two times, at least; None for never.
        facts: Of what trains; only the same can go on from there.
        states: What is trained.
    """

    def __init__(
        self, referees: Referees, every: float | None, facts: State, states: Sequence[TrainState]
    ) -> None:
        self._referees = referees
        self._every = every
        self._wait = every or 0.0
        self._facts = facts
        self._last = time.monotonic()
        if every is not None:
            self._outside = {id(state): outside_state(state) for state in states}

    def offer(self, feeds: Sequence[Feed], state: Callable[[int], State]) -> None:
        """Keep how far runs have come, if it is time again and they have come anywhere.

        Args:
            feeds: Of the runs, each between two batches.
            state: Given a run's place among them, what it needs to go on.
        """
        if self._every is None or time.monotonic() - self._last < self._wait:
            return
        under_way = [(i, feed) for i, feed in enumerate(feeds) if feed.position and not feed.over]
        if not under_way:
            return
        began = time.monotonic()
        for i, feed in under_way:
            lost = changed(self._outside[id(feed.state)], outside_state(feed.state))
            write = partial(torch.save, {"facts": self._facts, **({} if lost else state(i))})
            self._referees.keep(feed.run, 0 if lost else feed.position, write)
        self._last = time.monotonic()
        self._wait = max(self._every, SPARING * (self._last - began))


def check_memory(state: TrainState) -> None:
    """Refuse a batch that the device has no memory for, where sequences are so long.

    What a module keeps for its backward pass is measured on two short items, and taken to grow with
    the letters.

    Raises:
        ConfigError: The largest batch would take more than the device has in all.
    """
    lengths, module = state.lengths, state.module
    if lengths is None or state.optimizer is None:
        return
    whole = lengths.sum(axis=1)
    longest, few = int(whole.max()), np.argsort(whole, kind="stable")[:2]
    cuttable = can_be_cut(module)
    at_once = 1 if cuttable else -(-state.batch_size // state.settings.parts)
    # A weight is kept as it is or as a view, whatever the items; two steps may keep one tensor.
    own = {each.untyped_storage().data_ptr() for each in (*module.parameters(), *module.buffers())}
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if (place := storage.data_ptr()) not in own:
            kept[place] = max(kept.get(place, 0), min(tensor.nbytes, storage.nbytes()))
        return tensor

    was_training = module.training
    module.eval()
    with torch.random.fork_rng(devices=_cuda_devices(state.targets.device)):
        index = torch.as_tensor(few, device=state.targets.device)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            forward(state, state.encode(index), module)
    module.train(was_training)
    padded = len(few) * int(lengths[few].max(axis=0).sum())
    needed, there = sum(kept.values()) / padded * at_once * longest, memory(state.targets.device)
    if needed > there:
        way = "leave such sequences out, or cut them"
        if not cuttable:
            way = (
                "the module has batch norm, so that the batch cannot be computed in parts unasked: "
                f"set batch_size or accumulate, or {way}"
            )
        raise ConfigError(
            f"a batch of {at_once:,}, padded to the longest sequence of {longest:,} letters, needs "
            f"some {needed / 2**30:,.0f} GiB of memory, and there are {there / 2**30:,.0f}; {way}",
            letters=longest,
        )


def memory(device: torch.device) -> int:
    """Return the bytes of memory that a device has in all."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


_MOST_LETTERS = {"cpu": 1 << 14, "cuda": 1 << 22}
"""Letters or features evaluated at a time, but no fewer items than are trained on at a time.

A module's own memory is some hundred times that; on a CPU it had better fit the cache.
"""


def train(feed: Feed, checkpointer: Checkpointer, selected: dict[str, Any] | None = None) -> None:
    """Train until the feed ends.

    Args:
        feed: Feed of the run.
        checkpointer: Keeps how far it has come.
        selected: The selected state of a run that goes on where it was cut short.

    Raises:
        Whatever the plugin's module or optimiser raises; the referee keeps what came before.
    """
    state = feed.state
    best = {"selected": selected}
    step = None
    if feed.clock.budget_pairs:
        check_memory(state)
        step = make_step(state)
    for item in feed:
        if isinstance(item, Batch):
            assert step is not None
            checkpointer.offer([feed], lambda _: whole_state(state, best["selected"]))
            index = item.index if state.flip is None else state.flip(item)
            step(torch.as_tensor(index, device=state.targets.device))
            continue
        if item.of_selected and best["selected"] is not None:
            state.module.load_state_dict(best["selected"])
        feed.show(evaluate(state, item.split))
        if feed.keep:
            best["selected"] = deepcopy(state.module.state_dict())


def make_step(state: TrainState) -> Callable[[Tensor], None]:
    """Return the function that trains on one batch of item indices (B,).

    An index from N on, the number of items, names a reverse complement; see `TrainState.flip`.
    """
    module, encode, targets = state.module, state.encode, state.targets
    n_items, weights = len(targets), state.weights
    module.train()

    def targets_of(index: Tensor) -> Tensor:
        return targets[index % n_items]

    def counted(index: Tensor) -> Tensor | None:
        return None if weights is None else weights[index % n_items]

    if state.optimizer is None:
        assert isinstance(module, BatchLearner)
        learner: BatchLearner = module

        def update(index: Tensor) -> None:
            with torch.no_grad():
                learner.update(encode(index), targets_of(index))

        return update

    optimizer, schedule, settings = state.optimizer, state.schedule, state.settings
    trained: Callable[[Tensor], Any] = module if state.compiled is None else state.compiled
    if isinstance(module, AuxiliaryLearner):
        trained = module.outputs_and_loss
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    lengths = state.lengths if can_be_cut(module) else None

    def loss(index: Tensor, own: Tensor) -> Tensor:
        outputs = forward(state, encode(index), trained)
        outputs, added = outputs if isinstance(outputs, tuple) else (outputs, None)
        of_task = loss_of(state, outputs, own, counted(index))
        return of_task if added is None else of_task + added

    def descend_in_parts(parts: Sequence[Tensor], index: Tensor, own: Tensor) -> None:
        whole = loss_weight(state, own, counted(index))
        for part, known in zip(parts, torch.split(own, list(map(len, parts))), strict=True):
            share = loss_weight(state, known, counted(part)) / whole
            if share > 0:
                (loss(part, known) * share).backward()  # type: ignore[no-untyped-call]

    def descend(index: Tensor) -> None:
        optimizer.zero_grad(set_to_none=True)
        own = targets_of(index)
        parts = [
            part
            for piece in torch.tensor_split(index, settings.parts)
            for part in cut(piece, lengths)
        ]
        if len(parts) == 1:
            loss(index, own).backward()  # type: ignore[no-untyped-call]
        else:
            descend_in_parts(parts, index, own)
        if settings.clip is not None:
            torch.nn.utils.clip_grad_norm_(parameters, settings.clip)
        optimizer.step()
        if schedule is not None:
            schedule.step()

    return descend


def forward(state: TrainState, inputs: Tensor, module: Callable[[Tensor], Any]) -> Any:
    """Return what a module gives, in float32 where its products are rounded to less.

    Its outputs (B, K); or these and its own loss, of what `AuxiliaryLearner` says.
    """
    if state.settings.autocast is None:
        return module(inputs)
    with torch.autocast(state.targets.device.type, state.settings.autocast):
        given = module(inputs)
    if isinstance(given, tuple):
        return tuple(each.float() for each in given)
    return given.float() if isinstance(given, Tensor) else given


def loss_weight(state: TrainState, targets: Tensor, weights: Tensor | None) -> Tensor:
    """Return what the mean in `loss_of` divides by, by which a batch's parts are weighted."""
    if state.view.target != "classes":
        known = ~torch.isnan(targets)
        return known.sum() if weights is None else (known * weights[:, None]).sum()
    if state.weighting == "sum" and state.class_weights is not None:
        of_classes = state.class_weights[targets]
        return of_classes.sum() if weights is None else (of_classes * weights).sum()
    return torch.tensor(len(targets)) if weights is None else weights.sum()


def loss_of(
    state: TrainState, outputs: Tensor, targets: Tensor, weights: Tensor | None = None
) -> Tensor:
    """Return the loss of a batch's outputs (B, K), by the kind of target.

    Args:
        state: Whose.
        outputs: What the module gives.
        targets: Of the batch.
        weights: What each item counts (B,); None where all count alike.
    """
    if state.view.target == "classes":
        return cross_entropy(outputs, targets, state.class_weights, state.weighting, weights)
    if outputs.shape != targets.shape:
        raise PluginError(
            f"the module gives outputs {tuple(outputs.shape)}, expected {tuple(targets.shape)}"
        )
    if state.view.target == "labels":
        return binary_cross_entropy(outputs, targets.to(outputs.dtype), weights)
    return squared_error(outputs, targets.to(outputs.dtype), weights)


def cross_entropy(
    logits: Tensor,
    labels: Tensor,
    weights: Tensor | None,
    weighting: ClassWeights,
    of_items: Tensor | None = None,
) -> Tensor:
    """Return the mean cross-entropy of a batch.

    Args:
        logits: Shape (B, C).
        labels: Class ids, shape (B,).
        weights: Per class, shape (C,); None for no weighting.
        weighting: ``sum`` divides by the summed weights of the batch (PyTorch's default for
            index targets); ``n`` by B, as one-hot float targets do.
        of_items: What each item counts, shape (B,), in place of 1; None where all count alike.
    """
    if of_items is not None:
        of_classes = None if weighting == "none" else weights
        each = F.cross_entropy(logits, labels, weight=of_classes, reduction="none") * of_items
        whole = of_items
        if weighting == "sum" and of_classes is not None:
            whole = of_items * of_classes[labels]
        return each.sum() / whole.sum().clamp(min=_LEAST)
    if weighting == "none" or weights is None:
        return F.cross_entropy(logits, labels)
    if weighting == "sum":
        return F.cross_entropy(logits, labels, weight=weights)
    return F.cross_entropy(logits, labels, weight=weights, reduction="sum") / len(labels)


_LEAST = torch.finfo(torch.float32).tiny  # where no item of a batch counts anything


def binary_cross_entropy(logits: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean binary cross-entropy over the labels that are known.

    Args:
        logits: Shape (B, K).
        targets: 0 or 1, NaN where a label is missing; shape (B, K).
        weights: What each item counts, shape (B,); None where all count alike.
    """
    known = ~torch.isnan(targets)
    each = F.binary_cross_entropy_with_logits(
        logits, torch.where(known, targets, 0.0), reduction="none"
    )
    return _mean(torch.where(known, each, 0.0), known, weights)


def squared_error(outputs: Tensor, targets: Tensor, weights: Tensor | None = None) -> Tensor:
    """Return the mean squared error over the quantities that are known.

    Args:
        outputs: Shape (B, K).
        targets: NaN where a quantity is missing; shape (B, K).
        weights: What each item counts, shape (B,); None where all count alike.
    """
    known = ~torch.isnan(targets)
    error = torch.where(known, outputs - torch.where(known, targets, 0.0), 0.0)
    return _mean(error**2, known, weights)


def _mean(each: Tensor, known: Tensor, weights: Tensor | None) -> Tensor:
    """Return the mean of what is known, by the items' weights; `each` is 0 where it is not."""
    if weights is None:
        return each.sum() / known.sum().clamp(min=1)
    counted = known * weights[:, None]
    return (each * counted).sum() / counted.sum().clamp(min=_LEAST)


@torch.no_grad()
def evaluate(state: TrainState, split: str) -> Outputs:
    """Return the outputs for all items of a split (N, K), in evaluation mode, float32.

    Random numbers that a module draws from PyTorch here are given back, so that evaluating more
    or less often does not change training.

    Raises:
        PluginError: The module gives something else.
    """
    items, module = state.evaluated[split], state.module
    if not len(items):
        return np.zeros((0, state.view.n_outputs), dtype=np.float32)
    was_training = module.training
    module.eval()
    at_once = max(state.batch_size, _MOST_LETTERS[items.device.type] // state.view.length)
    with torch.random.fork_rng(devices=_cuda_devices(items.device)):
        parts = [
            _outputs(state, part)
            for piece in torch.split(items, at_once)
            for part in cut(piece, state.lengths)
        ]
    module.train(was_training)
    outputs = torch.cat(parts)
    if state.scale is not None:
        outputs = outputs * state.scale.deviation + state.scale.mean
    return np.asarray(outputs.to("cpu", torch.float32).numpy())


def _outputs(state: TrainState, items: Tensor) -> Tensor:
    outputs = forward(state, state.encode(items), state.module)
    # A column too many would go unnoticed otherwise, and with it a rival of the true class.
    given = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
    expected = (len(items), state.view.n_outputs)
    if given != expected:
        raise PluginError(f"the module gives outputs {given}, expected {expected}")
    check_real(outputs, "the module")
    return torch.as_tensor(outputs).detach()


def check_real(outputs: Tensor | npt.NDArray[Any], giver: str) -> None:
    """Raise PluginError where outputs are complex: as float32 they would be halved.

    Args:
        outputs: Numbers of any shape.
        giver: Name of the plugin's function that gives them, for the message.
    """
    if "complex" in str(outputs.dtype):
        raise PluginError(f"{giver} gives complex numbers, expected real ones: say which part")


def _cuda_devices(device: torch.device) -> list[torch.device]:
    return [device] if device.type == "cuda" else []
