"""S seeds of one model as one array of parameters, and one training step for all of them.

A row-independent module gives each input one row of logits, whatever else is in the batch. So a
batch is fully told by how often it holds each of the K inputs: the step runs on all K inputs,
each weighted by its count. Same gradient as the batch's own rows, up to rounding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from codonbench.engines.batches import StepInput
from codonbench.engines.recurrent import unrolled
from codonbench.errors import CannotCapture

Gradients = Callable[..., tuple[Tensor, Tensor]]


class Ensemble:
    """The arithmetic of S modules of one architecture.

    Args:
        modules: One a seed, in training mode.
        inputs: All K inputs, encoded.
        n_classes: C.
        fan: As in `recurrent.unrolled`.
        rows: How many rows a step computes for each seed; None for all inputs. See `batches`.

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
        """Take in every seed's class ids as far as it knows them, each (K,).

        What an input is taken for that has not been told of makes no difference: it weighs 0.
        """
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
        given: where rows are all inputs, a probe of the state before the step, for nothing.

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
