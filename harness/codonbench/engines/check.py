"""Is the captured step the reference's? Asked before it is used, and answered in float64.

In float32 a network with kinks amplifies the last bit, so that no tolerance could tell rounding
from a mistake. In float64 a few steps agree to nine digits or are not the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from codonbench.contracts import Model, TaskView
from codonbench.data.stream import Batch
from codonbench.engines.batches import step_inputs
from codonbench.engines.rungs import TRACED, Rung
from codonbench.engines.traced import Traced
from codonbench.errors import CannotCapture
from codonbench.training.loop import make_step
from codonbench.training.state import TrainState

TOLERANCE = 1e-7

MOST_INPUTS = 4_096
"""Inputs of a task that is trained on all of them at once."""

Index = npt.NDArray[np.int64]


def check_claims(plugin: Model, task: TaskView, device: str, rung: Rung = TRACED) -> None:
    """Raise CannotCapture where model, task or device rule the rung out."""
    if not plugin.row_independent:
        raise CannotCapture("the model does not claim to be row-independent")
    if task.n_inputs is None or task.n_inputs > MOST_INPUTS:
        raise CannotCapture("the task's inputs cannot be enumerated, or are too many")
    if device != rung.device:
        where = "CPU" if rung.device == "cpu" else "GPU"
        raise CannotCapture(f"the {rung.name} engine runs on the {where}")


def check_against_reference(
    reference: TrainState, engine: Traced, batches: Sequence[Index]
) -> None:
    """Raise CannotCapture unless both, made alike, learn the same from some batches.

    Args:
        reference: Trained by the reference loop; in float64.
        engine: Of one state made like it; in float64.
        batches: Input indices of each batch.
    """
    step = make_step(reference)
    chunk = [Batch(index, 0) for index in batches]
    for index, step_input in zip(
        batches, step_inputs([reference], [chunk], torch.float64), strict=True
    ):
        step(torch.as_tensor(index, device=reference.targets.device))
        gradients, _ = engine.gradients(step_input)
        engine.update(gradients)
    expected = torch.cat([p.detach().reshape(-1) for p in reference.module.parameters()])
    if not torch.allclose(engine.flats[0], expected, rtol=TOLERANCE, atol=TOLERANCE):
        worst = float((engine.flats[0] - expected).abs().max())
        raise CannotCapture(
            f"after {len(batches)} steps in float64 the captured step is {worst:.1g} away from "
            "the reference: rows are not independent, or training draws random numbers"
        )


def same_alone(states: Sequence[TrainState], together: Traced) -> bool:
    """Return whether the first seed's gradient is the same, to the bit, beside the others.

    Args:
        states: One a seed.
        together: The engine of all of them.
    """
    alone = Traced(states[:1], together.rung)
    everything = Batch(np.arange(len(states[0].targets)), 0)
    (beside,) = step_inputs(states, [[everything]] * len(states), together.ensemble.dtype)
    (by_itself,) = step_inputs(states[:1], [[everything]], together.ensemble.dtype)
    return torch.equal(together.gradients(beside)[0][:1], alone.gradients(by_itself)[0])
