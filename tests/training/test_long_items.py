"""Batches with a long sequence: cut into parts, to the same step, or refused where none fit."""

import numpy as np
import pytest
import torch
from torch import nn

from codonbench.contracts import (
    DNA,
    GradientConfig,
    Input,
    Model,
    ModelInfo,
    Sequences,
    TaskView,
)
from codonbench.data.stream import BatchClock
from codonbench.errors import ConfigError
from codonbench.training import long_items, loop
from codonbench.training.long_items import cut, long_lengths
from codonbench.training.loop import check_memory, evaluate, make_step
from codonbench.training.request import TrainRequest
from codonbench.training.state import make_state

TEXTS = ["ACGTT", "GG", "CATGCA", "TTTTTTTA", "NACG", "C", "GATTACA", "TGC"]
TARGETS = {
    "classes": np.array([0, 1, 2, 2, 0, 1, 2, 2]),
    "labels": np.array([[0, 1, np.nan], [1, 1, 0]] * 4, dtype=np.float32),
    "quantities": np.array([[0.5, np.nan, -3], [np.nan, 1, 2]] * 4, dtype=np.float32),
}


@pytest.fixture
def few(monkeypatch):
    """Let 16 letters be the most that are computed at a time."""
    monkeypatch.setitem(long_items.MOST_PADDED, "cpu", 16)


class Summed(nn.Module):
    def forward(self, letters):
        return letters.sum(1)


class Linear(Model):
    info = ModelInfo(name="linear-counts", version="1", summary="A linear layer on letter counts")
    Config = GradientConfig
    encoding = "symbol_onehot"

    def build(self, task):
        torch.manual_seed(0)
        return nn.Sequential(Summed(), nn.Linear(len(task.alphabet), task.n_outputs))


class Normalised(Linear):
    info = ModelInfo(name="normalised", version="1", summary="The same, and batch norm")

    def build(self, task):
        return nn.Sequential(super().build(task), nn.BatchNorm1d(task.n_outputs))


def state_of(target, model=Linear):
    config = model.Config(batch_size=8)
    request = TrainRequest(
        run=0,
        view=TaskView(
            task="letters",
            **Input(min_length=1, max_length=8).model_dump(exclude={"enumerable"}),
            target=target,
            n_outputs=3,
        ),
        items=Sequences.of(TEXTS, DNA),
        evaluated={"validation": np.arange(8)},
        targets=TARGETS[target],
        trained=np.arange(8),
        class_weights=None,
        clock=BatchClock(8, 8, 80),
        chance=(1, 2, 3),
        device="cpu",
        threads=1,
        engine="eager",
    )
    return make_state(model(config), config, request)


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
    monkeypatch.setitem(long_items.MOST_PADDED, "cpu", 16)
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


def test_a_batch_of_batch_norm_is_one_piece_and_refused_where_it_cannot_fit(few, monkeypatch):
    check_memory(state_of("classes", Normalised))
    monkeypatch.setattr(loop, "memory", lambda device: 300)
    check_memory(state_of("classes"))  # an item at a time fits
    with pytest.raises(ConfigError, match=r"batch of 8, padded .* 8 letters.*batch norm.*accumul"):
        check_memory(state_of("classes", Normalised))
    monkeypatch.setattr(loop, "memory", lambda device: 3)
    with pytest.raises(ConfigError, match=r"batch of 1, .*; leave such sequences out, or cut them"):
        check_memory(state_of("classes"))
