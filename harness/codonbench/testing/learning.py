"""How a model learns: gradients, loss, chance, and the engine that will run it."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
import torch.nn.functional as F

from codonbench.contracts import BatchLearner
from codonbench.engines.check import check_against_reference, check_claims, same_alone
from codonbench.engines.rungs import TRACED
from codonbench.engines.traced import Traced
from codonbench.errors import CannotCapture
from codonbench.testing.findings import Verdict, failed, passed, skipped, warning
from codonbench.testing.subject import DEVICE, STEPS, Subject
from codonbench.training.determinism import hash_weights, seeded_globals
from codonbench.training.loop import evaluate, loss_of, make_step
from codonbench.training.result import ENGINE as EAGER
from codonbench.training.state import TrainState

_LEARNING_BATCHES = 300
_LEARNING_SECONDS = 1.5
_LEARNED = 0.01  # of the loss at first

_NO_GRADIENTS = "it learns by update(), without gradients"


def is_optimised(subject: Subject) -> Verdict:
    """Hold that the optimiser updates what the module calls trainable, and nothing else."""
    state = subject.state()
    if state.optimizer is None:
        return skipped(_NO_GRADIENTS)
    if not isinstance(state.optimizer, torch.optim.Optimizer):
        given = type(state.optimizer).__name__
        return failed(f"configure_optimizer returned {given}; expected a torch.optim.Optimizer")
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


def is_reached(subject: Subject) -> Verdict:
    """Hold that every trainable parameter is given a gradient, and not always zero."""
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


def is_finite(subject: Subject) -> Verdict:
    """Hold that the loss is a number over a short training."""
    state = subject.state()
    losses: list[float] = []
    with seeded_globals(0):
        step = make_step(state)
        for index in subject.batches:
            seen: list[torch.Tensor] = []
            hook = state.module.register_forward_hook(lambda m, i, o, to=seen: to.append(o))
            step(index)
            hook.remove()
            losses.append(
                _loss(state, seen[-1].detach(), index) if seen else _probe_loss(subject, state)
            )
            if not math.isfinite(losses[-1]):
                return failed(
                    f"the loss is {losses[-1]} at batch {len(losses)} of {STEPS}; expected a "
                    "finite number: look for a logarithm or a division of zero, or lower the "
                    "learning rate"
                )
    return passed(f"{losses[0]:.2f} at first, {losses[-1]:.2f} after {STEPS} batches")


def _loss(state: TrainState, logits: torch.Tensor, index: torch.Tensor) -> float:
    return float(loss_of(state, logits, state.targets[index]))


def _probe_loss(subject: Subject, state: TrainState) -> float:
    """Return the mean cross-entropy over the probe set, each input as frequent as in the data."""
    logits = torch.as_tensor(evaluate(state, "evaluation")).double()
    each = F.cross_entropy(
        logits, state.targets[state.evaluated["evaluation"]], reduction="none"
    ).numpy()
    frequencies = subject.dataset.frequencies
    return float(each.mean() if frequencies is None else np.average(each, weights=frequencies))


def is_deterministic(subject: Subject) -> Verdict:
    """Hold that one seed gives one result, to the bit."""
    first, second = subject.trained().module.state_dict(), subject.trained().module.state_dict()
    if hash_weights(first) == hash_weights(second):
        return passed()
    differ = [
        name
        for name in first
        if name not in second or hash_weights({"": first[name]}) != hash_weights({"": second[name]})
    ]
    return failed(
        f"two trainings under one seed end in different weights after {STEPS} batches, first in "
        f"{(differ or ['the names of parameters'])[0]!r}; draw chance from torch, numpy or random, "
        "which are seeded for each run, not from the clock or a generator of its own"
    )


def learns(subject: Subject) -> Verdict:
    """Look whether the loss falls at all, for a second or so."""
    if subject.cls.info.role == "reference":
        return skipped("a reference row need not learn")
    state = subject.state()
    before, batches = _probe_loss(subject, state), 0
    stop = time.perf_counter() + _LEARNING_SECONDS
    with seeded_globals(0):
        step = make_step(state)
        for batch in subject.setup.stream.batches(subject.config.batch_size, 10**12):
            step(torch.as_tensor(batch.index))
            batches += 1
            if batches >= _LEARNING_BATCHES or time.perf_counter() > stop:
                break
        after = _probe_loss(subject, state)
    course = f"{before:.3f} at first and {after:.3f} after {batches} batches, over all probe inputs"
    if not after < before * (1 - _LEARNED):
        return warning(
            f"the loss is {course}: it does not seem to learn; try another learning rate"
        )
    return passed(course)


def engine(subject: Subject) -> Verdict:
    """Say which engine a run on this device will have, and why."""
    states = [subject.state(seed) for seed in (0, 1)]
    if isinstance(states[0].module, BatchLearner):
        return passed(f"{EAGER}: the model learns without gradients")
    try:
        check_claims(subject.plugin(), subject.view, DEVICE)
        reference, captured = (subject.state(dtype=torch.float64) for _ in range(2))
        batches = [index.numpy() for index in subject.batches[:3]]
        check_against_reference(reference, Traced([captured]), batches)
        together = same_alone(states, Traced(states))
    except CannotCapture as why:
        return passed(f"{EAGER}, the plain loop: {why}")
    except RuntimeError as error:
        return passed(f"{EAGER}, the plain loop: {str(error).splitlines()[0]}")
    return passed(f"{TRACED.name}, {'several seeds at a time' if together else 'seed by seed'}")
