"""What a captured step cannot stand for is left to the plain loop, before a run or in its midst."""

import functools
import itertools
import math
import os
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from codonbench import GradientConfig, Model, ModelInfo
from codonbench.engines import comparison
from codonbench.execution.run import run
from codonbench.training.outside_state import changed, outside_state


class Plain(Model):
    """Nothing but layers; subclasses hang something on them."""

    info = ModelInfo(name="plain", version="1", summary="Layers", row_independent=True)
    Config = GradientConfig
    encoding = "input_onehot"

    def build(self, task):
        module = self.around(nn.Linear(task.n_inputs, 8), nn.Tanh(), nn.Linear(8, task.n_classes))
        self.hang(module)
        return module

    around = staticmethod(nn.Sequential)

    def hang(self, module):
        """Hang something on the module."""


class Counting:
    """A function that counts its calls, and gives back what it was first given but for ten."""

    def __init__(self):
        self.calls = 0

    def __call__(self, value):
        self.calls += 1
        return value * (self.calls > 10) if isinstance(value, torch.Tensor) else None


HOOKS = {
    "forward": lambda m: m.register_forward_hook(lambda *_: None),
    "forward pre": lambda m: m[0].register_forward_pre_hook(lambda *_: None),
    "backward": lambda m: m[2].register_full_backward_hook(lambda *_: None),
    "backward pre": lambda m: m.register_full_backward_pre_hook(lambda *_: None),
    "of a gradient": lambda m: m[0].weight.register_hook(Counting()),
    "of a gradient, once added up": lambda m: m[0].bias.register_post_accumulate_grad_hook(print),
}


@pytest.mark.parametrize("hook", HOOKS)
def test_hooks_keep_a_model_on_the_plain_loop(toys, hook):
    class Hooked(Plain):
        def hang(self, module):
            HOOKS[hook](module)

    record, _ = toys.run(Hooked, pairs=64)
    assert (record.engine.name, "has hooks" in record.engine.reason) == ("eager", True)


class StepHook(Plain):
    def configure_optimizer(self, module):
        optimizer = super().configure_optimizer(module)
        optimizer.register_step_post_hook(lambda *_: None)
        return optimizer


class Wrapped(Plain):
    """A step schedule that wraps the optimiser's step."""

    def configure_optimizer(self, module):
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05)
        schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=20, gamma=0.01)
        step = optimizer.step

        def stepped(closure=None):
            result = step(closure)
            schedule.step()
            return result

        optimizer.step = stepped
        return optimizer


class OwnForward(Plain):
    def hang(self, module):
        module[1].forward = torch.relu


class Layers(nn.Sequential):
    """Layers whose `after` changes what they give."""

    def forward(self, inputs):
        return self.after(super().forward(inputs))


class Cooled(Layers):
    def after(self, logits):
        return logits if self.training else logits * 0.05


class InAttribute(Layers):
    seen = 0

    def after(self, logits):
        self.seen += self.training
        return logits if self.seen < 30 else logits * 0.25


class OnTheClass(Layers):
    seen = 0

    def after(self, logits):
        OnTheClass.seen += 1
        return logits if OnTheClass.seen < 10**6 else logits * 0.25


CALLS = [0]


def _note_a_call():
    CALLS[0] += 1


class InAGlobal(Layers):
    def after(self, logits):
        _note_a_call()
        return logits if CALLS[0] < 10**6 else logits * 0.25


class AmongTheGlobals(Layers):
    def after(self, logits):
        globals()["MORE_CALLS"] = globals().get("MORE_CALLS", 0) + 1
        return logits if globals()["MORE_CALLS"] < 10**6 else logits * 0.25


class InAModuleOfAnother(Layers):
    def after(self, logits):
        math.calls = getattr(math, "calls", 0) + 1
        return logits if math.calls < 10**6 else logits * 0.25


class InACache(Layers):
    def after(self, logits):
        _remembered(_remembered.cache_info().currsize)
        return logits if _remembered.cache_info().currsize < 10**6 else logits * 0.25


@functools.cache
def _remembered(calls):
    return calls


class PickledItsOwnWay:
    calls = 0

    def __reduce__(self):
        return PickledItsOwnWay, ()


class InWhatPickleLeavesOut(Layers):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.note = PickledItsOwnWay()

    def after(self, logits):
        self.note.calls += 1
        return logits if self.note.calls < 10**6 else logits * 0.25


class ByTheGradient(Layers):
    def after(self, logits):
        return logits if logits.requires_grad else -logits


class ByTheSizeOfTheBatch(Layers):
    def after(self, logits):
        return logits if len(logits) == 64 else -logits


class InAnIterator(Layers):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.factors = itertools.chain([1.0] * 1000, itertools.repeat(0.25))

    def after(self, logits):
        return logits * next(self.factors)


class InAGenerator(Layers):
    def __init__(self, *layers):
        super().__init__(*layers)
        self.factors = (1.0 if i < 1000 else 0.25 for i in itertools.count())

    def after(self, logits):
        return logits * next(self.factors)


class WhenSwitched(Layers):
    """Counts how often it was put into evaluation mode."""

    looks = 0

    def train(self, mode=True):
        self.looks += not mode
        return super().train(mode)

    def after(self, logits):
        return logits if self.looks < 1000 else logits * 0.25


def closing_over():
    seen = [0]

    class Closing(Layers):
        def after(self, logits):
            seen[0] += 1
            return logits if seen[0] < 1000 else logits * 0.25

    return Closing


