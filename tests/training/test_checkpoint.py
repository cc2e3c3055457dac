"""A run that was cut short goes on from its checkpoint, and ends as if nothing had happened."""

import random
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from codonbench import GradientConfig, Model, ModelInfo
from codonbench.engines.capture import GRAPH, LADDER, captured
from codonbench.execution.pool import WorkerPool
from codonbench.execution.run import run_all, train_here
from codonbench.records.store import Store
from codonbench.training.loop import Checkpointer


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr("os.fsync", lambda handle: None)


def test_nothing_is_kept_before_the_first_pair():
    state = SimpleNamespace(module=nn.Linear(1, 1), optimizer=None, schedule=None)
    kept = []
    referees = SimpleNamespace(keep=lambda run, position, write: kept.append(position))
    checkpointer = Checkpointer(referees, 0.0, {}, [state])
    for position in (0, 64):
        feed = SimpleNamespace(run=0, position=position, over=False, state=state)
        checkpointer.offer([feed], lambda run: {})
    assert kept == [64]


@pytest.fixture
def unsparing(monkeypatch):
    """Keep a checkpoint at every chance, whatever that costs."""
    monkeypatch.setattr("codonbench.training.loop.SPARING", 0)


@pytest.fixture
def graph_on_cpu(monkeypatch):
    monkeypatch.setitem(LADDER, "graph", (replace(GRAPH, capture=captured, device="cpu"),))


def quiet(run_spec):
    return lambda pairs, progress: None


def interrupting(at, seed=0):
    """Press Ctrl-C at the first evaluation beyond a position."""

    def watch(run_spec):
        def interrupt(pairs, progress):
            if run_spec.seed == seed and pairs > at:
                raise KeyboardInterrupt

        return interrupt

    return watch


def runs(job, registry, folder, watch=quiet, every=0.0, trainer=train_here, **options):
    """Run a job with a checkpoint at every chance; return its records and trajectories by seed."""
    store = Store(folder)
    outcomes = run_all(job, registry, store, watch, trainer, every=every, **options)
    return {o.record.seed: (o.record, store.load_trajectory(o.record)) for o in outcomes}


def checkpoints(folder):
    return sorted(path.name for path in (folder / "checkpoints").glob("[!.]*"))


def assert_same(one, other):
    """Hold that two runs of the same seeds ended alike, to the bit, times aside."""
    assert one.keys() == other.keys()
    for seed, (record, trajectory) in one.items():
        expected, its_trajectory = other[seed]
        assert record.status == "done", record.error
        assert record.result() == expected.result()
        assert record.engine == expected.engine
        assert record.weights_sha256 == expected.weights_sha256
        assert np.array_equal(trajectory.pairs, its_trajectory.pairs)
        assert trajectory.outputs.tobytes() == its_trajectory.outputs.tobytes()


@pytest.mark.parametrize(
    ("model", "engine"),
    [
        ("mlp-64", "eager"),
        pytest.param(
            *("mlp-64", "traced"),
            marks=pytest.mark.nightly("eager and graph stand on each side of it"),
        ),
        ("mlp-64", "graph"),
        pytest.param(
            *("mlp-1024", "traced"), marks=pytest.mark.nightly("mlp-64 has the same step, smaller")
        ),
        ("gru-64", "eager"),
        pytest.param(
            *("gru-64", "traced"), marks=pytest.mark.nightly("mlp-64's stand for it; takes long")
        ),
        ("count-table", "auto"),
    ],
)
def test_what_was_cut_short_ends_as_if_nothing_had_happened(
    toys, tmp_path, graph_on_cpu, unsparing, model, engine
):
    registry = toys.registry()
    request = {"seeds": (0, 1), "pairs": 2_400, "full": True, "engine": engine}
    job = toys.job(model, registry=registry, **request)
    expected = runs(job, registry, tmp_path / "whole")
    for at in (700, 1_500):  # cut short twice, then left alone
        cut = runs(job, registry, tmp_path / "cut", interrupting(at, seed=1))
        assert "interrupted" in {r.status for r, _ in cut.values()}, [
            r.error for r, _ in cut.values()
        ]
        assert checkpoints(tmp_path / "cut")
    seen = {}

    def watch(run_spec):
        return lambda pairs, progress: seen.setdefault(run_spec.seed, pairs)

    assert_same(runs(job, registry, tmp_path / "cut", watch), expected)
    assert seen[1] > 0  # it did not begin anew
    assert checkpoints(tmp_path / "cut") == []


class Dreamer(nn.Module):
    """Draws from all three generators as it learns, and has a buffer."""

    def __init__(self, n_inputs, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_inputs, 16), nn.BatchNorm1d(16), nn.Dropout(0.3), nn.Linear(16, n_classes)
        )

    def forward(self, inputs):
        if self.training:
            inputs = inputs * (1 + 0.1 * random.random() + 0.1 * np.random.rand())
        return self.layers(inputs)


class DreamerModel(Model):
    info = ModelInfo(name="dreamer", version="1", summary="Chance at every step")
    Config = GradientConfig
    encoding = "input_onehot"

    def build(self, task):
        return Dreamer(task.n_inputs, task.n_classes)

    def configure_optimizer(self, module):
        return torch.optim.SGD(module.parameters(), lr=0.05, momentum=0.9)


