"""Pictures that need a run's weights, which no record keeps: the run is made again for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from codonbench.audit.repeat import model_of, repeat
from codonbench.contracts import Model, TaskView
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import UsageError
from codonbench.plugins.registry import Registry
from codonbench.training.seeding import seeded_globals
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.page.pictures import Axes, EmbeddingPicture
from codonbench_datasets.human_codon.plots.embedding import find_embedding

DIGITS = 4
"""Significant digits of a place in the plane: more than any screen shows."""


def has_embedding(record: RunRecord, registry: Registry, axes: Axes) -> bool:
    """Return whether the module of a run, built and not trained, has an embedding of its inputs.

    Raises:
        UsageError: The model is not to be had here, or has no such configuration.
    """
    entry = model_of(record, registry)
    if not issubclass(entry.cls, Model):
        return False
    view = TaskView(
        task=record.task,
        unit=axes.unit,
        symbol=axes.symbol,
        alphabet=axes.alphabet,
        min_length=axes.length,
        max_length=axes.length,
        n_inputs=len(axes.inputs),
        n_outputs=len(axes.classes),
    )
    with seeded_globals(0):
        module = entry.cls(entry.cls.Config.model_validate(record.run_spec.config)).build(view)
    return find_embedding(module, np.arange(len(axes.inputs))) is not None


def draw_embedding(
    record: RunRecord, registry: Registry, cache: Path, data: str | None = None
) -> EmbeddingPicture | None:
    """Make a run again and return where its module has put each input at the end.

    Args:
        record: The run.
        registry: The plugins.
        cache: As in `repetition.repeat`.
        data: As in `repetition.repeat`.

    Returns:
        None where its module turns out to have no embedding.

    Raises:
        UsageError: It cannot be made again here, or comes to other weights, as on another machine.
    """
    again = repeat(record, registry, cache, data)
    if not again.same_weights:
        raise UsageError(
            f"{record.name} comes to other weights here; its embedding can be drawn on a machine "
            f"like its own: {record.machine.device_name}, torch {record.machine.torch}"
        )
    module = again.module
    found = find_embedding(module, again.job.dataset.evaluation) if module is not None else None
    if found is None:
        return None
    return EmbeddingPicture(
        seed=record.seed,
        run_id=record.run_id,
        trace_sha256=record.trajectory_sha256 or "",
        dimensions=found.dimensions,
        explained=tuple(_rounded(share) for share in found.explained),
        labels=asked(again.trajectory.task).targets,
        xy=tuple((_rounded(x), _rounded(y)) for x, y in found.xy),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
