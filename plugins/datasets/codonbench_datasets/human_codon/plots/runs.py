"""What a picture is drawn from: a run's record and its trajectory, and what to call them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.report.markdown import name_text
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.plots.style import safe

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Run:
    """One run that left a trajectory."""

    record: RunRecord
    trajectory: Trajectory

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
        control = record.run_spec.task_options.get("control")
        under = f", control {control}" if control else ""
        return safe(f"{record.task} on {record.dataset.source}{simulated}{under}")

    @property
    def title(self) -> str:
        """Model, task and seed."""
        return f"{self.model}  ·  {self.task}  ·  seed {self.record.seed}"

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """The probe set as text."""
        return tuple(safe(text, 12) for text in asked(self.trajectory.task).inputs)

    @cached_property
    def classes(self) -> tuple[str, ...]:
        """The classes' names."""
        return tuple(safe(name, 12) for name in self.trajectory.task.target.names)

    @cached_property
    def meanings(self) -> tuple[str, ...]:
        """The true class of each probe input, by name."""
        return tuple(self.classes[label] for label in self.trajectory.targets)

    @property
    def targets(self) -> IntArray:
        """The true class of each probe input, shape (P,)."""
        return self.trajectory.targets.astype(np.int64)

    @property
    def first_batch(self) -> float:
        """Where an axis in pairs begins: at the end of the first batch."""
        return float(self.trajectory.facts.batch_size)


def probabilities(trajectory: Trajectory) -> FloatArray:
    """Return p(class | input) at every probe, (T, P, C); 0 from the first non-finite probe on."""
    p = trajectory.probabilities(slice(None))
    p[~trajectory.finite] = 0.0
    return p


def true_probabilities(trajectory: Trajectory) -> FloatArray:
    """Return p(true class | input) at every probe, shape (T, P)."""
    return np.asarray(
        probabilities(trajectory)[:, np.arange(len(trajectory.targets)), trajectory.targets]
    )
