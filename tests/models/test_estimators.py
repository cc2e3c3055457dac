"""Fitted models: k-mers counted by hand, weights and neighbours held to scikit-learn and loops."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from codonbench.contracts import (
    Features,
    Input,
    Sequences,
    SequenceTuples,
    Target,
    TaskSpec,
    TrainingSet,
)
from codonbench_models._kmers import count_kmers, kmer_sets
from codonbench_models.boosted import KmerGbm
from codonbench_models.composition import LengthComposition
from codonbench_models.linear import KmerLinear, Linear
from codonbench_models.nearest import Nearest

TEXTS = st.lists(st.text("ACGTN", min_size=1, max_size=9), min_size=1, max_size=8)
DNA_INPUT = Input(min_length=1, max_length=60)


def view(target, **fields):
    names = tuple(f"t{i}" for i in range(fields.pop("n_outputs", 2)))
    return TaskSpec(
        name="toy",
        version="1",
        title="Toy",
        input=fields.pop("input", DNA_INPUT),
        target=Target(kind=target, names=names),
        protocol="supervised",
        train_size=1,
    ).view()


def fitted(cls, task, items, targets, **fields):
    estimator = cls(cls.Config(**fields))
    estimator.fit(TrainingSet(task, items, targets, np.random.default_rng(0)))
    return estimator


def genes(n=120, columns=5, seed=0):
    values = np.random.default_rng(seed).normal(loc=3, scale=2, size=(n, columns))
    return values.astype(np.float32)


NUMBERS = Input.of_length(5, kind="features", unit="sample", symbol="gene", alphabet="")


@given(TEXTS, st.integers(1, 4))
def test_kmers_are_counted_as_a_loop_counts_them(texts, k):
    """Of ``ACGT``, AC is 0 * 4 + 1: item by item, none across items, none with an N."""
    items = Sequences.of(texts, "ACGT")
    by_hand = np.zeros((len(texts), 4**k))
    for row, text in zip(by_hand, texts, strict=True):
        for i in range(len(text) - k + 1):
            if "N" not in text[i : i + k]:
                row[int("".join(str("ACGT".index(c)) for c in text[i : i + k]), 4)] += 1
    np.testing.assert_array_equal(count_kmers(items, k, 4), by_hand)
    np.testing.assert_array_equal(kmer_sets(items, k, 4).toarray(), by_hand > 0)


def test_items_counted_some_at_a_time_are_counted_the_same(monkeypatch):
    texts = ["".join(np.random.default_rng(i).choice(list("ACGTN"), 5 + i)) for i in range(30)]
    items = Sequences.of(texts, "ACGT")
    whole = count_kmers(items, 2, 4)
    monkeypatch.setattr("codonbench_models._kmers._LETTERS", 17)
    np.testing.assert_array_equal(count_kmers(items, 2, 4), whole)


def test_a_label_of_one_class_is_answered_so_and_the_others_are_fitted():
    values = genes()
    varied = (values[:, 0] > 3).astype(np.float32)
    rare = (np.arange(len(values)) == 7).astype(np.float32)  # which two thirds of them may lack
    zeros, unknown = np.zeros_like(rare), np.full_like(rare, np.nan)
    targets = np.stack([varied, zeros, 1 - zeros, rare, unknown], axis=1)
    with pytest.warns(UserWarning, match="same in all training items"):
        ours = fitted(Linear, view("labels", input=NUMBERS, n_outputs=5), values, targets)
    outputs = ours.predict(values)
    alone = fitted(
        Linear, view("labels", input=NUMBERS, n_outputs=1), values, varied[:, None]
    ).predict(values)
    np.testing.assert_allclose(outputs[:, :1], alone, rtol=1e-5)
    odds = np.log(len(values) + 1)  # Laplace: 121 to 1 after 120 items
    np.testing.assert_allclose(outputs[:, 1:3], np.tile([-odds, odds], (120, 1)), rtol=1e-5)
    assert outputs[7, 3] > np.quantile(outputs[:, 3], 0.9)
    assert not outputs[:, 4].any()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_one_item_a_class_is_enough(n_classes):
    values, targets = genes(n_classes), np.arange(n_classes)
    task = view("classes", input=NUMBERS, n_outputs=n_classes)
    outputs = fitted(Linear, task, values, targets).predict(values)
    assert outputs.argmax(axis=1).tolist() == targets.tolist()
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize("n_classes", [2, 3])
def test_linear_is_logistic_regression_on_standardised_columns(n_classes):
    values = genes()
    targets = np.argmax(values[:, :n_classes], axis=1)
    task = view("classes", input=NUMBERS, n_outputs=n_classes)
    ours = fitted(Linear, task, values, targets, penalty=10)
    theirs = make_pipeline(StandardScaler(), LogisticRegression(C=0.1)).fit(values, targets)
    outputs = ours.predict(genes(seed=1))
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, theirs.predict_proba(genes(seed=1)), atol=2e-3)
    rows = 1 if n_classes == 2 else n_classes
    assert {name: array.shape for name, array in ours.learned().items()} == {
        "weights": (rows, 5),
        "bias": (rows,),
    }


def test_linear_is_ridge_on_the_quantities_that_are_known():
    values = genes()
    targets = np.stack([values[:, 0] * 100 + 7, values @ np.ones(5)], axis=1).astype(np.float32)
    targets[::3, 1] = np.nan
    task = view("quantities", input=NUMBERS)
    outputs = fitted(Linear, task, values, targets, penalty=3).predict(genes(seed=1))
    for i, column in enumerate(targets.T):
        known = ~np.isnan(column)
        scaler = StandardScaler().fit(values)
        ridge = Ridge(alpha=3).fit(scaler.transform(values[known]), column[known])
        expected = ridge.predict(scaler.transform(genes(seed=1)))
        np.testing.assert_allclose(outputs[:, i], expected, rtol=1e-3, atol=1e-2)


def test_each_label_is_learned_on_the_items_where_it_is_known():
    values = genes()
    targets = (values[:, :2] > 3).astype(np.float32)
    targets[:60, 0] = np.nan
    outputs = fitted(Linear, view("labels", input=NUMBERS), values, targets).predict(values)
    assert ((outputs[60:] > 0) == (targets[60:] == 1)).mean() > 0.9
    assert ((outputs[:60, 0] > 0) == (values[:60, 0] > 3)).mean() > 0.8


def test_the_penalty_is_chosen_on_items_held_out():
    """Of 300 columns of noise and one that tells the class, a strong penalty is better."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(80, 301)).astype(np.float32)
    targets = (values[:, 0] + rng.normal(size=80) > 0).astype(np.int64)
    task = view("classes", input=Input.of_length(301, kind="features", alphabet=""))
    chosen = fitted(Linear, task, values, targets).learned()["weights"]
    weak = fitted(Linear, task, values, targets, penalty=1e2).learned()["weights"]
    assert np.abs(chosen).sum() < np.abs(weak).sum()


