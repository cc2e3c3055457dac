"""S seeds of one model as one array of parameters: batches, gradients and update rules.

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
their own in the kernel's list, so that a seed's result cannot depend on where it lies or who lies
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from codonbench.data.stream import Batch
from codonbench.engines.capture import Recurrent, unrolled
from codonbench.errors import CannotCapture
from codonbench.training.loop import Feed
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


Gradients = Callable[..., tuple[Tensor, Tensor]]


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
        targets: What each input's class is for each seed, one-hot, shape (S, K, C); see `tell`.
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
        self.flat = torch.stack([self._flatten(module) for module in modules])
        self.targets = self.flat.new_zeros(len(modules), len(inputs), n_classes)

    def tell(self, labels: Sequence[Tensor]) -> None:
        """Take in every seed's class ids, each (K,), of which those not told yet weigh 0."""
        told = torch.nn.functional.one_hot(torch.stack(list(labels)), self.targets.shape[-1])
        self.targets.copy_(told)

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

    def summed(
        self, gradients: Gradients, flat: Tensor, step_input: StepInput
    ) -> tuple[Tensor, Tensor | None]:
        """Return the gradient over all passes of a step, and the logits where they are of all.

        Args:
            gradients: `self.gradients`, or a recording of it.
            flat: Parameters, shape (S, N).
            step_input: What the step is given.
        """
        total, logits = gradients(flat, self.targets, *step_input[0])
        for batch in step_input[1:]:
            total = total + gradients(flat, self.targets, *batch)[0]
        return total, logits if self.rows is None else None

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

    def _flatten(self, module: torch.nn.Module) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]


class Rule(Protocol):
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
) -> Rule:
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
