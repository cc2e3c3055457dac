"""Compare a captured step with the plain loop's, before it is used and again later in a run.

Three things are checked. Module and optimiser have no hooks and no replaced methods, which a
captured step would leave out. Training changes nothing outside parameters and buffers, neither the
optimiser's settings nor a random generator. And the same batches lead both steps to the same
parameters and the same outputs in evaluation mode. The steps are compared in float64: in float32 a
network with kinks amplifies the last bit, so that no tolerance could tell rounding from a mistake.
In float64 a few steps agree to nine digits or are not the same steps.
"""

from __future__ import annotations

import inspect
import random
import sys
from collections.abc import Sequence
from types import FunctionType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from codonbench.contracts import AuxiliaryLearner, BatchLearner, Model, TaskView
from codonbench.data.stream import Batch
from codonbench.engines.capture import TRACED, Rung
from codonbench.engines.ensemble import Traced, flattened, step_inputs
from codonbench.errors import CannotCapture
from codonbench.training.loop import evaluate, make_step
from codonbench.training.outside_state import Outside, changed, outside_state
from codonbench.training.request import Chance
from codonbench.training.state import StepSettings, TrainState

TOLERANCE = 1e-7

STEPS = 3
"""Of one comparison."""

MOST_INPUTS = 4_096
"""Inputs of a task that is trained on all of them at once."""

FIRST_RECHECK, APART = 256, 4
"""A captured step is compared again once within its steps 256 to 1,023, once within 1,024 to
4,095, and so on."""


def check_claims(plugin: Model, task: TaskView, device: str, rung: Rung = TRACED) -> None:
    """Raise CannotCapture where model, task or device rule the rung out."""
    if not plugin.row_independent:
        raise CannotCapture("the model does not claim to be row-independent")
    if task.n_inputs is None or task.n_inputs > MOST_INPUTS:
        raise CannotCapture("the task's inputs cannot be enumerated, or are too many")
    if device != rung.device:
        where = "CPU" if rung.device == "cpu" else "GPU"
        raise CannotCapture(f"the {rung.name} engine runs on the {where}")


def check_is_plain(state: TrainState) -> None:
    """Raise CannotCapture where module or optimiser do something that capturing would leave out.

    A setting of the step beyond the update; hooks of modules, of parameters and of the optimiser; a
    method that was replaced on an instance, as a schedule replaces ``step``, or on a class of
    PyTorch's; a parameter of another class than PyTorch's.
    """
    if isinstance(state.module, BatchLearner) or state.optimizer is None:
        raise CannotCapture("the model learns without gradients")
    if isinstance(state.module, AuxiliaryLearner):
        raise CannotCapture("the model adds a loss of its own")
    plain = state.schedule is None and state.flip is None and state.weights is None
    if not plain or state.settings != StepSettings():
        raise CannotCapture(
            "a captured step knows no schedule, clipping, accumulation, precision, augmentation or "
            "weights of items"
        )
    for name, module in state.module.named_modules():
        owner = f"module {name!r}" if name else "the module"
        _refuse_hooks(owner, module, _hooks_in(module))
        _refuse_replaced(owner, module)
    for name, parameter in state.module.named_parameters():
        _refuse_hooks(f"parameter {name!r}", parameter, _OF_TENSORS)
        if type(parameter) is not nn.Parameter:
            kind = type(parameter).__name__
            raise CannotCapture(f"parameter {name!r} is a {kind}, not a torch.nn.Parameter")
    steps = ["_optimizer_step_pre_hooks", "_optimizer_step_post_hooks"]
    _refuse_hooks("the optimiser", state.optimizer, steps)
    _refuse_replaced("the optimiser", state.optimizer)
    for place in (sys.modules[cls.__module__] for cls in (nn.Module, torch.optim.Optimizer)):
        everywhere = [name for name in _hooks_in(place) if name.startswith("_global_")]
        _refuse_hooks("PyTorch as a whole", place, everywhere)


_OF_TENSORS = ["_backward_hooks", "_post_accumulate_grad_hooks"]


def _hooks_in(thing: object) -> list[str]:
    """Return the names of its lists of hooks, except those that saving and loading call."""
    return [n for n in vars(thing) if n.endswith("_hooks") and "state_dict" not in n]


def _refuse_hooks(owner: str, thing: object, names: Sequence[str]) -> None:
    for name in names:
        if getattr(thing, name, None):
            raise CannotCapture(f"{owner} has hooks ({name.strip('_')})")


def _refuse_replaced(owner: str, thing: object) -> None:
    for name in vars(thing):
        if callable(getattr(type(thing), name, None)):
            raise CannotCapture(f"{owner} has a {name}() of its own, in place of its class's")
    for cls in type(thing).__mro__:
        for name, value in vars(cls).items() if _is_of_torch(cls) else ():
            foreign = isinstance(value, FunctionType) and not _is_of_torch(value)
            if foreign and name in inspect.getsource(cls):  # an added method changes nothing
                raise CannotCapture(
                    f"{owner} is a torch {cls.__name__}, whose {name}() was replaced by one of "
                    f"{value.__module__}"
                )


def _is_of_torch(thing: type | FunctionType) -> bool:
    return thing.__module__.partition(".")[0] == "torch"


def _refuse_changed(before: Outside, after: Outside) -> None:
    if moved := changed(before, after):
        raise CannotCapture(
            f"the model keeps {moved[0]!r} outside parameters and buffers, which changes as it "
            "learns or cannot be looked into"
        )


