"""Tuning: the space, a study that sees no test item, and the preset that comes of it."""

import math
import os
import re
import statistics
import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated, ClassVar, Literal

import numpy as np
import pytest
from pydantic import Field

from codonbench import Dataset, Input, Sequences, Target, Task, TaskSpec
from codonbench.contracts import BaseConfig, Estimator, GradientConfig, ModelInfo, Ranking, Tune
from codonbench.contracts.run_spec import RunRequest
from codonbench.contracts.tunable import tunable
from codonbench.errors import ConfigError, StoreError
from codonbench.execution.prepare import prepare, preset_text, read_preset, with_preset
from codonbench.execution.run import Tried, run_all, train_here, tried
from codonbench.plugins.registry import Registry
from codonbench.protocols.referee import RunSetup, unwatched
from codonbench.protocols.trial import Trial
from codonbench.ranking.board import build_board
from codonbench.records.store import Store
from codonbench.report.markdown import render_board
from codonbench.tuning.space import as_text, space_of
from codonbench.tuning.study import Study, StudyRequest


class Config(BaseConfig):
    """How often it is right: best at a third."""

    place: float = Field(default=0.9, ge=0, le=1)


class Guesser(Estimator):
    """The nearer `place` is to a third, the more of the answers it knows."""

    info = ModelInfo(name="guesser", version="1", summary="Right in a share of the items")
    Config: ClassVar[type[BaseConfig]] = Config
    encoding = "items"
    asked: ClassVar[list[int]] = []

    def fit(self, training):
        self.known = round(100 * (1 - abs(self.config.place - 1 / 3)))

    def learned(self):
        return {"known": np.array([self.known])}

    def predict(self, items):
        self.asked.append(len(items))
        rows = items.rows()
        right = (rows[:, 0] == 1) ^ (np.arange(len(rows)) % 100 >= self.known)
        return np.stack([~right, right], axis=1).astype(np.float32)


class Signs(Task):
    """200 items to train on, 100 to choose by, 50 to test."""

    name, version, title, protocol = "signs", "1", "Signs", "supervised"
    default_data = "signs"
    folds = 5
    ranking = Ranking.by_mean("accuracy", accuracy="accuracy")

    def load(self, data, options, *, cache, offline=False):
        rows = np.random.default_rng(5).integers(2, size=(350, 4)).astype(np.uint8)
        sizes = {"train_size": 200, "validation_size": 100, "test_size": 50}
        return Dataset(
            spec=TaskSpec(
                name=self.name,
                version="1",
                title=self.title,
                input=Input.of_length(4),
                target=Target(names=("no", "yes")),
                protocol=self.protocol,
                **sizes,
            ),
            source="signs",
            checksum="d" * 64,
            simulated=True,
            items=Sequences.of_rows(rows),
            targets=rows[:, 0].astype(np.int64),
            splits={
                "train": np.arange(200),
                "validation": np.arange(200, 300),
                "test": np.arange(300, 350),
            },
        )


@pytest.fixture(scope="module")
def registry(toys):
    registry = Registry()
    for kind in ("models", "metrics", "tasks", "protocols"):
        getattr(registry, kind).update(getattr(toys.installed, kind))
    registry.add(toys.module("tuned", models=(Guesser,), tasks=(Signs(),)), "toy-shop", "1.0")
    return registry


def here(request, job, look):
    return tried(job, train_here, look)


def study(registry, path, trials=4, pruner="median", attempt=here, **fields):
    asked = {"model": "guesser", "task": "signs", "folds": "0", "seeds": (1000,)}
    request = RunRequest(**asked | fields)
    space = space_of(tunable(Config()), {}, request.overrides)

    def ready(request):
        return prepare(request, registry, Path("no-cache"))

    return Study(path, StudyRequest(request, space, trials, pruner), ready, attempt)


def test_a_study_goes_on_where_it_was_and_asks_no_test_item(registry, tmp_path):
    Guesser.asked.clear()
    heard = []
    study(registry, tmp_path / "s.db", trials=3).run(lambda: heard.append(1))
    assert (len(heard), set(Guesser.asked)) == (3, {100})
    with pytest.raises(ConfigError, match=r"begun with other seeds; .*--study"):
        study(registry, tmp_path / "s.db", seeds=(1001,))
    again = study(registry, tmp_path / "s.db", trials=6)
    again.run(lambda: heard.append(1))
    config, tuning = again.result("found")
    assert (len(heard), tuning.trials, tuning.seeds) == (6, 6, (1000,))
    scores = [score for score, _ in again.scores()]
    assert tuning.best == pytest.approx(max(scores))
    assert tuning.best == pytest.approx(round(100 * (1 - abs(config["place"] - 1 / 3))) / 100)
    assert tuning.incumbents[-1][2] == tuning.best
    assert tuning.tests_unseen


