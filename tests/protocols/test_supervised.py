"""Supervised tasks, end to end: what is trained on, looked at, selected, and asked once."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

import codonbench
from codonbench import Dataset, Input, Sequences, SequenceTuples, Target, Task, TaskSpec
from codonbench.audit.one_record import contradictions, doubts
from codonbench.audit.repeat import repeat
from codonbench.contracts import (
    Column,
    Features,
    GradientConfig,
    Model,
    ModelInfo,
    Output,
    Ranking,
    SplitMetric,
)
from codonbench.contracts.run_spec import MOST_PAIRS, RunRequest
from codonbench.data.stream import BatchClock
from codonbench.errors import ConfigError
from codonbench.execution.prepare import prepare
from codonbench.execution.run import referees_of, run, run_all, train_here
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import Primary, RunOutputs, RunSetup, unwatched
from codonbench.protocols.supervised import PATIENCE, Supervised, distance, loss
from codonbench.records.store import Store, read_record
from codonbench.scoring.rescore import rescore
from codonbench.training.loop import evaluate
from codonbench.training.request import train_request
from codonbench.training.state import make_state

ranked_by = lambda metric: Ranking(  # noqa: E731
    metric=metric, direction="higher", columns=(Column(metric=metric, title=metric),)
)


class GcRich(Task):
    """Sequences of five to twelve letters: is more than half of one G or C?"""

    name, version, title, protocol = "gc-any-length", "1", "GC-rich?", "supervised"
    default_data, ranking = "dice", ranked_by("mcc")
    validation = 100

    def load(self, data, options, *, cache, offline=False):
        chance = np.random.default_rng(1)
        texts = ["".join(chance.choice(list("ACGT"), size=n)) for n in chance.integers(5, 13, 800)]
        ends = {"train": (0, 600 - self.validation), "validation": (600 - self.validation, 600)}
        ends["test"] = (600, 800)
        return Dataset(
            spec=TaskSpec(
                name=self.name,
                version="1",
                title=self.title,
                input=Input(min_length=5, max_length=12),
                target=Target(names=("poor", "rich")),
                protocol=self.protocol,
                train_size=600 - self.validation,
                validation_size=self.validation,
                test_size=200,
                default_epochs=30,
            ),
            source="dice",
            checksum="c" * 64,
            simulated=True,
            items=Sequences.of(texts, "ACGT"),
            targets=np.array(
                [2 * sum(t.count(x) for x in "GC") > len(t) for t in texts], dtype=int
            ),
            splits={name: np.arange(*span) for name, span in ends.items()},
            groups=np.arange(800) // 4,
        )


class GcUncut(GcRich):
    """The same, its validation split to be cut from training."""

    name, validation = "gc-uncut", 0


class Melting(Task):
    """Two quantities of sequences of eight letters, some of them missing."""

    name, version, title, protocol = "melting", "1", "Melting", "supervised"
    default_data, ranking = "dice", ranked_by("spearman")

    def load(self, data, options, *, cache, offline=False):
        rows = np.random.default_rng(2).integers(4, size=(500, 8))
        gc = np.isin(rows, (1, 2)).sum(axis=1)
        targets = np.stack([300 + 4.0 * gc, 1e-3 * rows[:, 0]], axis=1).astype(np.float32)
        targets[::7, 1] = np.nan
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_length(8),
            target=Target(kind="quantities", names=("point", "first"), units=("K", "")),
            protocol=self.protocol,
            train_size=400,
            test_size=100,
            default_epochs=40,
        )
        items, splits = (
            Sequences.of_rows(rows),
            {"train": np.arange(400), "test": np.arange(400, 500)},
        )
        return Dataset(spec, "dice", "m" * 64, True, items, targets, splits=splits)


class Levels(Task):
    """Classes of vectors of numbers."""

    name, version, title, protocol = "levels", "1", "Levels", "supervised"
    default_data, ranking = "dice", ranked_by("mcc")

    def load(self, data, options, *, cache, offline=False):
        values = np.random.default_rng(3).normal(size=(300, 6)).astype(np.float32)
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_length(6, kind="features", unit="sample", symbol="gene", alphabet=""),
            target=Target(names=("low", "high")),
            protocol=self.protocol,
            train_size=200,
            test_size=100,
        )
        splits = {"train": np.arange(200), "test": np.arange(200, 300)}
        targets = (values[:, 0] > values[:, 1]).astype(int)
        return Dataset(spec, "dice", "l" * 64, True, Features(values), targets, splits=splits)


@codonbench.model(encoding="symbol_onehot_flat", learning_rate=0.02)
def one_layer(task):
    """A linear layer on the letters."""
    return nn.Linear(task.length * len(task.alphabet), task.n_outputs)


@codonbench.model(encoding="features", learning_rate=0.02)
def weighted_sum(task):
    """A linear layer on numbers."""
    return nn.Linear(task.length, task.n_outputs)


class Bound(Task):
    """Pairs of a miRNA and a longer target: is the target's middle the same letters?"""

    name, version, title, protocol = "bound", "1", "Bound", "supervised"
    default_data, ranking = "dice", ranked_by("mcc")

    def load(self, data, options, *, cache, offline=False):
        chance = np.random.default_rng(4)
        draw = lambda n: "".join(chance.choice(list("ACGT"), size=n))  # noqa: E731
        mirnas = [draw(6) for _ in range(700)]
        targets = [draw(n) for n in chance.integers(8, 14, 700)]
        right = np.arange(700) % 2
        mirnas = [m[:3] + "GGG" if y else m for m, y in zip(mirnas, right, strict=True)]
        targets = [t[:4] + "NAAA" + t[8:] if y else t for t, y in zip(targets, right, strict=True)]
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_parts(
                Input.of_length(6, unit="mirna", alphabet="ACGU"),
                Input(unit="target", min_length=8, max_length=13, ambiguous="channel"),
            ),
            target=Target(names=("no", "yes")),
            protocol=self.protocol,
            train_size=500,
            test_size=200,
            default_epochs=8,
        )
        items = SequenceTuples((Sequences.of(mirnas, "ACGU"), Sequences.of(targets, "ACGT")))
        splits = {"train": np.arange(500), "test": np.arange(500, 700)}
        return Dataset(spec, "dice", "b" * 64, True, items, right, splits=splits)


