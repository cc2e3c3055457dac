"""Checks of training and evaluation: gradients, loss, determinism, state and engine."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from codonbench.contracts import BatchLearner
from codonbench.engines.capture import TRACED
from codonbench.engines.comparison import Comparison, check_claims, same_alone
from codonbench.engines.ensemble import Traced
from codonbench.errors import CannotCapture
from codonbench.plugins.failures import last_line
from codonbench.testing.checks import Checks, Verdict, failed, passed, skipped, warning
from codonbench.testing.subject import DEVICE, STEPS, ModelSubject
from codonbench.training.determinism import hash_weights, seeded_globals
from codonbench.training.loop import loss_of, make_step
from codonbench.training.request import ENGINE as EAGER
from codonbench.training.state import TrainState

CHECKS = Checks[ModelSubject]()

_LEARNING_BATCHES = 300
_LEARNING_SECONDS = 1.5
_LEARNED = 0.01  # least decrease, as a share of the initial loss

_NO_GRADIENTS = "it learns by update(), without gradients"


@CHECKS.hold("optimiser", "inputs")
def is_optimised(subject: ModelSubject) -> Verdict:
    """The optimiser holds every parameter."""
    state = subject.state()
    if state.optimizer is None:
        return skipped(_NO_GRADIENTS)
    held = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    trainable = {n: p for n, p in state.module.named_parameters() if p.requires_grad}
    left_out = [name for name, p in trainable.items() if id(p) not in held]
    if left_out:
        return failed(
            f"the optimiser does not hold parameter {left_out[0]!r} ({len(left_out)} of "
            f"{len(trainable)} are left out); pass module.parameters(), or requires_grad_(False) "
            "what shall stay as it is"
        )
    return passed(type(state.optimizer).__name__)


@CHECKS.hold("gradient", "optimiser")
def is_reached(subject: ModelSubject) -> Verdict:
    """Gradients reach every parameter."""
    state = subject.state()
    if state.optimizer is None:
        return skipped(_NO_GRADIENTS)
    given: set[str] = set()
    moved: set[str] = set()
    trainable = {n: p for n, p in state.module.named_parameters() if p.requires_grad}
    for name, parameter in trainable.items():

        def note(parameter: torch.Tensor, name: str = name) -> None:
            given.add(name)
            if parameter.grad is not None and bool(parameter.grad.any()):
                moved.add(name)

        parameter.register_post_accumulate_grad_hook(note)  # type: ignore[no-untyped-call]
    with seeded_globals(0):
        step = make_step(state)
        for index in subject.batches:
            step(index)
    without = [name for name in trainable if name not in given]
    if without:
        return failed(
            f"no gradient reaches parameter {without[0]!r} ({len(without)} of {len(trainable)}); "
            "use it in forward without detach() or no_grad(), or leave it out of the module"
        )
    still = [name for name in trainable if name not in moved]
    if still:
        return warning(
            f"the gradient of parameter {still[0]!r} is zero at each of {STEPS} batches; is a "
            "part of the network switched off?"
        )
    return passed(f"all {len(trainable)}")


@CHECKS.hold("finite", "optimiser")
def is_finite(subject: ModelSubject) -> Verdict:
    """The loss is finite."""
    state = subject.state()
    losses: list[float] = []
    seen: list[Tensor] = []

    def forward(inputs: Tensor) -> Tensor:
        seen.append(state.module(inputs))
        return seen[-1]

    with seeded_globals(0):
        step = make_step(replace(state, compiled=forward))
        for index in subject.batches:
            step(index)
            losses.append(
                float(loss_of(state, seen.pop().detach(), state.targets[index]))
                if seen
                else subject.loss(state)
            )
            if not math.isfinite(losses[-1]):
                return failed(
                    f"the loss is {losses[-1]} at batch {len(losses)} of {STEPS}; expected a "
                    "finite number: look for a logarithm or a division of zero, or lower the "
                    "learning rate"
                )
    return passed(f"{losses[0]:.2f} at first, {losses[-1]:.2f} after {STEPS} batches")


@CHECKS.hold("deterministic", "finite")
def is_deterministic(subject: ModelSubject) -> Verdict:
    """One seed gives one result."""
    changed = _changed(*(subject.trained().module.state_dict() for _ in range(2)))
    if not changed:
        return passed()
    return failed(
        f"two trainings under one seed end in different weights after {STEPS} batches, first in "
        f"{changed!r}; draw chance from torch, numpy or random, which are seeded for each run, not "
        "from the clock or a generator of its own"
    )


@CHECKS.hold("learning", "finite", advisory=True)
def learns(subject: ModelSubject) -> Verdict:
    """The loss falls."""
    if subject.cls.info.role == "reference":
        return skipped("a reference row need not learn")
    state = subject.state()
    before, batches = subject.loss(state), 0
    stop = time.perf_counter() + _LEARNING_SECONDS
    with seeded_globals(0):
        step = make_step(state)
        for batch in subject.setup.stream.batches(subject.config.batch_size, 10**12):
            step(torch.as_tensor(batch.index))
            batches += 1
            if batches >= _LEARNING_BATCHES or time.perf_counter() > stop:
                break
        after = subject.loss(state)
    fall = f"{before:.3f} at first and {after:.3f} after {batches} batches, over the first {STEPS}"
    if not after < before * (1 - _LEARNED):
        return warning(f"the loss is {fall}: it does not seem to learn; try another learning rate")
    return passed(fall)


@CHECKS.hold("engine", "finite", "rows", advisory=True)
def engine(subject: ModelSubject) -> Verdict:
    """Engine that will train the model."""
    states = [subject.state(seed) for seed in (0, 1)]
    if isinstance(states[0].module, BatchLearner):
        return passed(f"{EAGER}: the model learns without gradients")
    try:
        check_claims(subject.plugin(), subject.view, DEVICE)
        plain, alike = (subject.state(dtype=torch.float64) for _ in range(2))
        with seeded_globals(0):
            Comparison(plain, alike).hold()
        together = same_alone(states, Traced(states))
    except CannotCapture as why:
        return passed(f"{EAGER}, the plain loop: {why}")
    except Exception as error:  # any failure of capturing
        return passed(f"{EAGER}, the plain loop: {last_line(error)}")
    return passed(f"{TRACED.name}, {'several seeds at a time' if together else 'seed by seed'}")


@CHECKS.hold("undisturbed", "deterministic", "evaluation")
def leaves_training(subject: ModelSubject) -> Verdict:
    """Evaluation does not change training."""
    changed: list[str] = []

    def look(state: TrainState) -> None:
        before = {n: torch.as_tensor(v).clone() for n, v in state.module.state_dict().items()}
        subject.evaluate(state)
        changed.append(_changed(before, state.module.state_dict()))

    seen, unseen = subject.trained(look), subject.trained()
    if name := next(filter(None, changed), ""):
        return failed(
            f"evaluation changed {name!r}; let buffers move only where self.training is "
            "true, and parameters by the optimiser alone"
        )
    if name := _changed(unseen.module.state_dict(), seen.module.state_dict()):
        return failed(
            f"training that was evaluated after each batch ends with another {name!r} than "
            "training that was not; let evaluation keep nothing on the module"
        )
    return passed()


@CHECKS.hold("weights", "finite", "evaluation")
def weights_survive(subject: ModelSubject) -> Verdict:
    """The state_dict holds the whole state of the module."""
    trained = subject.trained()
    file = io.BytesIO()
    torch.save(trained.module.state_dict(), file)
    file.seek(0)
    other = subject.state(seed=1)
    other.module.load_state_dict(torch.load(file, weights_only=True))
    changed = _changed(trained.module.state_dict(), other.module.state_dict())
    if changed:
        return failed(f"{changed!r} is another once saved and loaded into a new module")
    if not _alike(subject, trained, other):
        return failed(
            "a new module with the trained one's state_dict gives other outputs: something it has "
            "learned or drawn is kept outside; make it a parameter or register_buffer it"
        )
    return passed()


def _alike(subject: ModelSubject, one: TrainState, other: TrainState) -> bool:
    """Return whether two modules give bit for bit the same outputs."""
    first, second = subject.evaluate(one), subject.evaluate(other)
    return bool(first.tobytes() == second.tobytes())


def _changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that is not bit for bit the same; empty for none."""
    for name in before:
        if name not in after or hash_weights({"": before[name]}) != hash_weights({"": after[name]}):
            return name
    return "" if len(before) == len(after) else next(iter(after.keys() - before.keys()))