def test_a_class_that_training_lacks_is_never_answered():
    values = genes()
    targets = 2 * (values[:, 0] > 3)
    outputs = fitted(Linear, view("classes", input=NUMBERS, n_outputs=3), values, targets)
    assert (outputs.predict(values).argmax(axis=1) != 1).all()


def test_kmers_of_several_sequences_and_of_any_alphabet_are_learned():
    rng = np.random.default_rng(0)
    first = ["".join(rng.choice(list("ACGU"), 12)) for _ in range(150)]
    second = ["".join(rng.choice(list("ACDEFGHIKL"), rng.integers(4, 9))) for _ in range(150)]
    asked = Input.of_parts(
        Input.of_length(12, unit="mirna", alphabet="ACGU"),
        Input(unit="protein", min_length=4, max_length=8, alphabet="ACDEFGHIKLMNPQRSTVWY"),
    )
    items = SequenceTuples(
        (Sequences.of(first, "ACGU"), Sequences.of(second, "ACDEFGHIKLMNPQRSTVWY"))
    )
    targets = np.array(
        [(a.count("G") > 2) & (b.count("K") > 0) for a, b in zip(first, second, strict=True)]
    )
    task = view("classes", input=asked)
    model = fitted(KmerLinear, task, items, targets.astype(np.int64), k=3)
    assert (model.predict(items).argmax(axis=1) == targets).mean() > 0.9
    assert model.learned()["weights"].shape == (1, 4 + 16 + 64 + 20)  # 400 pairs of residues > 4^3
    nearest = fitted(Nearest, task, items, targets.astype(np.int64), k=2, neighbours=1)
    assert (nearest.predict(items).argmax(axis=1) == targets).all()


def by_loop(train, targets, asked, k, n):
    """Of each item, the mean over its n nearest and, as one more, over all."""
    sets = lambda text: {text[i : i + k] for i in range(len(text) - k + 1)}  # noqa: E731
    means = []
    for text in asked:
        own = sets(text)
        alike = [
            len(own & sets(other)) / max(1, len(own)) ** 0.5 / max(1, len(sets(other))) ** 0.5
            for other in train
        ]
        nearest = np.argsort(np.negative(alike), kind="stable")[:n]
        weights = np.take(alike, nearest)
        total = weights @ targets[nearest] + weights.mean() * targets.mean(axis=0)
        means.append(total / (weights.sum() + weights.mean()))
    return np.array(means)


def test_nearest_is_the_mean_over_those_that_share_most_kmers():
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list("ACGT"), rng.integers(6, 14))) for _ in range(40)]
    targets = rng.normal(size=(40, 2)).astype(np.float32)
    train, asked = texts[:30], texts[30:]
    model = fitted(
        Nearest, view("quantities"), Sequences.of(train, "ACGT"), targets[:30], k=2, neighbours=30
    )
    outputs = model.predict(Sequences.of(asked, "ACGT"))
    np.testing.assert_allclose(outputs, by_loop(train, targets[:30], asked, 2, 30), atol=1e-5)
    copy = fitted(
        Nearest, view("quantities"), Sequences.of(train, "ACGT"), targets[:30], k=4, neighbours=1
    )
    outputs = copy.predict(Sequences.of(train, "ACGT"))
    np.testing.assert_allclose(outputs, (targets[:30] + targets[:30].mean(axis=0)) / 2, atol=1e-5)


