"""What a module is handed: items as indices or one-hot, by unit or by symbol, or as features.

For a task whose unit is a sequence and whose symbol is a nucleotide, L being the longest item of
the batch (so always the same where all items have one length) and C the channels of a letter:

==========================  ============  =======  ================================================
name                        shape         dtype
==========================  ============  =======  ================================================
``sequence_index``          (B,)          int64    which item, of N that can be enumerated
``sequence_onehot``         (B, N)        float
``nucleotide_index``        (B, L)        int64    letter by letter
``nucleotide_onehot``       (B, L, C)     float
``nucleotide_onehot_mask``  (B, L, C+1)   float    its last channel is 1 up to the item's end
``nucleotide_onehot_flat``  (B, L C)      float    where all items have one length
``none``                    (B, 0)        float    for models that look at no item
==========================  ============  =======  ================================================

The same exist for every task under its own words, and under ``input_*`` and ``symbol_*`` for
models that serve any task.

Behind the end of a shorter item stand an index of its own, `Input.padding_index`, and a one-hot of
zeros; which places those are is ``index != padding_index``, and the last channel of
``*_onehot_mask``. A letter that the alphabet lacks, such as N, has the alphabet's size for an index
and, as the task says in `Input.ambiguous`, a one-hot of zeros or a channel of its own.

A plugin brings more as a `codonbench.contracts.encoding.Encoding`.

A task whose items are several sequences hands a tuple of these, one for each of its
`TaskView.sequences`. A task of features has ``features`` (B, F), and ``none``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from codonbench.contracts import ENCODINGS, Encoding, Features, Items, Sequences, TaskView
from codonbench.contracts.task import Input
from codonbench.errors import ConfigError

Encoder = Callable[[Tensor], Tensor]
"""Maps item indices (B,) to what the module is handed (B, ...); to a tuple for several sequences,
which PyTorch's own types cannot say and its modules take like any other argument."""

_TABLE_LIMIT = 1 << 20  # elements; a larger one-hot is made batch by batch


def available(view: TaskView) -> tuple[str, ...]:
    """Return the encodings that a task offers, in its own words."""
    if view.kind == "features":
        return ("features", "none")
    by_unit = (f"{view.unit}_index", f"{view.unit}_onehot") if view.n_inputs else ()
    flat = ("onehot_flat",) if all(p.min_length == p.max_length for p in view.sequences) else ()
    kinds = ("index", "onehot", "onehot_mask", *flat)
    return (*by_unit, *(f"{view.symbol}_{kind}" for kind in kinds), "none")


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
    if own not in offered and name in ENCODINGS and ENCODINGS[name].serves(view):
        return name
    if own not in offered:
        why = ""
        if own.removesuffix("_flat") in offered:
            why = (
                ", as it needs items of one length and those have "
                f"{view.min_length:,} to {view.max_length:,} letters"
            )
        if (name == "features") != (view.kind == "features"):
            why = f", whose items are {'features' if view.kind == 'features' else 'sequences'}"
        # First the names that any task has; its own words are told behind them.
        words = ", ".join(offered).replace(f"{view.symbol}_", "symbol_")
        same = f" (symbol_ is {view.symbol}_)" if view.kind != "features" else ""
        raise ConfigError(
            f"encoding {name!r} is not offered by task {view.task!r}{why}; it offers {words}{same}"
        )
    return own


