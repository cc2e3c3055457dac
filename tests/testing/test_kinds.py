"""The checks serve every kind of task: quantities and labels, features, sequences of any length."""

import numpy as np
import pytest
import torch
from torch import nn

from codonbench import (
    Column,
    Dataset,
    Estimator,
    Features,
    GradientConfig,
    Input,
    Model,
    ModelConfig,
    ModelInfo,
    Ranking,
    Sequences,
    Target,
    Task,
    TaskSpec,
)
from codonbench.errors import DataError
from codonbench.testing import check_model, check_task
from codonbench.testing.models import findings, subject_of

SIZES = {"train": 70, "validation": 20, "test": 20}
N = sum(SIZES.values())


class Kind(Task):
    """Made-up items with a made-up target of some kind."""

    version = "1"
    title = "Made up"
    protocol = "supervised"
    default_data = "dice"
    data_names = {"dice": "thrown"}  # noqa: RUF012
    ranking = Ranking(metric="rmse", direction="lower", columns=(Column(metric="rmse", title="x"),))
    target = Target(kind="quantities", names=("melting", "binding"), units=("K", "nM"))
    shared = 0
    input: Input
    items: object

    def load(self, data, options, *, cache, offline=False):
        if data != "dice":
            raise DataError(f"no data {data!r}; throw dice")
        sizes = {f"{split}_size": size for split, size in SIZES.items()}
        ends = np.cumsum(list(SIZES.values()))
        splits = dict(zip(SIZES, np.split(np.arange(N), ends[:-1]), strict=True))
        splits["test"] = splits["test"] - self.shared
        spec = TaskSpec(
            name=self.name, version="1", title=self.title, protocol=self.protocol,
            input=self.input, target=self.target, **sizes,
        )  # fmt: skip
        rng = np.random.default_rng(1)
        wanted = rng.integers(2, size=(N, 2)).astype(np.float32)
        if self.target.kind == "quantities":
            wanted = (280 + 20 * rng.normal(size=(N, 2))).astype(np.float32)
            wanted[3, 1] = np.nan
        return Dataset(spec, "dice", "d" * 64, True, self.items, wanted, splits=splits)


class Melting(Kind):
    name = "melting"
    input = Input(min_length=4, max_length=9)
    items = Sequences.of(["ACGTNACGT"[: 4 + i % 6] for i in range(N)], "ACGT")


class Marks(Melting):
    name = "marks"
    target = Target(kind="labels", names=("acetyl", "methyl"))


class Genes(Kind):
    name = "genes"
    input = Input.of_length(6, kind="features", alphabet="", unit="sample", symbol="gene")
    items = Features(np.random.default_rng(2).normal(size=(N, 6)).astype(np.float32))


class Leaking(Melting):
    name = "leaking"
    shared = 90


class Counted(nn.Module):
    """A layer over how often each letter comes."""

    def __init__(self, n_outputs):
        super().__init__()
        self.layer = nn.Linear(4, n_outputs)

    def forward(self, inputs):
        return self.layer(inputs.mean(dim=1))


class Letters(Model):
    info = ModelInfo(name="letters", version="1", summary="Composition")
    Config = GradientConfig
    encoding = "nucleotide_onehot"

    def build(self, task):
        return Counted(task.n_outputs)


class Narrow(Letters):
    def build(self, task):
        return Counted(task.n_outputs + 1)


class Sigmoid(nn.Module):
    def __init__(self, n_outputs):
        super().__init__()
        self.counted = Counted(n_outputs)

    def forward(self, inputs):
        return self.counted(inputs).sigmoid()


class Likely(Letters):
    def build(self, task):
        return Sigmoid(task.n_outputs)


class OfClasses(Letters):
    def build(self, task):
        return Counted(task.n_classes)


class Linear(Model):
    info = ModelInfo(name="linear", version="1", summary="One layer", row_independent=True)
    Config = GradientConfig
    encoding = "features"

    def build(self, task):
        return nn.Linear(task.length, task.n_outputs)


class Average(nn.Module):
    """Learns the mean of what it has seen, without gradients."""

    def __init__(self, n_outputs):
        super().__init__()
        self.register_buffer("total", torch.zeros(n_outputs))
        self.register_buffer("seen", torch.zeros(()))

    def update(self, inputs, targets):
        self.total += targets.nan_to_num().sum(dim=0)
        self.seen += len(targets)

    def forward(self, inputs):
        return (self.total / self.seen.clamp(min=1)).expand(len(inputs), -1).clone()


class Mean(Model):
    info = ModelInfo(name="mean", version="1", summary="The mean")
    Config = ModelConfig
    encoding = "features"

    def build(self, task):
        return Average(task.n_outputs)


def failed(cls, task):
    found = findings(subject_of(cls, cls.Config(), task))
    return {finding.id: finding.words for finding in found if finding.status == "failed"}


@pytest.mark.parametrize("task", [Melting(), Marks(), Genes()], ids=lambda task: task.name)
def test_a_sound_task_of_any_kind_passes(task):
    check_task(task)


def test_items_that_are_trained_on_and_held_out_are_a_failure():
    with pytest.raises(AssertionError, match="20 items are trained on and held out"):
        check_task(Leaking())


@pytest.mark.parametrize(
    ("cls", "task"), [(Letters, Melting()), (Letters, Marks()), (Linear, Genes()), (Mean, Genes())]
)
def test_a_sound_model_of_any_kind_passes(cls, task):
    check_model(cls, task=task)


def test_what_it_lacks_is_said_in_the_words_of_its_kind():
    assert list(failed(Narrow, Melting())) == ["shape"]
    words = failed(Narrow, Melting())["shape"]
    assert "expected outputs (64, 2)" in words
    assert "one column a quantity" in words
    assert "serves classes, but task 'melting'" in failed(OfClasses, Melting())["build"]
    assert "it offers features" in failed(Letters, Genes())["encoding"]


def test_what_is_not_asked_of_a_kind_is_skipped_and_the_engine_is_named():
    found = {f.id: f for f in findings(subject_of(Linear, GradientConfig(), Genes()))}
    assert found["untaught"].status == found["logits"].status == "skipped"
    assert "cannot be enumerated" in found["engine"].words
    assert found["engine"].words.startswith("eager")


class ListOfRows(Estimator):
    """Gives what a run reads as an array."""

    info = ModelInfo(name="rows", version="1", summary="The same for all, as a list of rows")
    encoding = "items"

    def fit(self, training):
        self.means = training.targets.mean(axis=0).round().astype(int).tolist()

    def predict(self, items):
        return [self.means for _ in range(len(items))]


def test_an_estimator_may_give_a_list_of_rows_as_in_a_run():
    assert not failed(ListOfRows, Marks())


def test_probabilities_of_labels_are_warned_of():
    found = {f.id: f for f in findings(subject_of(Likely, GradientConfig(), Marks()))}
    assert "a sigmoid" in found["logits"].words
