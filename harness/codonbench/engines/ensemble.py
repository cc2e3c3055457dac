"""S seeds of one model trained together, as one array of parameters; each step is a recording.

`Ensemble` has the arithmetic of a step, `Traced` its recording, `train_together` the loop over
steps. `comparison` holds the recording to the plain loop.

A row-independent module gives each input one row of logits, whatever else is in the batch. So a
batch is fully told by how often it holds each of the K inputs: the step runs on all K inputs,
each weighted by its count. Same gradient as the batch's own rows, up to rounding.

A batch of 64 pairs holds fewer distinct inputs. Where overhead dominates, a step is given all
inputs: it costs no more, and its logits are an evaluation for nothing. Where arithmetic dominates,
it is given the distinct ones, as many rows in every step so that one recording serves all. A batch
with more of them takes a second pass, in which the rows of the seeds that had room weigh nothing
and add exactly zero: so a seed's result does not depend on the batches beside it.

An optimiser is recognised by its exact class and plain settings; any other keeps the run on the
plain loop. Updates are PyTorch's own fused kernels. Each seed's parameters are a tensor of
their own in the kernel's list, so that a seed's result cannot depend on the seeds beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from codonbench.data.stream import Batch
from codonbench.engines.capture import TRACED, Recurrent, Rung, unrolled
from codonbench.errors import CannotCapture
from codonbench.training.loop import Checkpointer, Feed, ask
from codonbench.training.state import State, TrainState

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
    """The next steps of one run, as weights of the batches that it has been handed.

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


class Ensemble:
    """The arithmetic of S modules of one architecture.

    Args:
        modules: One a seed, in training mode.
        inputs: All K inputs, encoded.
        n_classes: C.
        fan: As in `capture.unrolled`.
        rows: How many rows a step computes for each seed; None for all inputs; see `rows_of`.

    Attributes:
        flat: All parameters, one row a seed, shape (S, N).
        targets: Class of each input for each seed, one-hot, shape (S, K, C); see `learn_targets`.
        rows: As above.

    Raises:
        CannotCapture: The module has state or parameters that are not captured.
    """

    def __init__(
        self,
        modules: Sequence[torch.nn.Module],
        inputs: Tensor,
        n_classes: int,
        fan: int | None = None,
        rows: int | None = None,
    ) -> None:
        first = modules[0]
        if any(True for _ in first.buffers()):
            raise CannotCapture("the module has buffers")
        if len({id(module) for module in modules}) != len(modules):
            raise CannotCapture("build() returned one module twice")
        parameters = dict(first.named_parameters())
        if not parameters or len({p.dtype for p in parameters.values()}) != 1:
            raise CannotCapture("the module has no parameters, or of several dtypes")
        if not all(p.requires_grad for p in parameters.values()):
            raise CannotCapture("some parameters are frozen")
        self._module = unrolled(first, fan)
        self.rows = rows
        self._names = list(parameters)
        self._shapes = [p.shape for p in parameters.values()]
        self._sizes = [p.numel() for p in parameters.values()]
        self.dtype = next(iter(parameters.values())).dtype
        # Expanded, not shared: each seed then has a matrix product of its own in one batch, whose
        # result cannot depend on how many others there are.
        self._inputs = inputs.expand(len(modules), *inputs.shape)
        self.flat = torch.stack([flattened(module) for module in modules])
        self.targets = self.flat.new_zeros(len(modules), len(inputs), n_classes)

    def learn_targets(self, labels: Sequence[Tensor]) -> None:
        """Take in every seed's class ids, each (K,); those not known yet have weight 0."""
        known = torch.nn.functional.one_hot(torch.stack(list(labels)), self.targets.shape[-1])
        self.targets.copy_(known)

    def example(self) -> tuple[Tensor, ...]:
        """Return what `gradients` takes beside parameters and targets, of the right shapes."""
        seeds, inputs, _ = self.targets.shape
        if self.rows is None:
            return (self.flat.new_zeros(seeds, inputs),)
        shape = (seeds, self.rows)
        return (torch.zeros(shape, dtype=torch.int64), torch.zeros(shape, dtype=self.dtype))

    def gradients(self, flat: Tensor, targets: Tensor, *batch: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of every seed's loss in its parameters, (S, N), and the logits.

        The gradient of a weighted cross-entropy in the logits is (softmax - one-hot) times the
        weight, so the loss itself is never formed. The logits are those of the parameters as
        given: where rows are all inputs, an evaluation of the state before the step, for nothing.

        Args:
            flat: Parameters, shape (S, N).
            targets: As `self.targets`.
            batch: Where rows are all inputs, the weight of each in each seed's batch, (S, K);
                else which inputs the rows are and how much they weigh, both (S, R).
        """
        inputs = self._inputs
        if self.rows is not None:
            seeds = torch.arange(len(flat), device=flat.device)[:, None]
            inputs, targets = inputs[seeds, batch[0]], targets[seeds, batch[0]]

        def gradient(
            flat: Tensor, inputs: Tensor, targets: Tensor, weights: Tensor
        ) -> tuple[Tensor, Tensor]:
            logits, pull_back, *_ = vjp(lambda row: self._logits(row, inputs), flat)
            slope = (torch.softmax(logits, dim=1) - targets) * weights[:, None]
            (result,) = pull_back(slope)
            return torch.as_tensor(result), logits

        result, logits = vmap(gradient)(flat, inputs, targets, batch[-1])
        return result.contiguous(), logits

    def forward(self, flat: Tensor) -> Tensor:
        """Return the logits of all inputs for every seed, (S, K, C)."""
        return vmap(self._logits)(flat, self._inputs)

    def write_back(self, flat: Tensor, module: torch.nn.Module) -> None:
        """Put one seed's parameters (N,) into its module."""
        with torch.no_grad():
            for parameter, values in zip(module.parameters(), self._split(flat), strict=True):
                parameter.copy_(values)

    def _logits(self, flat: Tensor, inputs: Tensor) -> Tensor:
        parameters = dict(zip(self._names, self._split(flat), strict=True))
        logits = functional_call(self._module, parameters, (inputs,))
        expected = (len(inputs), self.targets.shape[-1])
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            raise CannotCapture(f"the module does not give logits {expected}")
        return logits

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]


