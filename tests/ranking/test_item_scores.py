"""Rows compared over seeds and test items, on made-up test outputs whose truth is known."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from scipy.stats import norm

from codonbench import Column, Ranking, Target
from codonbench.audit.answers import ReadRecord, recomputed
from codonbench.errors import StoreError
from codonbench.ranking import item_scores, items, statistics
from codonbench.ranking.item_scores import (
    RowScores,
    gain,
    mean_over_both,
    p_by_item,
    p_value,
    score_row,
)
from codonbench.ranking.items import Runs, compare
from codonbench.ranking.statistics import RESAMPLES, Mean, draws
from codonbench.ranking.tiers import tiers
from codonbench.records.recorded_outputs import ItemOutputs, hash_items
from codonbench_metrics.classification import Accuracy, Auroc
from codonbench_metrics.quantities import Pearson
from samples import TWO_CLASSES


def outputs(right, groups=None):
    """Return what a run answered that is right or wrong about each item; all are of class 1."""
    right = np.asarray(right)
    targets = np.ones(len(right), dtype=np.int64)
    answers = np.stack([np.zeros(len(right)), np.where(right, 1.0, -1.0)], axis=1)
    key = hash_items(targets, groups)
    return ItemOutputs(TWO_CLASSES, "t", key, answers.astype(np.float32), targets, groups)


def accuracy(right, groups=None):
    """Return a row's scores from whether it is right, (seeds, items)."""
    runs = {seed: outputs(row, groups) for seed, row in enumerate(right)}
    return score_row(runs, Accuracy(), "accuracy")


def mean_of(scores):
    value = float(scores.values.mean())
    return Mean(value=value, low=value, high=value, n=len(scores.seeds))


def test_a_deterministic_row_is_as_uncertain_as_its_items():
    """Ten equal seeds, 300 items, 70 % right: the binomial's interval, not one of no width."""
    right = np.tile(np.arange(300) < 210, (10, 1))
    found = mean_over_both(mean_of(accuracy(right)), accuracy(right))
    half = norm.ppf(0.975) * np.sqrt(0.7 * 0.3 / 300)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.06)
    assert found.value == pytest.approx(0.7)


def test_both_sources_of_chance_add_up():
    rng = np.random.default_rng(0)
    skill = rng.normal(0.7, 0.05, size=(10, 1))
    scores = accuracy(rng.random((10, 500)) < skill)
    found = mean_over_both(mean_of(scores), scores)
    over_seeds = scores.values.var() / 10  # a bootstrap's variance has no n - 1
    over_items = scores.resampled.mean(axis=1).var()
    width = norm.ppf(0.975) * np.sqrt(over_seeds + over_items)
    assert (found.high - found.low) / 2 == pytest.approx(width, rel=0.15)
    assert (found.high - found.low) / 2 > norm.ppf(0.975) * np.sqrt(over_seeds)


def test_items_of_a_group_are_drawn_together():
    """Fifty groups of ten alike items say no more than fifty items."""
    right = np.repeat(np.arange(50) < 30, 10)[None]
    alone = accuracy(right)
    together = accuracy(right, groups=np.repeat(np.arange(50), 10))
    assert together.n_units == 50
    ratio = together.resampled.std() / alone.resampled.std()
    assert ratio == pytest.approx(np.sqrt(10), rel=0.06)


def test_a_quantity_s_correlation_has_fisher_s_interval():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(1500, 1)).astype(np.float32)
    y = (0.8 * x + 0.6 * rng.normal(size=x.shape)).astype(np.float32)
    task = TWO_CLASSES.model_copy(update={"target": Target(kind="quantities", names=("q",))})
    run = ItemOutputs(task, "t", hash_items(y, None), x, y)
    scores = score_row({0: run}, Pearson(), "pearson")
    low, high = np.tanh(np.arctanh(scores.values[0]) + norm.ppf([0.025, 0.975]) / np.sqrt(1497))
    found = mean_over_both(mean_of(scores), scores)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.004)


def test_a_gain_is_paired_by_seed_and_item():
    """Two rows that err on nearly the same items: the gain is surer than either row."""
    rng = np.random.default_rng(2)
    hard = rng.random((6, 400)) < 0.3
    better = accuracy(~hard | (rng.random(hard.shape) < 0.1))
    floor = accuracy(~hard)
    found = gain(better, floor, "floor", 1)
    assert found.value == pytest.approx(float(better.values.mean() - floor.values.mean()), abs=1e-6)
    assert 0 < found.low < found.value < found.high
    spread = mean_over_both(mean_of(floor), floor)
    assert found.high - found.low < 0.6 * (spread.high - spread.low)
    assert gain(better, floor, "floor", -1).value == -found.value
    assert gain(floor, floor, "floor", 1).high == 0
    assert gain(better.over([0, 1]), floor.over([3]), "floor", 1) is None
    assert gain(better.over([0, 1, 2]), floor.over([1, 2, 3]), "floor", 1).n == 2


def test_the_test_of_two_rows_is_student_s_where_items_say_nothing():
    """No variance over items: the paired t-test over seeds, by scipy."""
    from scipy.stats import ttest_rel

    rng = np.random.default_rng(3)
    one, other = rng.normal(size=(2, 8))
    flat = [RowScores(tuple(range(8)), v, np.tile(v, (RESAMPLES, 1)), 50) for v in (one, other)]
    assert p_value(*flat) == pytest.approx(ttest_rel(one, other).pvalue)
    assert p_value(flat[0], flat[1]) == p_value(flat[1], flat[0])
    assert np.isnan(p_value(flat[0].over([0, 1]), flat[1]))
    assert p_value(flat[0], flat[0]) == 1


