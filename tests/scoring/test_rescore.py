"""A metric that is new, or new in version, scores stored trajectories as a fresh run would."""

import json
from dataclasses import replace

import pytest

from codonbench import NOT_MEASURED, Metric, Output
from codonbench.contracts.run_record import RunRecord
from codonbench.contracts.run_spec import content_hash
from codonbench.errors import StoreError
from codonbench.execution.run import reusable
from codonbench.records.store import Store, read_record
from codonbench.scoring import rescore as rescoring
from codonbench.scoring.rescore import RESCORED


class Made(Metric):
    """A metric that gives fixed values."""

    def __init__(self, name, version="1", **values):
        self.name, self.version, self.summary = name, version, "made up"
        self._values = values

    def outputs(self, task):
        return {n: Output(unit="x", direction="none", summary="made up") for n in self._values}

    def compute(self, trajectory, task):
        return self._values


class HalfRight(Made):
    """Pairs until half of the inputs are right."""

    def __init__(self, version="1"):
        super().__init__("half_right", version, half_right=None)

    def compute(self, trajectory, task):
        enough = trajectory.right.mean(axis=1) >= 0.5
        return {
            "half_right": int(trajectory.pairs[enough.argmax()]) if enough.any() else NOT_MEASURED
        }


class Failing(Made):
    def compute(self, trajectory, task):
        raise ZeroDivisionError("no stop codon")


def registry_with(toys, *metrics):
    """The toys and the built-in metrics, some replaced, and new ones."""
    registry = toys.registry()
    for metric in metrics:
        registry.metrics.pop(metric.name, None)
    registry.add(toys.module("more", metrics=metrics), "more-metrics", "1.0")
    assert not registry.failures
    return registry


def metrics_of(registry):
    return {name: entry.metric for name, entry in registry.metrics.items()}


@pytest.fixture
def rescore(toys):
    """Scoring anew, all tasks being installed."""
    tasks = toys.registry().known_tasks
    return lambda path, metrics, *only, **options: rescoring.rescore(
        path, metrics, tasks, *only, **options
    )


@pytest.fixture
def today(toys):
    """The built-in metrics with these beside them or in their place."""
    return lambda *metrics: metrics_of(registry_with(toys, *metrics))


@pytest.fixture
def store(tmp_path, finished):
    store = Store(tmp_path / "results")
    store.save(*finished)
    return store


@pytest.fixture
def path(store, finished):
    return store.folder / f"{finished[0].name}.json"


def stored(path):
    record = read_record(path)
    assert isinstance(record, RunRecord), record
    return record


def changed(record, **fields):
    return record.model_copy(update=fields).sealed()


# What changes


def test_a_metric_from_a_plugin_gives_what_a_fresh_run_gives(
    toys, today, path, monkeypatch, rescore
):
    fresh, _ = toys.run("mlp-64", registry=registry_with(toys, HalfRight()), pairs=3_000, full=True)
    monkeypatch.setattr("torch.nn.Module.__call__", None)  # whatever trains or asks a module
    done = rescore(path, today(HalfRight()))
    assert (done.outcome, done.versions) == ("scored anew", {"half_right": (None, "1")})
    assert list(done.added) == ["half_right"]
    assert 0 < done.added["half_right"] < 3_000
    assert stored(path).result() == fresh.result()


def test_all_of_the_run_is_kept(today, path, finished, rescore):
    before = json.loads(path.read_text())
    rescore(path, today(HalfRight()))
    after = json.loads(path.read_text())
    assert after.keys() == before.keys()
    same = {field for field in before if after[field] == before[field]}
    assert before.keys() - same == {"metrics", "metric_versions", "checksum"}
    assert stored(path).run_id == finished[0].run_id


def test_a_second_time_there_is_nothing_to_do(today, path, rescore):
    assert rescore(path, today(HalfRight())).outcome == "scored anew"
    before = path.read_bytes(), path.stat().st_mtime_ns
    assert rescore(path, today(HalfRight())).outcome == "up to date"
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


def test_the_record_is_then_reused_by_a_run_with_that_plugin(toys, path, store, finished, rescore):
    registry = registry_with(toys, HalfRight())
    job = toys.job("mlp-64", registry=registry, pairs=3_000, full=True)
    assert reusable(job.run_specs[0], job, registry, store) is None
    rescore(path, metrics_of(registry))
    assert reusable(job.run_specs[0], job, registry, store) == stored(path)


