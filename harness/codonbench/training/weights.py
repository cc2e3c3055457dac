"""A module's weights as one number: equal where every bit of them is."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import torch


def hash_weights(state: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of a state_dict.

    Over the sorted names and, for each, dtype, shape and little-endian bytes, so that neither
    the order of modules nor a file format enters.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = torch.as_tensor(state[name]).detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0)
        if np.little_endian or tensor.element_size() == 1:
            digest.update(raw.tobytes())
        else:
            digest.update(raw.reshape(-1, tensor.element_size())[:, ::-1].tobytes())
    return digest.hexdigest()
