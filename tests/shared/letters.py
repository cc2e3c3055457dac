"""A toy task on the letters of short sequences, and a linear model of it."""

import numpy as np
import torch
from torch import nn

from codonbench.contracts import DNA, GradientConfig, Input, Model, ModelInfo, Sequences, TaskView
from codonbench.data.stream import BatchClock
from codonbench.training.request import TrainRequest
from codonbench.training.state import make_state

TEXTS = ["ACGTT", "GG", "CATGCA", "TTTTTTTA", "NACG", "C", "GATTACA", "TGC"]


class Linear(Model):
    """Letters counted, and a linear layer from a fixed start."""

    info = ModelInfo(name="linear-counts", version="1", summary="A linear layer on letter counts")
    Config = GradientConfig
    encoding = "symbol_onehot"

    def build(self, task):
        layer = nn.Linear(len(task.alphabet), task.n_outputs)
        with torch.no_grad():
            layer.weight.copy_(torch.linspace(-1, 1, layer.weight.numel()).view_as(layer.weight))
            layer.bias.zero_()
        return nn.Sequential(Summed(), layer)


class Summed(nn.Module):
    def forward(self, letters):
        return letters.sum(1)


def view_of(target="classes", n_outputs=3, **asked):
    asked = {"min_length": 1, "max_length": 8} | asked
    return TaskView(
        task="letters",
        **Input(**asked).model_dump(exclude={"enumerable"}),
        target=target,
        n_outputs=n_outputs,
    )


TARGETS = {
    "classes": np.array([0, 1, 2, 2, 0, 1, 2, 2]),
    "labels": np.array([[0, 1, np.nan], [1, 1, 0]] * 4, dtype=np.float32),
    "quantities": np.array([[0.5, np.nan, -3], [np.nan, 1, 2]] * 4, dtype=np.float32),
}


def state_of(target="classes", model=Linear, *, batch_size=8, weights=None, **fields):
    config = model.Config(batch_size=batch_size, **fields)
    request = TrainRequest(
        run=0,
        view=view_of(target),
        items=Sequences.of(TEXTS, DNA),
        evaluated={"validation": np.arange(8)},
        targets=TARGETS[target],
        trained=np.arange(8),
        class_weights=np.array([1.0, 5.0, 0.25]),
        clock=BatchClock(batch_size, 8, 80),
        chance=(1, 2, 3),
        device="cpu",
        threads=1,
        engine="eager",
        weights=weights,
    )
    return make_state(model(config), config, request)