@pytest.mark.parametrize("pruner", ["median", "hyperband", "none"])
def test_trials_that_fall_behind_are_ended_early_and_cost_what_they_took(
    registry, tmp_path, pruner
):
    """The later a trial, the worse it is at each of thirty looks; of one second each."""
    looks, ended = [], []

    def attempt(request, job, look):
        score, step, over = -float(len(looks)), 0, False
        while step < 30 and not over:
            step += 1
            over = look(step, score, step / 30)
        looks.append(step)
        ended.append(over)
        return Tried(score, float(step), "done")

    made = study(registry, tmp_path / "s.db", trials=12, pruner=pruner, attempt=attempt)
    made.run(lambda: None)
    _, tuning = made.result("found")
    assert (tuning.trials, tuning.best, tuning.seconds) == (12, 0.0, sum(looks))
    assert tuning.incumbents == ((1, looks[0], 0.0),)
    for device, many, cost in (("cpu", 4, "CPU-hours"), ("cuda", 1, "GPU-hours")):
        run_spec = made.job.run_specs[0].model_copy(update={"device": device, "threads": 4})
        made.job = replace(made.job, run_specs=(run_spec,))
        _, its = made.result("found")
        assert (its.seconds, its.incumbents[0][1]) == (many * sum(looks), many * looks[0])
        assert its.cost.endswith(cost)
    assert tuning.pruned == sum(ended)
    assert (sum(looks) < 12 * 30) == any(ended) == (pruner != "none")
    whole = [-float(i) for i, over in enumerate(ended) if not over]
    assert tuning.median == statistics.median(whole)


def test_what_a_model_declines_ends_the_trial_and_not_the_study(registry, tmp_path, monkeypatch):
    def fit(guesser, training):
        if guesser.config.place > 0.5:
            raise ConfigError("it lies beyond the middle")
        fits(guesser, training)

    fits = Guesser.fit
    monkeypatch.setattr(Guesser, "fit", fit)
    made = study(registry, tmp_path / "s.db", trials=8)
    made.run(lambda: None)
    refused = [trial for trial in made.finished() if "refused" in trial.user_attrs]
    assert 0 < len(refused) < 8
    assert {trial.user_attrs["refused"] for trial in refused} == {"it lies beyond the middle"}
    assert made.refused() == ["it lies beyond the middle"] * len(refused)
    assert sum(score is None for score, _ in made.scores()) >= len(refused)
    assert made.result("found")[0]["place"] <= 0.5


def test_a_file_that_cannot_be_written_is_one_sentence_and_the_study_goes_on(registry, tmp_path):
    path = tmp_path / "s.db"
    made = study(registry, path)
    blocked = path.with_name("s.db-journal")  # which SQLite writes to first

    def block():
        if len(made.finished()) == 2:
            blocked.mkdir()

    with pytest.raises(StoreError, match=r"study \S+s\.db cannot be used: disk") as caught:
        made.run(block)
    assert "\n" not in str(caught.value)
    blocked.rmdir()
    study(registry, path).run(lambda: None)
    assert len(made.finished()) == 4


@pytest.mark.filterwarnings("ignore:Heartbeat of storage")  # a trial that is asked for by itself
def test_what_comes_to_no_end_costs_what_it_took_until_it_was_last_heard_of(registry, tmp_path):
    def interrupted(request, job, look):
        time.sleep(0.2)
        raise KeyboardInterrupt

    path = tmp_path / "s.db"
    with pytest.raises(KeyboardInterrupt):
        study(registry, path, attempt=interrupted).run(lambda: None)
    made = study(registry, path, attempt=lambda *_: Tried(0.5, 1.0, "done"))
    killed = made._study.ask()  # and is never heard of again but once
    time.sleep(0.1)
    made._study._storage.record_heartbeat(killed._trial_id)
    made.run(lambda: None)
    _, tuning = made.result("found")
    assert (tuning.trials, tuning.unfinished) == (4, 2)
    assert 4 + 0.3 <= tuning.seconds < 4 + 30
    assert sum(seconds for _, seconds in made.scores()) == pytest.approx(tuning.seconds, abs=0.1)
    assert tuning.incumbents[0][1] >= 1.3
    assert tuning.cost.startswith("4 trials and 2 unfinished, ")


def test_a_trial_that_is_under_way_is_told_by_the_share_of_its_budget(registry, tmp_path):
    shares, ends = [], []

    def attempt(request, job, look):
        for step in range(3):
            look(step, 0.5, step / 2)
        return Tried(0.5, 1.0, "done")

    made = study(registry, tmp_path / "s.db", trials=2, seeds=(1000, 1001), attempt=attempt)
    made.run(lambda: ends.append(made.under_way), on_look=lambda: shares.append(made.under_way))
    assert shares == [0.0, 0.25, 0.5, 0.5, 0.75, 1.0] * 2
    assert ends == [0.0, 0.0]