@pytest.fixture(scope="module")
def registry(toys):
    registry = Registry()
    for kind in ("models", "metrics", "tasks", "protocols"):
        getattr(registry, kind).update(getattr(toys.installed, kind))
    models = (one_layer, weighted_sum, LettersSeen, Rowless)
    tasks = (GcRich(), GcUncut(), Melting(), Levels(), Bound())
    registry.add(toys.module("supervised-toys", models=models, tasks=tasks), "toy-shop", "1.0")
    assert not registry.failures
    return registry


@pytest.fixture(scope="module")
def train(registry):
    def train(model, task, **asked):
        job = prepare(RunRequest(model=model, task=task, **asked), registry, Path("no-cache"))
        return list(run(job, registry, unwatched))

    return train


@pytest.fixture(scope="module")
def rich(train):
    """Two seeds of a network on sequences of different lengths."""
    return train("cnn", "gc-any-length", seeds=(0, 1), overrides={"width": "5", "channels": "16"})


def test_sequences_of_different_lengths_are_learned(rich):
    for record, trajectory in rich:
        assert record.status == "done"
        assert record.metrics["mcc"] > 0.8
        assert record.metrics["auroc"] > 0.9
        assert set(record.validation_metrics) >= {"mcc", "auroc", "accuracy"}
        assert "pearson" not in record.metrics
        assert trajectory.test_outputs.shape == (200, 2)
        assert trajectory.outputs.shape[1:] == (100, 2)
        assert trajectory.pairs[0] == 0


@pytest.mark.parametrize("task", ["gc-uncut", "melting"])
def test_a_validation_split_is_cut_where_there_is_none(train, task):
    ((record, trajectory),) = train("cnn", task, epochs=2)
    assert record.status == "done"
    n_train = trajectory.task.train_size
    assert 0.1 <= trajectory.outputs.shape[1] / n_train <= 0.12


def test_quantities_are_learned_in_their_own_units(train):
    ((record, trajectory),) = train("one-layer", "melting")
    assert record.metrics["r2"] > 0.95
    assert record.metrics["spearman"] > 0.95
    assert trajectory.test_outputs[:, 0].mean() == pytest.approx(316, abs=2)
    assert "mcc" not in record.metrics


def test_features_are_learned(train):
    ((record, _),) = train("weighted-sum", "levels", epochs=60)
    assert record.metrics["mcc"] > 0.8


@pytest.mark.parametrize("model", ["cnn", "kmer-linear"])
def test_pairs_of_sequences_are_learned(train, model):
    ((record, _),) = train(model, "bound", overrides={} if model == "cnn" else {"k": "3"})
    assert record.status == "done"
    assert record.metrics["mcc"] > 0.9