def test_a_ranking_metric_in_a_new_version_moves_the_record_to_another_table(
    toys, today, path, finished, rescore
):
    newer = Made("pairs_consumed", "2", pairs_consumed=17, last_failing_pairs=16)
    old, (fresh, _) = (
        finished[0].comparability_key,
        toys.run("mlp-64", registry=registry_with(toys, newer), pairs=3_000, full=True),
    )
    done = rescore(path, today(newer))
    assert done.versions == {"pairs_consumed": ("1", "2")}
    assert done.changed["pairs_consumed"][1] == 17
    assert done.comparability_key == (old, fresh.comparability_key)
    assert stored(path).result() == fresh.result()


def test_a_ranking_metric_that_is_unchanged_leaves_the_key(today, path, finished, rescore):
    assert rescore(path, today(HalfRight())).comparability_key is None
    assert stored(path).comparability_key == finished[0].comparability_key


def test_values_of_a_metric_that_is_gone_are_dropped(today, path, rescore):
    rescore(path, today(HalfRight()))
    done = rescore(path, today())
    assert done.versions == {"half_right": ("1", None)}
    assert list(done.dropped) == ["half_right"]
    assert "half_right" not in stored(path).metrics


def test_a_figure_that_its_trajectory_does_not_give_is_corrected(
    today, path, store, finished, rescore
):
    metrics = {**finished[0].metrics, "test_accuracy": 0.25}
    store.save(changed(finished[0], metrics=metrics), None)
    done = rescore(path, today())
    assert done.changed == {"test_accuracy": (0.25, finished[0].metrics["test_accuracy"])}
    assert stored(path) == finished[0]


def test_rounding_alone_changes_nothing(today, path, store, finished, rescore):
    metrics = {**finished[0].metrics}
    metrics["test_accuracy"] *= 1 + 2e-16
    assert metrics != finished[0].metrics
    store.save(changed(finished[0], metrics=metrics), None)
    assert rescore(path, today()).outcome == "up to date"


def test_what_the_run_could_not_answer_follows_and_so_does_the_warning(today, path, rescore):
    below = Made("excess_pairs", "2", excess_pairs=-1, all_seen=NOT_MEASURED)
    rescore(path, today(below))
    record = stored(path)
    assert record.metrics["all_seen"] is None
    assert "all_seen" in record.not_measured
    assert record.flags[0].startswith("below the bound")


def test_a_look_writes_nothing(today, path, rescore):
    before = path.read_bytes()
    assert rescore(path, today(HalfRight()), write=False).outcome == "scored anew"
    assert path.read_bytes() == before


def test_a_field_that_the_format_lacked_then_is_not_added(today, path, rescore):
    content = json.loads(path.read_text())
    del content["knowledge"]
    record = RunRecord.model_validate(content)
    text = {k: v for k, v in content.items() if k != "checksum"}
    path.write_text(json.dumps(text | {"checksum": content_hash(text)}))
    assert record.knowledge == ()
    assert rescore(path, today(HalfRight())).outcome == "scored anew"
    assert "knowledge" not in json.loads(path.read_text())
    assert stored(path).metrics["half_right"] is not None


# One metric alone


def test_one_metric_alone_leaves_the_others_as_they_were(today, path, finished, rescore):
    others = Made("pairs_consumed", "9", pairs_consumed=1, last_failing_pairs=0)
    done = rescore(path, today(HalfRight(), others), ["half_right"])
    assert done.versions == {"half_right": (None, "1")}
    record = stored(path)
    assert record.metric_versions == {**finished[0].metric_versions, "half_right": "1"}
    assert {k: v for k, v in record.metrics.items() if k != "half_right"} == finished[0].metrics
    assert record.not_measured == finished[0].not_measured


def test_one_metric_in_a_new_version_drops_what_only_the_earlier_gave(today, path, rescore):
    rescore(path, today(Made("toy", "1", old=1, both=2)))
    done = rescore(path, today(Made("toy", "2", both=3, new=4)), ["toy"])
    assert (done.added, done.dropped, done.changed) == ({"new": 4}, {"old": 1}, {"both": (2, 3)})