def test_a_trial_has_no_test_items(registry):
    request = RunRequest(model="guesser", task="signs", folds="0", seeds=(7,))
    job = prepare(request, registry, Path("x"))
    spent = []
    trial = replace(job, protocol=Trial(lambda step, score, share: spent.append(share)))
    setup = RunSetup(trial.run_specs[0], trial.dataset, trial.protocol, None)
    assert {name: len(items) for name, items in setup.evaluated().items()} == {
        "validation": 100,
        "test": 0,
    }
    ((referee, _),) = train_here(trial, unwatched)
    assert referee.test_outputs is None
    assert trial.protocol.score == pytest.approx(0.43)
    assert spent == [1.0]  # of an estimator, which is looked at once


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"seeds": (1000, 9)}, ["seed 9", "official rows", "--seeds 1000"]),
        ({"task": "human-codon", "model": "mlp"}, ["decipher", "no validation split"]),
    ],
)
def test_what_may_not_be_tuned_on_is_refused(registry, tmp_path, fields, words):
    with pytest.raises(ConfigError) as caught:
        study(registry, tmp_path / "s.db", **fields)
    assert [word for word in words if word not in str(caught.value)] == []


def test_a_preset_runs_on_the_official_seeds_and_says_what_it_cost(registry, tmp_path):
    made = study(registry, tmp_path / "s.db")
    made.run(lambda: None)
    config, tuning = made.result("found")
    file = tmp_path / "found.toml"
    file.write_text(preset_text("found", "guesser", config, tuning))
    assert read_preset(file).tuning == tuning
    for request in (
        RunRequest(model="guesser", task="signs", folds="0", seeds=(0, 1)),
        RunRequest(model="guesser", folds="0", seeds=(0, 1), preset_file=file),  # on its own task
    ):
        job = prepare(with_preset(request)[0], registry, Path("no-cache"))  # as on a cluster
        list(run_all(job, registry, Store(tmp_path), unwatched))
    board = build_board(Store(tmp_path).scan(), registry.known_tasks)
    said = " ".join(render_board(board).split())
    assert re.search(r"tuned: best accuracy on validation after 1 trial \(\S+ h\) 0\.\d+", said)
    (table,) = board.tables
    tuned, plain = table.rows
    assert (tuned.tuning, plain.tuning) == (tuning, None)
    assert (tuned.overrides, plain.overrides) == (config, {})
    assert (
        f"preset found, tuned on signs: 4 trials, {tuning.seconds / 3600:.2g} CPU-hours"
        in tuned.notes
    )
    assert "sought place=0..1" in tuned.notes
    with pytest.raises(ConfigError, match=r"is of model 'guesser', not of 'mlp'"):
        prepare(RunRequest(model="mlp", task="signs", preset_file=file), registry, Path("x"))
    file.write_text("[config]\nplace = 1\n")
    with pytest.raises(ConfigError, match=r"no table \[preset\]"):
        read_preset(file)
    os.mkfifo(pipe := tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no regular file"):
        read_preset(pipe)


class Wide(GradientConfig):
    """One field of each kind."""

    channels: int = Field(default=128, ge=1, le=4096)
    blocks: int = Field(default=1, ge=1, le=8)
    dropout: float = Field(default=0.2, ge=0, lt=1)
    rate: Annotated[float, Tune(low=1e-3, high=1, log=True)] = Field(default=0.1, gt=0, le=100)
    pool: Literal["max", "mean"] = "max"
    bias: bool = True
    name: str = "x"
    one: int = Field(default=1, ge=1, le=1)
    endless: float = Field(default=0, ge=0, lt=math.inf)


def test_the_space_comes_from_bounds_and_declarations():
    space = space_of(tunable(Wide()), {}, ["blocks"])
    assert space == {
        "batch_size": Tune(choices=(32, 64, 128, 256)),
        "learning_rate": Tune(low=1e-4, high=0.1, log=True),
        "channels": Tune(low=16, high=1024, log=True),
        "dropout": Tune(low=0, high=0.9),
        "rate": Tune(low=1e-3, high=1, log=True),
        "pool": Tune(choices=("max", "mean")),
        "bias": Tune(choices=(False, True)),
    }
    given = {"channels": "8,16", "dropout": "0.1..0.5", "weight_decay": "1e-6..1e-2:log"}
    asked = space_of(tunable(Wide()), given, [])
    assert space_of(tunable(Wide()), {f: as_text(drawn) for f, drawn in asked.items()}, []) == asked
    assert asked["channels"] == Tune(choices=(8, 16))
    assert asked["dropout"] == Tune(low=0.1, high=0.5)
    assert asked["weight_decay"] == Tune(low=1e-6, high=1e-2, log=True)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"width": "1..2"}, ["'width'", "no such field", "channels"]),
        ({"channels": "many"}, ["channels=many", "LOW..HIGH"]),
        ({"dropout": "0.5..0.1"}, ["dropout=0.5..0.1"]),
        ({"blocks": "1..2"}, ["'blocks'", "--set"]),
    ],
)
def test_a_range_that_cannot_be_is_refused(given, words):
    with pytest.raises(ConfigError) as caught:
        space_of(tunable(Wide()), given, ["blocks"])
    assert [word for word in words if word not in str(caught.value)] == []
