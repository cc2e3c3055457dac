"""Is a model, or a computed row, what the contract asks? Every check, in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import BaseConfig, Estimator, MetricName, Reference, Task
from codonbench.contracts.run_spec import configure
from codonbench.errors import UnknownNameError
from codonbench.plugins.entries import ModelClass
from codonbench.plugins.failures import file_of
from codonbench.testing import building, estimators, outputs, training
from codonbench.testing.checks import Check, Finding, Verdict, examine, failed, insist, passed
from codonbench.testing.environment import kept_settings, listening
from codonbench.testing.subject import Subject, dataset_of, find_task, installed
from codonbench.training.determinism import pin_arithmetic


def check_model(
    model: str | ModelClass,
    *,
    preset: str | None = None,
    task: str | Task | None = None,
    data: str | None = None,
) -> None:
    """Hold a model to everything that `bench check` does, in the process it is called in.

    Args:
        model: A class, or the name of an installed model or preset.
        preset: One of the class's presets; its defaults otherwise.
        task: A task or its name; the default task otherwise.
        data: Of the task, a name or a path; its default data otherwise, without network.

    Raises:
        AssertionError: Lists every check that failed, in words.
        UnknownNameError: No model, preset or task has that name.
        ConfigError: The preset's fields are not valid.
        DataError: The data are not there.
    """
    if isinstance(model, str):
        entry = installed().model(model)
        cls, values, whose = entry.cls, dict(entry.preset), f"model {model!r}"
    else:
        cls, values, whose = model, {}, f"model {model.__name__}"
    if preset is not None:
        if preset not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise UnknownNameError(f"{whose} has no preset {preset!r}; it has {known}")
        values, whose = dict(cls.presets[preset]), f"{whose}, preset {preset!r}"
    config = configure(cls.Config, values, {}, whose)
    insist(findings(subject_of(cls, config, find_task(task), data), hurry=True), whose)


def subject_of(cls: ModelClass, config: BaseConfig, task: Task, data: str | None = None) -> Subject:
    """Return what is to be checked; raises what `dataset_of` does."""
    return Subject(cls, config, dataset_of(task, data))


def checks_of(subject: Subject) -> tuple[Check[Subject], ...]:
    """Return what a model, an estimator or a computed row is held to."""
    if issubclass(subject.cls, Estimator):
        return ESTIMATOR_CHECKS
    return REFERENCE_CHECKS if issubclass(subject.cls, Reference) else MODEL_CHECKS


def findings(
    subject: Subject, begun: Callable[[str], None] = lambda check: None, *, hurry: bool = False
) -> Iterator[Finding]:
    """Yield findings; what the plugin prints is counted, what it sets is put back.

    Args:
        subject: What is checked.
        begun: Told the id of each check before it begins.
        hurry: Leave out the checks that cannot fail.
    """

    def quietly(check: Check[Any], subject: Subject) -> Verdict:
        with kept_settings(), listening(subject.printed):
            return check.examine(subject)

    contained = [
        replace(check, examine=partial(quietly, check))
        for check in checks_of(subject)
        if not (hurry and check.advisory)
    ]
    with kept_settings():
        pin_arithmetic(1)
        yield from examine(contained, subject, file_of(subject.cls), begun)


def gives_logits(subject: Subject) -> Verdict:
    """Hold shape, type and steadiness of the constant logits."""
    spec = subject.dataset.spec
    logits = subject.cls(subject.config).logits(spec)
    if logits is None:
        return passed("none: its values are known in closed form")
    expected = (len(subject.setup.evaluated()[subject.split]), len(spec.target.names))
    if not isinstance(logits, np.ndarray) or logits.shape != expected:
        given = logits.shape if isinstance(logits, np.ndarray) else type(logits).__name__
        return failed(f"logits gave {given}, expected an array {expected}: (items, classes)")
    if logits.dtype != np.float32 or not np.isfinite(logits).all():
        return failed(f"logits gave {logits.dtype}, expected finite numbers of float32")
    again = subject.cls(subject.config).logits(spec)
    if not isinstance(again, np.ndarray) or logits.tobytes() != again.tobytes():
        return failed("logits gave other numbers the second time; they must not depend on chance")
    return passed(f"{expected} float32")


def gives_values(subject: Subject) -> Verdict:
    """Hold that closed-form values have valid names, are numbers, and come alike twice."""
    data = subject.dataset
    frequencies = None if data.frequencies is None else data.frequencies.copy()
    values = subject.cls(subject.config).values(data.spec, frequencies)
    for name, value in values.items():
        try:
            TypeAdapter(MetricName).validate_python(name)
        except ValidationError:
            return failed(f"{name!r} is no name of a metric: letters, digits and underscores")
        number = isinstance(value, int | float) and math.isfinite(value)
        if value is not None and not number:
            return failed(f"{name} is {value!r}; expected a finite number, or None for never")
    untouched = None if data.frequencies is None else data.frequencies.tobytes()
    if frequencies is not None and frequencies.tobytes() != untouched:
        return failed("values changed the frequencies it was given; work on a copy")
    if dict(subject.cls(subject.config).values(data.spec, frequencies)) != dict(values):
        return failed("values gave other numbers the second time; they must not depend on chance")
    subject.cls(subject.config).values(data.spec, None)  # of a FASTA file nothing may be known
    return passed(", ".join(values) if values else "")


_OF_A_CLASS: tuple[Check[Subject], ...] = (
    Check("identity", "name, version and presets are valid", building.has_valid_names),
    Check("config", "the configuration survives JSON", building.survives_json),
    Check("class", "the class can be sent to another process", building.class_pickles),
)
_QUIET = Check("quiet", "it does not fill the terminal", building.printed_little)
_BUILT = ("device", "fresh", "settings")
_SOUND = (*_BUILT, "shape", "inputs")
_TRAINED = (*_SOUND, "optimiser", "finite")
_EVALUATED = (*_TRAINED, "evaluation")

MODEL_CHECKS: tuple[Check[Subject], ...] = (
    *_OF_A_CLASS,
    Check("encoding", "the task offers each encoding", building.is_offered),
    Check("build", "build returns a module", building.returns_a_module, ("encoding",)),
    Check("settings", "build leaves global settings alone", building.leaves_settings, ("build",)),
    Check("fresh", "build returns a fresh module each time", building.is_fresh, ("build",)),
    Check("seeding", "build leaves seeding to the harness", building.leaves_seeding, ("build",)),
    Check("device", "the module is where it is asked to be", building.is_on_device, ("build",)),
    Check("size", "its parameters are counted", building.is_counted, ("build",)),
    Check("shape", "one row of outputs for each input", outputs.has_shape, _BUILT),
    Check(
        "logits",
        "its outputs are logits",
        outputs.are_logits,
        (*_BUILT, "shape"),
        advisory=True,
    ),
    Check(
        "portable",
        "forward works where its inputs are",
        outputs.follows_inputs,
        (*_BUILT, "shape"),
        advisory=True,
    ),
    Check("inputs", "inputs are left as they are", outputs.leaves_inputs, (*_BUILT, "shape")),
    Check("untaught", "it knows nothing before its first pair", outputs.knows_nothing, _SOUND),
    Check("optimiser", "the optimiser holds every parameter", training.is_optimised, _SOUND),
    Check(
        "gradient", "gradients reach every parameter", training.is_reached, (*_SOUND, "optimiser")
    ),
    Check("finite", "the loss is finite", training.is_finite, (*_SOUND, "optimiser")),
    Check("deterministic", "one seed gives one result", training.is_deterministic, _TRAINED),
    Check("evaluation", "evaluation draws no random numbers", training.draws_nothing, _SOUND),
    Check(
        "undisturbed",
        "being evaluated does not change training",
        training.leaves_training,
        (*_TRAINED, "deterministic", "evaluation"),
    ),
    Check(
        "weights",
        "its state_dict is all of it",
        training.weights_survive,
        _EVALUATED,
    ),
    Check("pickle", "the module can be pickled", training.module_pickles, _EVALUATED),
    Check(
        "rows", "what it claims of rows is true", outputs.keeps_rows_apart, (*_SOUND, "evaluation")
    ),
    Check("learning", "the loss falls", training.learns, _TRAINED, advisory=True),
    Check(
        "engine",
        "which engine will train it",
        training.engine,
        (*_TRAINED, "rows"),
        advisory=True,
    ),
    _QUIET,
)
"""What every model must pass. A check comes after those it needs."""

_GIVEN = ("served", "outputs")

ESTIMATOR_CHECKS: tuple[Check[Subject], ...] = (
    *_OF_A_CLASS,
    Check("served", "the task can be served", estimators.is_served),
    Check("outputs", "one row of outputs for each item", estimators.gives_outputs, ("served",)),
    Check("deterministic", "one seed gives one result", estimators.repeats, _GIVEN),
    Check("inputs", "what it is given is left as it is", estimators.leaves_training_set, _GIVEN),
    Check("rows", "an item's outputs depend on it alone", estimators.keeps_items_apart, _GIVEN),
    Check("learning", "the loss falls", estimators.learns, _GIVEN, advisory=True),
    _QUIET,
)
"""What every estimator must pass."""

REFERENCE_CHECKS: tuple[Check[Subject], ...] = (
    *_OF_A_CLASS,
    Check("logits", "logits are constant and of the right shape", gives_logits),
    Check("values", "values are numbers under valid names", gives_values),
    _QUIET,
)
"""What every computed row must pass."""