def flattened(module: torch.nn.Module) -> Tensor:
    """Return a copy of all parameters of a module, shape (N,)."""
    return torch.cat([p.detach().reshape(-1) for p in module.parameters()])


class UpdateRule(Protocol):
    """The update rule of some seeds, with its state."""

    def update(self, flats: list[Tensor], gradients: list[Tensor]) -> None:
        """Update each seed's parameters (N,) by its gradient (N,), in place."""

    def keep(self, kept: list[int]) -> None:
        """Go on with these seeds only."""

    def state(self) -> list[Tensor]:
        """Return everything that an update changes beside the parameters."""

    def state_of(self, seed: int) -> list[Tensor]:
        """Return that of one seed alone."""


class Adam:
    """``torch.optim.Adam`` without weight decay or AMSGrad."""

    def __init__(self, group: dict[str, object], flats: list[Tensor]) -> None:
        self._settings = {
            "lr": group["lr"],
            "beta1": group["betas"][0],  # type: ignore[index]
            "beta2": group["betas"][1],  # type: ignore[index]
            "eps": group["eps"],
            "weight_decay": 0.0,
            "amsgrad": False,
            "maximize": False,
        }
        self._means = [torch.zeros_like(flat) for flat in flats]
        self._squares = [torch.zeros_like(flat) for flat in flats]
        # All seeds are at the same one.
        self._step = torch.zeros((), dtype=torch.float32, device=flats[0].device)

    def update(self, flats: list[Tensor], gradients: list[Tensor]) -> None:
        """Apply one update."""
        self._step += 1
        steps = [self._step] * len(flats)
        torch._fused_adam_(
            flats, gradients, self._means, self._squares, [], steps, **self._settings
        )

    def keep(self, kept: list[int]) -> None:
        """Go on with these seeds only."""
        self._means = [self._means[i] for i in kept]
        self._squares = [self._squares[i] for i in kept]

    def state(self) -> list[Tensor]:
        """Return both moments of each seed, and the number of the step."""
        return [*self._means, *self._squares, self._step]

    def state_of(self, seed: int) -> list[Tensor]:
        """Return its moments, and the number of the step."""
        return [self._means[seed], self._squares[seed], self._step]


