"""Records of older formats: those there are must be read for ever."""

import json
from pathlib import Path

import pytest

from codonbench.audit.validate import validate
from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.records import store
from codonbench.records.store import CURRENT, read_record, upgrade

OLDEST = Path(__file__).parents[1] / "golden" / "record-schema-1.json"
"""The first golden record of schema version 1. Never to be written again."""


@pytest.fixture
def oldest():
    return json.loads(OLDEST.read_bytes())


def test_the_oldest_record_is_sound_today():
    record = read_record(OLDEST)
    assert isinstance(record, RunRecord)
    assert record.schema_version == CURRENT
    assert record.metrics["all_seen"] > 0
    assert record.machine.gpu_id is None
    assert record.machine.circumstances is None


def test_the_oldest_record_is_valid_as_a_stranger_hands_it_in(tmp_path, toys):
    path = tmp_path / f"{read_record(OLDEST).name}.json"
    path.write_bytes(OLDEST.read_bytes())
    known = toys.installed
    report = validate([path], known.known_tasks, known.known_metrics, known.known_protocols)
    assert [p for p in report.problems if not p.warning] == []


def test_todays_format_is_left_as_it_is(oldest):
    today = upgrade(oldest)
    assert today["schema_version"] == CURRENT
    assert upgrade(today) == today


def test_version_1_called_a_spec_its_plan_and_a_trajectory_its_trace(oldest):
    today = upgrade(oldest)
    assert today["run_spec"] == oldest["plan"]
    assert today["trajectory_sha256"] == oldest["trace_sha256"]
    assert today.keys() - oldest.keys() == {"run_spec", "trajectory_sha256", "trajectory_format"}
    assert oldest.keys() - today.keys() == {"plan", "trace_sha256"}


def test_an_older_format_is_brought_up_step_by_step(monkeypatch):
    """Two made-up formats: in the first, `pairs` was called `rows`, in the second `items`."""
    steps = {
        7: lambda content: {"items": content["rows"]},
        8: lambda content: {"pairs": content["items"]},
    }
    old = {"schema_version": 7, "rows": 12}
    monkeypatch.setattr(store, "STEPS", steps)
    monkeypatch.setattr(store, "CURRENT", 9)
    assert upgrade(old) == {"schema_version": 9, "pairs": 12}
    assert old == {"schema_version": 7, "rows": 12}


def test_a_version_that_never_was_is_named():
    with pytest.raises(StoreError, match="has schema version 0, which this codonbench cannot"):
        upgrade({"schema_version": 0})


def test_a_newer_version_says_to_upgrade():
    with pytest.raises(StoreError) as caught:
        upgrade({"schema_version": CURRENT + 1})
    assert str(caught.value) == (
        f"was made by a newer codonbench: it has schema version {CURRENT + 1}, this one reads "
        f"up to {CURRENT}; "
        "upgrade codonbench"
    )


@pytest.mark.parametrize("content", [[], {}, None, {"schema_version": "1"}])
def test_what_has_no_version_is_no_record(content):
    with pytest.raises(StoreError, match="is not a record: it has no schema_version"):
        upgrade(content)


@pytest.mark.parametrize("version", [True, 1.0])
def test_what_only_equals_a_version_is_none(version):
    with pytest.raises(StoreError, match="no schema_version, a whole number"):
        upgrade({"schema_version": version})
