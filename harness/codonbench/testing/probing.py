"""What a probe may do: read the module, and leave no trajectory in it."""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping

import torch
from torch import Tensor

from codonbench.testing.checklist import last_line
from codonbench.testing.findings import Verdict, failed, passed
from codonbench.testing.subject import Subject
from codonbench.testing.surroundings import generators
from codonbench.training.determinism import hash_weights, seeded_globals
from codonbench.training.loop import evaluate, make_step
from codonbench.training.state import TrainState


def draws_nothing(subject: Subject) -> Verdict:
    """Hold that evaluation uses no chance: neither a global generator's nor any other."""
    with seeded_globals(0):
        state = subject.state()
        state.module.eval()
        before = generators()
        with torch.no_grad():
            outputs = [state.module(state.encode(state.evaluated["evaluation"])) for _ in range(2)]
        after = generators()
    for name in before:
        if before[name] != after[name]:
            return failed(
                f"in evaluation it draws random numbers from {name}: a probe would neither repeat "
                "nor leave training alone; draw only where self.training is true"
            )
    if outputs[0].numpy().tobytes() != outputs[1].numpy().tobytes():
        return failed(
            "two evaluations of the same weights give different logits; in evaluation, let the "
            "output depend on inputs and weights alone"
        )
    return passed()


def leaves_training(subject: Subject) -> Verdict:
    """Hold that training goes the same way whether or not it is looked at."""
    with seeded_globals(0):
        state = subject.state()
        step = make_step(state)
        for index in subject.batches:
            step(index)
            before = _copy(state.module)
            evaluate(state, "evaluation")
            changed = _changed(before, state.module.state_dict())
            if changed:
                return failed(
                    f"evaluation changed {changed!r}; let buffers move only where self.training is "
                    "true, and parameters by the optimiser alone"
                )
    with seeded_globals(0):
        unseen = subject.state()
        step = make_step(unseen)
        for index in subject.batches:
            step(index)
    changed = _changed(unseen.module.state_dict(), state.module.state_dict())
    if changed:
        return failed(
            f"training that was probed after each batch ends with another {changed!r} than "
            "training that was not; let evaluation keep nothing on the module"
        )
    return passed()


def weights_survive(subject: Subject) -> Verdict:
    """Hold that a saved state_dict is all of a trained module."""
    trained = subject.trained()
    file = io.BytesIO()
    torch.save(trained.module.state_dict(), file)
    file.seek(0)
    other = subject.state(seed=1)
    other.module.load_state_dict(torch.load(file, weights_only=True))
    changed = _changed(trained.module.state_dict(), other.module.state_dict())
    if changed:
        return failed(f"{changed!r} is another once saved and loaded into a new module")
    if not _alike(trained, other):
        return failed(
            "a new module with the trained one's state_dict gives other logits: something it has "
            "learned or drawn is kept outside; make it a parameter or register_buffer it"
        )
    return passed()


def module_pickles(subject: Subject) -> Verdict:
    """Hold that a trained module can be sent to another process and is the same there."""
    trained = subject.trained()
    try:
        copy = pickle.loads(pickle.dumps(trained.module))
    except Exception as error:
        return failed(
            f"the module cannot be pickled: {last_line(error)}; keep lambdas, open files and "
            "classes defined inside functions off it"
        )
    restored = subject.state(seed=1)
    restored = type(restored)(**{**vars(restored), "module": copy, "optimizer": None})
    if not _alike(trained, restored):
        return failed("a pickled and restored module gives other logits; see its __getstate__")
    return passed()


def _alike(one: TrainState, other: TrainState) -> bool:
    """Return whether two modules give the same logits to the bit."""
    return evaluate(one, "evaluation").tobytes() == evaluate(other, "evaluation").tobytes()


def _copy(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: torch.as_tensor(value).clone() for name, value in module.state_dict().items()}


def _changed(before: Mapping[str, Tensor], after: Mapping[str, Tensor]) -> str:
    """Return the name of the first tensor that is not the same to the bit, or nothing."""
    for name in before:
        if name not in after or hash_weights({"": before[name]}) != hash_weights({"": after[name]}):
            return name
    return ""