def test_nearest_of_labels_leaves_out_what_is_missing():
    texts = ["AAAA", "AAAA", "CCCC", "CCCC"]
    targets = np.array([[1, np.nan], [1, 0], [0, 1], [0, 1]], dtype=np.float32)
    model = fitted(Nearest, view("labels"), Sequences.of(texts, "ACGT"), targets, k=2, neighbours=2)
    outputs = 1 / (1 + np.exp(-model.predict(Sequences.of(["AAAA"], "ACGT"))))
    # two neighbours as alike as can be, and the mean of training: 1/2, and 2/3 of three
    np.testing.assert_allclose(outputs, [[(2 + 1 / 2) / 3, (0 + 2 / 3) / 2]], atol=1e-5)


def test_nearest_of_features_asks_those_of_the_smallest_angle():
    values = genes(60)
    targets = (values[:, 0] > 3).astype(np.int64)
    task = view("classes", input=NUMBERS)
    model = fitted(Nearest, task, Features(values), targets, neighbours=1)
    assert (model.predict(Features(values)).argmax(axis=1) == targets).all()
    standard = StandardScaler().fit_transform(values)
    rows = standard / np.linalg.norm(standard, axis=1, keepdims=True)
    asked = genes(20, seed=1)
    ours = (asked - values.mean(axis=0)) / values.std(axis=0)
    nearest = (ours @ rows.T).argmax(axis=1)
    found = model.predict(Features(asked)).argmax(axis=1)
    assert (found == targets[nearest]).mean() > 0.9  # a tie with the mean may fall otherwise


def test_length_and_composition_are_counted_as_by_hand():
    """``AACA``: 4 letters, A in 3 of 4, AA, AC and CA once each; N counts in the length alone."""
    model = LengthComposition(LengthComposition.Config())
    model.task = view("classes")
    columns = model.columns(Sequences.of(["AACA", "GN", "T"], "ACGT"))
    assert columns.shape == (3, 21)
    assert columns[:, 0].tolist() == [4, 2, 1]
    assert columns[0, 1:5].tolist() == [0.75, 0.25, 0, 0]
    assert np.flatnonzero(columns[0, 5:]).tolist() == [0, 1, 4]
    assert columns[0, 5:].sum() == pytest.approx(1)
    assert columns[1, 1:].tolist() == [0, 0, 1, 0] + [0] * 16


def either_or(n, seed):
    """Sequences with both GATTACA and CCCCCCC, or with neither, against those with one of them."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(2, size=(n, 2))
    parts = ("GATTACA", "CCGCCGC")
    texts = [
        "".join(rng.choice(list("AT"), 12))
        + "".join(part for part, there in zip(parts, kind, strict=True) if there)
        for kind in kinds
    ]
    return Sequences.of(texts, "ACGT"), (kinds.sum(axis=1) == 1).astype(np.int64)


def test_trees_see_what_no_linear_model_of_kmers_does():
    """One motif or the other but not both: neither count alone tells anything."""
    (items, targets), (asked, right) = either_or(400, 0), either_or(200, 1)
    found = fitted(KmerGbm, view("classes"), items, targets, trees=30)
    outputs = found.predict(asked)
    assert (outputs.argmax(axis=1) == right).mean() > 0.95
    assert outputs.dtype == np.float32


@pytest.mark.parametrize(
    ("target", "n_outputs"), [("classes", 3), ("labels", 2), ("quantities", 2)]
)
def test_trees_are_scikit_learns_for_every_kind_of_target(target, n_outputs):
    items, base = either_or(120, 2)
    targets = base if target == "classes" else np.stack([base, np.ones(120)], 1).astype(np.float32)
    if target == "quantities":
        targets[:10, 0] = np.nan
    task = view(target, n_outputs=n_outputs)
    found = fitted(KmerGbm, task, items, targets, trees=5, share=1)
    outputs = found.predict(items)
    assert outputs.shape == (120, n_outputs)
    counts = np.concatenate([count_kmers(items, k, 4) for k in (1, 2, 3, 4)], axis=1)
    if target == "quantities":
        own = HistGradientBoostingRegressor(max_iter=5, early_stopping=False)
        expected = own.fit(counts[10:], targets[10:, 0]).predict(counts)
        assert outputs[:, 0] == pytest.approx(expected, abs=1e-5)
        return
    own = HistGradientBoostingClassifier(max_iter=5, early_stopping=False)
    lead = own.fit(counts, base).decision_function(counts)
    found = outputs[:, 1] - outputs[:, 0] if target == "classes" else outputs[:, 0]
    assert found == pytest.approx(lead, abs=1e-5)
    never = outputs[:, 2] if target == "classes" else -outputs[:, 1]
    assert (never <= -20).all()  # a class that training lacks, a label that all items have
