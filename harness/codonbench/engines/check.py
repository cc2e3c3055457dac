"""Is the captured step the reference's? Asked before it is used, and answered in float64.

In float32 a network with kinks amplifies the last bit, so that no tolerance could tell rounding
from a mistake. In float64 a few steps agree to nine digits or are not the same steps.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from codonbench.contracts import BatchLearner, Model, TaskSpec
from codonbench.engines.errors import CannotCapture
from codonbench.engines.traced import coefficients, make_ensemble, make_rule
from codonbench.streams import Batch
from codonbench.training import Lesson, make_step

TOLERANCE = 1e-7

MOST_INPUTS = 4_096
"""Inputs of a task that is trained on all of them at once."""

Index = npt.NDArray[np.int64]


def check_claims(plugin: Model, task: TaskSpec, device: str) -> None:
    """Raise CannotCapture where model, task or device rule the traced engine out."""
    if not plugin.row_independent:
        raise CannotCapture("the model does not claim to be row-independent")
    if not task.enumerable or len(task.probe_inputs) > MOST_INPUTS:
        raise CannotCapture("the task's inputs cannot be enumerated, or are too many")
    if device != "cpu":
        raise CannotCapture("the traced engine runs on the CPU")


def check_against_reference(reference: Lesson, captured: Lesson, batches: Sequence[Index]) -> None:
    """Raise CannotCapture unless both lessons, made alike, learn the same from some batches.

    Args:
        reference: Trained by the reference loop; in float64.
        captured: Trained as the traced engine does; in float64.
        batches: Input indices of each batch.
    """
    if isinstance(reference.module, BatchLearner):
        raise CannotCapture("the model learns without gradients")
    ensemble = make_ensemble([captured])
    flats = list(ensemble.flat.unbind(0))
    rule = make_rule(captured, flats)
    step = make_step(reference)
    chunk = [Batch(index, 0) for index in batches]
    for index, weights in zip(
        batches, coefficients([captured], [chunk], torch.float64), strict=True
    ):
        step(torch.as_tensor(index))
        gradients, _ = ensemble.gradients(ensemble.flat, weights)
        rule.update(flats, list(gradients.unbind(0)))
    expected = torch.cat([p.detach().reshape(-1) for p in reference.module.parameters()])
    if not torch.allclose(flats[0], expected, rtol=TOLERANCE, atol=TOLERANCE):
        worst = float((flats[0] - expected).abs().max())
        raise CannotCapture(
            f"after {len(batches)} steps in float64 the captured step is {worst:.1g} away from "
            "the reference: rows are not independent, or training draws random numbers"
        )


def same_alone(lessons: Sequence[Lesson]) -> bool:
    """Return whether the first seed's gradient is the same, to the bit, beside the others."""
    together, alone = make_ensemble(lessons), make_ensemble(lessons[:1])
    size = len(lessons[0].labels)
    weights = torch.linspace(0, 1, size, dtype=together.dtype) / size
    beside, _ = together.gradients(together.flat, weights.expand(len(lessons), size))
    by_itself, _ = alone.gradients(alone.flat, weights.expand(1, size))
    return torch.equal(beside[0], by_itself[0])
