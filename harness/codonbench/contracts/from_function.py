"""A model from a plain function: the short way for a module that has nothing special about it.

A complete plugin, as one file or as a module of an installed distribution::

    import codonbench
    from torch import nn

    @codonbench.model(encoding="input_onehot", learning_rate=0.05)
    def two_layers(task, hidden: int = 64):
        \"\"\"Two linear layers on the one-hot input.\"\"\"
        return nn.Sequential(
            nn.Linear(task.n_inputs, hidden),
            nn.Linear(hidden, task.n_classes),
        )

It needs no hook: what is marked so in a module that is loaded is registered. The model is called
``two-layers``, and ``hidden`` is a field that ``--set hidden=128`` overrides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, create_model

from codonbench.contracts.model import ClassWeights, GradientConfig, Model, ModelInfo
from codonbench.contracts.task import TaskView
from codonbench.errors import PluginError

if TYPE_CHECKING:
    import torch


class FunctionConfig(GradientConfig):
    """Base of the ``Config`` that `model` makes, whose defaults come from outside."""

    model_config = ConfigDict(validate_default=True)


class FunctionModel(Model):
    """Base of the classes that `model` makes, by which a plugin's module is known to hold one.

    Class attributes:
        function: What builds the module.
        fields: The names of its hyperparameters.
    """

    function: ClassVar[Callable[..., torch.nn.Module]]
    fields: ClassVar[tuple[str, ...]]

    def build(self, task: TaskView) -> torch.nn.Module:
        """Return what the function returns for `task` and the configured hyperparameters.

        Raises:
            PluginError: That is None.
        """
        function = type(self).function
        module = function(task, **{field: getattr(self.config, field) for field in self.fields})
        if module is None:
            raise PluginError(
                f"function {function.__name__} returned None; expected a torch.nn.Module: "
                "does it lack a return?"
            )
        return module


def model(
    without_parentheses: object = None,
    /,
    *,
    encoding: str | None = None,
    name: str | None = None,
    version: str = "1",
    summary: str | None = None,
    optimizer: Literal["adam", "adamw", "sgd"] = "adam",
    learning_rate: float = 1e-3,
    batch_size: int = 64,
    class_weights: ClassWeights = "none",
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    row_independent: bool = False,
    authors: tuple[str, ...] = (),
    licence: str = "",
    reference: str = "",
    pretrained_on: str = "",
    **settings: Any,
) -> Callable[[Callable[..., torch.nn.Module]], type[FunctionModel]]:
    """Make a model of the function below: ``function(task, **hyperparameters) -> nn.Module``.

    The function gets a `TaskView` and returns a fresh module that maps an encoded batch (B, ...)
    to logits (B, n_classes). Each further parameter must have a default and becomes a field of
    the model's ``Config``, typed by its annotation.

    Args:
        without_parentheses: Nothing: what a forgotten ``(encoding=...)`` puts here is refused.
        encoding: What the module is handed, one of the names in `codonbench.data.encodings`;
            it must be given.
        name: As in ``--model NAME``; the function's name by default, ``-`` for ``_``.
        version: Changes whenever a score could.
        summary: One line; the first of the docstring by default.
        optimizer: Default of the field ``optimizer``.
        learning_rate: Default of the field ``learning_rate``.
        batch_size: Default of the field ``batch_size``.
        class_weights: Default of the field ``class_weights``.
        presets: Named configurations: ``{"two-layers-128": {"hidden": 128}}``.
        row_independent: The claim, as in `ModelInfo`.
        authors: For the record.
        licence: For the record.
        reference: For the record.
        pretrained_on: What its weights have seen before the first pair.
        settings: Defaults of the other fields of `GradientConfig`: ``schedule="cosine"``.

    Returns:
        A decorator that puts a class of the contract `Model` in the function's place.

    Raises:
        PluginError: No encoding is given; a parameter has no default, or bears the name of a
            field of the harness; or a setting is none that there is.
        pydantic.ValidationError: A default or a word of the description is out of its bounds.
    """
    if without_parentheses is not None or encoding is None:
        raise PluginError(
            "@codonbench.model lacks an encoding; expected one by its name, as in "
            '@codonbench.model(encoding="input_onehot")'
        )
    if unknown := sorted(settings.keys() - GradientConfig.model_fields.keys()):
        raise PluginError(
            f"@codonbench.model has no setting {unknown[0]!r}; expected one of "
            f"{', '.join(sorted(GradientConfig.model_fields))}"
        )
    defaults = {
        **settings,
        "optimizer": optimizer,
        "learning_rate": learning_rate,
        "batch_size": batch_size,
        "class_weights": class_weights,
    }

    def decorate(function: Callable[..., torch.nn.Module]) -> type[FunctionModel]:
        hyperparameters = _hyperparameters(function)
        info = ModelInfo(
            name=name or function.__name__.lower().replace("_", "-"),
            version=version,
            summary=summary or _first_line(function),
            authors=authors,
            licence=licence,
            reference=reference,
            pretrained_on=pretrained_on,
            row_independent=row_independent,
        )
        config = _make_config(function, hyperparameters, defaults)
        config()  # validates the defaults
        return type(
            function.__name__,
            (FunctionModel,),
            {
                # The class takes the function's place, so that pickle finds it there.
                "__module__": function.__module__,
                "__qualname__": function.__qualname__,
                "__doc__": function.__doc__,
                "info": info,
                "Config": config,
                "presets": dict(presets or {}),
                "encoding": encoding,
                "function": staticmethod(function),
                "fields": tuple(hyperparameters),
            },
        )

    return decorate


def _hyperparameters(function: Callable[..., Any]) -> dict[str, tuple[Any, Any]]:
    """Return type and default of each parameter after the task."""
    owner = f"function {function.__name__}"
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].kind is inspect.Parameter.KEYWORD_ONLY:
        raise PluginError(
            f"{owner}{inspect.signature(function)} takes no task; "
            f"expected def {function.__name__}(task, ...)"
        )
    found = {}
    for parameter in parameters[1:]:
        field = parameter.name
        if parameter.default is parameter.empty:
            raise PluginError(
                f"{owner}: parameter {field!r} has no default; "
                f"expected one that a run may use, as in {field}=64"
            )
        if field in GradientConfig.model_fields:
            raise PluginError(
                f"{owner}: {field!r} is the harness's own field, not the function's; "
                f"give its default to the decorator: @codonbench.model({field}=...)"
            )
        untyped = parameter.annotation is parameter.empty
        kind = type(parameter.default) if untyped else parameter.annotation
        found[field] = (kind, parameter.default)
    return found


def _make_config(
    function: Callable[..., Any],
    hyperparameters: dict[str, tuple[Any, Any]],
    defaults: dict[str, Any],
) -> type[FunctionConfig]:
    """Return the class of configurations: the harness's fields with `defaults`, and one's own."""
    fields: dict[str, Any] = dict(hyperparameters)
    for field, default in defaults.items():
        known = copy(GradientConfig.model_fields[field])
        known.default = default
        fields[field] = (known.annotation, known)
    config = create_model(
        "Config", __base__=FunctionConfig, __module__=function.__module__, **fields
    )
    config.__qualname__ = f"{function.__qualname__}.Config"
    return config


def _first_line(function: Callable[..., Any]) -> str:
    lines = (inspect.getdoc(function) or "").splitlines()
    return lines[0] if lines else f"What the function {function.__name__} builds"
