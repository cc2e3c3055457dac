"""Data as script files: a page opened from disk may not fetch, but it may load a script.

A script can do anything, so a file that was committed is only taken for data where it is, to the
byte, what we would have written for what it says. Text is made to show as itself, whoever wrote
it.

Arrays of whole numbers become short text: differences, deflated, in base64. One evaluation of a run
gives mostly what the one before gave, so that differences along time are mostly zeros: the
probabilities of a whole run, 345 evaluations of 64 x 21, take some 20 KB. A browser undoes it with
``DecompressionStream`` and a running sum (``assets/unpacking.js``).
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import zlib
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Frozen
from codonbench.contracts.run_spec import canonical_json
from codonbench.errors import StoreError
from codonbench.records.files import visible

Content = TypeVar("Content", bound=Frozen)

_UNSAFE = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029\x7f"}
"""What could end a script element or, in older engines, a string; all else is ASCII already."""

LONGEST = 160


def as_script(function: str, content: Frozen) -> bytes:
    """Return a script that calls ``codonbench.<function>`` with the content, and does no more."""
    text = canonical_json(content.model_dump(mode="json"))
    for character, escape in _UNSAFE.items():
        text = text.replace(character, escape)
    return f"codonbench.{function}({text});\n".encode("ascii")


def from_script(function: str, script: bytes, kind: type[Content]) -> Content:
    """Return the content of a script of ours.

    Raises:
        StoreError: It is not, to the byte, a script of ours.
    """
    opening, closing = f"codonbench.{function}(".encode(), b");\n"
    if not (script.startswith(opening) and script.endswith(closing)):
        raise StoreError(f"does not call codonbench.{function} and nothing else")
    try:
        content = kind.model_validate_json(script[len(opening) : -len(closing)])
    except ValueError as error:
        reason = json.dumps(str(error).splitlines()[0])
        raise StoreError(f"holds no {kind.__name__}: {reason}") from error
    if as_script(function, content) != script:
        raise StoreError("is not written as 'bench site' writes")
    return content


def shown(text: str, longest: int = LONGEST) -> str:
    r"""Return text without control and formatting characters, cut where it is overlong.

    Line breaks and right-to-left marks become spaces. Nothing is escaped: the page puts text into
    text nodes, where markup has no meaning.

    >>> shown("a\u202eb")
    'a b'
    """
    return visible(text, longest)


def shown_facts(facts: dict[str, object]) -> str:
    """Return ``hidden [64, 1024], input 64-bit``: a mapping by name, for people."""
    texts = {name: "none" if value is None else str(value) for name, value in facts.items()}
    return ", ".join(f"{shown(name)} {shown(text)}" for name, text in sorted(texts.items()))


# Arrays

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