def test_chance_buffers_and_momentum_go_on_where_they_were(toys, tmp_path, unsparing):
    registry = toys.registry(DreamerModel)
    job = toys.job(DreamerModel, registry=registry, pairs=5_000, full=True)
    expected = runs(job, registry, tmp_path / "whole")
    runs(job, registry, tmp_path / "cut", interrupting(2_000))
    assert checkpoints(tmp_path / "cut")
    assert_same(runs(job, registry, tmp_path / "cut"), expected)


class Counting(Dreamer):
    """Keeps a count in a plain attribute, which no state_dict tells."""

    steps = 0

    def forward(self, inputs):
        self.steps += self.training
        return self.layers(inputs / (1 + 0.01 * self.steps))


class CountingModel(DreamerModel):
    info = ModelInfo(name="counting", version="1", summary="State outside its state_dict")

    def build(self, task):
        return Counting(task.n_inputs, task.n_classes)


def test_what_keeps_state_outside_its_state_dict_begins_anew(toys, tmp_path):
    registry = toys.registry(CountingModel)
    job = toys.job(CountingModel, registry=registry, pairs=3_000, full=True)
    expected = runs(job, registry, tmp_path / "whole")
    runs(job, registry, tmp_path / "cut", interrupting(2_000))
    said = []
    again = runs(job, registry, tmp_path / "cut", say=said.append)
    assert_same(again, expected)
    assert again[0][0].resumed == (0,)
    assert any("begins anew" in sentence for sentence in said)


class ScheduledModel(DreamerModel):
    """Halves its step size every 20 updates, by a schedule that hangs on a hook."""

    info = ModelInfo(name="scheduled", version="1", summary="A schedule on a hook")

    def build(self, task):
        return nn.Linear(task.n_inputs, task.n_classes)

    def configure_optimizer(self, module):
        optimizer = torch.optim.AdamW(module.parameters(), lr=0.05)
        rates = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step / 20))
        optimizer.register_step_post_hook(lambda *_: rates.step())
        return optimizer


class ScheduledInItsPlace(ScheduledModel):
    """The same where a schedule belongs."""

    info = ModelInfo(name="scheduled-in-its-place", version="1", summary="A schedule")

    def configure_optimizer(self, module):
        return torch.optim.AdamW(module.parameters(), lr=0.05)

    def configure_schedule(self, optimizer, steps):
        return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 0.5 ** (step / 20))


@pytest.mark.parametrize(("model", "anew"), [(ScheduledModel, True), (ScheduledInItsPlace, False)])
def test_a_schedule_on_a_hook_begins_anew_and_one_in_its_place_goes_on(
    toys, tmp_path, unsparing, model, anew
):
    registry = toys.registry(model)
    job = toys.job(model, registry=registry, pairs=5_000, full=True)
    expected = runs(job, registry, tmp_path / "whole")
    runs(job, registry, tmp_path / "cut", interrupting(1_500))
    runs(job, registry, tmp_path / "cut", interrupting(3_000))
    again = runs(job, registry, tmp_path / "cut")
    assert_same(again, expected)
    (resumed,) = [record.resumed for record, _ in again.values()]
    assert expected[0][0].resumed == ()
    assert resumed == (0, 0) if anew else len(resumed) == 2 and 0 < resumed[0] < resumed[1]


@pytest.mark.usefixtures("forked_workers")
def test_states_of_workers_come_to_lie_beside_the_checkpoints(toys, tmp_path):
    registry = toys.registry()
    job = toys.job("mlp-64", registry=registry, seeds=(0, 1), pairs=100_000, full=True)
    expected = runs(job, registry, tmp_path / "whole", every=None)
    folder = tmp_path / "cut"
    with WorkerPool(1, states=folder / "checkpoints") as pool, pytest.raises(GoneError):
        runs(job, registry, folder, ending(folder), trainer=pool.train)
    kept = {Path(name).suffix for name in checkpoints(folder)}
    assert kept == {".ckpt", ".state"}
    said = []
    with WorkerPool(1, states=folder / "checkpoints") as pool:
        gone_on = runs(job, registry, folder, trainer=pool.train, say=said.append)
    assert any("goes on from" in sentence for sentence in said)
    assert_same(gone_on, expected)
    assert not (folder / "checkpoints").exists()


class GoneError(Exception):
    """The parent comes to its end."""


def ending(folder):
    """End the parent once there is a checkpoint."""

    def watch(run_spec):
        def end(pairs, progress):
            if list((folder / "checkpoints").glob("*.ckpt")):
                raise GoneError

        return end

    return watch


@pytest.mark.parametrize(("every", "costs", "wait"), [(10.0, 0.1, 10.0), (10.0, 2.0, 40.0)])
def test_the_interval_follows_what_a_checkpoint_costs(monkeypatch, every, costs, wait):
    now = [0.0]
    kept = []

    class Referees:
        def keep(self, run, position, write):
            kept.append(now[0])
            now[0] += costs

    monkeypatch.setattr("codonbench.training.loop.time.monotonic", lambda: now[0])
    monkeypatch.setattr("codonbench.training.loop.outside_state", lambda state: {})
    state = SimpleNamespace()
    feed = SimpleNamespace(state=state, run=0, over=False, position=64)
    checkpointer = Checkpointer(Referees(), every, {}, [state])
    while len(kept) < 3:
        now[0] += 1.0
        checkpointer.offer([feed], lambda i: {})
    assert kept[2] - kept[1] == pytest.approx(wait + costs, abs=1.0)
