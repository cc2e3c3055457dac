"""Scores of samples of the items from counts, against scoring each sample by itself."""

import warnings

import numpy as np
import pytest

from codonbench import SplitMetric
from codonbench_metrics._counts import confusions, recall, sizes
from codonbench_metrics.classification import Accuracy, Auprc, Auroc, BalancedAccuracy, Mcc
from codonbench_metrics.quantities import Pearson, Spearman
from samples import WORDS_TASK

RNG = np.random.default_rng(0)


def samples(n_items, n_samples=40):
    picks = RNG.integers(0, n_items, size=(n_samples, n_items))
    return np.array([np.bincount(row, minlength=n_items) for row in picks]).astype(float)


def agree(metric, targets, outputs, counts):
    """Compare with the contract's own way, which scores one sample after another."""
    found = metric.resampled(metric.name, targets, outputs, counts, WORDS_TASK)
    plain = SplitMetric.resampled(metric, metric.name, targets, outputs, counts, WORDS_TASK)
    np.testing.assert_allclose(found, plain, rtol=1e-9, atol=1e-12)
    return found


@pytest.mark.parametrize("metric", [Accuracy(), BalancedAccuracy(), Mcc(), Auroc(), Auprc()])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_scores_of_classes_from_counts(metric, n_classes):
    targets = RNG.integers(0, n_classes, 60)
    outputs = RNG.normal(size=(60, n_classes)).round(1).astype(np.float32)  # with ties
    outputs[np.arange(60), targets] += 0.7
    found = agree(metric, targets, outputs, samples(60))
    assert np.isfinite(found).all()
    assert np.ptp(found) > 0.05


@pytest.mark.parametrize("metric", [Accuracy(), BalancedAccuracy(), Mcc(), Auroc(), Auprc()])
def test_samples_of_few_items_may_lack_a_class(metric):
    targets = np.array([0, 0, 0, 1, 2])
    agree(metric, targets, np.eye(3, dtype=np.float32)[[0, 0, 1, 1, 0]], samples(5, 200))


@pytest.mark.parametrize("metric", [Pearson(), Spearman()])
@pytest.mark.parametrize("offset", [0, 1e4])
def test_correlations_from_counts(metric, offset):
    """Far from zero too, where sums of squares cancel; with ties and a value that is missing."""
    targets = RNG.normal(size=(80, 2)).astype(np.float32).round(1)
    outputs = (targets + RNG.normal(size=(80, 2))).round(1).astype(np.float32) + offset
    targets[3, 1] = np.nan
    agree(metric, targets, outputs.astype(np.float32), samples(80))


@pytest.mark.parametrize("metric", [Pearson(), Spearman()])
def test_a_sample_in_which_nothing_varies_has_no_correlation(metric):
    targets = np.array([[1.0], [2.0], [3.0]], dtype=np.float32)
    outputs = np.array([[0.5], [0.5], [1.0]], dtype=np.float32)
    counts = np.array([[1.0, 1, 1], [3, 0, 0], [2, 1, 0]])
    found = metric.resampled(metric.name, targets, outputs, counts, WORDS_TASK)
    assert found[0] == pytest.approx(metric.of_one(targets[:, 0], outputs[:, 0]))
    assert np.isnan(found[1:]).all()


def test_the_hand_worked_case():
    """Two of class 0 right, one of class 1 wrong counted twice: TP 0, TN 2, FP 0, FN 2, so 0."""
    targets = np.array([0, 1, 1])
    outputs = np.array([[1, 0], [1, 0], [0, 1]], dtype=np.float32)
    counts = np.array([[2.0, 2, 0], [1, 0, 1], [1, 1, 1]])
    # The third: TP 1, TN 1, FP 0, FN 1: 1 / sqrt(1 * 2 * 1 * 2) = 0.5.
    found = Mcc().resampled("mcc", targets, outputs, counts, WORDS_TASK)
    assert found.tolist() == pytest.approx([0.0, 1.0, 0.5])


@pytest.mark.parametrize("drawn", [0, 1, 3, 2**17, 2**40])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_confusion_matrices_are_exact_however_often_items_are_drawn(n_classes, drawn):
    """Cells share products of 53 bits: all in one where a sample is small."""
    classes, answers = RNG.integers(0, n_classes, (2, 7))
    counts = RNG.integers(0, drawn + 1, (4, 7))
    wanted = np.zeros((4, n_classes, n_classes), dtype=np.int64)
    np.add.at(wanted, (slice(None), classes, answers), counts)
    found = confusions(classes, answers, n_classes, counts.astype(float))
    assert np.array_equal(found, wanted)


def test_sizes_are_added_up_once_of_counts_that_cannot_change():
    counts = np.ones((2, 3))
    assert sizes(counts).tolist() == [3, 3]
    counts[0] = 2
    assert sizes(counts).tolist() == [6, 3]
    counts.setflags(write=False)
    assert sizes(counts) is sizes(counts)
    assert sizes(counts[:1]).tolist() == [6]


def test_recall_is_the_same_to_the_bit_however_matrices_lie():
    """With so many classes, of whose shares the sum depends on the order that they are added in."""
    matrices = RNG.integers(1, 50, (200, 20, 20)).astype(float)
    side_by_side = np.ascontiguousarray(matrices.transpose(1, 2, 0)).transpose(2, 0, 1)
    assert np.array_equal(recall(matrices), recall(side_by_side))


@pytest.mark.parametrize("metric", [Pearson(), Spearman()])
def test_where_no_item_has_a_quantity_there_is_no_mean_and_no_warning(metric):
    targets = np.array([[1.0, np.nan], [2.0, np.nan], [4.0, np.nan]], dtype=np.float32)
    outputs = np.array([[1.0, 5], [2.5, 5], [3.0, 6]], dtype=np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = metric.resampled(metric.name, targets, outputs, np.ones((2, 3)), WORDS_TASK)
    assert np.isnan(found).tolist() == [True, True]
