"""Update rules on flat parameters, by PyTorch's own fused kernels.

An optimiser is recognised by its exact class and plain settings; any other keeps the run on the
reference loop. Each seed's parameters are a tensor of their own in the kernel's list, so that a
seed's result cannot depend on where it lies or who lies beside it.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from codonbench.errors import CannotCapture


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
        CannotCapture: Its class or a setting is not one of those known here, it has hooks, or it
            does not update exactly the module's parameters.
    """
    if len(optimizer.param_groups) != 1:
        raise CannotCapture("the optimiser has several parameter groups")
    group = optimizer.param_groups[0]
    if {id(p) for p in group["params"]} != {id(p) for p in module.parameters()}:
        raise CannotCapture("the optimiser does not update exactly the module's parameters")
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        raise CannotCapture("the optimiser has step hooks")
    plain = not group["maximize"] and not group["weight_decay"]
    if type(optimizer) is torch.optim.Adam and plain and not group["amsgrad"]:
        return Adam(group, flats)
    if type(optimizer) is torch.optim.SGD and plain and not group["momentum"]:
        return Sgd(group)
    raise CannotCapture(f"optimiser {type(optimizer).__name__} with these settings is not captured")
