"""The scores of one split: each worked by hand, and against another way to compute it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu, rankdata
from sklearn.metrics import f1_score, log_loss

from codonbench import NOT_MEASURED, Input, SplitMetric, Target, TaskSpec, Trajectory
from codonbench.contracts import TrajectoryFacts
from codonbench.plugins.discovery import load_registry

CLASS_SCORES = (
    "accuracy",
    "balanced_accuracy",
    "mcc",
    "macro_f1",
    "auroc",
    "auprc",
    "log_loss",
    "brier",
    "ece",
)
QUANTITY_SCORES = ("pearson", "spearman", "r2", "rmse")


def task(*names, kind="classes"):
    return TaskSpec(
        name="toy",
        version="1",
        title="Toy",
        input=Input.of_length(3),
        target=Target(kind=kind, names=names),
        protocol="supervised",
        train_size=10,
        test_size=5,
    )


TWO, THREE = task("no", "yes"), task("a", "b", "c")
NAN = np.nan
ONE_QUANTITY, TWO_QUANTITIES = task("x", kind="quantities"), task("x", "y", kind="quantities")


@pytest.fixture(scope="module")
def metrics():
    return load_registry().metrics


@pytest.fixture(scope="module")
def score(metrics):
    def score(name, targets, outputs, spec):
        outputs = np.asarray(outputs, dtype=np.float32)
        kind = np.int64 if spec.target.kind == "classes" else np.float32
        return metrics[name].metric.score(np.asarray(targets, dtype=kind), outputs, spec)[name]

    return score


def logits(p):
    """Logits (N, 2) whose softmax gives the second class the probabilities `p`."""
    p = np.asarray(p)
    return np.stack([np.zeros(len(p)), np.log(p / (1 - p))], axis=1)


# answers 0 0 1 0 1, so one of each mistake: TP 1, TN 2, FP 1, FN 1
TARGETS, P = [0, 0, 0, 1, 1], [0.1, 0.2, 0.6, 0.4, 0.9]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("accuracy", 3 / 5),
        ("balanced_accuracy", (2 / 3 + 1 / 2) / 2),
        ("mcc", (1 * 2 - 1 * 1) / (2 * 2 * 3 * 3) ** 0.5),
        ("macro_f1", (2 / 3 + 1 / 2) / 2),
        ("auroc", 5 / 6),  # of 2 x 3 pairs, 0.4 before 0.6 is the one in the wrong order
        ("auprc", (1 / 1 + 2 / 3) / 2),  # found at ranks 1 and 3
        ("log_loss", -np.log([0.9, 0.8, 0.4, 0.4, 0.9]).mean()),
        ("brier", (0.01 + 0.04 + 0.36 + 0.36 + 0.01) / 5),
        ("ece", (0.1 + 0.2 + 0.6 + 0.6 + 0.1) / 5),  # the two at 0.6 are both wrong
    ],
)
def test_two_classes_by_hand(score, name, expected):
    assert score(name, TARGETS, logits(P), TWO) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("pearson", 0.5),  # deviations -1 0 1 and -1 1 0: 1 / sqrt(2 * 2)
        ("spearman", 0.5),
        ("r2", 0.0),
        ("rmse", (2 / 3) ** 0.5),
    ],
)
def test_a_quantity_by_hand(score, name, expected):
    # errors 0, 1, -1: squares in sum 2, as the targets' own deviations from their mean
    assert score(name, [[1], [2], [3]], [[1], [3], [2]], ONE_QUANTITY) == pytest.approx(expected)


def test_equal_logits_are_answered_with_the_first_class(score):
    assert score("accuracy", [0, 1, 1], np.zeros((3, 2)), TWO) == pytest.approx(1 / 3)


@pytest.mark.parametrize("name", ["mcc", "auroc", "auprc"])
def test_one_class_alone_cannot_be_scored(score, name):
    assert score(name, [1, 1], logits([0.2, 0.7]), TWO) is None


def test_answers_of_one_class_have_no_correlation(score):
    assert score("mcc", TARGETS, logits([0.1] * 5), TWO) == 0


@pytest.mark.parametrize("name", CLASS_SCORES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_has_no_score(score, name, bad):
    outputs = logits(P)
    outputs[0, 0] = bad
    assert score(name, TARGETS, outputs, TWO) is None
    assert score(name, [], np.zeros((0, 2)), TWO) is None


@pytest.mark.parametrize("name", QUANTITY_SCORES)
def test_quantities_that_are_not_finite_or_not_known_have_no_score(score, name):
    assert score(name, [[1], [2]], [[np.nan], [1]], ONE_QUANTITY) is None
    assert score(name, [[np.nan]], [[1]], ONE_QUANTITY) is None


@pytest.mark.parametrize("name", ["pearson", "spearman"])
def test_constant_outputs_correlate_with_nothing(score, name):
    assert score(name, [[1], [2], [3]], [[2], [2], [2]], ONE_QUANTITY) is None
    # and the other quantity, though well answered, does not stand for both
    assert score(name, [[1, 1], [2, 2]], [[2, 1], [2, 2]], TWO_QUANTITIES) is None


@pytest.mark.parametrize("name", QUANTITY_SCORES)
def test_missing_targets_do_not_count_and_quantities_are_averaged(score, name):
    x, y = [[1], [2], [4]], [[1], [3], [2]]
    alone = score(name, x, y, ONE_QUANTITY)
    also = score(name, [[2], [5], [7], [8]], [[1], [6], [6], [9]], ONE_QUANTITY)
    both = score(
        name,
        [[1, 2], [2, 5], [4, 7], [np.nan, 8]],
        [[1, 1], [3, 6], [2, 6], [99, 9]],
        TWO_QUANTITIES,
    )
    assert both == pytest.approx((alone + also) / 2)


@pytest.mark.parametrize("name", QUANTITY_SCORES)
def test_each_of_several_quantities_has_a_score_of_its_own(metrics, name):
    targets = np.float32([[1, 2], [2, 5], [4, 7], [NAN, 8]])
    outputs = np.float32([[1, 1], [3, 6], [2, 6], [99, 9]])
    metric = metrics[name].metric
    found = metric.score(targets, outputs, TWO_QUANTITIES)
    assert list(found) == list(metric.outputs(TWO_QUANTITIES)) == [name, f"{name}_x", f"{name}_y"]
    for k, own in enumerate((f"{name}_x", f"{name}_y")):
        alone = metric.score(targets[:, [k]], outputs[:, [k]], ONE_QUANTITY)
        assert alone == {name: found[own]}
        samples = np.float64([[1, 1, 1, 1], [2, 1, 1, 0], [0, 2, 2, 1]])
        drawn = metric.resampled(own, targets, outputs, samples, TWO_QUANTITIES)
        slow = SplitMetric.resampled(metric, own, targets, outputs, samples, TWO_QUANTITIES)
        np.testing.assert_allclose(drawn, slow)


SIZES = st.integers(2, 40)


@given(st.integers(0, 2**32), SIZES, st.sampled_from([TWO, THREE]))
def test_scores_of_classes_agree_with_brute_force(score, seed, n, spec):
    chance = np.random.default_rng(seed)
    n_classes = len(spec.target.names)
    targets = chance.integers(n_classes, size=n)
    outputs = chance.normal(size=(n, n_classes)).astype(np.float32).round(1)  # with ties
    wide = outputs.astype(np.float64)
    p = np.exp(wide) / np.exp(wide).sum(axis=1, keepdims=True)
    answers = np.array([int(np.flatnonzero(row == row.max())[0]) for row in wide])
    present = sorted(set(targets))

    def f1(c):
        hit = sum((targets == c) & (answers == c))
        return 2 * hit / (sum(targets == c) + sum(answers == c))

    def covariance(a, b):
        return ((a - a.mean(axis=0)) * (b - b.mean(axis=0))).sum()

    def average_precision(right, scores):
        """Recall gained at each distinct threshold, times the precision there."""
        total = before = 0.0
        for threshold in sorted(set(scores), reverse=True):
            found = right[scores >= threshold]
            recall = found.sum() / right.sum()
            total, before = total + (recall - before) * found.mean(), recall
        return total

    found = {name: score(name, targets, outputs, spec) for name in CLASS_SCORES}
    one_hot, answered = np.eye(n_classes)[targets], np.eye(n_classes)[answers]
    squares = ((p - one_hot) ** 2).sum(axis=1).mean()
    gaps = [
        (p.max(axis=1)[inside].sum() - (answers == targets)[inside].sum())
        for k in range(15)
        if (inside := (p.max(axis=1) > k / 15) & (p.max(axis=1) <= (k + 1) / 15)).any()
    ]
    expected = {
        "accuracy": np.mean(answers == targets),
        "balanced_accuracy": np.mean([np.mean(answers[targets == c] == c) for c in present]),
        "macro_f1": np.mean([f1(c) for c in sorted(set(targets) | set(answers))]),
        "log_loss": log_loss(targets, p, labels=range(n_classes)),
        "brier": squares / 2 if n_classes == 2 else squares,
        "ece": np.abs(gaps).sum() / n,
    }
    if len(present) > 1:
        spread = covariance(one_hot, one_hot) * covariance(answered, answered)
        expected["mcc"] = covariance(one_hot, answered) / spread**0.5 if spread > 1e-12 else 0
        asked = [1] if n_classes == 2 else present
        # scores as the metric has them: of equal ones, rounding must not make an order
        log_p = wide - wide.max(axis=1, keepdims=True)
        log_p = log_p - np.log(np.exp(log_p).sum(axis=1, keepdims=True))
        scores = wide[:, [1]] - wide[:, [0]] if n_classes == 2 else log_p
        columns = {c: scores[:, 0 if n_classes == 2 else c] for c in asked}
        u = [mannwhitneyu(s[targets == c], s[targets != c]).statistic for c, s in columns.items()]
        pairs = [sum(targets == c) * sum(targets != c) for c in asked]
        expected["auroc"] = np.mean([a / b for a, b in zip(u, pairs, strict=True)])
        expected["auprc"] = np.mean(
            [average_precision(targets == c, s) for c, s in columns.items()]
        )
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 2**32), st.integers(3, 30))
def test_scores_of_quantities_agree_with_closed_forms(score, seed, n):
    chance = np.random.default_rng(seed)
    targets = chance.normal(size=n).astype(np.float32).round(1)
    outputs = chance.normal(size=n).astype(np.float32).round(1)
    if np.ptp(targets) == 0 or np.ptp(outputs) == 0:
        return
    found = {
        name: score(name, targets[:, None], outputs[:, None], ONE_QUANTITY)
        for name in QUANTITY_SCORES
    }
    a, b = targets.astype(np.float64), outputs.astype(np.float64)
    expected = {
        "pearson": np.corrcoef(a, b)[0, 1],
        "spearman": np.corrcoef(rankdata(a), rankdata(b))[0, 1],
        "r2": 1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum(),
        "rmse": ((a - b) ** 2).mean() ** 0.5,
    }
    assert found == pytest.approx(expected, abs=1e-9)


def test_each_score_serves_its_kind_of_target_and_no_other(metrics):
    for name, spec in product(CLASS_SCORES + QUANTITY_SCORES, (TWO, THREE, ONE_QUANTITY)):
        fits = (name in CLASS_SCORES) == (spec.target.kind == "classes")
        assert metrics[name].metric.serves(spec) == fits


def test_a_run_that_was_never_tested_has_no_score(metrics):
    facts = TrajectoryFacts(
        split="validation", batch_size=1, epoch_pairs=1, budget_pairs=1, pairs=0, complete=False
    )
    untested = Trajectory(TWO, facts, np.array([0]), np.zeros((1, 3, 2)), np.array([0, 1, 1]))
    for name in CLASS_SCORES:
        assert metrics[name].metric.compute(untested, TWO) == {name: NOT_MEASURED}


LABELS = task("a", "b c", "rare", kind="labels")


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("auroc", 3 / 4, 1.0),  # of 4 pairs one is the wrong way round
        ("auprc", (1 / 1 + 2 / 3) / 2, 1.0),
        ("macro_f1", 1 / 2, 1.0),  # one of two is found, and one that is none
        ("log_loss", None, None),
        ("brier", None, None),
        ("accuracy", 2 / 4, 1.0),
        ("balanced_accuracy", (1 / 2 + 1 / 2) / 2, 1.0),
        ("mcc", 0.0, 1.0),  # as many right as wrong of each
        ("ece", None, None),
    ],
)
def test_each_label_has_a_score_and_the_mean_is_of_those_that_have(metrics, name, first, second):
    targets = np.float32([[1, 1, 0], [0, NAN, 0], [1, 0, 0], [0, 0, 0]])
    outputs = np.float32([[2, 3, -1], [1, 9, -1], [-1, -3, -1], [-2, -3, -1]])
    found = metrics[name].metric.score(targets, outputs, LABELS)
    assert list(found) == [name, f"{name}_a", f"{name}_b_c", f"{name}_rare"]
    assert list(metrics[name].metric.outputs(LABELS)) == list(found)
    if name in ("auroc", "auprc"):
        assert found[f"{name}_rare"] is None
    own = [value for value in list(found.values())[1:] if value is not None]
    assert found[name] == pytest.approx(np.mean(own))
    p = 1 / (1 + np.exp(-outputs.astype(float)))
    witness = {
        "macro_f1": [f1_score(targets[:, 0], outputs[:, 0] > 0)],
        "log_loss": [log_loss(targets[:, 0], p[:, 0])],
        "brier": [np.mean((p[:, 0] - targets[:, 0]) ** 2)],
        # right, wrong, wrong, right; at 0.88, 0.73, 0.73, 0.88: two bins
        "ece": [(abs(2 - p[0, 0] - (1 - p[3, 0])) + abs(0 - p[1, 0] - (1 - p[2, 0]))) / 4],
    }.get(name, [first])
    assert found[f"{name}_a"] == pytest.approx(witness[0])
    assert second is None or found[f"{name}_b_c"] == pytest.approx(second)


@pytest.mark.parametrize("score", ["accuracy", "balanced_accuracy", "mcc", "auroc"])
def test_scores_of_labels_in_samples_are_those_of_the_items_drawn(metrics, score):
    rng = np.random.default_rng(3)
    targets = rng.integers(0, 2, (30, 3)).astype(np.float32)
    targets[rng.random((30, 3)) < 0.2] = NAN
    outputs = rng.normal(size=(30, 3)).round(1).astype(np.float32)
    counts = rng.multinomial(30, np.full(30, 1 / 30), size=20).astype(np.float64)
    metric = metrics[score].metric
    for name in (score, f"{score}_b_c"):
        slow = SplitMetric.resampled(metric, name, targets, outputs, counts, LABELS)
        quick = metric.resampled(name, targets, outputs, counts, LABELS)
        np.testing.assert_allclose(quick, slow)
