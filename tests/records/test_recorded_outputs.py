"""Test outputs beside records: small, true to the digits shown, sharing only what may be shared."""

import numpy as np
import pytest

from codonbench import Input, Target, TaskSpec
from codonbench.contracts import Trajectory, TrajectoryFacts
from codonbench.contracts.run_record import hash_trajectory
from codonbench.errors import StoreError
from codonbench.records.recorded_outputs import (
    ItemOutputs,
    gather,
    pack_outputs,
    read_outputs,
)
from codonbench.records.store import Store
from codonbench_metrics.classification import Accuracy, Auroc, Mcc
from codonbench_metrics.quantities import Pearson, Spearman

RNG = np.random.default_rng(0)


def trajectory(target, test_outputs, test_targets, groups=None):
    task = TaskSpec(
        name="made-up",
        version="1",
        title="Made up",
        input=Input.of_length(4),
        target=target,
        protocol="supervised",
        train_size=1,
        validation_size=1,
        test_size=len(test_outputs),
    )
    facts = TrajectoryFacts(
        split="validation",
        batch_size=1,
        epoch_pairs=1,
        budget_pairs=1,
        pairs=1,
        complete=True,
        selected_pairs=1,
    )
    k = test_outputs.shape[1]
    return Trajectory(
        task=task,
        facts=facts,
        pairs=np.array([1]),
        outputs=np.zeros((1, 1, k), dtype=np.float32),
        targets=test_targets[:1],
        test_outputs=test_outputs.astype(np.float32),
        test_targets=test_targets,
        arrays={} if groups is None else {"test_groups": groups},
    )


def classes(n=1000, k=2):
    targets = RNG.integers(0, k, n)
    outputs = RNG.normal(size=(n, k)) * 5
    outputs[np.arange(n), targets] += 3
    return trajectory(Target(names=tuple("abc"[:k])), outputs, targets)


def quantities(n=1000):
    targets = RNG.normal(10, 1, size=(n, 1)).astype(np.float32)
    outputs = targets + RNG.normal(size=(n, 1))
    return trajectory(Target(kind="quantities", names=("q",)), outputs, targets)


@pytest.mark.parametrize("k", [2, 3])
def test_answers_and_scores_of_classes_survive_16_bits(k, tmp_path):
    made = classes(k=k)
    # Nearly level logits, which float16 alone would make equal, and levels that are.
    made.test_outputs[:3, :2] = [[8.0001, 8.0], [8.0, 8.0001], [5.0, 5.0]]
    made.test_outputs[3, :2] = [1.0, np.nextafter(np.float32(1), np.float32(2))]
    item = kept(made, tmp_path)
    np.testing.assert_array_equal(item.outputs.argmax(1), made.test_outputs.argmax(1))
    for metric in (Accuracy(), Mcc(), Auroc()):
        assert score(metric, item.outputs, made) == pytest.approx(
            score(metric, made.test_outputs, made), abs=2e-5
        )


def test_ranks_of_quantities_survive_16_bits(tmp_path):
    made = quantities()
    item = kept(made, tmp_path)
    spread = np.ptp(made.test_outputs)
    assert np.abs(item.outputs - made.test_outputs).max() <= spread / 65535
    for metric in (Pearson(), Spearman()):
        assert score(metric, item.outputs, made) == pytest.approx(
            score(metric, made.test_outputs, made), abs=1e-6
        )


def test_outputs_that_do_not_vary_are_kept(tmp_path):
    made = quantities(5)
    made.test_outputs[:] = 3.5
    assert kept(made, tmp_path).outputs.tolist() == [[3.5]] * 5


def kept(made, folder):
    """Return what is read again of what is written; the file is small."""
    path = folder / "run.npz"
    item = ItemOutputs.of(made, "0" * 64)
    path.write_bytes(pack_outputs(item, made))
    assert path.stat().st_size < 2 * made.test_outputs.size + 2000
    again = read_outputs(path)
    np.testing.assert_array_equal(again.outputs, item.outputs)
    assert again.digest() == item.digest()
    assert again.targets is None
    return again


