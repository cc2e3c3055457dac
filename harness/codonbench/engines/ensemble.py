"""S seeds of one model as one array of parameters, and one training step for all of them.

A row-independent module gives each input one row of logits, whatever else is in the batch. So a
batch is fully told by how often it holds each of the K inputs: the step runs on all K inputs,
each weighted by its count. Same gradient as the batch's own rows, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vjp, vmap

from codonbench.engines.errors import CannotCapture
from codonbench.engines.recurrent import unrolled


class Ensemble:
    """The arithmetic of S modules of one architecture.

    Args:
        modules: One a seed, in training mode.
        inputs: All K inputs, encoded.
        labels: Class id of each input for each seed, shape (S, K).
        n_classes: C.
        fan: As in `recurrent.unrolled`.

    Attributes:
        flat: All parameters, one row a seed, shape (S, N).

    Raises:
        CannotCapture: The module has state or parameters that are not captured.
    """

    def __init__(
        self,
        modules: Sequence[torch.nn.Module],
        inputs: Tensor,
        labels: Tensor,
        n_classes: int,
        fan: int | None = None,
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
        self._names = list(parameters)
        self._shapes = [p.shape for p in parameters.values()]
        self._sizes = [p.numel() for p in parameters.values()]
        self.dtype = next(iter(parameters.values())).dtype
        # Expanded, not shared: each seed then has a matrix product of its own in one batch, whose
        # result cannot depend on how many others there are.
        self._inputs = inputs.expand(len(modules), *inputs.shape)
        self._targets = torch.nn.functional.one_hot(labels, n_classes).to(self.dtype)
        self.flat = torch.stack([self._flatten(module) for module in modules])

    def gradients(self, flat: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        """Return the gradient of every seed's loss in its parameters, (S, N), and the logits.

        The gradient of a weighted cross-entropy in the logits is (softmax - one-hot) times the
        weight, so the loss itself is never formed. The logits of all inputs, (S, K, C), are those
        of the parameters as given: a probe of the state before the step, for nothing.

        Args:
            flat: Parameters, shape (S, N).
            coefficients: Weight of each input in each seed's batch, shape (S, K).
        """

        def gradient(
            flat: Tensor, inputs: Tensor, targets: Tensor, weights: Tensor
        ) -> tuple[Tensor, Tensor]:
            logits, pull_back, *_ = vjp(lambda row: self._logits(row, inputs), flat)
            slope = (torch.softmax(logits, dim=1) - targets) * weights[:, None]
            (result,) = pull_back(slope)
            return torch.as_tensor(result), logits

        result, logits = vmap(gradient)(flat, self._inputs, self._targets, coefficients)
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
        expected = (len(inputs), self._targets.shape[-1])
        if not isinstance(logits, Tensor) or tuple(logits.shape) != expected:
            raise CannotCapture(f"the module does not give logits {expected}")
        return logits

    def _flatten(self, module: torch.nn.Module) -> Tensor:
        return torch.cat([p.detach().reshape(-1) for p in module.parameters()])

    def _split(self, flat: Tensor) -> list[Tensor]:
        parts = torch.split(flat, self._sizes)
        return [part.view(shape) for part, shape in zip(parts, self._shapes, strict=True)]
