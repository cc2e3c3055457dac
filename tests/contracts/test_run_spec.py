import json
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field, ValidationError, model_validator

from codonbench.contracts import GradientConfig
from codonbench.contracts.run_spec import (
    MAX_SEED,
    RunRequest,
    RunSpec,
    canonical_json,
    configure,
    content_hash,
    parse_seeds,
    parse_settings,
)
from codonbench.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (3,)),
        ("0-3", (0, 1, 2, 3)),
        ("0-2,7", (0, 1, 2, 7)),
        ("7,0-2", (7, 0, 1, 2)),
        (" 1 , 4 - 5 ", (1, 4, 5)),
        ("5-5", (5,)),
        ("2,2,1-3", (2, 1, 3)),
        (str(MAX_SEED), (MAX_SEED,)),
    ],
)
def test_seeds_are_read_in_order_each_once(text, seeds):
    assert parse_seeds(text) == seeds


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_a_list_of_seeds_reads_back(seeds):
    assert parse_seeds(",".join(map(str, seeds))) == tuple(dict.fromkeys(seeds))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("9-0", "seeds '9-0': the range 9-0 runs backwards"),
        ("", "seeds '': expected numbers and ranges such as 0-9 or 0,3,5"),
        ("1,,2", "seeds '1,,2': expected numbers and ranges"),
        ("-1", "seeds '-1': expected"),
        ("one", "seeds 'one': expected"),
        ("1.5", "seeds '1.5': expected"),
        ("0-1-2", "seeds '0-1-2': expected"),
        (str(MAX_SEED + 1), f"none above {MAX_SEED}"),
        ("0-100000", "at most 100,000 seeds"),
        ("0-99999,200000", "100,001 seeds, at most 100,000 at a time"),
        (",".join(f"{10**5 * i}-{10**5 * i + 99_999}" for i in range(2_000)), "200,000 seeds"),
    ],
)
def test_seeds_that_make_no_sense_say_why(text, message):
    with pytest.raises(ConfigError) as caught:
        parse_seeds(text)
    assert message in str(caught.value)


def test_settings_are_split_at_the_first_equals_sign():
    settings = ["hidden=128", " name = a=b ", "empty="]
    assert parse_settings(settings, "--set") == {"hidden": "128", "name": "a=b", "empty": ""}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["hidden"], "--set 'hidden': expected field=value"),
        (["=3"], "--set '=3': expected field=value"),
        (["a=1", "a=2"], "--set: field 'a' is given twice"),
    ],
)
def test_settings_that_make_no_sense_say_why(settings, message):
    with pytest.raises(ConfigError) as caught:
        parse_settings(settings, "--set")
    assert str(caught.value) == message


class Shape(GradientConfig):
    hidden: int = Field(default=64, ge=1, le=8192, description="units in the hidden layer")
    activation: Literal["ReLU", "tanh"] = "ReLU"
    widths: tuple[int, ...] = (1,)
    scale: float = 1.0
    bias: bool = False


class Range(GradientConfig):
    low: int = 0
    high: int = 9

    @model_validator(mode="after")
    def _rises(self):
        if self.low > self.high:
            raise ValueError("low must not lie above high")
        return self


def test_overrides_are_read_as_json_and_win_over_the_preset():
    overrides = {"hidden": "128", "widths": "[2, 3]", "activation": "tanh", "bias": "true"}
    config = configure(Shape, {"hidden": 32, "batch_size": 8}, overrides, "model 'm'")
    assert (config.hidden, config.batch_size, config.widths) == (128, 8, (2, 3))
    assert (config.activation, config.bias) == ("tanh", True)


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        ({"hiden": "1"}, ["no field 'hiden'", "it has accumulate, activation, batch_size"]),
        ({"hidden": "0"}, ["'hidden'", "units in the hidden layer", "got 0", "or equal to 1"]),
        ({"hidden": "many"}, ["'hidden'", "got 'many'", "valid integer"]),
        ({"hidden": "1.5"}, ["'hidden'", "got 1.5"]),
        ({"hidden": "99999"}, ["'hidden'", "got 99999", "less than or equal to 8192"]),
        ({"activation": "relu"}, ["'activation'", "got 'relu'", "'ReLU' or 'tanh'"]),
        ({"scale": "NaN"}, ["'scale'", "got nan", "finite"]),
        ({"scale": "Infinity"}, ["'scale'", "got inf", "finite"]),
        ({"class_weights": "yes"}, ["'class_weights'", "'none', 'sum', 'n' or 'balanced'"]),
        ({"hidden": "0", "scale": "x"}, ["'hidden'", "; field 'scale'"]),
    ],
)
def test_a_wrong_field_is_named_with_what_was_given_and_what_is_allowed(overrides, parts):
    with pytest.raises(ConfigError) as caught:
        configure(Shape, {}, overrides, "model 'm'")
    message = str(caught.value)
    assert message.startswith("model 'm': ")
    for part in parts:
        assert part in message


