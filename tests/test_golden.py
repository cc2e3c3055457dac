"""A complete tiny run on record: what it gives may not change unnoticed.

Rules, data and counting must agree everywhere. On the kind of machine that made the record so
must every bit of weights and trajectory; elsewhere sums are rounded in another order, and figures
may differ a little.

After a change that is meant, and whose commit says why:

    CODONBENCH_WRITE_GOLDEN=1 pytest tests/test_golden.py
"""

import json
import os
from pathlib import Path

import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.records.store import read_record

GOLDEN = Path(__file__).parent / "golden" / "mlp-64-seed0.json"

EVERYWHERE = (
    "schema_version",
    "run_id",
    "comparability_key",
    "model",
    "task",
    "seed",
    "status",
    "run_spec",
    "overrides",
    "dataset",
    "info",
    "engine",
    "parameters",
    "pairs",
    "not_measured",
    "metric_versions",
    "knowledge",
    "error",
)

IN_PAIRS = ("pairs_consumed", "last_failing_pairs", "confident_pairs_50", "stops_right_pairs")


@pytest.fixture(scope="module")
def made(toys):
    record, _ = toys.run("mlp-64", task="human-codon", pairs=20_000)
    if os.environ.get("CODONBENCH_WRITE_GOLDEN"):
        text = json.dumps(json.loads(record.to_line()), indent=1, sort_keys=True)
        GOLDEN.write_text(text + "\n")
    return record


@pytest.fixture(scope="module")
def golden():
    return RunRecord.model_validate_json(GOLDEN.read_bytes())


def test_the_golden_record_is_sound(made, golden):
    assert read_record(GOLDEN) == golden


@pytest.mark.parametrize("field", EVERYWHERE)
def test_a_golden_run_repeats_on_any_machine(made, golden, field):
    assert getattr(made, field) == getattr(golden, field)


def test_golden_metrics_have_their_names_on_any_machine(made, golden):
    assert set(made.metrics) == set(golden.metrics)
    assert made.metrics["all_seen"] == golden.metrics["all_seen"]


def test_golden_metrics_are_near_on_any_machine(made, golden):
    for name in IN_PAIRS:
        assert made.metrics[name] == pytest.approx(golden.metrics[name], abs=2_048), name
    assert made.metrics["test_accuracy"] == pytest.approx(golden.metrics["test_accuracy"], abs=0.01)
    assert made.metrics["success"] is golden.metrics["success"]


def test_a_golden_run_repeats_to_the_bit_on_its_own_kind_of_machine(made, golden):
    if made.machine.kind != golden.machine.kind:
        pytest.skip(f"the golden run was made on {golden.machine.kind}")
    assert made.metrics == golden.metrics
    assert made.flags == golden.flags
    assert made.trajectory_sha256 == golden.trajectory_sha256
    assert made.weights_sha256 == golden.weights_sha256
