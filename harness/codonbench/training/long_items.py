"""Batches with a long sequence, to which all others are padded: cut into parts that fit the memory.

A module whose outputs for an item depend on that item alone gives the same gradient in parts, but
for rounding and for what dropout draws. Of one with batch norm a batch is one piece.
"""

from __future__ import annotations

import os

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from codonbench.contracts import Items, Sequences, SequenceTuples

IntArray = npt.NDArray[np.int64]

MOST_PADDED = {"cpu": 1 << 21, "cuda": 1 << 22}
"""Letters, padding and all, that are computed at a time, but no fewer than one item's.

A network of 128 filters keeps some 3 GB of what it computes on 2 million letters for the backward
pass; a batch of 128 sequences of 15,000 letters is just below that.
"""


def lengths_of(items: Items) -> IntArray | None:
    """Return the letters of each of an item's sequences (N, P); None for features."""
    if isinstance(items, Sequences):
        return items.lengths[:, None]
    if isinstance(items, SequenceTuples):
        return np.stack([part.lengths for part in items.parts], axis=1)
    return None


def long_lengths(items: Items, batch_size: int, device: str) -> IntArray | None:
    """Return the letters of each item's sequences (N, P), where a batch may have to be cut."""
    lengths = lengths_of(items)
    if lengths is None or not len(lengths):
        return None
    most = batch_size * int(lengths.max(axis=0).sum())
    return lengths if most > MOST_PADDED[device] else None


def cut(index: Tensor, lengths: IntArray | None) -> tuple[Tensor, ...]:
    """Return item indices (B,) in parts, in their order, each within `MOST_PADDED` when padded.

    Args:
        index: Which items; from N on, their reverse complements, which are as long.
        lengths: Of the items, (N, P); None where no batch is too large.
    """
    if lengths is None or not len(index):
        return (index,)
    most, sizes = MOST_PADDED[index.device.type], [0]
    longest = np.zeros(lengths.shape[1], dtype=np.int64)
    for own in lengths[index.cpu().numpy() % len(lengths)]:
        longest = np.maximum(longest, own)
        if sizes[-1] and (sizes[-1] + 1) * longest.sum() > most:
            sizes.append(0)
            longest = own
        sizes[-1] += 1
    return torch.split(index, sizes)


def can_be_cut(module: torch.nn.Module) -> bool:
    """Return whether a batch in parts is the same to a module, which batch norm is not."""
    return not any(isinstance(part, _BatchNorm) for part in module.modules())


def memory(device: torch.device) -> int:
    """Return the bytes of memory that a device has in all."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
