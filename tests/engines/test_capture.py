"""Unrolled recurrent layers against PyTorch's own."""

import pytest
import torch
from torch import nn

from codonbench.engines.capture import unrolled
from codonbench.errors import CannotCapture

CODONS = torch.stack(
    [torch.eye(4, dtype=torch.float64)[[i // 16, i // 4 % 4, i % 4]] for i in range(64)]
)


def layer(kind, **options):
    torch.manual_seed(0)
    return getattr(nn, kind)(4, 5, batch_first=True, **options).double()


@pytest.mark.parametrize("kind", ["RNN", "GRU", "LSTM"])
@pytest.mark.parametrize("n_layers", [1, 2, 3])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("fan", [None, 4])
def test_output_and_state_are_those_of_the_layer(kind, n_layers, bias, fan):
    original = layer(kind, num_layers=n_layers, bias=bias)
    output, state = original(CODONS)
    same_output, same_state = unrolled(original, fan)(CODONS)
    assert torch.allclose(output, same_output, atol=1e-12)
    pairs = zip(state, same_state, strict=True) if kind == "LSTM" else [(state, same_state)]
    assert all(torch.allclose(a, b, atol=1e-12) for a, b in pairs)


@pytest.mark.parametrize("fan", [None, 4])
def test_gradients_are_those_of_the_layer(fan):
    original = layer("GRU", num_layers=2)
    copy = unrolled(original, fan)
    for module in (original, copy):
        (module(CODONS)[0][:, -1] ** 2).sum().backward()
    for (name, p), (same_name, q) in zip(
        original.named_parameters(), copy.named_parameters(), strict=True
    ):
        assert name == same_name
        assert torch.allclose(p.grad, q.grad, atol=1e-10)


def test_a_given_initial_state_is_used_and_nothing_shared():
    original = layer("LSTM", num_layers=2)
    state = (torch.rand(2, 64, 5).double(), torch.rand(2, 64, 5).double())
    assert torch.allclose(original(CODONS, state)[0], unrolled(original, 4)(CODONS, state)[0])


def test_rectified_and_time_first_layers_are_unrolled_too():
    torch.manual_seed(0)
    original = nn.RNN(4, 5, nonlinearity="relu").double()
    time_first = CODONS.transpose(0, 1)
    assert torch.allclose(original(time_first)[0], unrolled(original, 4)(time_first)[0])


@pytest.mark.parametrize("options", [{"bidirectional": True}, {"num_layers": 2, "dropout": 0.5}])
def test_other_kinds_are_not_unrolled(options):
    with pytest.raises(CannotCapture):
        unrolled(layer("LSTM", **options), None)


def test_layers_inside_a_module_are_found():
    module = nn.Sequential(nn.Linear(4, 4).double(), layer("RNN"))
    assert torch.allclose(module(CODONS)[0], unrolled(module, None)(CODONS)[0])