def test_majority_gives_the_mean_of_quantities(train):
    ((record, trajectory),) = train("majority", "melting", epochs=1)
    assert np.ptp(trajectory.test_outputs, axis=0).tolist() == [0, 0]
    assert trajectory.test_outputs[0, 0] == pytest.approx(316, abs=1)
    assert record.metrics["r2"] == pytest.approx(0, abs=0.05)
    assert record.metrics["pearson"] is None


def test_majority_gives_the_class_seen_most(train):
    ((record, _),) = train("majority", "gc-any-length", epochs=1)
    assert record.metrics["mcc"] == 0
    assert record.metrics["auroc"] == 0.5


class LettersSeen(codonbench.Estimator):
    """Says of each item how often training showed its first letter with each class."""

    info = codonbench.ModelInfo(name="letters-seen", version="1", summary="First letters")
    encoding = "text"
    asked: ClassVar[list] = []

    def fit(self, training):
        self.asked.append(training)
        self.seen = np.ones((5, training.task.n_outputs))
        for text, target in zip(training.items, training.targets, strict=True):
            self.seen["ACGTN".index(text[0]), target] += 1

    def predict(self, items):
        self.asked.append(items)
        return np.log([self.seen["ACGTN".index(text[0])] for text in items])


class Rowless(LettersSeen):
    """Forgets an item."""

    info = codonbench.ModelInfo(name="rowless", version="1", summary="One row too few")

    def predict(self, items):
        return super().predict(items[1:])


def test_an_estimator_is_fitted_once_and_asked_once_about_each_split(train):
    LettersSeen.asked.clear()
    ((record, trajectory),) = train("letters-seen", "gc-uncut")
    training, validation, test = LettersSeen.asked
    n_train = len(training.items)
    assert n_train + len(validation) == 600
    assert len(test) == 200
    assert {type(text) for text in training.items} == {str}
    right = [int(2 * sum(t.count(x) for x in "GC") > len(t)) for t in training.items]
    assert training.targets.tolist() == right
    assert record.status == "done"
    assert (record.pairs, record.selected_pairs) == (n_train, n_train)
    assert trajectory.pairs.tolist() == [n_train]
    assert (record.engine.name, record.parameters, record.weights_sha256) == ("fit", 0, None)
    assert record.run_spec.config == {}


@pytest.mark.parametrize(
    ("model", "task", "fields", "metric", "least"),
    [
        ("kmer-linear", "gc-any-length", {"k": "2"}, "mcc", 0.85),
        ("kmer-linear", "melting", {"k": "2"}, "spearman", 0.6),
        ("nearest", "gc-any-length", {"k": "2"}, "mcc", 0.6),
        ("nearest", "melting", {"k": "2"}, "spearman", 0.4),
        ("onehot-linear", "melting", {"penalty": "1"}, "spearman", 0.6),
        ("linear", "levels", {}, "mcc", 0.85),
        ("nearest", "levels", {}, "mcc", 0.6),
    ],
)
def test_fitted_models_learn_classes_quantities_and_features(
    train, model, task, fields, metric, least
):
    """Of the quantities of ``melting``, k-mers tell one and not the other."""
    ((record, _),) = train(model, task, seeds=(3,), overrides=fields)
    ((again, _),) = train(model, task, seeds=(3,), overrides=fields)
    assert record.metrics[metric] > least
    assert record.metrics == again.metrics
    assert record.weights_sha256 == again.weights_sha256
    assert (record.parameters > 0) == (model != "nearest")


def test_an_estimator_is_fitted_on_as_many_pairs_as_are_asked_for(train):
    LettersSeen.asked.clear()
    ((record, _),) = train("letters-seen", "gc-any-length", pairs=70)
    assert len(LettersSeen.asked[0].items) == record.pairs == 70


def test_majority_serves_features(train):
    ((record, _),) = train("majority", "levels", epochs=1)
    assert record.metrics["mcc"] == 0


def test_a_wrong_number_of_outputs_ends_a_fitted_run_in_words(train):
    ((record, _),) = train("rowless", "gc-any-length")
    assert record.status == "error"
    assert "(99, 2), expected (100, 2)" in record.error


def test_two_runs_are_the_same_to_the_bit(train, rich):
    again = train("cnn", "gc-any-length", seeds=(1, 0), overrides={"width": "5", "channels": "16"})
    hashes = {record.seed: record.weights_sha256 for record, _ in again}
    assert hashes == {record.seed: record.weights_sha256 for record, _ in rich}
    assert len(set(hashes.values())) == 2


