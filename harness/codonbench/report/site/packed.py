"""Arrays of whole numbers as short text, for JSON: differences, deflated, in base64.

What a probe of a run shows is mostly what the one before showed, so differences along time are
mostly zeros: the probabilities of a whole run, 345 probes of 64 x 21, take some 20 KB. A browser
undoes it with ``DecompressionStream`` and a running sum (``assets/unpacking.js``).
"""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from typing import Literal

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Frozen
from codonbench.errors import StoreError

MOST_BYTES = 64_000_000
"""No array is larger, unpacked: a file that claims to be is not believed."""

Array = npt.NDArray[np.uint8] | npt.NDArray[np.uint32]


class Packed(Frozen):
    """An array of whole numbers.

    Attributes:
        shape: Its axes, the last of them the one along which differences were taken.
        kind: ``u1`` for 0..255, ``u4`` for 0..4294967295.
        deflated: zlib stream of the little-endian differences, which wrap around, in base64.
    """

    shape: tuple[int, ...]
    kind: Literal["u1", "u4"]
    deflated: str


def pack(array: npt.ArrayLike, kind: Literal["u1", "u4"]) -> Packed:
    """Return an array, whole numbers that fit its kind, as text.

    >>> unpack(pack([[3, 3, 4]], "u1")).tolist()
    [[3, 3, 4]]
    """
    values = np.asarray(array).astype(f"<{kind}")
    first = np.zeros_like(values[..., :1])
    steps = np.diff(values, axis=-1, prepend=first)
    text = base64.b64encode(zlib.compress(np.ascontiguousarray(steps).tobytes(), 9))
    return Packed(shape=values.shape, kind=kind, deflated=text.decode())


def unpack(packed: Packed) -> Array:
    """Return the array that was packed.

    Raises:
        StoreError: It is not what its shape and kind promise.
    """
    size = math.prod(packed.shape) * int(packed.kind[1])
    if size > MOST_BYTES or min(packed.shape, default=0) < 0:
        raise StoreError(f"an array of shape {packed.shape} is larger than any array")
    try:
        inflater = zlib.decompressobj()
        raw = inflater.decompress(base64.b64decode(packed.deflated, validate=True), size + 1)
    except (binascii.Error, zlib.error) as error:
        raise StoreError(f"a packed array cannot be read: {error}") from error
    if len(raw) != size or not inflater.eof:
        raise StoreError(f"a packed array is not of shape {packed.shape}")
    steps = np.frombuffer(raw, dtype=f"<{packed.kind}").reshape(packed.shape)
    return np.add.accumulate(steps, axis=-1, dtype=steps.dtype)