def make_encoder(
    name: str,
    view: TaskView,
    items: Items,
    device: torch.device,
    dtype: torch.dtype = torch.float32,
) -> Encoder:
    """Return the function that encodes item indices, with what it looks up on `device`.

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
    if kind in ENCODINGS and kind not in available(view):
        return partial(_encoded, ENCODINGS[kind], view, items, device, dtype)
    if kind == "none":
        return lambda index: torch.empty(len(index), 0, dtype=dtype, device=device)
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
    kind = kind.removeprefix(f"{view.symbol}_")
    if isinstance(items, Sequences):
        return _by_letter(kind, view.input, items, device, dtype)
    encoders = [
        _by_letter(kind, part, sequences, device, dtype)
        for part, sequences in zip(view.sequences, items.parts, strict=True)
    ]
    return lambda index: tuple(encode(index) for encode in encoders)  # type: ignore[return-value]


def encode_all(name: str, view: TaskView, items: Items, index: npt.NDArray[np.int64]) -> Any:
    """Return what an estimator is handed for some items at once.

    Args:
        name: An encoding's name, ``items`` or ``text``; see `Estimator.encoding`.
        view: The task.
        items: All items that `index` may name.
        index: Which of them, shape (n,).

    Raises:
        ConfigError: The task does not offer that encoding.
    """
    if name == "items":
        return items.take(index)
    if name == "text" and not isinstance(items, Features):
        taken = items.take(index)
        parts = (taken,) if isinstance(taken, Sequences) else taken.parts
        texts = [part.text(each.alphabet) for part, each in zip(parts, view.sequences, strict=True)]
        return texts[0] if len(texts) == 1 else list(zip(*texts, strict=True))
    encoded = make_encoder(name, view, items, torch.device("cpu"))(torch.as_tensor(index))
    return tuple(e.numpy() for e in encoded) if isinstance(encoded, tuple) else encoded.numpy()


def _encoded(
    encoding: Encoding,
    view: TaskView,
    items: Items,
    device: torch.device,
    dtype: torch.dtype,
    index: Tensor,
) -> Tensor:
    """Return what a plugin's encoding gives of some items."""
    found = torch.as_tensor(encoding.encode(items.take(index.cpu().numpy()), view))
    if len(found) != len(index):
        raise ConfigError(
            f"encoding {encoding.name!r} gave {len(found):,} rows for {len(index):,} items"
        )
    return found.to(device, dtype if found.is_floating_point() else torch.int64)


def _by_letter(
    kind: str, asked: Input, items: Sequences, device: torch.device, dtype: torch.dtype
) -> Encoder:
    """Return the encoder of sequences, letter by letter; `kind` is an encoding without its unit."""
    letters = _letters(items, asked, device)
    if kind == "index":
        return lambda index: letters(index).long()
    rows = torch.eye(asked.padding_index + 1, asked.channels, dtype=dtype, device=device)
    if kind == "onehot_mask":
        inside = torch.ones(len(rows), 1, dtype=dtype, device=device)
        inside[asked.padding_index] = 0
        rows = torch.cat([rows, inside], dim=1)

    def one_hot(index: Tensor) -> Tensor:
        encoded = rows[letters(index).long()]
        return encoded.flatten(1) if kind == "onehot_flat" else encoded

    if items.letters.size * rows.shape[1] > _TABLE_LIMIT or asked.min_length != asked.max_length:
        return one_hot
    return _look_up(one_hot(torch.arange(len(items), device=device)))


def _look_up(table: Tensor) -> Encoder:
    return lambda index: table[index]


def _letters(items: Sequences, asked: Input, device: torch.device) -> Encoder:
    """Return what looks up letter indices (B, L), as uint8.

    Packed bytes stay packed: what is gathered is one batch.
    """
    size = len(asked.alphabet)
    if asked.min_length == asked.max_length:
        packed = torch.as_tensor(np.minimum(items.letters, size), device=device)
        return _look_up(packed.view(len(items), -1))
    padded = np.append(items.letters, np.uint8(asked.padding_index))
    np.minimum(padded[:-1], size, out=padded[:-1])
    packed = torch.as_tensor(padded, device=device)
    starts = torch.as_tensor(items.offsets[:-1], device=device)
    ends = torch.as_tensor(items.offsets[1:], device=device)

    def gather(index: Tensor) -> Tensor:
        first, last = starts[index, None], ends[index, None]
        longest = int((last - first).max()) if len(index) else 0
        places = first + torch.arange(longest, device=device)
        return packed[torch.where(places < last, places, len(packed) - 1)]

    return gather