def test_a_rule_about_several_fields_is_one_plain_sentence():
    with pytest.raises(ConfigError) as caught:
        configure(Range, {}, {"low": "10"}, "model 'm'")
    assert str(caught.value) == "model 'm': low must not lie above high"


def test_a_budget_is_given_once():
    with pytest.raises(ConfigError) as caught:
        configure(RunRequest, {"model": "m", "epochs": 1, "pairs": 1}, {}, "bench run")
    assert str(caught.value) == ("bench run: give the budget in epochs or in pairs, not both")


@pytest.mark.parametrize("field", ["epochs", "pairs"])
def test_a_budget_of_zero_is_refused(field):
    with pytest.raises(ConfigError) as caught:
        configure(RunRequest, {"model": "m", field: 0}, {}, "bench run")
    assert f"field {field!r}" in str(caught.value)
    assert "got 0" in str(caught.value)


PLAN = RunSpec(
    rules="1",
    task="human-codon",
    task_version="1",
    task_options={"genetic_code": 1, "mean_length": None},
    data="usage",
    data_checksum="ab" * 32,
    model="mlp-64",
    model_version="1",
    config={"hidden": [64], "learning_rate": 0.05},
    seed=0,
    budget_pairs=1000,
    stop="confident",
    salt="codonbench-public-1",
    device="cpu",
    threads=1,
    engine="eager",
)


def test_a_plan_keeps_its_run_id_for_ever():
    """A change here orphans every record ever made: it needs a new rules version."""
    assert PLAN.run_id == "86c4e2a1d98d14b5"


def test_a_run_id_survives_being_written_and_read():
    assert RunSpec.model_validate_json(PLAN.model_dump_json()).run_id == PLAN.run_id


OTHER_VALUES = {
    "rules": "2",
    "task": "toy",
    "task_version": "2",
    "task_options": {"genetic_code": 2, "mean_length": None},
    "data": "other",
    "data_checksum": "cd" * 32,
    "model": "mlp",
    "model_version": "2",
    "config": {"hidden": [65], "learning_rate": 0.05},
    "seed": 1,
    "budget_pairs": 1001,
    "budget_seconds": 60.0,
    "stop": "budget",
    "salt": "",
    "device": "cuda",
    "threads": 2,
    "engine": "traced",
    "protocol": "folds",
    "track": "pretrained",
    "protocol_options": {"folds": 5},
    "fold": 0,
    "subset": 100,
}


@pytest.mark.parametrize("field", RunSpec.model_fields)
def test_any_other_field_gives_another_run_id(field):
    other = RunSpec.model_validate({**PLAN.model_dump(), field: OTHER_VALUES[field]})
    assert other.run_id != PLAN.run_id


@pytest.mark.parametrize("change", [{"seed": -1}, {"seed": 2**31}, {"budget_pairs": -1}, {"x": 1}])
def test_a_plan_out_of_range_is_refused(change):
    with pytest.raises(ValidationError):
        RunSpec.model_validate({**PLAN.model_dump(), **change})


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.text(), JSON, max_size=5))
def test_canonical_json_reads_back_and_forgets_the_order_of_keys(content):
    backwards = dict(reversed(content.items()))
    assert json.loads(canonical_json(content)) == content
    assert content_hash(backwards) == content_hash(content)


def test_canonical_json_has_no_spare_space_and_no_nan():
    assert canonical_json({"b": [1, 2.5], "a": None}) == '{"a":null,"b":[1,2.5]}'
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(float("nan"))
