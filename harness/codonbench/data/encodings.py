"""Encodings, the input of modules: indices or one-hot, by unit or by symbol, or features.

For a task with unit sequence and symbol nucleotide, where L is the length of the longest item of
the batch and C the number of channels of a letter:

==========================  ============  =======  ================================================
name                        shape         dtype
==========================  ============  =======  ================================================
``sequence_index``          (B,)          int64    index among N enumerable items
``sequence_onehot``         (B, N)        float
``nucleotide_index``        (B, L)        int64    index of each letter
``nucleotide_onehot``       (B, L, C)     float
``nucleotide_onehot_mask``  (B, L, C+1)   float    last channel: 1 inside the item, 0 padding
``nucleotide_onehot_flat``  (B, L C)      float    only if all items have one length
``none``                    (B, 0)        float    for models that ignore the item
==========================  ============  =======  ================================================

Other tasks have these under the names of their unit and symbol. Models for any task use
``input_*`` and ``symbol_*``.

Padding has the index `Input.padding_index` and a one-hot of zeros. A letter outside the alphabet,
such as N, has the size of the alphabet as index and, depending on `Input.ambiguous`, a one-hot of
zeros or a channel of its own.

Plugins add encodings as `codonbench.contracts.Encoding`.

If items are several sequences, the input is a tuple, one element for each of `TaskView.sequences`.
A task of features has ``features`` (B, F) and ``none``.
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
"""Maps item indices (B,) to the module's input (B, ...); for items of several sequences to a
tuple, which PyTorch's type hints for modules cannot express."""

_TABLE_LIMIT = 1 << 20  # elements; larger one-hot tables are computed per batch


def available(view: TaskView) -> tuple[str, ...]:
    """Return the names of a task's encodings, with its own unit and symbol."""
    if view.kind == "features":
        return ("features", "none")
    by_unit = (f"{view.unit}_index", f"{view.unit}_onehot") if view.n_inputs else ()
    flat = ("onehot_flat",) if all(p.min_length == p.max_length for p in view.sequences) else ()
    kinds = ("index", "onehot", "onehot_mask", *flat)
    return (*by_unit, *(f"{view.symbol}_{kind}" for kind in kinds), "none")


def canonical(name: str, view: TaskView) -> str:
    """Return the name of an encoding with the task's own unit and symbol.

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
        # Generic names first; the task's own symbol follows.
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
    """Return the function that encodes item indices; its tables are on `device`.

    Args:
        name: Name of the encoding.
        view: The task.
        items: All items.
        device: Device of the module.
        dtype: Type of one-hot encodings and features; indices are int64.

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
        # A copy: a module may change its input in place.
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
    """Return the input of an estimator for some items.

    Args:
        name: Name of an encoding, ``items`` or ``text``; see `Estimator.encoding`.
        view: The task.
        items: All items.
        index: Indices of the items to encode, shape (n,).

    Raises:
        ConfigError: The task does not offer that encoding.
    """
    if name == "items":
        return items.take(index)
    if name == "text" and not isinstance(items, Features):
        pairs = zip(items.take(index).parts, view.sequences, strict=True)
        texts = [part.text(each.alphabet) for part, each in pairs]
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
    """Return some items in a plugin's encoding, on `device`."""
    found = torch.as_tensor(encoding.encode(items.take(index.cpu().numpy()), view))
    if len(found) != len(index):
        raise ConfigError(
            f"encoding {encoding.name!r} gave {len(found):,} rows for {len(index):,} items"
        )
    return found.to(device, dtype if found.is_floating_point() else torch.int64)


def _by_letter(
    kind: str, spec: Input, items: Sequences, device: torch.device, dtype: torch.dtype
) -> Encoder:
    """Return the encoder of sequences by letter; `kind` is the encoding without its symbol."""
    letters = _letters(items, spec, device)
    if kind == "index":
        return lambda index: letters(index).long()
    rows = torch.eye(spec.padding_index + 1, spec.channels, dtype=dtype, device=device)
    if kind == "onehot_mask":
        inside = torch.ones(len(rows), 1, dtype=dtype, device=device)
        inside[spec.padding_index] = 0
        rows = torch.cat([rows, inside], dim=1)

    def one_hot(index: Tensor) -> Tensor:
        encoded = rows[letters(index).long()]
        return encoded.flatten(1) if kind == "onehot_flat" else encoded

    if items.letters.size * rows.shape[1] > _TABLE_LIMIT or spec.min_length != spec.max_length:
        return one_hot
    return _look_up(one_hot(torch.arange(len(items), device=device)))


def _look_up(table: Tensor) -> Encoder:
    return lambda index: table[index]


def _letters(items: Sequences, spec: Input, device: torch.device) -> Encoder:
    """Return the encoder to letter indices (B, L), uint8, padded to the batch's longest item."""
    size = len(spec.alphabet)
    if spec.min_length == spec.max_length:
        packed = torch.as_tensor(np.minimum(items.letters, size), device=device)
        return _look_up(packed.view(len(items), -1))
    padded = np.append(items.letters, np.uint8(spec.padding_index))
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
