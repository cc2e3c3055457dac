"""What a module is handed: items as indices or one-hot, by unit or by symbol, or as features.

For a task whose unit is a sequence and whose symbol is a nucleotide, L being the longest item of
the batch (so always the same where all items have one length):

==========================  ============  =======
name                        shape         dtype
==========================  ============  =======
``sequence_index``          (B,)          int64
``sequence_onehot``         (B, N)        float
``nucleotide_index``        (B, L)        int64
``nucleotide_onehot``       (B, L, 4)     float
``nucleotide_onehot_flat``  (B, 4 L)      float
==========================  ============  =======

The same five exist for every task under its own words, and under ``input_*`` and ``symbol_*``
for models that serve any task. A task whose items cannot be enumerated has no index or one-hot
of the unit, and one whose items differ in length has nothing flat. Behind the end of a shorter
item, and where a letter is unknown (N), a one-hot is all zeros, and an index is the alphabet's
size. A task of features has ``features`` (B, F).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import Features, Items, Sequences, TaskView
from codonbench.errors import ConfigError

Encoder = Callable[[Tensor], Tensor]
"""Maps item indices (B,) to what the module is handed (B, ...)."""

_TABLE_LIMIT = 1 << 24  # elements; a larger one-hot is made batch by batch


def available(view: TaskView) -> tuple[str, ...]:
    """Return the encodings that a task offers, in its own words."""
    if view.kind == "features":
        return ("features",)
    by_unit = (f"{view.unit}_index", f"{view.unit}_onehot") if view.n_inputs else ()
    flat = ("onehot_flat",) if view.min_length == view.max_length else ()
    return by_unit + tuple(f"{view.symbol}_{kind}" for kind in ("index", "onehot", *flat))


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
    items: Items,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Encoder:
    """Return the function that encodes item indices, with its table on `device`.

    Args:
        name: An encoding's name.
        view: The task.
        items: All items that indices may name.
        device: Where the module is.
        dtype: Of one-hot encodings and features; indices are int64.

    Raises:
        ConfigError: The task does not offer that encoding.
    """
    kind = canonical(name, view)
    if isinstance(items, Features):
        values = torch.as_tensor(items.values, dtype=dtype, device=device)
        return lambda index: values[index]
    if kind == f"{view.unit}_index":
        # A copy: a module that works in place must not reach into the stream.
        return lambda index: index.clone()
    if kind == f"{view.unit}_onehot":
        n_items = len(items)
        if n_items**2 > _TABLE_LIMIT:
            return lambda index: F.one_hot(index, n_items).to(dtype)
        return _look_up(torch.eye(n_items, dtype=dtype, device=device))
    letters = _letters(items, len(view.alphabet), device)
    if kind == f"{view.symbol}_index":
        return lambda index: letters(index).long()
    size = len(view.alphabet)
    rows = torch.eye(size + 1, size, dtype=dtype, device=device)  # the last: no letter
    flat = kind.endswith("_flat")
    if items.letters.size * size > _TABLE_LIMIT or view.min_length != view.max_length:
        return lambda index: _one_hot(rows, letters(index), flat)
    return _look_up(_one_hot(rows, letters(torch.arange(len(items), device=device)), flat))


def _look_up(table: Tensor) -> Encoder:
    return lambda index: table[index]


def _one_hot(rows: Tensor, letters: Tensor, flat: bool) -> Tensor:
    encoded = rows[letters.long()]
    return encoded.flatten(1) if flat else encoded


def _letters(items: Sequences, size: int, device: torch.device) -> Encoder:
    """Return what looks up letter indices (B, L); `size` stands for no letter.

    Packed bytes stay packed: what is gathered is one batch.
    """
    packed = torch.as_tensor(np.minimum(items.letters, size), device=device)
    lengths = items.lengths
    if len(lengths) and (lengths == lengths[0]).all():
        return _look_up(packed.view(len(items), -1))
    padded = torch.cat([packed, packed.new_full((1,), size)])
    starts = torch.as_tensor(items.offsets[:-1], device=device)
    ends = torch.as_tensor(items.offsets[1:], device=device)

    def gather(index: Tensor) -> Tensor:
        first, last = starts[index, None], ends[index, None]
        longest = int((last - first).max()) if len(index) else 0
        places = first + torch.arange(longest, device=device)
        return padded[torch.where(places < last, places, len(packed))]

    return gather
