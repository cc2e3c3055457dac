from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from codonbench import Metric, Model, ModelConfig, ModelInfo, Output, hookimpl
from codonbench.errors import BusyError, PluginError, StoreError
from codonbench.execution.machine import Terms
from codonbench.execution.run import reusable, run, run_all
from codonbench.plugins.entries import MetricEntry
from codonbench.records.store import Store, read_record


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def quiet(run_spec):
    return lambda pairs, progress: None


def outcomes(
    toys, store, watch=quiet, *, registry=None, force=False, told=None, waited=None, **request
):
    """Run mlp-64 for a few pairs with seeds 0 to 2, one after another in the plain loop."""
    registry = registry or toys.registry()
    asked = {"seeds": (0, 1, 2), "pairs": 200, "engine": "eager", **request}
    job = toys.job(registry=registry, **asked)
    told = [] if told is None else told

    def say(sentence):
        told.append(sentence)
        if waited is not None:
            waited.set()

    return list(run_all(job, registry, store, watch, force=force, say=say))


def names(store):
    return [record.name for record in store.scan()]


def test_every_seed_is_run_in_order_and_stored(toys, store):
    made = outcomes(toys, store, seeds=(2, 0, 1))
    assert [outcome.record.seed for outcome in made] == [2, 0, 1]
    assert not any(outcome.reused for outcome in made)
    assert sorted(names(store)) == sorted(outcome.record.name for outcome in made)
    for outcome in made:
        assert store.load_trajectory(outcome.record).pairs[-1] == 200


def test_what_is_recorded_is_not_run_again(toys, store):
    first = outcomes(toys, store, seeds=(0, 1))
    again = outcomes(toys, store)
    assert [outcome.reused for outcome in again] == [True, True, False]
    assert [outcome.record for outcome in again[:2]] == [outcome.record for outcome in first]


def test_force_runs_it_again(toys, store):
    (first,) = outcomes(toys, store, seeds=(0,))
    (again,) = outcomes(toys, store, seeds=(0,), force=True)
    assert not again.reused
    assert again.record.result() == first.record.result()
    assert len(names(store)) == 1


def test_each_record_is_stored_before_the_next_run_begins(toys, store):
    stored = []

    def watch(run_spec):
        stored.append(len(names(store)))
        return quiet(run_spec)

    outcomes(toys, store, watch)
    assert stored == [0, 1, 2]


def test_ctrl_c_ends_the_job_and_the_run_is_made_again_next_time(toys, store):
    def watch(run_spec):
        def interrupt(pairs, progress):
            if run_spec.seed == 1 and pairs > 0:
                raise KeyboardInterrupt

        return interrupt

    made = outcomes(toys, store, watch)
    assert [outcome.record.status for outcome in made] == ["done", "interrupted"]
    assert len(names(store)) == 2
    again = outcomes(toys, store)
    assert [outcome.reused for outcome in again] == [True, False, False]
    assert [outcome.record.status for outcome in again] == ["done"] * 3
    assert len(names(store)) == 3


class StillBorn(Model):
    info = ModelInfo(name="still-born", version="1", summary="Fails")
    Config = ModelConfig
    encoding = "input_index"

    def build(self, task):
        raise RuntimeError("no module today")


def test_a_failed_run_is_recorded_and_made_again_next_time(toys, store):
    registry = toys.registry(StillBorn)
    for _ in range(2):
        (made,) = outcomes(toys, store, registry=registry, model="still-born", seeds=(0,))
        assert (made.record.status, made.reused) == ("error", False)
        assert store.load_trajectory(made.record) is None
    assert len(names(store)) == 1


class Counter(Metric):
    name = "counter"
    summary = "Counts"

    def __init__(self, version):
        self.version = version

    def outputs(self, task):
        return {"count": Output(unit="count", direction="none", summary="Count.")}

    def compute(self, trajectory, task):
        return {"count": len(trajectory.pairs)}


def test_a_record_is_made_again_where_its_metrics_have_changed(toys, store):
    outcomes(toys, store, seeds=(0,))
    for version, reused in [("1", False), ("1", True), ("2", False)]:
        registry = toys.registry()
        origin = next(iter(registry.metrics.values())).origin
        registry.metrics["counter"] = MetricEntry("counter", origin, "", Counter(version))
        (made,) = outcomes(toys, store, registry=registry, seeds=(0,))
        assert made.reused is reused
        assert made.record.metric_versions["counter"] == version
        assert made.record.metrics["count"] == 5


def test_a_record_is_made_again_where_the_plugins_source_has_changed(toys, store):
    (made,) = outcomes(toys, store, seeds=(0,))
    registry = toys.registry()
    job = toys.job(registry=registry, pairs=200, engine="eager")
    assert reusable(job.run_specs[0], job, registry, store) == made.record
    told, source = [], made.record.plugin.source_sha256
    other = job.entry.origin.model_copy(update={"source_sha256": "0" * 64})
    object.__setattr__(job.entry, "origin", other)
    try:
        assert reusable(job.run_specs[0], job, registry, store) is None
        (again,) = outcomes(toys, store, seeds=(0,), registry=registry, told=told)
    finally:  # entries are shared by all tests
        object.__setattr__(job.entry, "origin", made.record.plugin)
    assert (again.reused, again.record.plugin.source_sha256) == (False, "0" * 64)
    aside = store.folder / "set-aside" / f"{made.record.name}-1.json"
    assert read_record(aside) == made.record
    assert aside.with_suffix(".npz").is_file()
    assert told == [
        f"set aside: {made.record.name}.json: was made with other code of the model "
        f"(sha256 {source[:8]}); it now lies in {aside}"
    ]