class Drawing(Layers):
    def after(self, logits):
        return logits if np.random.rand() < 2 else logits * 0.25


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        (Cooled, "in evaluation mode the module is"),
        (InAttribute, "'seen'"),
        (OnTheClass, "'OnTheClass'"),
        (InAGlobal, "'InAGlobal'"),
        (AmongTheGlobals, "'AmongTheGlobals'"),
        (InAModuleOfAnother, "'InAModuleOfAnother'"),
        (InACache, "'InACache'"),
        (InWhatPickleLeavesOut, "'note'"),
        (ByTheGradient, "in evaluation mode the module is"),
        (ByTheSizeOfTheBatch, "rows are not independent"),
        (InAnIterator, "'factors'"),
        (InAGenerator, "'factors'"),
        (WhenSwitched, "'looks'"),
        (closing_over(), "'Closing'"),
        (Drawing, "draws random numbers"),
    ],
)
def test_what_depends_on_more_than_parameters_and_the_row_is_trained_plainly(toys, layers, reason):
    model = type("Around", (Plain,), {"around": layers})
    record, _ = toys.run(model, pairs=64)
    assert (record.status, record.engine.name) == ("done", "eager")
    assert reason in record.engine.reason


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (StepHook, "the optimiser has hooks"),
        (Wrapped, "the optimiser has a step() of its own"),
        (OwnForward, "module '1' has a forward() of its own"),
    ],
)
def test_what_was_replaced_is_trained_plainly(toys, model, reason):
    record, _ = toys.run(model, pairs=64)
    assert (record.engine.name, reason in record.engine.reason) == ("eager", True)


@pytest.mark.parametrize(
    ("cls", "name"), [(nn.Linear, "forward"), (nn.Module, "__call__"), (torch.optim.Adam, "step")]
)
def test_what_was_replaced_on_a_class_of_torch_is_trained_plainly(toys, cls, name, monkeypatch):
    """The count is kept where nothing of the model's leads to it."""
    original = getattr(cls, name)

    def counted(self, *args, **kwargs):
        cls.calls = getattr(cls, "calls", 0) + 1
        return original(self, *args, **kwargs)

    monkeypatch.setattr(cls, "calls", 0, raising=False)
    monkeypatch.setattr(cls, name, counted)
    record, _ = toys.run(Plain, pairs=64)
    assert record.engine.name == "eager"
    assert f"whose {name}() was replaced by one of {__name__}" in record.engine.reason


def test_plain_layers_are_captured(toys):
    record, _ = toys.run(Plain, pairs=64)
    assert (record.engine.name, record.engine.reason) == ("traced", "")


class Scripted(Plain):
    def build(self, task):
        return torch.jit.script(nn.Linear(task.n_inputs, task.n_classes))


@pytest.mark.filterwarnings("ignore:.*torch.jit.script")
def test_a_scripted_module_is_trained_plainly(toys):
    record, _ = toys.run(Scripted, pairs=64)
    assert (record.status, record.engine.name, record.error) == ("done", "eager", None)


# Later in a run


class FromOutside(Layers):
    """Gives other logits once somebody says so where nothing of it is seen."""

    def after(self, logits):
        return logits * float(os.environ.get("SWITCHED", "1"))


@pytest.fixture
def early(monkeypatch):
    """Look again after some four steps, and then after some sixteen."""
    monkeypatch.setattr(comparison, "FIRST_RECHECK", 4)
    monkeypatch.setenv("SWITCHED", "1")


def test_a_step_that_holds_no_longer_sends_its_runs_to_the_plain_loop(toys, early, monkeypatch):
    model = type("Around", (Plain,), {"around": FromOutside})
    registry = toys.registry(model)
    job = toys.job(model, registry=registry, pairs=6_400, full=True, seeds=(0, 1))

    def watch(run_spec):
        return lambda pairs, progress: monkeypatch.setenv("SWITCHED", "1" if pairs < 64 else "0.5")

    records = [record for record, _ in run(job, registry, watch)]
    assert [record.seed for record in records] == [0, 1]
    for record in records:
        assert (record.status, record.pairs, record.engine.name) == ("done", 6_400, "eager")
        assert record.engine.reason.startswith("seen later in the run: ")


def test_what_ends_before_a_moment_is_looked_at_as_it_ends(toys, early, monkeypatch):
    monkeypatch.setattr(comparison, "FIRST_RECHECK", 1_000_000)
    model = type("Around", (Plain,), {"around": FromOutside})
    registry = toys.registry(model)
    job = toys.job(model, registry=registry, pairs=640, full=True, seeds=(0, 1))

    def watch(run_spec):
        return lambda pairs, progress: monkeypatch.setenv("SWITCHED", "1" if pairs < 64 else "0.5")

    records = [record for record, _ in run(job, registry, watch)]
    assert [(record.seed, record.pairs, record.engine.name) for record in records] == [
        (0, 640, "eager"),
        (1, 640, "eager"),
    ]
    assert records[0].engine.reason.startswith("seen later in the run: ")


def test_looking_again_changes_no_bit(toys, early, monkeypatch):
    looked, _ = toys.run(Plain, pairs=6_400, full=True)
    monkeypatch.setattr(comparison, "FIRST_RECHECK", 1_000_000)
    alone, _ = toys.run(Plain, pairs=6_400, full=True)
    assert looked.engine.name == "traced"
    assert looked.result() == alone.result()


# What is held outside


def test_what_changes_outside_is_named_and_what_stays_is_not():
    module = nn.Sequential(nn.Linear(2, 2))
    module.notes = {"a": [1]}
    state = SimpleNamespace(module=module, optimizer=None, schedule=None)
    before = outside_state(state)
    assert changed(before, outside_state(state)) == []
    module.notes["a"].append(2)
    module.more = 1
    assert changed(before, outside_state(state)) == ["notes", "more"]
