"""A recorded run made again: identical here, within the row's own spread elsewhere."""

from pathlib import Path

import pytest

from codonbench import __version__
from codonbench.audit.repeat import repeat
from codonbench.audit.verify import _outside_band, _unequal, compare, same_row
from codonbench.contracts import Column, Ranking
from codonbench.contracts.run_record import Machine
from codonbench.errors import ConfigError, DataError
from codonbench_datasets.decipher import RANKING

CACHE = Path("no-cache")


def verify(record, *where):
    return compare(repeat(record, *where))


def in_pairs(first, sustained=4_000, confident=4_000):
    return {
        "pairs_consumed": first,
        "sustained_pairs": sustained,
        "confident_pairs": confident,
    }


@pytest.fixture(scope="module")
def record(toys):
    return toys.run("mlp-64", pairs=1_000, full=True)[0]


def test_on_the_same_kind_of_machine_a_repetition_is_identical(toys, record):
    assert verify(record, toys.registry(), CACHE).outcome == "identical"


def test_an_edited_figure_is_found_and_named(toys, record):
    metrics = {**record.metrics, "test_accuracy": 0.5}
    verdict = verify(record.model_copy(update={"metrics": metrics}), toys.registry(), CACHE)
    assert verdict.outcome == "different"
    assert verdict.differences[0].startswith("test_accuracy: 0.5 was recorded, now ")


def test_other_weights_are_found(toys, record):
    other = record.model_copy(update={"weights_sha256": "0" * 64})
    (difference,) = verify(other, toys.registry(), CACHE).differences
    assert difference.startswith("weights_sha256")


def test_a_metric_on_validation_is_told_from_that_on_test(record):
    again = record.model_copy(update={"validation_metrics": {"mcc": 0.5}})
    assert _unequal(record, again) == ["validation_mcc: None was recorded, now 0.5"]


def test_that_the_source_differs_comes_before_the_figures_that_do(toys, record):
    plugin = record.plugin.model_copy(update={"source_sha256": "0" * 64})
    edited = record.model_copy(update={"plugin": plugin})
    assert verify(edited, toys.registry(), CACHE).outcome == "identical"
    other = edited.model_copy(update={"weights_sha256": "0" * 64})
    source, weights = verify(other, toys.registry(), CACHE).differences
    assert source.startswith("source: 000000000000 was recorded, now ")
    assert "codonbench_models.mlp is not what the record was made with, and" in source
    old = plugin.model_copy(update={"version": "0.0.9"})
    source, *_ = verify(
        other.model_copy(update={"plugin": old}), toys.registry(), CACHE
    ).differences
    assert f"made with (codonbench 0.0.9; here is codonbench {__version__}), and" in source
    assert weights.startswith("weights_sha256")


def test_on_another_machine_the_band_decides(toys, record):
    elsewhere = record.machine.model_copy(update={"cpu_name": "an abacus", "device_name": "beads"})
    assert isinstance(elsewhere, Machine)
    foreign = record.model_copy(update={"machine": elsewhere, "weights_sha256": "0" * 64})
    found = verify(foreign, toys.registry(), CACHE)
    assert (found.outcome, found.differences) == ("within band", ())
    machine, weights = found.allowed
    assert machine.startswith("machine: beads, an abacus, ")
    assert weights.startswith(
        f"weights_sha256: {'0' * 64} was recorded, now {record.weights_sha256}"
    )


@pytest.mark.parametrize("cpu", ["the same", "an abacus"])
def test_what_decides_where_a_row_stands_is_the_models_own_word(toys, record, cpu):
    info = record.info.model_copy(update={"role": "reference", "pretrained_on": "GRCh38"})
    name = record.machine.cpu_name if cpu == "the same" else cpu
    machine = record.machine.model_copy(update={"cpu_name": name})
    forged = record.model_copy(update={"info": info, "machine": machine})
    differences = verify(forged, toys.registry(), CACHE).differences
    assert [said.partition(":")[0] for said in differences] == ["info.role", "info.pretrained_on"]


