import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

from codonbench import __version__
from codonbench.contracts.run_record import (
    RunRecord,
    describe_harness,
    hash_trajectory,
)


@pytest.fixture
def record(finished):
    return finished[0]


def edited(record, **changes):
    """The record's JSON with some fields changed, read again."""
    return RunRecord.model_validate({**json.loads(record.to_line()), **changes})


# The checksum


def test_a_record_reads_back_with_the_checksum_its_content_calls_for(record):
    again = RunRecord.model_validate_json(record.to_line())
    assert again == record
    assert again.checksum == again.expected_checksum() != ""


EDITS = {
    "pairs": 1,
    "status": "diverged",
    "weights_sha256": "0" * 64,
    "metrics": {"pairs_consumed": 1},
    "flags": ["lucky"],
    "parameters": 1,
    "error": "",
    "timings": {"build": 0, "train": 0, "probe": 0, "score": 0, "total": 0},
    "overrides": {"hidden": 1},
}


@pytest.mark.parametrize("field", EDITS)
def test_an_edit_to_any_field_breaks_the_checksum(record, field):
    changed = edited(record, **{field: EDITS[field]})
    assert changed.checksum != changed.expected_checksum()


def test_the_checksum_is_of_canonical_json_without_itself(record):
    content = json.loads(record.to_line())
    del content["checksum"]
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    assert record.checksum == hashlib.sha256(text.encode()).hexdigest()


# What a record must be


def test_what_an_outside_checker_relies_on_is_at_the_top(record):
    content = json.loads(record.to_line())
    assert content["model"] == "mlp-64"
    assert content["task"] == "dipeptide"
    assert content["seed"] == 0
    assert content["status"] == "done"
    assert len(content["weights_sha256"]) == 64
    for value in content["metrics"].values():
        assert value is None or isinstance(value, bool | int | float)
    assert content["metrics"]["all_seen"] == 252
    assert "\n" not in record.to_line()


def test_a_misspelt_field_is_refused(record):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        edited(record, wieghts_sha256="")


@pytest.mark.parametrize(("field", "value"), [("model", "gru"), ("task", "x"), ("seed", 1)])
def test_a_copy_of_a_specs_field_must_agree_with_the_spec(record, field, value):
    with pytest.raises(ValidationError, match=f"{field} differs from the spec's"):
        edited(record, **{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [("status", "fine"), ("pairs", -1), ("schema_version", 3), ("metrics", {"a": "never"})],
)
def test_a_value_that_cannot_be_is_refused(record, field, value):
    with pytest.raises(ValidationError):
        edited(record, **{field: value})


def test_a_metric_that_is_not_finite_is_refused(record):
    content = {**json.loads(record.to_line()), "metrics": {"x": float("nan")}}
    with pytest.raises(ValidationError, match="finite number"):
        RunRecord.model_validate(content)


def test_whole_numbers_truth_values_and_fractions_stay_what_they_are(record):
    metrics = {"a": 64, "b": 64.0, "c": True, "d": None, "e": 0.1}
    again = edited(record, metrics=metrics)
    assert {name: type(value) for name, value in again.metrics.items()} == {
        name: type(value) for name, value in metrics.items()
    }


def test_a_result_is_everything_but_times_checkout_and_how_it_was_kept_or_cut_short(record):
    result = record.result()
    left_out = {"timings", "day", "checksum", "harness", "confinement", "resumed"}
    left_out |= {"tuning", "environment", "about"}  # the last is empty here
    assert set(RunRecord.model_fields) - set(result) == left_out


def test_a_record_names_neither_this_machine_nor_its_user(record):
    text = record.to_line()
    assert str(Path.home()) not in text
    assert str(Path.cwd()) not in text


def test_a_records_name_is_a_file_name(record):
    assert record.name == f"mlp-64-s0-{record.run_spec.run_id}"


# Trajectories


def test_the_trajectory_hash_belongs_to_the_record(finished):
    record, trajectory = finished
    assert record.trajectory_sha256 == hash_trajectory(trajectory)


FIELDS = ("pairs", "outputs")
ARRAYS = ("first_seen", "test_counts", "frame_pairs", "frame_inputs")


def with_array(trajectory, name, array):
    if name in FIELDS:
        return replace(trajectory, **{name: array})
    return replace(trajectory, arrays={**trajectory.arrays, name: array})


@pytest.mark.parametrize("name", [*FIELDS, *ARRAYS])
def test_the_trajectory_hash_changes_with_every_array(finished, name):
    _, trajectory = finished
    as_it_was = getattr(trajectory, name) if name in FIELDS else trajectory.arrays[name]
    array = as_it_was.copy()
    array.flat[-1] += 1
    wider = as_it_was.astype(np.float64 if name == "outputs" else np.int32)
    for changed in (array, wider):
        other = with_array(trajectory, name, changed)
        assert hash_trajectory(other) != hash_trajectory(trajectory)


def test_the_trajectory_hash_changes_with_the_outputs_of_the_test_split(finished):
    _, trajectory = finished
    tested = replace(trajectory, test_outputs=np.zeros((1, 4), dtype=np.float32))
    assert hash_trajectory(tested) != hash_trajectory(trajectory)


def test_the_trajectory_hash_changes_with_task_and_facts_but_not_with_the_layout(finished):
    _, trajectory = finished
    facts = trajectory.facts.model_copy(update={"complete": not trajectory.facts.complete})
    task = trajectory.task.model_copy(update={"title": "Another"})
    assert hash_trajectory(replace(trajectory, facts=facts)) != hash_trajectory(trajectory)
    assert hash_trajectory(replace(trajectory, task=task)) != hash_trajectory(trajectory)
    assert hash_trajectory(
        replace(trajectory, outputs=np.asfortranarray(trajectory.outputs))
    ) == hash_trajectory(trajectory)
    swapped = trajectory.pairs.astype(">i8")
    assert hash_trajectory(replace(trajectory, pairs=swapped)) == hash_trajectory(trajectory)


def test_the_harness_names_its_version_and_a_commit_or_none():
    harness = describe_harness()
    assert harness.version == __version__
    assert harness.commit is None or len(harness.commit) == 40
    assert (harness.commit is None) == (harness.modified is None)
