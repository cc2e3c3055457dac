"""Integrated gradients by position: a linear model in closed form, and what holds for any."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from codonbench_datasets.human_codon.explanation import (
    advantage,
    integrated_gradients,
    shapley,
)

CODONS = np.array(list(product(range(4), repeat=3)))
ONE_HOT = torch.eye(4)[torch.as_tensor(CODONS)]
CLASSES = np.random.default_rng(0).integers(21, size=64)


def test_a_linear_models_values_are_its_weights_less_their_mean_over_letters():
    """And so are its Shapley values: the two methods agree on what is linear in the letters."""
    torch.manual_seed(1)
    model = nn.Linear(12, 21)
    values, off = integrated_gradients(model, ONE_HOT.flatten(1), CLASSES, 3)
    weight = model.weight.detach().double().numpy()
    own = weight[CLASSES]
    ahead = (own - (weight.sum(axis=0) - own) / 20).reshape(64, 3, 4)
    chosen = np.take_along_axis(ahead, CODONS[:, :, None], axis=2)[..., 0]
    assert np.allclose(values, chosen - ahead.mean(axis=2), atol=1e-6)
    assert off < 1e-6
    logits = model(ONE_HOT.flatten(1)).detach().double().numpy()
    assert np.allclose(values, shapley(CODONS, advantage(logits)[:, CLASSES].T), atol=1e-5)


def test_a_square_by_hand():
    # One position, two letters, f = 8 * x0 ** 2 and two classes: the advantage of class 0 is
    # f itself. From (0.5, 0.5) to (1, 0) it rises from 2 to 8, and x1 has no part in it.
    class Square(nn.Module):
        def forward(self, rows):
            own = 8 * rows[:, 0, 0] ** 2
            return torch.stack([own, torch.zeros_like(own)], dim=1)

    values, off = integrated_gradients(Square(), torch.eye(2)[:, None], np.array([0, 0]), 1)
    assert np.allclose(values, [[6.0], [-2.0]], atol=1e-6)
    assert off < 1e-6


@pytest.mark.parametrize("cell", [nn.GRU, nn.RNN, nn.LSTM])
def test_a_recurrent_networks_values_add_up_and_the_network_stays_as_it_was(cell):
    class LastStep(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = cell(4, 8, batch_first=True)
            self.output = nn.Linear(8, 21)

        def forward(self, letters):
            return self.output(self.cell(letters)[0][:, -1])

    torch.manual_seed(2)
    model = LastStep()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    values, off = integrated_gradients(model, ONE_HOT, CLASSES, 3)
    assert off < 1e-6
    with torch.no_grad():
        ahead = advantage(model.double()(ONE_HOT.double()).numpy())[np.arange(64), CLASSES]
        start = advantage(model(torch.full((1, 3, 4), 0.25).double()).numpy())[0, CLASSES]
    assert np.allclose(values.sum(axis=1), ahead - start, atol=1e-5)
    model.float()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
