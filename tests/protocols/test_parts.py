"""Runs in parts: folds that make one record, and nested subsets that make a curve."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codonbench import Dataset, Input, Sequences, Target, Task, TaskSpec
from codonbench.audit.one_record import contradictions
from codonbench.audit.repeat import repeat
from codonbench.audit.verify import compare
from codonbench.cli.board_tables import print_curves
from codonbench.contracts import Estimator, ModelInfo, Ranking
from codonbench.contracts.run_spec import RunRequest
from codonbench.data.splits import divided, nested
from codonbench.errors import ConfigError, DataError, StoreError
from codonbench.execution.parts import Parts
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run_all
from codonbench.plugins.registry import Registry
from codonbench.protocols.folds import pool
from codonbench.protocols.referee import RunSetup, unwatched
from codonbench.ranking.board import build_board
from codonbench.ranking.curves import _reached, examples_to_reach, learning_curves
from codonbench.records.store import Store
from codonbench.report.markdown import render_board, render_curves

SUBSETS = {"protocol": "sample_efficiency"}
CLASSES = np.array([0, 1, 1, 0, 1] * 24)


class Coins(Task):
    """120 sequences in 30 groups of four, 60 % of them of the second class."""

    name, version, title, protocol = "coins", "1", "Coins", "supervised"
    default_data = "coins"
    ranking = Ranking.by_mean("accuracy", accuracy="accuracy")
    folds: ClassVar[int] = 4

    def load(self, data, options, *, cache, offline=False):
        rows = np.random.default_rng(3).integers(4, size=(120, 6)).astype(np.uint8)
        rows[:, 0] = CLASSES
        return Dataset(
            spec=TaskSpec(
                name=self.name,
                version="1",
                title=self.title,
                input=Input.of_length(6),
                target=Target(names=("tails", "heads")),
                protocol=self.protocol,
                train_size=90,
                test_size=30,
                default_epochs=2,
            ),
            source="coins",
            checksum="c" * 64,
            simulated=True,
            items=Sequences.of_rows(rows),
            targets=CLASSES,
            splits={"train": np.arange(90), "test": np.arange(90, 120)},
            groups=np.arange(120) // 4,
        )


class FirstLetter(Estimator):
    """Answers by what followed from the first letter, once it has seen enough of them."""

    info = ModelInfo(name="first-letter", version="1", summary="Looks at the first letter")
    enough = 30

    @property
    def encoding(self):
        return "items"

    def fit(self, training):
        self.seen = len(training.targets)

    def predict(self, items):
        heads = items.rows()[:, 0] == 1
        right = heads if self.seen >= self.enough else np.ones(len(heads), dtype=bool)
        return np.stack([~right, right], axis=1).astype(np.float32)

    def learned(self):
        return {"seen": np.array([self.seen])}


class Heads(FirstLetter):
    """Always the same."""

    info = ModelInfo(name="heads", version="1", summary="Always heads", role="reference")
    enough = 1_000


@pytest.fixture(scope="module")
def registry(toys):
    registry = Registry()
    for kind in ("models", "metrics", "tasks", "protocols"):
        getattr(registry, kind).update(getattr(toys.installed, kind))
    parts = toys.module("parts-toys", models=(FirstLetter, Heads), tasks=(Coins(),))
    registry.add(parts, "toy-shop", "1.0")
    assert not registry.failures
    return registry


def asked(registry, **fields):
    request = {"model": "first-letter", "task": "coins", **fields}
    return prepare(RunRequest(**request), registry, Path("no-cache"))


def outcomes(registry, folder, **fields):
    job, store = asked(registry, **fields), Store(folder)
    parts = Parts(job, registry, store)
    return [
        whole for part in run_all(job, registry, store, unwatched) for whole in parts.take(part)
    ]


@pytest.fixture(scope="module")
def folds(registry, tmp_path_factory):
    folder = tmp_path_factory.mktemp("folds")
    return folder, outcomes(registry, folder, seeds="0-1")


def test_each_item_is_tested_once_by_what_has_not_seen_its_group(registry):
    job = asked(registry, seeds="0-1")
    for seed in (0, 1):
        tested = []
        for run_spec in (spec for spec in job.run_specs if spec.seed == seed):
            setup = RunSetup(run_spec, job.dataset, job.protocol, None)
            split, groups = setup.stream.split, job.dataset.groups
            seen = set(groups[split.train]) | set(groups[split.validation])
            assert not seen & set(groups[split.test])
            assert not set(groups[split.train]) & set(groups[split.validation])
            assert len(split.train) + len(split.validation) + len(split.test) == 120
            tested += split.test.tolist()
        assert sorted(tested) == list(range(120))


def test_out_of_fold_answers_make_one_record_a_seed(registry, folds):
    folder, found = folds
    assert [(o.record.seed, o.record.run_spec.fold) for o in found] == [(0, None), (1, None)]
    record = found[0].record
    trajectory = Store(folder).load_trajectory(record)
    np.testing.assert_array_equal(trajectory.test_targets, CLASSES)
    np.testing.assert_array_equal(trajectory.test_outputs.argmax(axis=1), CLASSES)
    np.testing.assert_array_equal(trajectory.arrays["test_groups"], np.arange(120) // 4)
    assert sorted(np.bincount(trajectory.arrays["test_fold"])) == [28, 28, 32, 32]
    assert record.metrics["accuracy"] == 1
    assert not list(contradictions(record, Coins()))
    assert compare(repeat(record, registry, Path("no-cache"))).outcome == "identical"


def test_a_seed_counts_once_on_the_board(registry, folds):
    folder, _ = folds
    board = build_board(Store(folder).scan(), registry.known_tasks)
    ((row,),) = (table.rows for table in board.tables)
    assert (row.seeds, board.excluded, board.tables[0].asked) == ((0, 1), (), "folds 4")
    assert "### coins (simulated), folds 4, cpu" in render_board(board)
    parts = [r for r in Store(folder).scan() if r.run_spec.fold == 0]
    (alone,) = build_board(parts[:1], registry.known_tasks).excluded
    assert "counts once all" in alone.reason


def test_folds_that_are_recorded_are_joined_without_running_again(registry, folds, monkeypatch):
    folder, found = folds
    (folder / f"{found[0].record.name}.json").unlink()
    monkeypatch.setattr(FirstLetter, "fit", None)
    again = outcomes(registry, folder, seeds="0-1")
    assert {o.record.seed: o.reused for o in again} == {0: False, 1: True}
    assert again[0].record.result() == found[0].record.result()


def test_folds_of_several_kinds_of_gpu_are_not_joined(registry, folds, tmp_path):
    folder, found = folds
    store = Store(shutil.copytree(folder, tmp_path / "results"))
    (store.folder / f"{found[0].record.name}.json").unlink()
    for record in [r for r in store.scan() if r.seed == 0 and r.run_spec.fold is not None]:
        name = "NVIDIA A100" if record.run_spec.fold else "NVIDIA H100"
        machine = record.machine.model_copy(update={"device": "cuda", "device_name": name})
        store.save(record.model_copy(update={"machine": machine}).sealed(), None)
    with pytest.raises(StoreError, match=r"NVIDIA A100 and NVIDIA H100.*--force"):
        outcomes(registry, store.folder, seeds="0-1")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"folds": 40}, ["30 groups", "40 folds"]),
        ({"folds": 1}, ["folds", "greater than or equal to 2"]),
        ({"protocol": "decipher"}, ["'supervised'", "--protocol decipher"]),
        (
            {"protocol": "sample_efficiency", "protocol_overrides": {"size": "3"}},
            ["'size'", "sizes"],
        ),
        ({"protocol": "sample_efficiency", "protocol_overrides": {"sizes": "[0]"}}, ["sizes 0"]),
        ({"task": "human-codon", "model": "mlp", "folds": 3}, ["human-codon", "decipher", "folds"]),
    ],
)
def test_what_cannot_be_divided_so_is_said(registry, fields, words):
    with pytest.raises((ConfigError, DataError)) as caught:
        asked(registry, **fields)
    assert [word for word in words if word not in str(caught.value)] == []


def test_each_group_is_left_out_in_turn(registry):
    job = asked(registry, folds="group")
    assert len(job.run_specs) == 30
    split = RunSetup(job.run_specs[7], job.dataset, job.protocol, None).stream.split
    assert split.test.tolist() == [28, 29, 30, 31]
    without = replace(job.dataset, groups=None)
    with pytest.raises(ConfigError, match="no groups"):
        job.protocol.resolved(job.protocol.Options(folds="group"), without)


def test_leaving_each_item_out_is_asked_for_by_its_number(registry):
    job = asked(registry, folds="group")
    n = len(job.dataset.items)
    alone = replace(job.dataset, groups=np.arange(n).repeat(2)[1 : n + 1])  # the first is alone
    with pytest.raises(ConfigError, match=rf"{n} items .* {n // 2 + 1} groups.*--folds"):
        job.protocol.resolved(job.protocol.Options(folds="group"), alone)
    each = job.protocol.Options(folds=n // 2 + 1)
    assert (
        len(
            job.protocol.parts(
                job.run_specs[0].model_copy(update={"protocol_options": {"folds": each.folds}}),
                alone,
            )
        )
        == n // 2 + 1
    )


@settings(max_examples=30)
@given(st.integers(2, 7), st.integers(0, 99), st.integers(30, 90))
def test_folds_are_stratified_and_differ_by_one(k, seed, n):
    items = np.random.default_rng(seed).permutation(200)[:n]
    classes = np.random.default_rng(seed + 1).integers(3, size=200)
    fold = divided(items, k, seed, None, classes)
    for kind in range(3):
        counts = np.bincount(fold[classes[items] == kind], minlength=k)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("folds", ["gene", "-1", "5.0", 2.5, True])
def test_folds_that_are_no_number_say_what_is_expected(folds):
    with pytest.raises(ConfigError, match=r"'folds': got .*; expected a number of folds, or group"):
        RunRequest(model="cnn", folds=folds)


@settings(max_examples=30)
@given(st.integers(2, 5), st.integers(0, 99))
def test_folds_of_groups_hold_each_whole_and_are_stratified(k, seed):
    classes, groups = np.repeat([0, 1], [80, 40]), np.arange(120) // 4
    fold = divided(np.arange(120), k, seed, groups, classes)
    assert all(len(set(fold[groups == group])) == 1 for group in groups)
    for kind in range(2):
        counts = np.bincount(fold[classes == kind], minlength=k)
        assert counts.max() - counts.min() <= 4


@settings(max_examples=30)
@given(st.integers(0, 99), st.booleans())
def test_subsets_are_nested_and_stratified(seed, each):
    items, classes = np.arange(100), np.repeat([0, 1, 2], [50, 30, 20])
    smaller = nested(items, 6, (seed,), classes, each=each)
    larger = nested(items, 20, (seed,), classes, each=each)
    assert set(smaller) < set(larger)
    expected = [20, 20, 20] if each else [10, 6, 4]
    assert np.bincount(classes[larger]).tolist() == expected


def test_examples_to_reach_are_counted_from_the_last_time_below():
    scores = {10: 0.5, 30: 0.4, 100: 0.6, 300: 0.7}
    reached = [examples_to_reach(scores, bar, [*scores], 1) for bar in (0.4, 0.45, 0.65, 0.8)]
    assert reached == [10, 100, 300, None]
    assert examples_to_reach(scores, 0.6, [*scores], -1) is None
    assert examples_to_reach({10: 3.0, 30: 1.0}, 2.0, [10, 30], -1) == 30


def test_a_curve_says_how_many_examples_reach_row_zero(registry, tmp_path):
    sizes = SUBSETS | {"protocol_overrides": {"sizes": "[10, 30]"}}
    for model in ("first-letter", "heads"):
        outcomes(registry, tmp_path, model=model, seeds="0-2", **sizes)
    records = list(Store(tmp_path).scan())
    assert {r.run_spec.subset for r in records} == {10, 30, 78}
    assert not [found for r in records for found in contradictions(r, Coins())]
    (curves,) = learning_curves(records, registry.known_tasks, target=1.01)
    row, zero = curves.rows
    assert (curves.row_zero, curves.sizes, row.model) == ("heads", (10, 30, 78), "first-letter")
    assert [point.value for point in row.points[1:]] == [1, 1]
    assert (row.ranks, row.to_row_zero.value) == ((1, 1, 1), 10)  # 60 % at 10: as good
    assert (row.to_target.value, row.to_target.never) == (None, 3)
    height, widths = row.points[0].value, np.log([3, 78 / 30])
    area = (widths @ [(height + 1) / 2, 1]) / widths.sum()
    assert row.area.value == pytest.approx(area, abs=1e-5)
    assert zero.to_row_zero is None
    board = build_board(records, registry.known_tasks)
    assert [table.asked for table in board.tables] == ["10 examples", "30 examples", "78 examples"]
    assert "0.600 #1 | 1.000 #1 | 1.000 #1" in render_board(board)


def test_few_shots_make_a_curve_too_and_who_never_gets_there_is_censored(
    registry, tmp_path, capsys
):
    asked = {"protocol": "sample_efficiency", "seeds": "0-2"}
    for model in ("first-letter", "heads"):
        shots = {"per_class": "true", "sizes": "[1, 5, 10]"}
        outcomes(registry, tmp_path, model=model, protocol_overrides=shots, **asked)
    (curves,) = learning_curves(Store(tmp_path).scan(), registry.known_tasks)
    assert (curves.per_class, curves.sizes, curves.row_zero) == (True, (1, 5, 10), "heads")
    assert curves.rows[0].to_row_zero.value == 1
    (better,) = learning_curves(Store(tmp_path).scan(), registry.known_tasks, target=0.61)
    assert (better.rows[0].to_target.value, better.rows[0].to_target.never) == (None, 3)
    text = render_curves(curves)
    assert "by training examples of each class" in text
    assert "the best reference row, heads, with 10 of each class" in text
    print_curves(curves)
    said = capsys.readouterr().out
    assert "row zero: heads with 10 of each class" in said
    assert "of a rarer one all" in " ".join(said.split())


def test_median_examples_count_seeds_that_never_get_there():
    scores = {seed: {10: 0.5, 30: 0.6, 100: 0.5 if seed > 2 else 0.7} for seed in range(4)}
    found = _reached(scores, dict.fromkeys(scores, 0.55), [10, 30, 100], 1)
    assert (found.value, found.n, found.never) == (30, 4, 1)


def test_validation_is_no_larger_than_the_subset(registry):
    job = asked(registry, **SUBSETS, protocol_overrides={"sizes": "[4]"})
    splits = [RunSetup(s, job.dataset, job.protocol, None).stream.split for s in job.run_specs]
    assert [(len(s.train), len(s.validation), len(s.test)) for s in splits] == [
        (4, 4, 30),
        (78, 12, 30),
    ]
    assert pool(job.dataset).tolist() == list(range(120))
    shots = asked(registry, **SUBSETS, protocol_overrides={"per_class": "true"})
    assert [spec.part for spec in shots.run_specs][:2] == [
        "1 example a class",
        "5 examples a class",
    ]
