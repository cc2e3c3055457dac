"""A model from a plain function: the short way for a module that has nothing special about it.

A complete plugin, as one file or as a module of an installed distribution::

    import codonbench
    from torch import nn

    @codonbench.model(encoding="symbol_onehot", learning_rate=0.05)
    def two_layers(task, hidden: int = 64):
        \"\"\"Two linear layers on each letter, and the mean over letters.\"\"\"
        return nn.Sequential(
            nn.Linear(task.input.channels, hidden),
            nn.Linear(hidden, task.n_outputs),
            nn.AdaptiveAvgPool2d((1, None)),
            nn.Flatten(),
        )

It needs no hook: what is marked so in a module that is loaded is registered. The model is called
``two-layers``, and ``hidden`` is a field that ``--set hidden=128`` overrides.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from copy import copy
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
from pydantic import ConfigDict, create_model

from codonbench.contracts.model import (
    BaseConfig,
    ClassWeights,
    Estimator,
    GradientConfig,
    Model,
    ModelInfo,
    TrainingSet,
)
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
        function: Builds the module.
        fields: The names of its hyperparameters.
    """

    Config: ClassVar[type[FunctionConfig]] = FunctionConfig
    function: ClassVar[Callable[..., torch.nn.Module]]
    fields: ClassVar[tuple[str, ...]]

    def build(self, task: TaskView) -> torch.nn.Module:
        """Return what the function returns for `task` and the configured hyperparameters.

        Raises:
            PluginError: That is None, or an estimator.
        """
        function = type(self).function
        module = function(task, **{field: getattr(self.config, field) for field in self.fields})
        _refuse_none(function, module, "a torch.nn.Module")
        if hasattr(module, "fit") and hasattr(module, "predict"):
            raise PluginError(
                f"function {function.__name__} returned a {type(module).__name__}, which is fitted "
                "in one go; mark it with @codonbench.estimator in place of @codonbench.model"
            )
        return module


class EstimatorConfig(BaseConfig):
    """Base of the ``Config`` that `estimator` makes."""

    model_config = ConfigDict(validate_default=True)


class FunctionEstimator(Estimator):
    """Base of the classes that `estimator` makes.

    Class attributes:
        function: Returns an estimator of scikit-learn's kind.
        fields: The names of its hyperparameters.
    """

    Config: ClassVar[type[EstimatorConfig]] = EstimatorConfig
    function: ClassVar[Callable[..., Any]]
    fields: ClassVar[tuple[str, ...]]

    def fit(self, training: TrainingSet) -> None:
        """Fit one for classes, or one for each label or quantity where that is known."""
        self.task = task = training.task
        chosen = {field: getattr(self.config, field) for field in self.fields}
        targets = training.targets if task.target == "classes" else training.targets.T
        self.fitted = []
        for column in targets.reshape(-1, len(training.targets)):
            known = np.flatnonzero(~np.isnan(column))
            right = column[known] if task.target == "quantities" else column[known].astype(np.int64)
            fresh = type(self).function(task, **chosen)
            _refuse_none(type(self).function, fresh, "an estimator")
            fresh.fit(_some(training.items, known, len(column)), right)
            self.fitted.append(fresh)

    def predict(self, items: Any) -> npt.NDArray[np.floating[Any]]:
        """Return log-probabilities or scores of classes, log-odds of labels, or quantities."""
        if self.task.target == "classes":
            return _class_scores(self.fitted[0], items, self.task.n_outputs)
        if self.task.target == "quantities":
            columns = [np.asarray(each.predict(items)).reshape(-1) for each in self.fitted]
        else:
            scores = [_class_scores(each, items, 2) for each in self.fitted]
            columns = [score[:, 1] - score[:, 0] for score in scores]
        return np.stack(columns, axis=1)


def _refuse_none(function: Callable[..., Any], made: object, expected: str) -> None:
    if made is None:
        raise PluginError(
            f"function {function.__name__} returned None; expected {expected}: "
            "does it lack a return?"
        )