def test_what_is_tested_is_the_selected_state(train):
    """Selected after 9 of 30 epochs or so, it is the state of a run that was given no more."""
    ((record, trajectory),) = train("one-layer", "melting", overrides={"learning_rate": "0.3"})
    selected = record.selected_pairs
    assert 0 < selected < record.pairs
    losses = [loss(outputs, trajectory.targets, trajectory.task) for outputs in trajectory.outputs]
    assert trajectory.pairs[int(np.argmin(losses))] == selected
    ((short, tested),) = train(
        "one-layer", "melting", overrides={"learning_rate": "0.3"}, pairs=selected, full=True
    )
    assert short.selected_pairs == selected
    assert short.weights_sha256 == record.weights_sha256
    np.testing.assert_array_equal(tested.test_outputs, trajectory.test_outputs)


def test_outputs_of_an_item_do_not_depend_on_its_neighbours_lengths(registry):
    module = registry.model("cnn").cls(registry.model("cnn").cls.Config())
    job = prepare(RunRequest(model="cnn", task="gc-any-length"), registry, Path("no-cache"))
    network = module.build(job.dataset.spec.view()).eval()
    short = torch.cat([torch.eye(4), torch.ones(4, 1)], dim=1)[torch.tensor([[0, 3, 2, 1, 1]])]
    padded = torch.cat([short, torch.zeros(1, 6, 5)], dim=1)
    with torch.no_grad():
        torch.testing.assert_close(network(short), network(padded))


@pytest.mark.parametrize(
    ("model", "task", "words"),
    [
        ("mlp-64", "gc-any-length", ["mlp", "gc-any-length", "enumerated"]),
        ("softmax-table", "gc-any-length", ["gc-any-length"]),
        ("lstm-64", "gc-any-length", ["lstm", "gc-any-length", "5 to 12", "one length"]),
        ("lstm-64", "melting", ["melting", "quantities", "classes"]),
        ("cnn", "levels", ["levels", "features"]),
        ("lstm-64", "bound", ["lstm", "bound", "2 sequences", "cnn"]),
        ("mlp-64-12bit", "bound", ["mlp", "bound", "2 sequences", "cnn"]),
        ("oracle", "levels", ["oracle", "levels", "nearest"]),
        ("bound", "melting", ["bound", "melting", "nearest"]),
        ("linear", "melting", ["features", "melting"]),
        ("onehot-linear", "gc-any-length", ["onehot-linear", "5 to 12", "one length"]),
        ("kmer-linear", "levels", ["kmer-linear", "levels", "features", "linear"]),
    ],
)
def test_a_model_that_does_not_serve_a_task_says_so(train, model, task, words):
    with pytest.raises(ConfigError) as caught:
        train(model, task, epochs=1)
    assert [word for word in words if word not in str(caught.value)] == []


def test_an_estimator_serves_no_task_that_asks_all_along(registry):
    with pytest.raises(ConfigError, match=r"kmer-linear.*human-codon"):
        prepare(RunRequest(model="kmer-linear"), registry, Path("no-cache"))
    asked = RunRequest(model="letters-seen", task="gc-any-length", epochs=3)
    with pytest.raises(ConfigError, match=r"letters-seen.*3 epochs"):
        prepare(asked, registry, Path("no-cache"))


def test_a_run_that_diverges_is_tested_on_what_was_selected_before(train):
    ((record, trajectory),) = train(
        "one-layer", "melting", overrides={"optimizer": "sgd", "learning_rate": "100"}
    )
    assert record.status == "diverged"
    assert record.selected_pairs < record.pairs
    assert np.isfinite(trajectory.test_outputs).all()


@settings(max_examples=20)
@given(st.integers(0, 2**31 - 1), st.sampled_from(["gc-any-length", "gc-uncut", "melting"]))
def test_no_target_but_those_trained_on_is_told(registry, seed, task):
    job = prepare(RunRequest(model="cnn", task=task, seeds=(seed,)), registry, Path("no-cache"))
    setup = RunSetup(job.run_specs[0], job.dataset, job.protocol, 128)
    request, split = train_request(0, setup), setup.stream.split
    told = np.flatnonzero(request.targets.reshape(len(request.targets), -1).any(axis=1))
    assert set(request.trained) == set(split.train)
    assert set(told) <= set(split.train)
    assert not set(split.train) & (set(split.validation) | set(split.test))
    assert not set(split.validation) & set(split.test)
    np.testing.assert_array_equal(request.targets[split.train], job.dataset.targets[split.train])
    if job.dataset.groups is not None:
        groups = job.dataset.groups
        assert not set(groups[split.train]) & set(groups[split.validation])