class Sgd:
    """``torch.optim.SGD`` without momentum or weight decay."""

    def __init__(self, group: dict[str, object]) -> None:
        self._learning_rate = float(group["lr"])  # type: ignore[arg-type]

    def update(self, flats: list[Tensor], gradients: list[Tensor]) -> None:
        """Apply one update."""
        torch._foreach_add_(flats, gradients, alpha=-self._learning_rate)

    def keep(self, kept: list[int]) -> None:
        """Nothing to forget."""

    def state(self) -> list[Tensor]:
        """Nothing but the parameters changes."""
        return []

    def state_of(self, seed: int) -> list[Tensor]:
        """Nothing but the parameters changes."""
        return []


def recognise(
    optimizer: torch.optim.Optimizer, module: torch.nn.Module, flats: list[Tensor]
) -> UpdateRule:
    """Return the rule that `optimizer` follows, for seeds with parameters `flats`.

    Raises:
        CannotCapture: Its class or a setting is not one of those known here, or it does not update
            exactly the module's parameters.
    """
    if len(optimizer.param_groups) != 1:
        raise CannotCapture("the optimiser has several parameter groups")
    group = optimizer.param_groups[0]
    if {id(p) for p in group["params"]} != {id(p) for p in module.parameters()}:
        raise CannotCapture("the optimiser does not update exactly the module's parameters")
    plain = not group["maximize"] and not group["weight_decay"]
    if type(optimizer) is torch.optim.Adam and plain and not group["amsgrad"]:
        return Adam(group, flats)
    if type(optimizer) is torch.optim.SGD and plain and not group["momentum"]:
        return Sgd(group)
    raise CannotCapture(f"optimiser {type(optimizer).__name__} with these settings is not captured")


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
    """Some seeds of one model, ready to be trained together: an `Ensemble`, recorded.

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
        self.learn_targets()
        self.flats = list(self.ensemble.flat.unbind(0))
        assert first.optimizer is not None
        self.rule = recognise(first.optimizer, first.module, self.flats)
        flat = self.ensemble.flat
        example = (flat, self.ensemble.targets, *self.ensemble.example())
        self._gradients = rung.capture(self.ensemble.gradients, example)
        self._forward = rung.capture(self.ensemble.forward, (flat,))

    def learn_targets(self) -> None:
        """Take in the targets that the states know so far."""
        self.ensemble.learn_targets([state.targets for state in self.states])

    def update_targets(self, feeds: Sequence[Feed]) -> None:
        """Take in the targets learnt since the last call, if there are any."""
        if any(feed.news for feed in feeds):
            self.learn_targets()
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
        flat, targets = self.ensemble.flat, self.ensemble.targets
        total, logits = self._gradients(flat, targets, *step_input[0])
        for batch in step_input[1:]:
            total = total + self._gradients(flat, targets, *batch)[0]
        return total, logits if self.ensemble.rows is None else None

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
        checkpointer: Called when states may be kept.
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
            engine.update_targets(members)
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
    index = items.cpu().numpy()
    ask([feeds[i] for i in due], [outputs[i][index] for i in due])
    spent = (time.perf_counter() - started) / max(len(due), 1)
    for i in due:
        feeds[i].seconds += spent
    return [i for i in due if feeds[i].over]