def _some(items: Any, index: npt.NDArray[np.int64], of: int) -> Any:
    """Return some of the items, in any encoding; all of them as they are."""
    if len(index) == of:
        return items
    if isinstance(items, np.ndarray):
        return items[index]
    return [items[i] for i in index] if isinstance(items, list) else items.take(index)


def _class_scores(fitted: Any, items: Any, n_classes: int) -> npt.NDArray[np.floating[Any]]:
    """Return log-probabilities (N, K), or decision values where there are no probabilities.

    A class that training lacks is as unlikely as can be.
    """
    kind = type(fitted).__name__
    if not hasattr(fitted, "predict_proba") and not hasattr(fitted, "decision_function"):
        raise PluginError(
            f"{kind} has neither predict_proba nor decision_function, one of "
            "which gives the outputs of classes; choose an estimator that has"
        )
    if not hasattr(fitted, "classes_"):
        raise PluginError(
            f"{kind} has no classes_ once it is fitted; expected the class ids that its columns "
            "are of, in their order: self.classes_ = np.unique(class_ids) in fit"
        )
    if hasattr(fitted, "predict_proba"):
        likely = np.zeros((len(items), n_classes))
        likely[:, fitted.classes_] = fitted.predict_proba(items)
        return np.log(np.maximum(likely, _UNLIKELY))
    values = np.asarray(fitted.decision_function(items))
    if values.ndim == 1:
        values = np.stack([-values / 2, values / 2], axis=1)
    scores = np.full((len(items), n_classes), values.min() - 20.0)
    scores[:, fitted.classes_] = values
    return scores