SIZES = st.integers(2, 500)


class Walk:
    """A run of made-up losses, taken where the schedule says.

    Args:
        sizes: Training, validation and test items.
        losses: Of each look, the last one for ever.
    """

    def __init__(self, sizes, batch_size, epochs, losses, stop="patience"):
        n_train, n_validation, n_test = sizes
        self.clock = BatchClock(batch_size, n_train, epochs * n_train)
        spec = TaskSpec(
            name="walk",
            version="1",
            title="Walk",
            input=Input.of_length(3),
            target=Target(kind="quantities", names=("x",)),
            protocol="supervised",
            train_size=n_train,
            validation_size=n_validation,
            test_size=n_test,
        )
        self.setup = type("Setup", (), {"primary": None})()
        self.setup.clock, self.setup.at_once = self.clock, False
        self.setup.dataset = type(
            "Data", (), {"spec": spec, "targets": np.zeros((n_validation, 1))}
        )
        split = type("Split", (), {"validation": np.arange(n_validation)})
        self.setup.stream = type("Stream", (), {"split": split})
        self.setup.run_spec = type("Spec", (), {"stop": stop, "control": None})
        self.setup.dataset.targets[0] = 1  # so that there is a variance
        schedule = Supervised().schedule(self.setup)
        self.schedule, self.looks, self.kept = schedule, [schedule.first()], []
        while self.looks[-1] is not None and len(self.looks) < 2000:
            place = len(self.looks) - 1
            value = losses[min(place, len(losses) - 1)]
            outputs = np.full((n_validation, 1), value, dtype=np.float32)
            asked = self.looks[-1]
            self.looks.append(schedule.next(asked, outputs))
            if schedule.keep:
                self.kept.append(asked.position)
        self.looks.pop()


@given(
    st.tuples(SIZES, SIZES, SIZES),
    st.integers(1, 64),
    st.integers(1, 60),
    st.lists(st.sampled_from([2, 3, 5, 9, np.nan]), min_size=1, max_size=30),
    st.sampled_from(["patience", "budget"]),
)
def test_a_schedule_asks_about_the_test_split_once_and_last(sizes, batch, epochs, losses, stop):
    walk = Walk(sizes, batch, epochs, losses, stop)
    *validation, last = walk.looks
    if np.isnan(losses[0]):  # there is nothing to select
        assert [look.split for look in walk.looks] == ["validation"]
        return
    assert {look.split for look in validation} == {"validation"}
    assert last.split == "test"
    assert last.of_selected
    places = [look.position for look in validation]
    assert places == sorted(set(places))
    assert all(place == walk.clock.end_of(place) for place in places)
    finite = next((i for i, v in enumerate(losses) if np.isnan(v)), len(places))
    assert walk.schedule.selected == walk.kept[-1]
    assert (
        walk.kept[-1]
        == places[int(np.argmin([*losses, *losses[-1:] * 2000][:finite][: len(places)]))]
    )
    if stop == "budget" and walk.schedule.finite:
        assert places[-1] == walk.clock.budget_pairs


def test_a_run_stops_once_it_has_waited_long_enough():
    walk = Walk((1000, 50, 50), 10, 100, [9, 5, 3, 4])
    far = distance(walk.clock, 50)
    assert walk.schedule.selected == walk.looks[2].position
    waited = walk.looks[-1].position - walk.looks[2].position
    assert PATIENCE * far <= waited < (PATIENCE + 1) * far


@given(st.integers(20, 100_000), st.floats(0.001, 3), st.floats(0.001, 1), st.integers(1, 200))
def test_looks_take_less_than_a_tenth_of_a_run(n_train, validation, test, epochs):
    """A third of a training pair an item; unless the budget itself is but a few looks long."""
    n_validation = max(2, int(validation * n_train))
    n_test = max(1, int(test * n_validation))
    walk = Walk((n_train, n_validation, n_test), 16, epochs, [1])
    position = walk.looks[-1].position
    if position < PATIENCE * distance(walk.clock, n_validation):
        return
    cost = ((len(walk.looks) - 1) * n_validation + n_test) / 3
    assert cost < 0.1 * position