def test_an_edited_record_is_made_again_set_aside_and_named(toys, store):
    (made,) = outcomes(toys, store, seeds=(0,))
    path = store.folder / f"{made.record.name}.json"
    edited = path.read_text().replace('"pairs": 200', '"pairs": 199')
    path.write_text(edited)
    told = []
    (again,) = outcomes(toys, store, seeds=(0,), told=told)
    assert not again.reused
    assert names(store) == [made.record.name]
    aside = store.folder / "set-aside" / f"{made.record.name}-1.json"
    assert aside.read_text() == edited
    assert told == [
        f"set aside: {path.name}: its content does not match its checksum; it now lies in {aside}"
    ]


@contextmanager
def another_process(toys, store, ending):
    """Claim seed 1 as another process would; end as `ending(record)` says.

    Yields:
        What to set once that has been waited for; set at the end, at the latest.
    """
    job = toys.job(seeds=(1,), pairs=200, engine="eager")
    (run_spec,), registry = job.run_specs, toys.registry()
    ((record, _),) = run(job, registry, quiet)
    claimed, seen = Event(), Event()

    def work():
        with store.claims() as claims:
            assert claims.take_free([run_spec.run_id])[0]
            claimed.set()
            seen.wait(60)
            ending(record)

    store.prepare()
    thread = Thread(target=work)
    thread.start()
    assert claimed.wait(60)
    try:
        yield seen
    finally:
        seen.set()
        thread.join()


def test_a_run_that_another_process_makes_is_left_to_it_and_its_record_reused(toys, store):
    told = []
    with another_process(toys, store, lambda record: store.save(record, None)) as waited:
        made = outcomes(toys, store, told=told, waited=waited)
    assert [(o.record.seed, o.reused) for o in made] == [(0, False), (2, False), (1, True)]
    (sentence,) = told
    assert sentence.startswith("mlp-64, seed 1: being run by process ")
    assert sentence.endswith("; waiting")


def test_a_run_that_another_process_gave_up_is_made_here(toys, store):
    with another_process(toys, store, lambda record: None) as waited:
        made = outcomes(toys, store, waited=waited)
    assert [(o.record.seed, o.reused) for o in made] == [(0, False), (2, False), (1, False)]


def test_forced_a_run_is_made_again_even_if_another_process_has_just_made_it(toys, store):
    with another_process(toys, store, lambda record: store.save(record, None)) as waited:
        (made,) = outcomes(toys, store, seeds=(1,), force=True, waited=waited)
    assert not made.reused


def test_without_waiting_a_run_that_another_process_makes_is_refused(toys, store):
    job = toys.job(seeds=(1,), pairs=200, engine="eager")
    with another_process(toys, store, lambda record: None), pytest.raises(BusyError) as caught:
        list(run_all(job, toys.registry(), store, quiet, terms=Terms(wait=False)))
    assert str(caught.value).startswith("mlp-64, seed 1: being run by process ")
    assert str(caught.value).endswith("; without --no-wait this is waited for")


def test_after_ctrl_c_nobody_is_waited_for(toys, store):
    def watch(run_spec):
        def interrupt(pairs, progress):
            raise KeyboardInterrupt

        return interrupt

    with another_process(toys, store, lambda record: None):
        made = outcomes(toys, store, watch)
    assert [(o.record.seed, o.record.status) for o in made] == [(0, "interrupted")]


def test_a_record_tells_the_circumstances_of_its_run(toys, store):
    (made,) = outcomes(toys, store, seeds=(0,))
    circumstances = made.record.machine.circumstances
    assert circumstances.alone is False
    assert circumstances.neighbours >= 0
    assert len(circumstances.clocks_mhz) in (0, 2)
    assert read_record(store.folder / f"{made.record.name}.json") == made.record


def test_runs_are_made_one_at_a_time_as_they_are_asked_for(toys, store):
    registry, begun = toys.registry(), count()
    job = toys.job(registry=registry, seeds=(0, 1, 2), pairs=200, engine="eager")

    def watch(run_spec):
        next(begun)
        return quiet(run_spec)

    next(run_all(job, registry, store, watch))
    assert next(begun) == 1


def test_a_folder_that_cannot_be_made_is_known_before_anything_is_run(toys, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be written"):
        outcomes(toys, Store(tmp_path / "file" / "results"), watch=None)
    assert Path(tmp_path / "file").read_text() == ""


def test_the_lifecycle_hooks_see_spec_snapshots_and_record(toys, store):
    told = []

    class Listener:
        @hookimpl
        def run_started(self, run_spec):
            told.append(("started", run_spec.run_id))

        @hookimpl
        def snapshot_taken(self, trajectory, index):
            told.append(("snapshot", int(trajectory.pairs[index])))

        @hookimpl
        def run_finished(self, record):
            told.append(("finished", record.checksum))

    registry = toys.registry()
    registry.manager.register(Listener())
    (made,) = outcomes(toys, store, registry=registry, seeds=(0,))
    record = made.record
    assert told == [
        ("started", record.run_id),
        *(("snapshot", pairs) for pairs in (0, 64, 128, 192, 200)),
        ("finished", record.checksum),
    ]


def test_a_hook_that_fails_is_named_and_loses_no_record(toys, store):
    class Careless:
        @hookimpl
        def run_finished(self, record):
            raise ValueError("not today")

    registry = toys.registry()
    registry.manager.register(Careless(), name="careless")
    with pytest.raises(PluginError, match=r"careless failed in run_finished.*not today"):
        outcomes(toys, store, registry=registry, seeds=(0,))
    assert len(names(store)) == 1
