"""What a model has learned to stand for each input: its embedding, seen in the plane.

No record keeps weights: the run is made again for them. Here without matplotlib: the page needs
no more than this.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from codonbench.audit.repeat import build, model_of, repeat
from codonbench.contracts import Model, TaskView
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.trajectory import FloatArray, IntArray
from codonbench.errors import UsageError
from codonbench.plugins.registry import Registry
from codonbench_datasets.human_codon.asked import asked
from codonbench_datasets.human_codon.page.pictures import EmbeddingPicture, of_run

DIGITS = 4
"""Significant digits of a place on the page: more than any screen shows."""


class Embedding(NamedTuple):
    """Where a model has put each evaluation input.

    Attributes:
        xy: A point for each evaluation input, in the task's order; shape (P, 2). Of more than two
            dimensions, the first two principal components, about the mean; two are as they
            are, one is laid along x.
        dimensions: How many the embedding has.
        explained: Share of the table's variance along x and along y.
    """

    xy: tuple[tuple[float, float], ...]
    dimensions: int
    explained: tuple[float, float]


def find_embedding(module: nn.Module, probe: IntArray) -> Embedding | None:
    """Return the embedding of a module that has one row for each input of an enumerable task.

    It is the first `nn.Embedding` with that many rows, or else the first parameter of that
    many rows that a module other than torch's own holds. A first layer above a one-hot is none:
    which of its axes is the inputs' cannot be told from a square matrix.

    Args:
        module: What was trained.
        probe: The evaluation set, as input indices, shape (P,).

    Returns:
        None where there is no such table, or where it holds what is not finite.
    """
    table = _table(module, len(probe))
    if table is None:
        return None
    rows = table.detach().cpu().double().numpy()[probe]
    return project(rows) if np.isfinite(rows).all() else None


def _table(module: nn.Module, n_inputs: int) -> torch.Tensor | None:
    """Return the first table with a row for each input."""
    parts = list(module.modules())
    embeddings = (part.weight for part in parts if isinstance(part, nn.Embedding))
    own = (
        parameter
        for part in parts
        if not type(part).__module__.startswith("torch.")
        for parameter in part.parameters(recurse=False)
    )
    fitting = (t for t in chain(embeddings, own) if t.ndim == 2 and len(t) == n_inputs)
    return next(fitting, None)


def project(rows: FloatArray) -> Embedding:
    """Return points in the plane for the rows of a table, shape (P, d).

    Of principal components the sign is arbitrary: each is turned so that the dimension that
    weighs most in it counts as positive.
    """
    n_rows, dimensions = rows.shape
    if dimensions > 2:
        centred = rows - rows.mean(axis=0)
        axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
        heaviest = np.abs(axes).argmax(axis=1)
        axes *= np.where(axes[np.arange(2), heaviest] < 0, -1.0, 1.0)[:, None]
        xy = centred @ axes.T
    else:
        xy = np.hstack([rows, np.zeros((n_rows, 2 - dimensions))])
    total = float(rows.var(axis=0).sum())
    along = xy.var(axis=0) / total if total > 0 else np.zeros(2)
    return Embedding(
        xy=tuple((float(x), float(y)) for x, y in xy),
        dimensions=dimensions,
        explained=(float(along[0]), float(along[1])),
    )


def has_embedding(record: RunRecord, registry: Registry, view: TaskView) -> bool:
    """Return whether the module of a run, built and not trained, has an embedding of its inputs.

    Raises:
        UsageError: The model is not to be had here, or has no such configuration.
    """
    if not issubclass(model_of(record, registry).cls, Model):
        return False
    return find_embedding(build(record, view, registry), np.arange(view.n_inputs or 0)) is not None


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
        **of_run(record),
        dimensions=found.dimensions,
        explained=tuple(_rounded(share) for share in found.explained),
        labels=asked(again.trajectory.task).targets,
        xy=tuple((_rounded(x), _rounded(y)) for x, y in found.xy),
    )


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
