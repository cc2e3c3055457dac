"""What a model has learned to stand for each input: its embedding, seen in two dimensions."""

from __future__ import annotations

from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from pydantic import Field
from torch import nn

from codonbench.contracts import Frozen

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class Embedding(Frozen):
    """Where a model has put each probe input.

    Attributes:
        xy: A point for each probe input, in the task's order; shape (P, 2). Of more than two
            dimensions, the first two principal components, about the mean; two are as they
            are, one is laid along x.
        dimensions: How many the embedding has.
        explained: Share of the table's variance along x and along y.
    """

    xy: tuple[tuple[float, float], ...]
    dimensions: int = Field(ge=1)
    explained: tuple[float, float]


def find_embedding(module: nn.Module, probe: IntArray) -> Embedding | None:
    """Return the embedding of a module that has one row for each input of an enumerable task.

    It is the first `nn.Embedding` with that many rows, or else the first parameter of that
    many rows that a module other than torch's own holds. A first layer above a one-hot is none:
    which of its axes is the inputs' cannot be told from a square matrix.

    Args:
        module: What was trained.
        probe: The probe set, as input indices, shape (P,).

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