# What a training may be set to do, in whole runs


class _NormedLayers(nn.Module):
    """Layers in a module that, unlike `nn.Sequential`, has no length."""

    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.hidden, self.norm = nn.Linear(n_inputs, 16), nn.BatchNorm1d(16)
        self.dropout, self.output = nn.Dropout(0.3), nn.Linear(16, n_outputs)

    def forward(self, inputs):
        return self.output(self.dropout(torch.relu(self.norm(self.hidden(inputs)))))


class Normed(Model):
    """A layer with batch norm and dropout before the output: its state is more than weights."""

    info = ModelInfo(name="normed", version="1", summary="Batch norm and dropout")
    Config = GradientConfig
    encoding = "symbol_onehot_flat"

    def build(self, task):
        return _NormedLayers(task.length * len(task.alphabet), task.n_outputs)


@pytest.fixture(scope="module")
def with_normed(registry, toys):
    registry.add(toys.module("normed-toys", models=(Normed,)), "normed-shop", "1.0")
    return registry


def test_running_statistics_are_put_back_with_the_best_state(with_normed):
    """The module as a run leaves it gives, in evaluation mode, the test outputs recorded."""
    asked = {"overrides": {"learning_rate": "0.1"}, "epochs": 60}
    request = RunRequest(model="normed", task="melting", **asked)
    job = prepare(request, with_normed, Path("no-cache"))
    ((referee, result),) = train_here(job, unwatched, None)
    trajectory, module = referee.trajectory(), result.module
    selected = trajectory.facts.selected_pairs
    assert 0 < selected < trajectory.facts.pairs
    assert module.norm.num_batches_tracked == BatchClock(64, 360, selected).batches
    state = make_state(Normed(job.config), job.config, train_request(0, referee.setup))
    state.module.load_state_dict(module.state_dict())
    np.testing.assert_array_equal(evaluate(state, "test"), trajectory.test_outputs)
    state.module.train()
    inputs = state.encode(state.evaluated["test"])
    assert not torch.equal(state.module(inputs), state.module(inputs))  # dropout is at work


EVERYTHING = {
    "optimizer": "adamw",
    "weight_decay": "0.01",
    "schedule": "cosine",
    "warmup": "0.1",
    "gradient_clip": "1.0",
    "accumulate": "2",
    "precision": "bfloat16",
    "reverse_complement": "true",
    "class_weights": "balanced",
}


def test_a_run_with_all_settings_goes_on_from_a_checkpoint_to_the_bit(
    registry, tmp_path, monkeypatch
):
    monkeypatch.setattr("codonbench.training.loop.SPARING", 0)
    request = RunRequest(
        model="cnn",
        task="gc-any-length",
        epochs=4,
        full=True,
        overrides=EVERYTHING | {"width": "5", "channels": "8", "batch_size": "32"},
    )
    job = prepare(request, registry, Path("no-cache"))

    def outcome(folder, watch=unwatched):
        store = Store(tmp_path / folder)
        (found,) = run_all(job, registry, store, watch, every=0.0)
        return found.record, store.load_trajectory(found.record)

    def interrupted(run_spec):
        def follow(pairs, progress):
            if pairs > 700:
                raise KeyboardInterrupt

        return follow

    whole, trajectory = outcome("whole")
    assert whole.metrics["mcc"] is not None
    assert whole.overrides.keys() >= EVERYTHING.keys()
    assert whole.run_spec.config.items() >= whole.overrides.items()
    cut, _ = outcome("cut", interrupted)
    assert cut.status == "interrupted"
    resumed, again = outcome("cut")
    assert resumed.weights_sha256 == whole.weights_sha256
    np.testing.assert_array_equal(again.test_outputs, trajectory.test_outputs)
    np.testing.assert_array_equal(again.outputs, trajectory.outputs)