def test_whose_value_it_was_is_not_guessed(today, path, rescore):
    rescore(path, today(Made("toy", "1", old=1), Made("third", "1", third=3)))
    before = path.read_bytes()
    done = rescore(path, today(Made("toy", "2", new=2)), ["toy"])
    assert done.outcome == "failed"
    assert done.reason == (
        "which of its values an earlier toy gave cannot be told without third as recorded; "
        "score it without --metric"
    )
    assert path.read_bytes() == before


def test_a_value_of_another_metrics_is_not_overwritten(today, path, rescore):
    before = path.read_bytes()
    done = rescore(path, today(Made("toy", test_accuracy=1.0)), ["toy"])
    assert done.outcome == "failed"
    assert done.reason == "metric toy gives 'test_accuracy', as does another metric"
    assert path.read_bytes() == before


# What cannot be scored


def damaged_trajectory(store, record):
    path = store.trajectory_path(record)
    path.write_bytes(path.read_bytes()[:1000])


def another_trajectory(store, record):
    trajectory = store.load_trajectory(record)
    store.save(record, replace(trajectory, outputs=trajectory.outputs + 1))


def no_trajectory(store, record):
    store.trajectory_path(record).unlink()


def damaged_record(store, record):
    path = store.folder / f"{record.name}.json"
    path.write_text(path.read_text().replace('"pairs": 3000', '"pairs": 3001'))


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (damaged_trajectory, "cannot be read"),
        (another_trajectory, "is not the one its record was made from"),
        (no_trajectory, "its trajectory is not in"),
        (damaged_record, "its content does not match its checksum"),
    ],
)
def test_what_is_damaged_is_named_and_left_as_it_is(
    today, path, store, finished, damage, reason, rescore
):
    damage(store, finished[0])
    before = path.read_bytes()
    done = rescore(path, today(HalfRight()))
    assert (done.name, done.outcome) == (finished[0].name, "failed")
    assert reason in done.reason
    assert path.read_bytes() == before


def test_a_trajectory_that_is_not_needed_is_not_missed(today, path, store, finished, rescore):
    no_trajectory(store, finished[0])
    assert rescore(path, today()).outcome == "up to date"


def test_a_metric_that_fails_is_named_and_the_record_left_as_it_is(today, path, rescore):
    before = path.read_bytes()
    done = rescore(path, today(Failing("toy", toy=1)))
    assert done.outcome == "failed"
    assert done.reason.startswith(
        "metric 'toy' failed: ZeroDivisionError('no stop codon') (test_rescore.py:"
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("row", ["bound", "oracle"])
def test_a_computed_row_keeps_what_it_knows_in_closed_form(toys, today, store, row, rescore):
    record, trajectory = toys.run(row, pairs=3_000)
    path = store.save(record, trajectory if len(trajectory.pairs) else None)
    before = path.read_bytes()
    assert rescore(path, today()).outcome == "up to date"
    done = rescore(path, today(HalfRight()))
    assert done.outcome == "left alone"
    assert done.reason == f"computed, not trained; 'bench run --model {row}' computes it anew"
    assert path.read_bytes() == before


def test_a_run_that_failed_before_its_first_evaluation_has_nothing_to_score(
    today, store, finished, rescore
):
    failed = changed(finished[0], status="error", trajectory_sha256=None, error="boom", metrics={})
    path = store.save(failed, None)
    assert rescore(path, today(HalfRight())).reason == "its run ended before anything was evaluated"


def test_a_record_written_by_another_run_meanwhile_is_not_overwritten(
    today, path, store, finished, rescore
):
    class Slow(HalfRight):
        def compute(self, trajectory, task):
            store.save(changed(finished[0], overrides={"hidden": 1}), None)
            return super().compute(trajectory, task)

    with pytest.raises(StoreError, match="has been written by something else meanwhile"):
        rescore(path, today(Slow()))
    assert stored(path).overrides == {"hidden": 1}


def test_what_follows_from_the_trajectory_are_fields_of_a_record():
    assert set(RESCORED) < set(RunRecord.model_fields)


def test_a_record_of_a_task_that_is_not_installed_fails_in_words(path, today):
    done = rescoring.rescore(path, today(HalfRight()), {})
    assert done.outcome == "failed"
    assert "task 'dipeptide' is not installed" in done.reason
