"""What a module is handed: inputs as indices or one-hot, by unit or by symbol.

For a task whose unit is a codon and whose symbol is a nucleotide:

==========================  ============  =======
name                        shape         dtype
==========================  ============  =======
``codon_index``             (B,)          int64
``codon_onehot``            (B, 64)       float
``nucleotide_index``        (B, 3)        int64
``nucleotide_onehot``       (B, 3, 4)     float
``nucleotide_onehot_flat``  (B, 12)       float
==========================  ============  =======

The same five exist for every task under its own words, and under ``input_*`` and ``symbol_*``
for models that serve any task. A task whose inputs cannot be enumerated has no index or one-hot
of the unit.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import TaskView
from codonbench.errors import ConfigError

Encoder = Callable[[Tensor], Tensor]
"""Maps input indices (B,) to what the module is handed (B, ...)."""

_TABLE_LIMIT = 1 << 24  # elements; a larger one-hot is made batch by batch


def available(view: TaskView) -> tuple[str, ...]:
    """Return the encodings that a task offers, in its own words."""
    by_unit = (f"{view.unit}_index", f"{view.unit}_onehot")
    by_symbol = tuple(f"{view.symbol}_{kind}" for kind in ("index", "onehot", "onehot_flat"))
    return (by_unit if view.n_inputs else ()) + by_symbol


def canonical(name: str, view: TaskView) -> str:
    """Return `name` in the task's own words.

    Raises:
        ConfigError: The task does not offer that encoding.
    """
    own = name
    for generic, word in (("input_", view.unit), ("symbol_", view.symbol)):
        if name.startswith(generic):
            own = f"{word}_{name.removeprefix(generic)}"
    offered = available(view)
    if own not in offered:
        raise ConfigError(
            f"encoding {name!r} is not offered by task {view.task!r}; "
            f"it offers {', '.join(offered)}"
        )
    return own


def make_encoder(
    name: str,
    view: TaskView,
    symbols: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Encoder:
    """Return the function that encodes input indices, with its table on `device`.

    Args:
        name: An encoding's name.
        view: The task.
        symbols: Letter indices of every input, shape (N, length).
        device: Where the module is.
        dtype: Of one-hot encodings; indices are int64.

    Raises:
        ConfigError: The task does not offer that encoding.
    """
    kind = canonical(name, view)
    letters = torch.as_tensor(symbols, dtype=torch.int64, device=device)
    if kind == f"{view.unit}_index":
        # A copy: a module that works in place must not reach into the stream.
        return lambda index: index.clone()
    if kind == f"{view.unit}_onehot":
        if len(symbols) ** 2 > _TABLE_LIMIT:
            return lambda index: F.one_hot(index, len(symbols)).to(dtype)
        table = torch.eye(len(symbols), dtype=dtype, device=device)
    elif kind == f"{view.symbol}_index":
        table = letters
    else:
        rows = torch.eye(len(view.alphabet), dtype=dtype, device=device)
        flat = kind.endswith("_flat")
        if letters.numel() * len(view.alphabet) > _TABLE_LIMIT:
            return lambda index: rows[letters[index]].flatten(1) if flat else rows[letters[index]]
        table = rows[letters].flatten(1) if flat else rows[letters]
    return lambda index: table[index]