@pytest.mark.nightly("compiles two modules")
def test_a_compiled_module_is_trained_as_the_plain_loop_trains_it_and_repeats(with_normed):
    """Dropout and batch norm included; test outputs agree to float32's rounding over 18 steps."""

    def trained(engine):
        asked = {"engine": engine, "epochs": 3, "full": True, "overrides": {"batch_size": "64"}}
        request = RunRequest(model="normed", task="melting", **asked)
        job = prepare(request, with_normed, Path("no-cache"))
        ((record, trajectory),) = run(job, with_normed, unwatched)
        return record, trajectory.test_outputs

    (plain, expected), (once, outputs), (again, _) = map(trained, ("eager", *["compiled"] * 2))
    assert plain.engine.name == "eager"
    assert once.engine.name == "torch-compile", once.engine.reason
    assert again.weights_sha256 == once.weights_sha256
    np.testing.assert_allclose(outputs, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.nightly("compiles three modules")
def test_a_compiled_run_that_was_cut_short_ends_as_if_nothing_had_happened(
    with_normed, tmp_path, monkeypatch
):
    monkeypatch.setattr("codonbench.training.loop.SPARING", 0)
    request = RunRequest(model="normed", task="melting", engine="compiled", epochs=6, full=True)
    job = prepare(request, with_normed, Path("no-cache"))

    def outcome(folder, watch=unwatched):
        (found,) = run_all(job, with_normed, Store(tmp_path / folder), watch, every=0.0)
        return found.record

    def interrupted(run_spec):
        def follow(pairs, progress):
            if pairs > 700:
                raise KeyboardInterrupt

        return follow

    whole = outcome("whole")
    assert outcome("cut", interrupted).status == "interrupted"
    again = outcome("cut")
    assert again.engine.name == whole.engine.name == "torch-compile", whole.engine.reason
    (position,) = again.resumed
    assert position > 0
    assert again.result() == whole.result()


def test_balanced_weights_come_from_the_counts_of_the_training_split(registry):
    request = RunRequest(model="cnn", task="gc-any-length", overrides={"class_weights": "balanced"})
    job = prepare(request, registry, Path("no-cache"))
    setup = RunSetup(job.run_specs[0], job.dataset, job.protocol, 128)
    classes = job.dataset.targets[setup.stream.split.train]
    expected = compute_class_weight("balanced", classes=np.array([0, 1]), y=classes)
    np.testing.assert_allclose(setup.class_weights, expected)
    with pytest.raises(ConfigError, match=r"'melting'.*class_weights=none"):
        prepare(
            RunRequest(model="cnn", task="melting", overrides={"class_weights": "balanced"}),
            registry,
            Path("no-cache"),
        )


def test_a_budget_in_examples_is_one_in_pairs(train):
    ((pairs, _),) = train("one-layer", "melting", pairs=1_000)
    ((examples, _),) = train("one-layer", "melting", examples=1_000)
    assert examples.run_id == pairs.run_id
    with pytest.raises(ValueError, match="epochs or in examples, not both"):
        RunRequest(model="x", epochs=1, examples=1)


@pytest.fixture
def clock(monkeypatch):
    """A clock of the referee's on which each look at it takes a quarter of a second."""
    now = [0.0]

    def monotonic():
        now[0] += 0.25
        return now[0]

    monkeypatch.setattr("codonbench.protocols.referee.time.monotonic", monotonic)


def test_a_budget_in_seconds_ends_a_run_at_the_end_of_a_batch(train, clock):
    ((record, trajectory),) = train("one-layer", "melting", epochs=500, seconds=2.0, full=True)
    assert record.status == "done"
    assert record.run_spec.budget_seconds == 2.0
    assert 0 < record.pairs < record.run_spec.budget_pairs
    assert record.pairs == trajectory.pairs[-1] == trajectory.facts.pairs
    assert trajectory.facts.complete
    assert len(trajectory.test_outputs) == 100
    assert BatchClock(64, 360, 10**9).end_of(record.pairs) == record.pairs
    ((longer, _),) = train("one-layer", "melting", epochs=500, seconds=4.0, full=True)
    assert longer.pairs > record.pairs
    assert longer.comparability_key != record.comparability_key
    assert "pairs" not in dict(contradictions(record, None))
    assert "run_spec.budget_seconds" in dict(doubts(record, None))


def test_a_run_ended_by_the_clock_is_not_to_be_repeated(train, registry, clock):
    ((record, _),) = train("one-layer", "melting", epochs=500, seconds=2.0)
    with pytest.raises(ConfigError, match="2 seconds"):
        repeat(record, registry, Path("no-cache"))


def test_a_task_that_counts_pairs_takes_no_seconds(toys):
    with pytest.raises(ConfigError, match=r"'dipeptide'.*--seconds"):
        toys.job("mlp-64", seconds=1.0)


class MedianError(SplitMetric):
    """The median absolute error of the first quantity: no run was ever scored by it."""

    name, version, summary = "median_error", "1", "Median absolute error"
    serves_targets = frozenset({"quantities"})

    def outputs(self, task):
        return {self.name: Output(unit="K", direction="lower", summary=self.summary)}

    def score(self, targets, outputs, task):
        return {self.name: float(np.median(np.abs(outputs[:, 0] - targets[:, 0])))}


def test_a_run_is_scored_by_a_metric_that_did_not_exist_when_it_was_made(registry, tmp_path):
    job = prepare(RunRequest(model="one-layer", task="melting"), registry, Path("no-cache"))
    store = Store(tmp_path)
    (made,) = run_all(job, registry, store, unwatched)
    assert "median_error" not in made.record.metrics
    path = tmp_path / f"{made.record.name}.json"
    metrics = {m.name: m for m in registry.metrics_of(job.dataset.spec)}
    done = rescore(path, metrics | {"median_error": MedianError()}, registry.known_tasks)
    assert done.outcome == "scored anew"
    assert set(done.added) == {"median_error"}
    assert not done.changed
    scored = read_record(path)
    targets = job.dataset.targets[job.dataset.splits["test"], 0]
    outputs = store.load_trajectory(scored).test_outputs[:, 0]
    expected = pytest.approx(np.sort(np.abs(outputs - targets))[49:51].mean())
    assert scored.metrics["median_error"] == expected
    assert set(scored.validation_metrics) == {*made.record.validation_metrics, "median_error"}
    assert scored.run_id == made.record.run_id


def test_a_budget_in_seconds_alone_is_the_clocks(registry):
    def asked(**fields):
        request = RunRequest(model="cnn", task="gc-any-length", seconds=1.0, **fields)
        return prepare(request, registry, Path("no-cache"))

    job = asked()
    assert job.run_specs[0].budget_pairs == MOST_PAIRS
    assert asked(epochs=2).run_specs[0].budget_pairs == 2 * job.dataset.spec.train_size
    ((record, trajectory),) = run(job, registry, unwatched)
    assert record.status == "done"
    assert len(trajectory.pairs) > 3
    with pytest.raises(ConfigError, match=r"schedule=cosine.*--epochs"):
        asked(overrides={"schedule": "cosine"})


def test_the_primary_metric_is_told_on_the_way(registry):
    told = []

    def watch(run_spec):
        return lambda pairs, progress: told.append(progress().split())

    request = RunRequest(model="cnn", task="gc-any-length", epochs=2)
    job = prepare(request, registry, Path("no-cache"))
    ((record, _),) = run(job, registry, watch)
    metric = job.task.ranking.metric
    figures = [float(figure.rstrip(",")) for _, _, figure, _, _ in told]
    assert {name for _, name, *_ in told} == {metric}
    assert float(told[-1][-1]) == max(figures)
    selected = record.validation_metrics[metric]
    assert any(figure == pytest.approx(selected, abs=5e-5) for figure in figures)


def test_a_run_goes_on_before_its_figure_is_computed_for_who_reads_it(registry, monkeypatch):
    scored, told = [], []
    monkeypatch.setattr(Primary, "of", lambda *words: scored.append(words) or 0.25)
    job = prepare(RunRequest(model="cnn", task="gc-any-length"), registry, Path("no-cache"))
    group = referees_of(job, lambda run_spec: lambda *words: told.append(words))
    group.begin(0)
    group.answer([RunOutputs(0, 0, None)])
    look = [RunOutputs(0, 0, np.zeros(group.referees[0].shape_due(), dtype=np.float32))]
    (instructions,) = group.instruct(look)
    assert instructions.keep
    assert instructions.evaluation.position > 0
    assert (scored, told) == ([], [])
    for _ in range(2):
        group.notify(look)
    ((position, progress),) = told
    assert (position, scored) == (0, [])
    for _ in range(2):
        assert progress() == f"validation {job.primary.name} 0.2500, best 0.2500"
    assert len(scored) == 1


@pytest.mark.parametrize("targets", ["classes", "labels", "quantities"])
def test_what_ranks_is_got_ready_with_outputs_like_those_of_a_look(targets):
    asked = []

    class Spy:
        def score(self, targets, outputs, task):
            asked.append((len(targets), outputs.shape))
            return {"spied": 1.0}

    task = TaskSpec(
        name="t",
        version="1",
        title="",
        protocol="supervised",
        input=Input.of_length(8),
        target=Target(kind=targets, names=("a", "b", "c")),
        train_size=4,
    )
    Primary(Spy(), "spied", lower=False).get_ready(task, np.zeros(4))
    assert asked == [(4, (4, 3))]
