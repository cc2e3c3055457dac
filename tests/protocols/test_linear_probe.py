"""A head on a frozen trunk, end to end: what is computed once, chosen on validation, asked once."""

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from torch import nn

from codonbench import Dataset, Input, Sequences, Target, Task, TaskSpec
from codonbench.audit.one_record import contradictions
from codonbench.audit.repeat import repeat
from codonbench.contracts import GradientConfig, Model, ModelInfo, Ranking
from codonbench.contracts.run_spec import RunRequest
from codonbench.errors import ConfigError
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.plugins.registry import Registry
from codonbench.protocols.linear_probe import PENALTIES
from codonbench.protocols.referee import unwatched
from codonbench.protocols.supervised import loss
from codonbench.training.probe import fit_head

RANKED = Ranking.by_mean("mcc", mcc="MCC")


class First(Task):
    """Which letter comes first? Of 600 sequences of eight."""

    name, version, title, protocol = "first", "1", "First", "supervised"
    default_data, ranking = "dice", RANKED

    def load(self, data, options, *, cache, offline=False):
        rows = np.random.default_rng(5).integers(4, size=(600, 8))
        ends = {"train": (0, 400), "validation": (400, 500), "test": (500, 600)}
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_length(8),
            target=Target(names=("A", "C", "G", "T")),
            protocol=self.protocol,
            train_size=400,
            validation_size=100,
            test_size=100,
        )
        splits = {name: np.arange(*span) for name, span in ends.items()}
        items = Sequences.of_rows(rows)
        return Dataset(spec, "dice", "f" * 64, True, items, rows[:, 0], splits=splits)


class _Trunk(nn.Module):
    calls = 0

    def __init__(self, n_outputs):
        super().__init__()
        self.trunk = nn.Linear(32, 40)
        self.head = nn.Linear(40, n_outputs)

    def embed(self, letters):
        type(self).calls += len(letters)
        return torch.relu(self.trunk(letters))

    def forward(self, letters):
        return self.head(self.embed(letters))

    def about(self):
        return {"width": 40}


class Random(Model):
    """Random features, the same for each seed."""

    info = ModelInfo(name="random-features", version="1", summary="Random features")
    Config = GradientConfig
    encoding = "symbol_onehot_flat"

    def build(self, task):
        module = _Trunk(task.n_outputs)
        with torch.no_grad():
            torch.nn.init.normal_(module.trunk.weight, generator=torch.Generator().manual_seed(0))
            module.trunk.bias.zero_()
        return module


@pytest.fixture(scope="module")
def registry(toys):
    registry = Registry()
    for kind in ("models", "metrics", "tasks", "protocols"):
        getattr(registry, kind).update(getattr(toys.installed, kind))
    registry.add(toys.module("probe-toys", models=(Random,), tasks=(First(),)), "toy-shop", "1.0")
    assert not registry.failures
    return registry


def probed(registry, model="random-features", **more):
    request = RunRequest(model=model, task="first", protocol="linear_probe", **more)
    return list(run(prepare(request, registry, Path("no-cache")), registry, unwatched))


def test_the_trunk_is_run_once_and_the_penalty_is_the_best_on_validation(
    registry, tmp_path, monkeypatch
):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path))
    before = _Trunk.calls
    (first, trajectory), (second, _) = probed(registry, seeds=(0, 1))
    assert _Trunk.calls - before == 600  # all items once, for both seeds
    assert len(list((tmp_path / "embeddings").iterdir())) == 1
    assert (first.status, first.error) == ("done", None)
    assert first.metrics["mcc"] > 0.9
    assert first.metrics == second.metrics
    spec = trajectory.task
    losses = [loss(outputs, trajectory.targets, spec) for outputs in trajectory.outputs]
    best = int(np.argmin(losses))
    assert trajectory.pairs.tolist() == [400 * (i + 1) for i in range(len(PENALTIES))]
    assert first.selected_pairs == 400 * (best + 1)
    assert first.about["penalty"] == PENALTIES[best]
    assert (first.about["embedding"], first.about["width"]) == (40, 40)
    assert len(first.about["trunk_sha256"]) == 64
    assert first.parameters == 4 * 40 + 4
    assert first.run_spec.protocol == "linear_probe"
    assert not list(contradictions(first, registry.known_tasks["first"]))
    assert repeat(first, registry, Path("no-cache")).record.result() == first.result()


@pytest.mark.parametrize(
    ("model", "more", "words"),
    [
        ("cnn", {}, "'cnn' has no embedding to probe"),
        ("kmer-linear", {}, "is fitted whole and has no embedding"),
        ("random-features", {"epochs": 3}, "'linear_probe' fixes the budget"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_words(registry, model, more, words):
    with pytest.raises(ConfigError, match=words):
        probed(registry, model, **more)


def test_heads_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    columns = rng.normal(size=(80, 3)).astype(np.float32)
    view = First().load("dice", None, cache=None).spec.view()
    own = rng.integers(3, size=80) + 1  # class 0 has no training item
    head = fit_head(columns, own, view, 2.0)
    theirs = LogisticRegression(C=0.5, max_iter=1000).fit(columns, own)
    shown = head.outputs(columns)[:, 1:]
    p = np.exp(shown) / np.exp(shown).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, theirs.predict_proba(columns), atol=1e-4)
    two = view.model_copy(update={"n_outputs": 2})
    head = fit_head(columns, own % 2, two, 2.0)
    theirs = LogisticRegression(C=0.5, max_iter=1000).fit(columns, own % 2)
    lead = head.outputs(columns) @ [-1, 1]
    np.testing.assert_allclose(lead, theirs.decision_function(columns), atol=1e-4)
    known = np.stack([columns @ [1, 2, 3], np.where(own > 2, np.nan, 5)], axis=1).astype(np.float32)
    both = view.model_copy(update={"n_outputs": 2, "target": "quantities"})
    head = fit_head(columns, known, both, 2.0)
    theirs = Ridge(alpha=2.0).fit(columns, known[:, 0])
    np.testing.assert_allclose(head.outputs(columns)[:, 0], theirs.predict(columns), atol=1e-4)
    np.testing.assert_allclose(head.outputs(columns)[:, 1], 5, atol=1e-4)
    flags = view.model_copy(update={"n_outputs": 2, "target": "labels"})
    labels = np.stack([own % 2, np.ones(80)], axis=1).astype(np.float32)
    head = fit_head(columns, labels, flags, 2.0)
    theirs = LogisticRegression(C=0.5, max_iter=1000).fit(columns, own % 2)
    shown = head.outputs(columns)
    np.testing.assert_allclose(shown[:, 0], theirs.decision_function(columns), atol=1e-4)
    assert (shown[:, 1] == 20).all()
