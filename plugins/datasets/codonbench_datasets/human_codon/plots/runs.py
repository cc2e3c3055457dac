"""What a picture is drawn from: a run's record and trajectory, what to call them, what they say."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from codonbench.contracts import Trajectory
from codonbench.contracts.run_record import RunRecord
from codonbench.report.markdown import name_text
from codonbench_datasets.human_codon.asked import asked, probabilities
from codonbench_datasets.human_codon.plots.style import FloatArray, IntArray, safe

SATURATES = 0.056
"""The p at which the scale of colour of the paper's heat map is at its end; see docs/scores.md."""


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
    def names(self) -> tuple[str, ...]:
        """``UUU F``: each probe input and its class."""
        return tuple(map(" ".join, zip(self.inputs, self.meanings, strict=True)))

    @property
    def unit(self) -> str:
        """What one input is: ``codon``."""
        return self.trajectory.task.input.unit

    @property
    def last(self) -> float:
        """Pairs at the last probe."""
        return float(self.trajectory.pairs[-1])

    @property
    def targets(self) -> IntArray:
        """The true class of each probe input, shape (P,)."""
        return self.trajectory.targets.astype(np.int64)

    @property
    def first_batch(self) -> float:
        """Where an axis in pairs begins: at the end of the first batch."""
        return float(self.trajectory.facts.batch_size)


def instrument_maps(trajectory: Trajectory, probes: list[int]) -> FloatArray | None:
    """Return what the heat map of Joiret et al. (2023) would show at some probes.

    Three times an epoch they redraw the columns of those codons that happen to be in one batch of
    64; the others keep what an earlier frame drew. See doi 10.3389/frai.2023.1128153.

    With two codons, frames that redraw {0}, {0} and {1}: after the second the map shows codon 0
    as the second frame saw it and nothing of codon 1; after the third, both, codon 0 as before.

    Args:
        trajectory: The run's.
        probes: Indices of probes, K of them.

    Returns:
        p as drawn, shape (K, P, C), NaN where no frame has drawn yet; None where the run has no
        frame, or the trajectory lacks the probe of one.
    """
    at = np.searchsorted(trajectory.pairs, trajectory.arrays["frame_pairs"])
    if (
        not len(at)
        or at[-1] >= len(trajectory.pairs)
        or (trajectory.pairs[at] != trajectory.arrays["frame_pairs"]).any()
    ):
        return None
    p = probabilities(trajectory)
    shown = np.full(p.shape[1:], np.nan)
    maps, frame = np.empty((len(probes), *shown.shape)), 0
    for k in np.argsort(probes, kind="stable"):
        while frame < len(at) and at[frame] <= probes[k]:
            drawn = np.unique(trajectory.arrays["frame_inputs"][frame])
            drawn = drawn[drawn >= 0]
            shown[drawn] = p[at[frame], drawn]
            frame += 1
        maps[k] = shown
    return maps
