from types import ModuleType

import pytest

from codonbench import hookimpl
from codonbench.errors import PluginError
from codonbench.plugins import hookspecs
from codonbench.plugins.entries import check_hooks, hooks


def module(function, name):
    holder = ModuleType("shop")
    function.__name__, function.__module__ = name, "shop"
    setattr(holder, name, function)
    return holder


def test_the_hooks_are_those_of_hookspecs_with_their_arguments():
    assert hooks() == {
        "register_models": ("register",),
        "register_tasks": ("register",),
        "register_metrics": ("register",),
        "register_protocols": ("register",),
        "register_encodings": ("register",),
        "run_started": ("run_spec",),
        "snapshot_taken": ("trajectory", "index"),
        "run_finished": ("record",),
        "row_figures": (),
        "show_run": ("record", "trajectory", "width"),
        "explainer": ("record",),
    }
    assert all(getattr(hookspecs, name).__doc__ for name in hooks())


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (hookimpl(lambda register: None), "register_models"),
        (hookimpl(lambda: None), "run_finished"),
        (hookimpl(lambda index: None), "snapshot_taken"),
        (hookimpl(lambda register, limit=3: None), "register_metrics"),
        (lambda anything: None, "helper"),
    ],
)
def test_a_hook_may_ask_for_less_and_have_defaults_of_its_own(function, name):
    check_hooks(module(function, name))


@pytest.mark.parametrize(
    ("function", "name", "says"),
    [
        (hookimpl(lambda model: None), "register_models", "expected def register_models(register)"),
        (hookimpl(lambda record, trajectory: None), "run_finished", "no argument 'trajectory'"),
        (hookimpl(lambda register: None), "register_modls", "did you mean 'register_models'?"),
        (hookimpl(lambda: None), "zzz", "unknown hook 'zzz'; the hooks are register_models, "),
        (lambda record: None, "run_finished", "lacks its mark"),
    ],
)
def test_a_hook_that_would_not_be_called_is_refused(function, name, says):
    with pytest.raises(PluginError) as caught:
        check_hooks(module(function, name))
    assert says in str(caught.value)
    assert str(caught.value).startswith("line ")


def test_a_hook_that_is_only_imported_needs_no_mark():
    holder = module(lambda register: None, "register_models")
    holder.register_models.__module__ = "elsewhere"
    check_hooks(holder)
