"""Tasks of which nothing is trained, end to end: variants, and items that can only be asked."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import pytest
import torch
from torch import nn

from codonbench import Dataset, Input, Sequences, SequenceTuples, Target, Task, TaskSpec
from codonbench.audit.one_record import contradictions
from codonbench.audit.repeat import repeat
from codonbench.contracts import Estimator, GradientConfig, Model, ModelConfig, ModelInfo, Ranking
from codonbench.contracts.run_spec import RunRequest
from codonbench.errors import ConfigError
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run, run_all
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import unwatched
from codonbench.ranking.board import build_board
from codonbench.ranking.items import gather_tested
from codonbench.records.store import Store
from codonbench_models.variant_scores import VariantMarkov

TEXTS = ("ACGTACGT", "TTGCAA", "GGATCC")


def variants():
    """Yield each substitution of each text: which text, and the text as it is then."""
    for i, text in enumerate(TEXTS):
        for at in range(len(text)):
            for letter in "ACGT":
                if letter != text[at]:
                    yield i, text[:at] + letter + text[at + 1 :]


def gc(text):
    return sum(text.count(letter) for letter in "GC")


class Edits(Task):
    """Twice the change in G and C, in a column a text."""

    name, version, title, protocol = "edits", "1", "Edits", "zero_shot"
    default_data, ranking = "dice", Ranking.by_mean("pearson", pearson="Pearson")

    def load(self, data, options, *, cache, offline=False):
        rows = list(variants())
        targets = np.full((len(rows), len(TEXTS)), np.nan, dtype=np.float32)
        for row, (i, text) in enumerate(rows):
            targets[row, i] = 2 * (gc(text) - gc(TEXTS[i]))
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_variants(Input(min_length=6, max_length=8)),
            target=Target(kind="quantities", names=("one", "two", "three")),
            protocol=self.protocol,
            train_size=0,
            test_size=len(rows),
        )
        texts = [TEXTS[i] for i, _ in rows], [text for _, text in rows]
        items = SequenceTuples(tuple(Sequences.of(each, "ACGT") for each in texts))
        splits = {"test": np.arange(len(rows))}
        return Dataset(spec, "dice", "e" * 64, True, items, targets, splits=splits)


class Rich(Task):
    """Is it rich in G and C? Asked of a validation and a test part, and not trained on."""

    name, version, title, protocol = "rich", "1", "Rich?", "supervised"
    default_data, ranking = "dice", Ranking.by_mean("mcc", mcc="MCC")
    n_train: ClassVar[int] = 0

    def load(self, data, options, *, cache, offline=False):
        rows = np.random.default_rng(2).integers(4, size=(90, 9))
        ends = [0, self.n_train, self.n_train + 30, 90]
        names = ("train", "validation", "test")
        splits = {n: np.arange(*ends[i : i + 2]) for i, n in enumerate(names)}
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_length(9),
            target=Target(names=("poor", "rich")),
            protocol=self.protocol,
            train_size=self.n_train,
            validation_size=30,
            test_size=60 - self.n_train,
        )
        targets = (np.isin(rows, (1, 2)).sum(axis=1) > 4).astype(int)
        return Dataset(
            spec, "dice", "r" * 64, True, Sequences.of_rows(rows), targets, splits=splits
        )


class RichToo(Rich):
    """The same with a training part."""

    name, n_train = "rich-too", 20


class _Count(nn.Module):
    """Counts G and C: the columns are (number wanted, number)."""

    def __init__(self, n_outputs):
        super().__init__()
        self.n_outputs = n_outputs
        self.weight = nn.Parameter(torch.tensor([0.0, 1, 1, 0]))

    def forward(self, letters):
        found = (letters @ self.weight).sum(dim=1, keepdim=True)
        return found if self.n_outputs == 1 else torch.cat([5 - found, found - 4.5], dim=1)


class Counter(Model):
    """Reads one sequence."""

    info = ModelInfo(name="counter", version="1", summary="Counts G and C")
    encoding = "symbol_onehot"

    def build(self, task):
        assert task.kind == "sequence"
        return _Count(task.n_outputs)


class TwinConfig(ModelConfig):
    """Counts right, or as its weights are initialised."""

    init: Literal["pretrained", "random"] = "pretrained"


class Twin(Counter):
    """Has seen what G and C are, and has a random twin."""

    info = ModelInfo(name="twin", version="1", summary="Counts", pretrained_on="the letters")
    Config = TwinConfig

    def build(self, task):
        module = _Count(task.n_outputs)
        if self.config.init == "random":
            nn.init.normal_(module.weight)
        return module


class _Scorer(_Count):
    def score_variants(self, reference, alternative):
        return 10 - (self(alternative) - self(reference))[:, 0]


class Scorer(Counter):
    """Has its own way to score a variant, and has seen something before."""

    info = ModelInfo(name="scorer", version="1", summary="Scores", pretrained_on="the letters")

    def build(self, task):
        return _Scorer(task.n_outputs)


class _Turned(_Count):
    def embed(self, letters):
        return letters[:, 0] * 1j

    def forward(self, letters):
        return super().forward(letters) * 1j


class Turned(Counter):
    """Gives complex numbers, whatever it is asked."""

    info = ModelInfo(name="turned", version="1", summary="Counts along the other axis")
    Config = GradientConfig

    def build(self, task):
        return _Turned(task.n_outputs)


class TurnedToo(Estimator):
    """The same without a module."""

    info = ModelInfo(name="turned-too", version="1", summary="Counts along the other axis")
    encoding = "symbol_index"

    def fit(self, training):
        pass

    def predict(self, items):
        return np.full((len(items), 2), 1j)

    def score_variants(self, reference, alternative):
        return np.full(len(reference), 1j)


class _Failing(_Count):
    def forward(self, letters):
        raise RuntimeError("no answer")


class Failing(Counter):
    """Fails at the first question."""

    info = ModelInfo(name="failing", version="1", summary="Fails")

    def build(self, task):
        return _Failing(task.n_outputs)


@pytest.fixture(scope="module")
def registry(toys):
    registry = Registry()
    for kind in ("models", "metrics", "tasks", "protocols"):
        getattr(registry, kind).update(getattr(toys.installed, kind))
    tasks = (Edits(), Rich(), RichToo())
    models = (Counter, Scorer, Twin, Turned, TurnedToo, Failing)
    module = toys.module("zero-shot-toys", models=models, tasks=tasks)
    registry.add(module, "toy-shop", "1.0")
    assert not registry.failures
    return registry


def asked(registry, model, task, **more):
    return prepare(RunRequest(model=model, task=task, **more), registry, Path("no-cache"))


@pytest.mark.parametrize(("model", "pearson"), [("counter", 1), ("scorer", -1), ("variant-gc", 1)])
def test_a_variant_is_scored_by_what_the_model_makes_of_both_sequences(registry, model, pearson):
    ((record, trajectory),) = run(asked(registry, model, "edits"), registry, unwatched)
    assert (record.status, record.error, record.pairs) == ("done", None, 0)
    for name in ("pearson", "pearson_one", "pearson_three"):
        assert record.metrics[name] == pytest.approx(pearson)
    assert trajectory.test_outputs.shape == (60, 3)
    assert not list(contradictions(record, registry.known_tasks["edits"]))
    assert record.validation_metrics == {}


def test_what_was_never_trained_on_is_asked(registry):
    job = asked(registry, "counter", "rich", protocol="zero_shot")
    ((record, _),) = run(job, registry, unwatched)
    assert record.metrics["mcc"] == record.validation_metrics["mcc"] == 1
    spec = record.run_spec
    assert (spec.budget_pairs, spec.protocol, spec.track) == (0, "zero_shot", None)
    assert record.parameters == 4
    assert repeat(record, registry, Path("no-cache")).record.result() == record.result()


def test_other_protocols_and_pretrained_models_have_tables_of_their_own(registry):
    def key(model, **more):
        ((record, _),) = run(asked(registry, model, "rich-too", **more), registry, unwatched)
        return record.comparability_key

    asked_only = {key(name, protocol="zero_shot") for name in ("counter", "scorer")}
    assert len(asked_only) == 1
    assert key("cnn", epochs=1) not in asked_only


def test_a_pretrained_row_says_what_it_gains_over_its_random_twin(registry, tmp_path):
    def notes(model, **more):
        job = asked(registry, model, "rich", protocol="zero_shot", seeds=(0, 1), **more)
        list(run_all(job, registry, Store(tmp_path), unwatched))
        store, tasks = Store(tmp_path), registry.known_tasks
        found = list(store.scan())
        tested = gather_tested([(store, found)], registry)
        board = build_board(found, tasks, tested)
        (table,) = board.tables
        assert table.title.endswith("zero_shot, cpu")
        return {row.config.get("init"): (row.twin, row.notes) for row in table.rows}

    alone = notes("twin")["pretrained"]
    assert alone[0] is None
    assert "no random twin was run, so the gain from pretraining is not known" in alone[1]
    both = notes("twin", overrides={"init": "random"})
    gained, said = both["pretrained"]
    assert 0 < gained.low <= gained.value <= gained.high
    assert f"pretraining gains +{gained.value:.3f}" in "; ".join(said)
    assert "pretrained on the letters" in said
    assert both["random"][1][0] == "random twin: randomly initialised weights"


@pytest.mark.parametrize(
    ("model", "task", "more", "words"),
    [
        ("counter", "rich", {}, "'rich' has no training items.*zero_shot"),
        ("counter", "edits", {"epochs": 2}, "fixes the budget; leave it out"),
        ("counter", "human-codon", {"protocol": "zero_shot"}, "its own protocol, 'decipher'"),
        ("kmer-linear", "edits", {}, "has to be fitted"),
        ("variant-gc", "rich", {"protocol": "zero_shot"}, "scores variants, but those"),
        ("majority", "edits", {}, "the model looks at no item"),
    ],
)
def test_what_cannot_be_asked_so_is_refused_in_words(registry, model, task, more, words):
    with pytest.raises(ConfigError, match=words):
        list(run(asked(registry, model, task, **more), registry, unwatched))


def test_what_has_to_be_fitted_is_refused_before_anything_runs(registry):
    with pytest.raises(ConfigError, match=r"'kmer-linear' has to be fitted, .* nothing is"):
        asked(registry, "kmer-linear", "rich", protocol="zero_shot")


def test_a_model_that_fails_at_validation_leaves_a_record(registry):
    job = asked(registry, "failing", "rich", protocol="zero_shot")
    ((record, _),) = run(job, registry, unwatched)
    assert (record.status, record.validation_metrics) == ("error", {})
    assert "no answer" in record.error


def test_a_chains_ratio_is_that_of_the_words_a_variant_changes():
    """Order 1 on AAC and CA, pseudocount 1: p(A|A) = 2/6, p(C|A) = 2/6, p(A|C) = 2/5."""
    reference, alternative = (
        Sequences.of(["AAC", "CA"], "ACGT"),
        Sequences.of(["AAA", "CC"], "ACGT"),
    )
    model = VariantMarkov(VariantMarkov.Config(order=1))
    ratio = model.score_variants(reference, alternative)
    np.testing.assert_allclose(ratio, [0.0, np.log(1 / 2)], atol=1e-12)


@pytest.mark.parametrize(
    ("giver", "model", "task", "protocol"),
    [
        ("the module", "turned", "edits", None),
        ("embed()", "turned", "rich-too", "linear_probe"),
        ("predict()", "turned-too", "rich-too", None),
        ("score_variants()", "turned-too", "edits", None),
    ],
)
def test_complex_numbers_are_refused_rather_than_halved(
    registry, tmp_path, monkeypatch, giver, model, task, protocol
):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path))
    ((record, _),) = run(asked(registry, model, task, protocol=protocol), registry, unwatched)
    assert record.status == "error"
    assert f"{giver} gives complex numbers, expected real ones" in record.error
