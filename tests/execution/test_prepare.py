import json
from typing import Any

import numpy as np
import pytest

from codonbench import Model, ModelConfig, ModelInfo
from codonbench.errors import ConfigError, UnknownNameError
from codonbench.execution.run import referees_of, requests_of
from codonbench.protocols.referee import unwatched
from codonbench.scoring.score import comparability_key
from codonbench.training.request import chance_of


def test_a_job_has_one_spec_a_seed_alike_in_all_else(toys):
    job = toys.job("gru-64", seeds=(4, 2))
    assert [run_spec.seed for run_spec in job.run_specs] == [4, 2]
    first, second = (run_spec.model_dump(exclude={"seed"}) for run_spec in job.run_specs)
    assert first == second
    assert len({run_spec.run_id for run_spec in job.run_specs}) == 2


@pytest.mark.parametrize(
    ("request_", "budget"),
    [({}, 50 * 1_500), ({"epochs": 2}, 3_000), ({"pairs": 77}, 77)],
)
def test_the_budget_is_in_pairs_and_the_tasks_own_by_default(toys, request_, budget):
    (run_spec,) = toys.job(**request_).run_specs
    assert run_spec.budget_pairs == budget


def test_the_whole_budget_is_spent_when_asked(toys):
    assert toys.job().run_specs[0].stop == "confident"
    assert toys.job(full=True).run_specs[0].stop == "budget"


def test_a_spec_spells_out_the_whole_configuration_and_a_job_what_departs_from_the_name(toys):
    plain = toys.job("mlp-64")
    assert plain.overrides == {}
    assert plain.run_specs[0].config["hidden"] == [64]
    assert type(plain.config).model_validate(plain.run_specs[0].config) == plain.config
    assert plain.run_specs[0].config["batch_size"] == 64  # a default is spelt out
    changed = toys.job("mlp-64", overrides={"learning_rate": "0.5", "hidden": "64"})
    assert changed.overrides == {"learning_rate": 0.5}
    assert changed.run_specs[0].run_id != plain.run_specs[0].run_id


def test_data_are_named_by_content_and_never_by_path(toys):
    (run_spec,) = toys.job().run_specs
    assert (run_spec.data, run_spec.data_checksum) == ("dice", "d" * 64)


def test_what_is_unknown_is_told_before_any_data_is_read(toys):
    with pytest.raises(UnknownNameError, match="unknown model 'mlp-65'; did you mean 'mlp-64'"):
        toys.job("mlp-65")
    with pytest.raises(UnknownNameError, match="unknown task 'dipeptides'; did you mean"):
        toys.job(task="dipeptides")
    with pytest.raises(ConfigError, match="model 'mlp-64': no field 'hiden'"):
        toys.job(overrides={"hiden": "1"})
    with pytest.raises(ConfigError, match="task 'dipeptide': no field 'speed'; it has control"):
        toys.job(task_overrides={"speed": "1"})


@pytest.mark.parametrize(
    ("asked", "name", "overrides"),
    [
        (("lstm", {}), "lstm-64", {}),
        (("lstm", {"hidden": "128"}), "lstm-64", {"hidden": 128}),
        (("rnn-64", {"hidden": "256"}), "rnn-256", {}),
        (("mlp", {"hidden": "[64,1024]"}), "mlp-64x1024", {}),
        (("lstm-64", {"class_weights": "n"}), "lstm-64-weighted", {}),
        (("rnn-256", {"optimizer": "sgd"}), "rnn-256", {"optimizer": "sgd"}),
        (
            ("gru-64-weighted", {"class_weights": "sum"}),
            "gru-64-weighted",
            {"class_weights": "sum"},
        ),
    ],
)
def test_one_configuration_has_one_name_however_it_is_asked_for(toys, asked, name, overrides):
    job = toys.job(asked[0], overrides=asked[1])
    assert (job.run_specs[0].model, job.overrides) == (name, overrides)
    again = toys.job(name, overrides={field: str(value) for field, value in overrides.items()})
    assert job.run_specs == again.run_specs


class Anything(ModelConfig):
    x: Any = 1


class TakesAnything(Model):
    info = ModelInfo(name="takes-anything", version="1", summary="Takes any value")
    Config = Anything
    encoding = "input_index"

    def build(self, task):
        raise NotImplementedError


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (json.loads("[" * 30 + "]" * 30), "is nested deeper than 16 levels"),
        (2**70, "x is out of the range of numbers"),
        (["a" * 200_000], "at most 131,072 are stored"),
        ("\ud800", r"'.ud800', half a surrogate pair"),
    ],
    ids=["deep", "huge", "long", "surrogate"],
)
def test_what_no_record_can_hold_is_refused_before_training(toys, value, why):
    with pytest.raises(ConfigError, match=why):
        toys.job(TakesAnything, overrides={"x": json.dumps(value)})


def test_what_one_can_hold_is_not(toys):
    assert toys.job(TakesAnything, overrides={"x": json.dumps({"a": ["b", None, -0.0]})}).run_specs


def test_a_salt_that_is_not_public_decides_where_a_module_begins_and_not_what_it_is_shown(toys):
    public, salted, other = (toys.job(pairs=640, **s) for s in ({}, {"salt": "a"}, {"salt": "b"}))
    specs = [job.run_specs[0] for job in (public, salted, other)]
    assert [spec.rules for spec in specs] == ["1", "2", "2"]
    requests = [requests_of(job, referees_of(job, unwatched))[0] for job in (public, salted, other)]
    assert requests[0].chance == chance_of(0)
    assert len({request.chance for request in requests}) == 3
    streams = [referees_of(job, unwatched).referees[0].setup.stream for job in (public, salted)]
    assert np.array_equal(*(stream.epoch(0) for stream in streams))
    keys = {comparability_key(spec, {}, public.task.ranking) for spec in specs}
    assert len(keys) == 1
    older = specs[1].model_copy(update={"rules": "1"})  # as a record has it from before
    assert not older.is_salted
