"""Is a computed row what the contract asks?"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from pydantic import TypeAdapter, ValidationError

from codonbench.contracts import Dataset, MetricName, ModelConfig, Reference, Task
from codonbench.testing import identity
from codonbench.testing.building import printed_little
from codonbench.testing.checklist import Check
from codonbench.testing.findings import Verdict, failed, passed
from codonbench.testing.subject import dataset_of
from codonbench.testing.surroundings import Printed


@dataclass
class Row:
    """A computed row to be checked; as `codonbench.testing.subject.Subject`."""

    cls: type[Reference]
    config: ModelConfig
    task: Task
    printed: Printed = field(default_factory=Printed)
    parameters: int | None = None

    @property
    def dataset(self) -> Dataset:
        """The task's default data."""
        return dataset_of(self.task)


def gives_logits(row: Row) -> Verdict:
    """Hold shape, type and steadiness of the constant logits."""
    spec = row.dataset.spec
    logits = row.cls(row.config).logits(spec)
    if logits is None:
        return passed("none: its values are known in closed form")
    expected = (len(spec.evaluation_set.inputs), len(spec.target.names))
    if not isinstance(logits, np.ndarray) or logits.shape != expected:
        given = logits.shape if isinstance(logits, np.ndarray) else type(logits).__name__
        return failed(f"logits gave {given}, expected an array {expected}: (probe inputs, classes)")
    if logits.dtype != np.float32 or not np.isfinite(logits).all():
        return failed(f"logits gave {logits.dtype}, expected finite numbers of float32")
    again = row.cls(row.config).logits(spec)
    if not isinstance(again, np.ndarray) or logits.tobytes() != again.tobytes():
        return failed("logits gave other numbers the second time; they must not depend on chance")
    return passed(f"{expected} float32")


def gives_values(row: Row) -> Verdict:
    """Hold that closed-form values have valid names, are numbers, and come alike twice."""
    data = row.dataset
    frequencies = None if data.frequencies is None else data.frequencies.copy()
    values = row.cls(row.config).values(data.spec, frequencies)
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
    if dict(row.cls(row.config).values(data.spec, frequencies)) != dict(values):
        return failed("values gave other numbers the second time; they must not depend on chance")
    row.cls(row.config).values(data.spec, None)  # of a FASTA file nothing may be known
    return passed(", ".join(values) if values else "")


REFERENCE_CHECKS: tuple[Check[Row], ...] = (
    Check(
        "identity", "name, version and presets are valid", lambda r: identity.has_valid_names(r.cls)
    ),
    Check("config", "the configuration survives JSON", lambda r: identity.survives_json(r.config)),
    Check(
        "class", "the class can be sent to another process", lambda r: identity.class_pickles(r.cls)
    ),
    Check("logits", "logits are constant and of the right shape", gives_logits),
    Check("values", "values are numbers under valid names", gives_values),
    Check("quiet", "it does not fill the terminal", lambda r: printed_little(r.printed)),
)
"""What every computed row must pass."""