def test_other_rules_are_refused(toys, record):
    run_spec = record.run_spec.model_copy(update={"rules": "0"})
    with pytest.raises(ConfigError, match="made under rules 0"):
        verify(record.model_copy(update={"run_spec": run_spec}), toys.registry(), CACHE)


def test_other_data_are_refused(toys, record):
    run_spec = record.run_spec.model_copy(update={"data_checksum": "0" * 64})
    with pytest.raises(DataError, match="was made on data 000000000000"):
        verify(record.model_copy(update={"run_spec": run_spec}), toys.registry(), CACHE)


@pytest.mark.parametrize(
    ("row", "again", "outside"),
    [
        ([1_000], 4_000, 0),  # four times the greatest
        ([1_000], 4_001, 1),
        ([1_000], 250, 0),  # a quarter of the least
        ([1_000], 249, 1),
        ([1_000, 9_000], 30_000, 0),  # another seed of the row took 9,000
        ([1_000], None, 1),
        ([1_000, None], None, 0),  # another seed of the row never got there
        ([None], None, 0),
        ([None], 1_000, 1),
        ([0], 0, 0),
    ],
)
def test_the_band_is_what_the_rows_own_seeds_span(row, again, outside):
    recorded = [in_pairs(first) for first in row]
    assert len(_outside_band(recorded, in_pairs(again), RANKING.columns[1:], 64)) == outside


@pytest.mark.parametrize(
    ("row", "again", "outside"),
    [
        ([0, 100], 400, 0),  # three times the greatest beyond it
        ([0, 100], 401, 1),
        ([-500, 100], -2_000, 0),
        ([-500, 100], -2_001, 1),
        ([0, 0], 64, 0),  # one batch
        ([0, 0], 65, 1),
        ([0], None, 1),
    ],
)
def test_the_band_of_a_difference_is_three_times_the_greatest_beyond_it(row, again, outside):
    recorded = [{"excess_pairs": value} for value in row]
    found = _outside_band(recorded, {"excess_pairs": again}, [RANKING.primary], 64)
    assert len(found) == outside


@pytest.mark.parametrize(
    "forged",
    [{"metrics": {"all_seen": 1}}, {"parameters": 1}, {"knowledge": ("class frequencies",)}],
)
def test_on_another_machine_what_data_seed_and_configuration_fix_is_equal(toys, record, forged):
    elsewhere = record.machine.model_copy(update={"cpu_name": "an abacus"})
    changes = {**forged, "metrics": {**record.metrics, **forged.get("metrics", {})}}
    foreign = record.model_copy(update={"machine": elsewhere, **changes})
    (difference,) = verify(foreign, toys.registry(), CACHE).differences
    assert difference.startswith(min(forged.get("metrics", forged)))


@pytest.mark.parametrize(
    ("row", "again", "outside"),
    [
        ([0.5], 0.45, 0),  # a tenth of what one seed shows
        ([0.5], 0.44, 1),
        ([0.5, 0.7], 0.89, 0),  # as far beyond the seeds as they lie apart
        ([0.5, 0.7], 0.91, 1),
        ([-0.02], -0.022, 0),
        ([0.5], None, 1),
        ([None], 0.5, 1),
    ],
)
def test_the_band_of_a_mean_is_as_wide_again_as_its_seeds(row, again, outside):
    ranking = Ranking(
        metric="mcc",
        direction="higher",
        columns=(Column(metric="mcc", title="MCC", statistic="mean"),),
    )
    recorded = [{"mcc": value} for value in row]
    assert len(_outside_band(recorded, {"mcc": again}, ranking.columns, 64)) == outside


def test_a_row_is_one_model_with_one_config_in_one_table(toys, record):
    sibling = toys.run("mlp-64", pairs=1_000, full=True, seeds=(1,))[0]
    wider = toys.run("mlp-64", pairs=1_000, full=True, overrides={"hidden": "32"})[0]
    longer = toys.run("mlp-64", pairs=2_000, full=True)[0]
    assert same_row(record, sibling)
    assert not same_row(record, wider)
    assert not same_row(record, longer)
