"""Arrays as text: what goes in comes out, and what is no array of ours is refused."""

import base64
import zlib

import numpy as np
import pytest

from codonbench.errors import StoreError
from codonbench.report.site.scripts import MOST_BYTES, Packed, pack, unpack


def test_differences_along_the_last_axis_are_deflated() -> None:
    packed = pack([[3, 3, 4], [255, 0, 1]], "u1")
    assert packed.shape == (2, 3)
    raw = zlib.decompress(base64.b64decode(packed.deflated))
    assert raw == bytes([3, 0, 1, 255, 1, 1])  # by hand; 255 to 0 is a step of 1, wrapping around


@pytest.mark.parametrize("kind", ["u1", "u4"])
@pytest.mark.parametrize("shape", [(7,), (3, 5), (2, 3, 4), (0,), (0, 5), (4, 0)])
def test_what_is_packed_is_unpacked(kind, shape) -> None:
    top = 256 if kind == "u1" else 2**32
    values = np.random.default_rng(1).integers(top, size=shape)
    again = unpack(pack(values, kind))
    assert again.shape == shape
    np.testing.assert_array_equal(again, values)


def test_a_running_sum_undoes_it_as_the_page_does_it() -> None:
    """The witness: the loop of assets/unpacking.js, in Python."""
    values = np.random.default_rng(2).integers(256, size=(4, 9))
    packed = pack(values, "u1")
    raw = bytearray(zlib.decompress(base64.b64decode(packed.deflated)))
    for start in range(0, len(raw), 9):
        for i in range(start + 1, start + 9):
            raw[i] = (raw[i] + raw[i - 1]) % 256
    assert list(raw) == values.ravel().tolist()


@pytest.mark.parametrize(
    "packed",
    [
        Packed(shape=(3,), kind="u1", deflated="no base64!"),
        Packed(shape=(3,), kind="u1", deflated=base64.b64encode(b"no zlib").decode()),
        Packed(shape=(2,), kind="u1", deflated=pack([1, 2, 3], "u1").deflated),
        Packed(shape=(4,), kind="u1", deflated=pack([1, 2, 3], "u1").deflated),
        Packed(shape=(3,), kind="u4", deflated=pack([1, 2, 3], "u1").deflated),
        Packed(shape=(MOST_BYTES + 1,), kind="u1", deflated=pack([1], "u1").deflated),
        Packed(shape=(-3, -1), kind="u1", deflated=pack([1, 2, 3], "u1").deflated),
    ],
    ids=["no base64", "no zlib", "too long", "too short", "other kind", "a bomb", "negative"],
)
def test_what_is_not_of_its_shape_is_refused(packed) -> None:
    with pytest.raises(StoreError):
        unpack(packed)
