"""Batches with a long sequence: cut into parts, to the same step, or refused where none fit."""

import numpy as np
import pytest
import torch
from tests.shared.letters import Linear, state_of
from torch import nn

from codonbench.contracts import (
    DNA,
    ModelInfo,
    Sequences,
)
from codonbench.errors import ConfigError
from codonbench.training import loop
from codonbench.training.loop import check_memory, evaluate, make_step
from codonbench.training.state import MOST_PADDED, cut, long_lengths


@pytest.fixture
def few(monkeypatch):
    """Let 16 letters be the most that are computed at a time."""
    monkeypatch.setitem(MOST_PADDED, "cpu", 16)


class Normalised(Linear):
    info = ModelInfo(name="normalised", version="1", summary="The same, and batch norm")

    def build(self, task):
        return nn.Sequential(super().build(task), nn.BatchNorm1d(task.n_outputs))


def test_a_batch_is_cut_in_order_where_its_padding_is_too_much(few):
    lengths = np.array([[3], [4], [20], [5], [5], [5], [6]])
    parts = cut(torch.tensor([0, 1, 2, 3, 4, 5, 6]), lengths)
    assert [part.tolist() for part in parts] == [[0, 1], [2], [3, 4, 5], [6]]
    turned = cut(torch.tensor([9, 0]), lengths)  # the reverse complement of item 2
    assert [part.tolist() for part in turned] == [[9], [0]]
    both = cut(torch.tensor([0, 1, 2]), np.array([[2, 9], [9, 2], [1, 1]]))  # 18 letters, padded
    assert [part.tolist() for part in both] == [[0], [1], [2]]


def test_batches_of_ordinary_tasks_are_whole():
    items = Sequences.of(["ACGT" * 25], DNA)
    assert long_lengths(items, 128, "cpu") is None
    everything = torch.arange(128)
    assert cut(everything, None) == (everything,)
    assert long_lengths(Sequences.of(["A" * 20_000], DNA), 128, "cpu").tolist() == [[20_000]]


@pytest.mark.parametrize("target", ["classes", "labels", "quantities"])
def test_a_step_and_an_evaluation_in_parts_are_those_of_the_whole(target, monkeypatch):
    whole = state_of(target)
    monkeypatch.setitem(MOST_PADDED, "cpu", 16)
    parts = state_of(target)
    assert (whole.lengths, len(cut(torch.arange(8), parts.lengths))) == (None, 4)
    for state in (whole, parts):
        step = make_step(state)
        for _ in range(3):
            step(torch.arange(8))
    for a, b in zip(whole.module.parameters(), parts.module.parameters(), strict=True):
        torch.testing.assert_close(a, b)
    np.testing.assert_allclose(
        evaluate(parts, "validation"), evaluate(whole, "validation"), rtol=1e-5, atol=1e-6
    )


class Wide(Linear):
    info = ModelInfo(name="wide", version="1", summary="A wide layer behind the letters")

    def build(self, task):
        width = task.n_outputs
        layers = nn.Linear(width, 1000), nn.Linear(1000, 1000), nn.Linear(1000, width)
        return nn.Sequential(super().build(task), *layers)


def test_weights_are_no_memory_that_grows_with_the_letters(few, monkeypatch):
    state = state_of("classes", Wide)
    monkeypatch.setattr(loop, "memory", lambda device: 100_000)  # a tenth of one layer's weights
    check_memory(state)


def test_a_batch_of_batch_norm_is_one_piece_and_refused_where_it_cannot_fit(few, monkeypatch):
    check_memory(state_of("classes", Normalised))
    monkeypatch.setattr(loop, "memory", lambda device: 300)
    check_memory(state_of("classes"))  # an item at a time fits
    with pytest.raises(ConfigError, match=r"batch of 8, padded .* 8 letters.*batch norm.*accumul"):
        check_memory(state_of("classes", Normalised))
    monkeypatch.setattr(loop, "memory", lambda device: 3)
    with pytest.raises(ConfigError, match=r"batch of 1, .*; leave such sequences out, or cut them"):
        check_memory(state_of("classes"))