def test_rows_as_far_apart_as_no_quantile_reaches_are_told_apart():
    """Two learners without chance, one right nearly always, over thousands of items."""
    right = np.random.default_rng(4).random((2, 5_000)) < [[0.99], [0.5]]
    good, bad = (accuracy(np.tile(row, (10, 1))) for row in right)
    assert 0 < p_value(good, bad) < 1e-200
    assert p_by_item([good, bad], 1)[0, 1] < 1e-200


def tiers_of(rows):
    return tiers(p_by_item(rows, 1))


def test_tiers_of_rows_far_apart_and_alike():
    rng = np.random.default_rng(4)
    rows = [accuracy(rng.random((5, 800)) < p) for p in (0.9, 0.9, 0.6, 0.6, 0.2)]
    rows.sort(key=lambda row: -row.values.mean())
    assert tiers_of(rows) == (1, 1, 2, 2, 3)
    assert tiers_of([rows[0], None, rows[-1]]) == (1, None, 2)
    assert tiers_of([rows[0].over([0, 1]), rows[-1].over([0, 1])]) == (None, None)
    assert tiers_of([rows[0], rows[-1].over([0, 1]), rows[-1]]) == (1, None, 2)
    assert tiers_of([rows[0]]) == (1,)
    assert tiers_of([]) == ()
    assert tiers(p_by_item(rows, -1)) == (1,) * 5  # in the wrong order


def equal_rows(rng, n_rows, n_seeds, n_items):
    """Return rows that are equally good on average over seeds and items, as a table has them."""
    difficulty = rng.normal(size=n_items)
    own = difficulty + 0.7 * rng.normal(size=(n_rows, 1, n_items))
    seeds = 0.4 * rng.normal(size=(n_rows, n_seeds, 1))
    noise = 0.7 * rng.normal(size=(n_rows, n_seeds, n_items))
    right = (own + seeds + noise + 0.8 > 0).astype(float)
    counts = draws(n_items, "made up").astype(float)
    rows = [
        RowScores(tuple(range(n_seeds)), r.mean(1), counts @ r.T / n_items, n_items) for r in right
    ]
    return sorted(rows, key=lambda row: -row.values.mean())


def test_equal_rows_are_seldom_told_apart(monkeypatch):
    """At most one table in twenty; of 150 tables more than 16 would be a chance of one in 500."""
    for module in (item_scores, statistics):
        monkeypatch.setattr(module, "RESAMPLES", 200)
    draws.cache_clear()
    rng = np.random.default_rng(5)
    split = [max(tiers_of(equal_rows(rng, 4, 5, 200))) > 1 for _ in range(150)]
    draws.cache_clear()
    assert sum(split) <= 16


def test_draws_are_the_same_everywhere():
    assert draws(5, "seeds")[:2].tolist() == [[0, 2, 2, 0, 1], [0, 0, 2, 2, 1]]
    assert (draws(7, "x").sum(axis=1) == 7).all()
    assert draws(7, "x").shape == (RESAMPLES, 7)
    assert not np.array_equal(draws(7, "x"), draws(7, "y"))


def test_draws_are_those_of_one_sample_after_another():
    rng = np.random.default_rng([300, *b"x"])
    wanted = [np.bincount(rng.integers(0, 300, 300), minlength=300) for _ in range(RESAMPLES)]
    assert np.array_equal(draws(300, "x"), wanted)


def test_ranks_that_16_bits_level_are_no_contradiction_and_another_score_is(finished):
    """0.4001 and 0.4002 are one number in 16 bits: AUROC falls from 1 to 31.5/32."""
    targets = np.arange(12) >= 8
    exact = np.where(targets, 0.9, 0.1)
    exact[[7, 8]] = 0.4001, 0.4002
    labels = TWO_CLASSES.model_copy(update={"target": Target(kind="labels", names=("bound",))})
    known = targets[:, None].astype(np.float32)
    rounded = exact[:, None].astype(np.float16).astype(np.float32)
    ranking = Ranking(
        metric="auroc",
        direction="higher",
        columns=(Column(metric="auroc", title="AUROC", statistic="mean"),),
    )

    metrics = {"auroc": Auroc()}
    item = ItemOutputs(labels, "t", hash_items(known, None), rounded, known)

    def says(value):
        values = Auroc().score(known, rounded, labels) | {"auroc": value}
        changes = {"metrics": values, "metric_versions": {"auroc": Auroc.version}}
        return finished[0].model_copy(update=changes)

    def compared(said):
        mean = Mean(value=said, low=said, high=said, n=1)
        row = Runs("row", "toy", mean, False, [record := says(said)])
        return compare([row], ranking, items.Tested(metrics, {record.run_id: item}))

    def remarks(said):
        task = SimpleNamespace(ranking=ranking)
        read = ReadRecord(Path("toy.json"), says(said), task, None, item)
        return [field for field, _ in recomputed(read, metrics)]

    assert Auroc().score(known, rounded, labels)["auroc"] == 31.5 / 32
    assert compared(1.0).n_items == 12
    assert remarks(1.0) == []
    with pytest.raises(StoreError, match="its record says"):
        compared(0.8)
    assert remarks(0.8) == ["metrics.auroc"]
