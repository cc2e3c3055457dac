"""Learning curves of rows: made from trajectories, kept where they agree with records."""

from types import SimpleNamespace

import numpy as np
import pytest

from codonbench.contracts import SplitMetric
from codonbench.plugins.discovery import load_registry
from codonbench.records.store import Store
from codonbench.report.site.files import all_figures
from codonbench.report.site.learning_curves import MOST_POINTS, _looks

FIGURES = all_figures(load_registry())["learning"]


@pytest.fixture
def store(shown):
    return Store(shown.site.parent / "runs")


@pytest.fixture
def records(shown):
    return {run: shown.runs[run] for run in shown.row("cnn").run_ids}


@pytest.fixture
def made(records, store):
    return FIGURES.make(records, store, None)


def test_a_curve_is_the_score_of_each_look_at_the_validation_items(made, records, store):
    """The witness: the metric of the trajectory's own outputs."""
    metric = load_registry().known_metrics["mcc"]
    assert isinstance(metric, SplitMetric)
    assert [curve.seed for curve in made.seeds] == [0, 1]
    for curve in made.seeds:
        record = records[curve.run_id]
        trajectory = store.load_trajectory(record)
        wanted = [
            metric.score(trajectory.targets, outputs, trajectory.task)["mcc"]
            for outputs in trajectory.outputs
        ]
        assert list(curve.pairs) == trajectory.pairs.tolist()
        assert list(curve.values) == pytest.approx(wanted, abs=1e-6)
        at = curve.values[curve.pairs.index(record.selected_pairs)]
        assert at == pytest.approx(record.validation_metrics["mcc"], abs=1e-6)


def test_what_was_made_is_kept_without_trajectories(made, records, tmp_path):
    assert FIGURES.kept(made, records) == made
    assert FIGURES.make(records, Store(tmp_path), made) == made


@pytest.mark.parametrize("field", ["seed", "trace_sha256", "selected", "values", "pairs"])
def test_a_curve_that_its_record_contradicts_is_dropped(made, records, field):
    first, *rest = made.seeds
    changed = {
        "seed": 9,
        "trace_sha256": "0" * 64,
        "selected": 1,
        "values": tuple(0.5 if v is None else v / 2 + 0.3 for v in first.values),
        "pairs": first.pairs[:-1],
    }[field]
    forged = made.model_copy(update={"seeds": (first.model_copy(update={field: changed}), *rest)})
    assert FIGURES.kept(forged, records).seeds == tuple(rest)


def test_a_row_without_trajectories_has_none(records, tmp_path):
    assert FIGURES.make(records, Store(tmp_path), None) is None


def test_a_long_run_is_thinned_and_keeps_the_look_that_was_chosen():
    looks = _looks(SimpleNamespace(pairs=np.arange(5_000) * 64), 64 * 1_234)
    assert len(looks) <= MOST_POINTS
    assert {0, 1_234, 4_999} <= set(looks)
