"""The hash of a module's weights, held against one computed by hand."""

import hashlib
import struct

import torch
from torch import nn

from codonbench.training.determinism import hash_weights


def by_hand(*entries):
    """SHA-256 over name, dtype, shape and little-endian bytes of (name, dtype, shape, bytes)."""
    content = b"".join(
        f"{name}\0{dtype}\0{shape}\0".encode() + raw for name, dtype, shape, raw in entries
    )
    return hashlib.sha256(content).hexdigest()


def test_the_weights_hash_is_that_of_names_dtypes_shapes_and_bytes():
    state = {
        "layer.weight": torch.tensor([[1.0, -2.5]]),
        "layer.bias": torch.tensor([3], dtype=torch.int64),
        "empty": torch.zeros(0, 2),
        "scalar": torch.tensor(True),
    }
    assert hash_weights(state) == by_hand(
        ("empty", "torch.float32", "(0, 2)", b""),
        ("layer.bias", "torch.int64", "(1,)", struct.pack("<q", 3)),
        ("layer.weight", "torch.float32", "(1, 2)", struct.pack("<ff", 1.0, -2.5)),
        ("scalar", "torch.bool", "()", b"\x01"),
    )


def test_the_weights_hash_does_not_depend_on_order_or_layout():
    a, b = torch.arange(6.0).reshape(2, 3), torch.ones(2)
    assert hash_weights({"a": a, "b": b}) == hash_weights({"b": b, "a": a})
    strided = a.T.contiguous().T
    assert not strided.is_contiguous()
    assert hash_weights({"a": strided}) == hash_weights({"a": a})


def test_the_weights_hash_tells_names_dtypes_shapes_and_signs_of_zero_apart():
    zeros = torch.zeros(4)
    states = [
        {},
        {"a": zeros},
        {"b": zeros},
        {"a": zeros.reshape(2, 2)},
        {"a": torch.zeros(2, dtype=torch.float64)},
        {"a": torch.zeros(4, dtype=torch.int32)},
        {"a": torch.zeros(8, dtype=torch.bfloat16)},
        {"a": -zeros},
        {"a": zeros, "b": torch.zeros(0)},
    ]
    assert len({hash_weights(state) for state in states}) == len(states)


def test_the_weights_hash_of_a_module_includes_its_buffers():
    module = nn.BatchNorm1d(2)
    before = hash_weights(module.state_dict())
    module(torch.tensor([[1.0, 2.0], [3.0, 5.0]]))
    assert hash_weights(module.state_dict()) != before