_UNLIKELY = 1e-9
"""What stands for a probability of 0, whose logarithm is not finite."""


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
    files: tuple[str, ...] = (),
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
        without_parentheses: No argument: it refuses a decorator without ``(encoding=...)``.
        encoding: The module's input, one of the names in `codonbench.data.encodings`; required.
        name: As in ``--model NAME``; the function's name by default, ``-`` for ``_``.
        version: To be raised with every change that could change a score.
        summary: One line; the first of the docstring by default.
        optimizer: Default of the field ``optimizer``.
        learning_rate: Default of the field ``learning_rate``.
        batch_size: Default of the field ``batch_size``.
        class_weights: Default of the field ``class_weights``.
        presets: Named configurations: ``{"two-layers-128": {"hidden": 128}}``.
        files: Names of the files beside this one that it reads, as in `Model`.
        row_independent: The claim, as in `ModelInfo`.
        authors: For the record.
        licence: For the record.
        reference: For the record.
        pretrained_on: The data that its weights were pretrained on.
        settings: Defaults of the other fields of `GradientConfig`: ``schedule="cosine"``.

    Returns:
        A decorator that puts a class of the contract `Model` in the function's place.

    Raises:
        PluginError: No encoding is given; a parameter has no default, or the name of a field of the
            harness; or a setting does not exist.
        pydantic.ValidationError: A default or a description is out of its bounds.
    """
    if without_parentheses is not None or encoding is None:
        raise PluginError(
            "@codonbench.model lacks an encoding; expected one by its name, as in "
            '@codonbench.model(encoding="symbol_onehot")'
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

    info = {
        "name": name,
        "version": version,
        "summary": summary,
        "authors": authors,
        "licence": licence,
        "reference": reference,
        "pretrained_on": pretrained_on,
        "row_independent": row_independent,
    }
    own = {"encoding": encoding, "presets": dict(presets or {}), "files": files}

    def decorate(function: Callable[..., torch.nn.Module]) -> type[FunctionModel]:
        return cast(type[FunctionModel], _make_class(function, FunctionModel, defaults, info, own))

    return decorate


def estimator(
    without_parentheses: object = None,
    /,
    *,
    encoding: str | None = None,
    name: str | None = None,
    version: str = "1",
    summary: str | None = None,
    presets: Mapping[str, Mapping[str, Any]] | None = None,
    files: tuple[str, ...] = (),
    authors: tuple[str, ...] = (),
    licence: str = "",
    reference: str = "",
    pretrained_on: str = "",
) -> Callable[[Callable[..., Any]], type[FunctionEstimator]]:
    """Make an estimator of the function below, which returns one of scikit-learn's kind.

    For classes it needs ``fit(items, class_ids)``, ``predict_proba`` or ``decision_function``, and
    ``classes_``, the class ids of their columns, as in scikit-learn. For labels one such estimator
    is fitted for each label, on the items where it is known. For quantities it needs ``fit(items,
    values)`` and ``predict``; one is fitted for each quantity. NumPy's global generator, which
    ``random_state=None`` uses, is seeded by the run's seed.

    Args:
        without_parentheses: No argument: it refuses a decorator without ``(encoding=...)``.
        encoding: The input of ``fit``, as in `Estimator.encoding`; required.
        name: As in ``--model NAME``; the function's name by default, ``-`` for ``_``.
        version: To be raised with every change that could change a score.
        summary: One line; the first of the docstring by default.
        presets: Named configurations: ``{"forest-500": {"trees": 500}}``.
        files: Names of the files beside this one that it reads, as in `Estimator`.
        authors: For the record.
        licence: For the record.
        reference: For the record.
        pretrained_on: The data that it was trained on beforehand.

    Returns:
        A decorator that puts a class of the contract `Estimator` in the function's place.

    Raises:
        PluginError: No encoding is given, or a parameter has no default.
        pydantic.ValidationError: A default or a description is out of its bounds.
    """
    if without_parentheses is not None or encoding is None:
        raise PluginError(
            "@codonbench.estimator lacks an encoding; expected one by its name, as in "
            '@codonbench.estimator(encoding="text")'
        )
    info = {
        "name": name,
        "version": version,
        "summary": summary,
        "authors": authors,
        "licence": licence,
        "reference": reference,
        "pretrained_on": pretrained_on,
    }
    own = {"encoding": encoding, "presets": dict(presets or {}), "files": files}

    def decorate(function: Callable[..., Any]) -> type[FunctionEstimator]:
        return cast(
            type[FunctionEstimator], _make_class(function, FunctionEstimator, {}, info, own)
        )

    return decorate


def _make_class(
    function: Callable[..., Any],
    base: type[FunctionModel] | type[FunctionEstimator],
    defaults: Mapping[str, Any],
    given: Mapping[str, Any],
    own: Mapping[str, Any],
) -> Any:
    """Return the class that takes a function's place.

    Args:
        function: It.
        base: Base class.
        defaults: Defaults of fields of the configuration of `base`.
        given: Fields of its info.
        own: Further attributes.
    """
    fields = _hyperparameters(function, base.Config)
    config = _make_config(function, base.Config, fields, defaults)
    config()  # validates the defaults
    info = {
        **given,
        "name": given["name"] or function.__name__.lower().replace("_", "-"),
        "summary": given["summary"] or _first_line(function),
    }
    return type(
        function.__name__,
        (base,),
        {
            # The class takes the function's place, so that pickle finds it there.
            "__module__": function.__module__,
            "__qualname__": function.__qualname__,
            "__doc__": function.__doc__,
            "info": ModelInfo(**info),
            "Config": config,
            **own,
            "function": staticmethod(function),
            "fields": tuple(fields),
        },
    )


def _hyperparameters(
    function: Callable[..., Any], harness: type[BaseConfig]
) -> dict[str, tuple[Any, Any]]:
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
        if field in harness.model_fields:
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
    base: type[BaseConfig],
    hyperparameters: Mapping[str, tuple[Any, Any]],
    defaults: Mapping[str, Any],
) -> type[BaseConfig]:
    """Return the class of configurations: the harness's fields with `defaults`, and one's own."""
    fields: dict[str, Any] = dict(hyperparameters)
    for field, default in defaults.items():
        known = copy(base.model_fields[field])
        known.default = default
        fields[field] = (known.annotation, known)
    config = create_model("Config", __base__=base, __module__=function.__module__, **fields)
    config.__qualname__ = f"{function.__qualname__}.Config"
    return config


def _first_line(function: Callable[..., Any]) -> str:
    lines = (inspect.getdoc(function) or "").splitlines()
    return lines[0] if lines else f"What the function {function.__name__} builds"