class Comparison:
    """The plain loop and a captured step side by side, in float64, on made-up batches.

    Args:
        plain: Trained by the plain loop; in float64.
        alike: Made like it, and captured.
        rung: How the captured step is executed.

    Raises:
        CannotCapture: It cannot be captured.
    """

    def __init__(self, plain: TrainState, alike: TrainState, rung: Rung = TRACED) -> None:
        check_is_plain(plain)
        held = outside_state(plain)
        _refuse_changed(held, held)
        self._plain = plain
        self._captured = Traced([alike], rung)
        self._rng = np.random.default_rng(0)
        self._step = make_step(plain)

    def hold(self, flat: Tensor | None = None) -> None:
        """Train both on some batches, and raise CannotCapture unless both end up the same.

        Args:
            flat: Parameters (N,) that both begin with; those that they have by now for None.
        """
        n_items, size = len(self._plain.targets), self._plain.batch_size
        if flat is not None:
            ensemble, captured = self._captured.ensemble, self._captured.flats[0]
            captured.copy_(flat)
            ensemble.write_back(captured, self._plain.module)
        sizes = [*[size] * (STEPS - 1), size // 2 + 1]  # an epoch may end with a smaller batch
        self.hold_on([self._rng.integers(n_items, size=size) for size in sizes])

    def hold_on(self, batches: Sequence[npt.NDArray[np.int64]]) -> None:
        """As `hold`, on batches given as indices of items."""
        before, beside = outside_state(self._plain), _beside(self._plain)
        chunk = [Batch(index, 0) for index in batches]
        inputs = step_inputs([self._plain], [chunk], self._captured.ensemble.dtype)
        for done, (index, step_input) in enumerate(zip(batches, inputs, strict=True), 1):
            gradients, logits = self._captured.gradients(step_input)
            if logits is not None:  # they are shown in place of an evaluation
                self._compare_outputs(logits)
            self._step(torch.as_tensor(index, device=self._plain.targets.device))
            self._captured.update(gradients)
            self._compare_parameters(done)
            self._compare_outputs(self._captured.logits())
        _refuse_changed(before, outside_state(self._plain))
        if _beside(self._plain) != beside:
            raise CannotCapture(
                "training draws random numbers, or changes the optimiser's settings"
            )

    def _compare_parameters(self, steps: int) -> None:
        expected, found = flattened(self._plain.module), self._captured.flats[0]
        if not torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            worst = float((found - expected).abs().max())
            raise CannotCapture(
                f"after step {steps} in float64 the captured one is {worst:.1g} away from the "
                "reference: rows are not independent, or training draws random numbers"
            )

    def _compare_outputs(self, logits: Tensor) -> None:
        """Hold captured outputs (1, K, C) to those of the module in evaluation mode."""
        for split, items in self._plain.evaluated.items():
            expected = torch.as_tensor(evaluate(self._plain, split))
            found = logits[0][items].to(expected)
            if not torch.allclose(found, expected, rtol=_ROUNDED, atol=_ROUNDED, equal_nan=True):
                worst = float((found - expected).abs().max())
                raise CannotCapture(
                    f"in evaluation mode the module is {worst:.1g} away from the captured step: it "
                    "goes by self.training, or by more than the row"
                )


_ROUNDED = 1e-5  # outputs are shown in float32


def _beside(state: TrainState) -> list[Any]:
    """Return the states of the random generators, and the optimiser's settings."""
    assert state.optimizer is not None
    numpy_state: Any = np.random.get_state()
    groups = [{n: v for n, v in g.items() if n != "params"} for g in state.optimizer.param_groups]
    return [
        torch.get_rng_state().tolist(),
        random.getstate(),
        [numpy_state[1].tolist(), *numpy_state[2:]],
        repr(groups),
    ]


class Rechecks:
    """Compares a captured step again at positions drawn at random, or at the end of short runs.

    They are drawn from the first run's chance, so that a repetition compares at the same positions.

    Args:
        comparison: Of the captured step.
        chance: Of the first run.
        batch_size: Pairs in a step.
    """

    def __init__(self, comparison: Comparison, chance: Chance, batch_size: int) -> None:
        self._comparison = comparison
        self._rng = np.random.default_rng(chance)
        self._batch_size = batch_size
        self._from = FIRST_RECHECK
        self._next = self._draw()
        self._looked = False

    def _draw(self) -> int:
        """Return the next position to compare at."""
        return int(self._rng.integers(self._from, self._from * APART)) * self._batch_size

    def recheck(self, position: int, flats: Sequence[Tensor]) -> None:
        """Compare again if a drawn position is reached, from the parameters of one run.

        Args:
            position: Pairs presented.
            flats: Each run's parameters (N,).

        Raises:
            CannotCapture: The captured step is no longer the reference's.
        """
        if position < self._next:
            return
        while position >= self._next:
            self._from *= APART
            self._next = self._draw()
        self._looked = True
        self._hold(flats[int(self._rng.integers(len(flats)))])

    def last(self, module: nn.Module) -> None:
        """Compare from the parameters that a run ended with, unless it was compared before.

        Raises:
            CannotCapture: The captured step is no longer the reference's.
        """
        if not self._looked:
            self._hold(flattened(module))

    def _hold(self, flat: Tensor) -> None:
        if bool(torch.isfinite(flat).all()):
            self._comparison.hold(flat)


def same_alone(states: Sequence[TrainState], together: Traced) -> bool:
    """Return whether the first seed's gradient is the same, to the bit, beside the others.

    Args:
        states: One a seed.
        together: The engine of all of them.
    """
    alone = Traced(states[:1], together.rung)
    everything = Batch(np.arange(len(states[0].targets)), 0)
    (beside,) = step_inputs(states, [[everything]] * len(states), together.ensemble.dtype)
    (by_itself,) = step_inputs(states[:1], [[everything]], together.ensemble.dtype)
    return torch.equal(together.gradients(beside)[0][:1], alone.gradients(by_itself)[0])