def score(metric, outputs, made):
    return metric.score(made.test_targets, outputs, made.task)[metric.name]


@pytest.fixture
def stored(finished, tmp_path):
    """A results folder with two runs on the same items, their trajectories at hand."""
    store, records = Store(tmp_path), []
    groups = np.arange(50) // 5
    targets = RNG.normal(size=(50, 1)).astype(np.float32)
    for seed in (0, 1):
        outputs = targets + RNG.normal(size=(50, 1))
        made = trajectory(Target(kind="quantities", names=("q",)), outputs, targets, groups)
        spec = finished[0].run_spec.model_copy(update={"seed": seed, "task": "made-up"})
        changes = {
            "run_spec": spec,
            "run_id": spec.run_id,
            "seed": seed,
            "task": "made-up",
            "selected_pairs": 1,
            "trajectory_sha256": hash_trajectory(made),
        }
        record = finished[0].model_copy(update=changes).sealed()
        store.save(record, made)
        records.append(record)
    return store, records


def write(files):
    for path, content in files.items():
        if content is not None:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)


def test_files_stand_in_for_trajectories(stored):
    store, records = stored
    outputs, files = gather(store, records, lambda record: True, lambda record: True)
    assert sorted(path.name[:8] for path in files) == [r.name[:8] for r in records] + ["targets-"]
    write(files)
    for record in records:
        store.trajectory_path(record).unlink()
    again, unchanged = gather(store, records, lambda record: True, lambda record: True)
    assert set(unchanged) == set(files)
    assert set(unchanged.values()) == {None}
    for run_id, item in again.items():
        assert item.digest() == outputs[run_id].digest()
        np.testing.assert_array_equal(item.targets, outputs[run_id].targets)
        np.testing.assert_array_equal(item.groups, np.arange(50) // 5)


def test_targets_that_may_not_be_shared_are_in_no_file(stored):
    store, records = stored
    outputs, files = gather(store, records, lambda record: False, lambda record: True)
    assert all(item.targets is not None for item in outputs.values())
    assert not any("targets" in path.name for path in files)
    write(files)
    store.trajectory_path(records[0]).unlink()  # the other's has them, too
    again, _ = gather(store, records, lambda record: False, lambda record: True)
    assert all(item.targets is not None for item in again.values())
    store.trajectory_path(records[1]).unlink()
    again, _ = gather(store, records, lambda record: False, lambda record: True)
    assert all(item.targets is None for item in again.values())


def test_answers_that_may_not_be_shared_are_in_no_file_nor_are_targets_kept(stored):
    store, records = stored
    _, files = gather(store, records, lambda record: True, lambda record: True)
    write(files)  # as an earlier version did
    first, secret = records
    outputs, kept = gather(
        store, records, lambda record: False, lambda record: record.run_id != secret.run_id
    )
    assert set(outputs) == {first.run_id, secret.run_id}
    assert all(item.targets is not None for item in outputs.values())
    assert [path.stem for path in kept] == [first.name]


def test_a_file_of_another_run_does_not_count(stored):
    store, records = stored
    _, files = gather(store, records, lambda record: True, lambda record: True)
    write(files)
    other = records[0].model_copy(update={"trajectory_sha256": "0" * 64})
    store.trajectory_path(records[0]).unlink()
    outputs, _ = gather(store, [other], lambda record: True, lambda record: True)
    assert outputs == {}


def test_damaged_files_are_named(stored):
    store, records = stored
    _, files = gather(store, records, lambda record: True, lambda record: True)
    write(files)
    (targets,) = (path for path in files if path.name.startswith("targets"))
    content = targets.read_bytes()
    targets.write_bytes(content[:-40])
    with pytest.raises(StoreError, match=targets.name):
        gather(store, records, lambda record: True, lambda record: True)
    targets.write_bytes(content)
    path = next(path for path in files if path != targets)
    path.write_bytes(content)
    with pytest.raises(StoreError, match="no test outputs"):
        gather(store, records, lambda record: True, lambda record: True)
