"""All checks of models, estimators and computed rows, in order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack

import numpy as np

from codonbench.contracts import BaseConfig, Estimator, MetricName, Reference, Task
from codonbench.contracts.run_spec import configure
from codonbench.errors import UnknownNameError
from codonbench.plugins.entries import ModelClass
from codonbench.plugins.failures import file_of, maker_of
from codonbench.testing import building, estimators, outputs, training
from codonbench.testing.checks import (
    CheckResult,
    Checks,
    Verdict,
    examine,
    failed,
    misfit,
    passed,
    raise_failures,
    warning,
)
from codonbench.testing.environment import kept_settings, listening, one_at_a_time
from codonbench.testing.subject import ModelSubject, dataset_of, find_task, installed
from codonbench.training.determinism import pin_arithmetic

_MUCH = 2_000  # characters; a line at each of some hundred steps exceeds it


@one_at_a_time
def check_model(
    model: str | ModelClass,
    *,
    preset: str | None = None,
    task: str | Task | None = None,
    data: str | None = None,
) -> None:
    """Run all checks of `bench check` on a model in this process.

    Calls from several threads are serialised.

    Args:
        model: A class, or the name of an installed model or preset.
        preset: A preset of the class; None for its defaults.
        task: A task or its name; None for the default task.
        data: Name or path of data of the task; None for its default data. No network is used.

    Raises:
        AssertionError: Checks failed; the message lists all.
        UnknownNameError: No model, preset or task has that name.
        ConfigError: The preset's fields are not valid.
        DataError: The data are missing.
    """
    if isinstance(model, str):
        entry = installed().model(model)
        cls, values, owner = entry.cls, dict(entry.preset), f"model {model!r}"
    else:
        cls, values, owner = model, {}, f"model {model.__name__}"
    if preset is not None:
        if preset not in cls.presets:
            known = ", ".join(cls.presets) or "none"
            raise UnknownNameError(f"{owner} has no preset {preset!r}; it has {known}")
        values, owner = dict(cls.presets[preset]), f"{owner}, preset {preset!r}"
    config = configure(cls.Config, values, {}, owner)
    raise_failures(findings(subject_of(cls, config, find_task(task), data), hurry=True), owner)


def subject_of(
    cls: ModelClass, config: BaseConfig, task: Task, data: str | None = None
) -> ModelSubject:
    """Return the subject of checks; raises as `dataset_of` does."""
    return ModelSubject(cls, config, dataset_of(task, data))


def checks_of(subject: ModelSubject) -> Checks[ModelSubject]:
    """Return the checks of a model, an estimator or a computed row."""
    if issubclass(subject.cls, Estimator):
        return ESTIMATOR_CHECKS
    return REFERENCE_CHECKS if issubclass(subject.cls, Reference) else MODEL_CHECKS


def findings(
    subject: ModelSubject, begun: Callable[[str], None] = lambda check: None, *, hurry: bool = False
) -> Iterator[CheckResult]:
    """Run the checks of a subject; count its output and restore settings that it changes.

    Args:
        subject: The subject.
        begun: Called with the id of each check before it runs.
        hurry: Whether to leave out advisory checks, which cannot fail.
    """

    def quietly() -> AbstractContextManager[object]:
        stack = ExitStack()
        stack.enter_context(kept_settings())
        stack.enter_context(listening(subject.printed))
        return stack

    chosen = [check for check in checks_of(subject) if not (hurry and check.advisory)]
    with kept_settings():
        pin_arithmetic(1)
        cls = subject.cls
        yield from examine(chosen, subject, file_of(cls), begun, quietly, maker_of(cls))


MODEL_CHECKS = Checks[ModelSubject]([*building.CHECKS, *outputs.CHECKS, *training.CHECKS])
"""The checks of models."""

ESTIMATOR_CHECKS = Checks[ModelSubject]([*building.CHECKS[:2], *estimators.CHECKS])
"""The checks of estimators."""

REFERENCE_CHECKS = Checks[ModelSubject](building.CHECKS[:2])
"""The checks of computed rows: those of any class, and of logits and values."""


@REFERENCE_CHECKS.hold("logits")
def gives_logits(subject: ModelSubject) -> Verdict:
    """Logits are constant and of the right shape."""
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


@REFERENCE_CHECKS.hold("values")
def gives_values(subject: ModelSubject) -> Verdict:
    """Values are numbers under valid names."""
    data = subject.dataset
    frequencies = None if data.frequencies is None else data.frequencies.copy()
    values = subject.cls(subject.config).values(data.spec, frequencies)
    for name, value in values.items():
        if misfit(MetricName, name):
            return failed(f"{name!r} is no name of a metric: letters, digits and underscores")
        number = isinstance(value, int | float) and math.isfinite(value)
        if value is not None and not number:
            return failed(f"{name} is {value!r}; expected a finite number, or None for never")
    untouched = None if data.frequencies is None else data.frequencies.tobytes()
    if frequencies is not None and frequencies.tobytes() != untouched:
        return failed("values changed the frequencies it was given; work on a copy")
    if dict(subject.cls(subject.config).values(data.spec, frequencies)) != dict(values):
        return failed("values gave other numbers the second time; they must not depend on chance")
    subject.cls(subject.config).values(data.spec, None)  # FASTA has no frequencies
    return passed(", ".join(values) if values else "")


@MODEL_CHECKS.hold("quiet")
@ESTIMATOR_CHECKS.hold("quiet")
@REFERENCE_CHECKS.hold("quiet")
def printed_little(subject: ModelSubject) -> Verdict:
    """Little is printed."""
    printed = subject.printed
    amount = printed.characters
    if amount > _MUCH:
        first = next(filter(None, printed.beginning.splitlines()), "")
        # Of a warning the message, without file and line.
        first = re.sub(r"^.*?:\d+: (?=\w*Warning: )", "", first)[:60]
        return warning(
            f"it printed {amount:,} characters during these checks, beginning {first!r}; a whole "
            "run may print thousands of times as much: print nothing, and see to it that nothing "
            "is warned of"
        )
    return passed(f"{amount:,} characters printed" if amount else "")
