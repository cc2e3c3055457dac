"""What a picture is drawn from: a run's record and its trace, and what to call them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Trace
from codonbench.markdown import name_text
from codonbench.pictures.style import safe
from codonbench.records import RunRecord

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One run that left a trace."""

    record: RunRecord
    trace: Trace

    @property
    def model(self) -> str:
        """The model's name, where it departs from that, and who supplies it."""
        record = self.record
        return safe(name_text(record.model, record.overrides, record.plugin.distribution))

    @property
    def task(self) -> str:
        """``human-codon on usage (simulated)``, and the control where there is one."""
        record = self.record
        simulated = " (simulated)" if record.dataset.simulated else ""
        control = record.plan.task_options.get("control")
        under = f", control {control}" if control else ""
        return safe(f"{record.task} on {record.dataset.source}{simulated}{under}")

    @property
    def title(self) -> str:
        """Model, task and seed."""
        return f"{self.model}  ·  {self.task}  ·  seed {self.record.seed}"

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The probe set as text."""
        return tuple(safe(text, 12) for text in self.trace.task.probe_inputs)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(safe(name, 12) for name in self.trace.task.classes)

    @cached_property
    def meanings(self) -> tuple[str, ...]:
        """The true class of each probe input, by name."""
        return tuple(self.classes[label] for label in self.trace.labels)

    @property
    def first_batch(self) -> float:
        """Where an axis in pairs begins: at the end of the first batch."""
        return float(self.trace.facts.batch_size)


def probabilities(trace: Trace) -> FloatArray:
    """Return p(class | input) at every probe, (T, P, C); 0 from the first non-finite probe on."""
    p = trace.probabilities(slice(None))
    p[~trace.finite] = 0.0
    return p


def true_probabilities(trace: Trace) -> FloatArray:
    """Return p(true class | input) at every probe, shape (T, P)."""
    return np.asarray(probabilities(trace)[:, np.arange(len(trace.labels)), trace.labels])
