import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import StoreError
from codonbench.records.files import write_atomically
from codonbench.records.store import CURRENT, BadRecord, Store, amend_record, read_record


@pytest.fixture
def record(finished):
    return finished[0]


@pytest.fixture
def trajectory(finished):
    return finished[1]


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "results")


def files_in(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


# Records


def test_a_saved_record_is_found_by_its_run_id(store, record, trajectory):
    path = store.save(record, trajectory)
    assert path.name == f"{record.name}.json"
    assert store.find(record.run_id, record.name) == record
    assert list(store.scan()) == [record]
    assert store.find("0" * 16, "no-s0-" + "0" * 16) is None


def test_a_record_is_written_for_people_and_for_diffs(store, record):
    text = store.save(record, None).read_text()
    assert text.endswith("}\n")
    assert json.loads(text) == json.loads(record.to_line())
    assert [line for line in text.splitlines() if line.startswith(' "')] == sorted(
        line for line in text.splitlines() if line.startswith(' "')
    )


def test_a_folder_that_is_not_there_holds_no_records(store, record):
    assert list(store.scan()) == []
    assert store.find(record.run_id, record.name) is None
    assert store.load_trajectory(record) is None


def damaged(store, record, change):
    """What reading says about a record whose text has been changed."""
    path = store.save(record, None)
    path.write_text(change(path.read_text()))
    bad = read_record(path)
    assert isinstance(bad, BadRecord)
    assert bad.path == path
    assert list(store.scan()) == [bad]
    assert store.find(record.run_id, record.name) is None
    return bad.reason


def test_a_record_cut_short_is_named(store, record):
    reason = damaged(store, record, lambda text: text[: len(text) // 2])
    assert reason.startswith("is not JSON: ")


def test_an_empty_file_is_named(store, record):
    assert damaged(store, record, lambda text: "").startswith("is not JSON: ")


def test_json_that_is_no_record_is_named(store, record):
    for text in ("[]", "{}", '{"schema_version": "1"}'):
        reason = damaged(store, record, lambda _, text=text: text)
        assert reason == "is not a record: it has no schema_version, a whole number"
    assert "Field required" in damaged(store, record, lambda text: '{"schema_version": 1}')


def test_an_edited_metric_is_named(store, record):
    reason = damaged(store, record, lambda text: text.replace('"all_seen": 252', '"all_seen": 251'))
    assert reason == "its content does not match its checksum"


def test_an_edited_plan_is_named(store, record):
    reason = damaged(
        store, record, lambda text: text.replace('"budget_pairs": 3000', '"budget_pairs": 1')
    )
    assert reason == "its run_id is not the hash of its spec"


def test_a_field_added_by_hand_is_named(store, record):
    reason = damaged(store, record, lambda text: text.replace("{", '{"extra": 1,', 1))
    assert reason == "is not a record: extra: Extra inputs are not permitted"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_not_finite_is_named(store, record, number):
    for sound in ('"all_seen": 252', '_rate": 0.05'):
        edited = sound.split(": ")[0] + f": {number}"
        reason = damaged(store, record, lambda text, a=sound, b=edited: text.replace(a, b))
        assert reason in (
            f"holds {number}, which is no number",
            "metrics.all_seen is out of the range of numbers",
            "run_spec.config.learning_rate is out of the range of numbers",
        )


def test_a_record_of_a_newer_codonbench_is_named_and_not_guessed_at(store, record):
    newer = f'"schema_version": {CURRENT + 1}'
    reason = damaged(
        store, record, lambda text: text.replace(f'"schema_version": {CURRENT}', newer)
    )
    assert reason == (
        f"was made by a newer codonbench: it has schema version {CURRENT + 1}, this one reads up "
        f"to {CURRENT}; upgrade codonbench"
    )


def test_a_folder_in_a_records_place_is_named(store, record):
    store.prepare()
    (store.folder / "odd.json").mkdir()
    (bad,) = store.scan()
    assert isinstance(bad, BadRecord)
    assert bad.reason == "is not a regular file"


def test_records_come_in_the_order_of_their_names_bad_ones_among_them(store, record):
    store.save(record, None)
    (store.folder / "aaa.json").write_text("")
    (store.folder / "zzz.json").write_text("")
    kinds = [type(found) for found in store.scan()]
    assert kinds == [BadRecord, RunRecord, BadRecord]


def test_of_several_files_that_hold_one_run_the_one_of_its_name_is_its_record(store, record):
    path = store.save(record, None)
    for name in ("aaa.json", "zzz.json"):
        shutil.copy(path, store.folder / name)
    first, second, third = store.scan()
    assert second == record
    assert [bad.path.name for bad in (first, third)] == ["aaa.json", "zzz.json"]
    assert {bad.reason for bad in (first, third)} == {f"holds the same run as {path.name}"}
    path.write_text("")
    first, second, third = store.scan()
    assert (first, third.reason) == (record, "holds the same run as aaa.json")


# Amending


def test_an_amended_record_is_sealed_anew_and_the_rest_of_its_file_is_kept(store, record):
    path = store.save(record, None)
    before = json.loads(path.read_text())
    amend_record(path, record, {"flags": ["a warning"]})
    after = read_record(path)
    assert after == record.model_copy(update={"flags": ("a warning",)}).sealed()
    text = json.loads(path.read_text())
    assert {field for field in text if text[field] != before[field]} == {"flags", "checksum"}


def test_a_record_that_is_another_by_now_is_not_amended(store, record):
    path = store.save(record, None)
    other = record.model_copy(update={"pairs": 1}).sealed()
    with pytest.raises(StoreError, match="has been written by something else meanwhile"):
        amend_record(path, other, {"flags": []})
    path.unlink()
    with pytest.raises(StoreError, match="has been written by something else meanwhile"):
        amend_record(path, record, {"flags": []})
    assert read_record(store.save(record, None)) == record


def test_a_record_whose_run_is_being_made_again_is_not_amended(store, record):
    path = store.save(record, None)
    with store.claims() as claims:
        claims.take_free([record.run_id])
        with pytest.raises(StoreError, match=r"is being made again by process \d+ \(since"):
            amend_record(path, record, {"flags": []})
    assert read_record(path) == record


# Setting aside


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda text: text[: len(text) // 2], "is not JSON: "),
        (lambda text: "", "is not JSON: "),
        (lambda text: text.replace('"pairs": 3000', '"pairs": 3001'), "its content does not match"),
    ],
)
def test_a_bad_record_makes_room_and_is_kept_with_its_trajectory(
    store, record, trajectory, change, why
):
    path = store.save(record, trajectory)
    damaged = change(path.read_text())
    path.write_text(damaged)
    (aside,) = store.make_room(record.run_spec)
    assert aside.path == store.folder / "set-aside" / f"{record.name}-1.json"
    assert aside.path.read_text() == damaged
    assert aside.reason.startswith(f"{path.name}: {why}")
    assert aside.reason.endswith(f"; it now lies in {aside.path}")
    assert aside.path.with_suffix(".npz").is_file()
    assert not store.trajectory_path(record).exists()
    assert list(store.scan()) == []


def test_what_is_set_aside_never_takes_the_place_of_something_else(store, record):
    for n in (1, 2, 3):
        store.save(record, None).write_text(f"bad {n}")
        store.make_room(record.run_spec)
    folder = store.folder / "set-aside"
    assert [(folder / f"{record.name}-{n}.json").read_text() for n in (1, 2, 3)] == [
        "bad 1",
        "bad 2",
        "bad 3",
    ]


def test_a_sound_record_stays_where_it_is(store, record, trajectory):
    store.save(record, trajectory)
    assert store.make_room(record.run_spec) == []
    assert store.find(record.run_id, record.name) == record


def test_another_runs_record_in_this_ones_place_is_set_aside(store, record):
    run_spec = record.run_spec.model_copy(update={"seed": 7})
    other = record.model_copy(
        update={"run_spec": run_spec, "seed": 7, "run_id": run_spec.run_id}
    ).sealed()
    path = store.save(other, None).rename(store.folder / f"{record.name}.json")
    (aside,) = store.make_room(record.run_spec)
    assert f": holds the record of another run, {other.name}; it now lies in" in aside.reason
    assert not path.exists()
    assert read_record(aside.path) == other


# Many at once

_WRITER = """
import sys
from pathlib import Path
from codonbench.records.store import Store, read_record

folder, source, first = sys.argv[1:]
record = read_record(Path(source))
store = Store(Path(folder))
store.prepare()
for n in range(int(first), int(first) + 5):
    run_spec = record.run_spec.model_copy(update={"seed": n // 2})
    update = {"run_spec": run_spec, "seed": n // 2, "run_id": run_spec.run_id}
    made = record.model_copy(update=update)
    with store.claims() as claims:
        while not claims.take_free([made.run_id])[0]:
            pass
        store.make_room(run_spec)
        store.save(made.sealed(), None)
"""


@pytest.mark.slow
@pytest.mark.parametrize("n", [4, pytest.param(20, marks=pytest.mark.nightly("more of the same"))])
def test_processes_write_records_into_one_folder_at_once(
    tmp_path, store, record, record_property, n
):
    """Each record is written twice, in neighbouring processes now and then at the same time."""
    source = Store(tmp_path / "source").save(record, None)
    processes = [
        subprocess.Popen([sys.executable, "-c", _WRITER, store.folder, source, str(5 * i)])
        for i in range(n)
    ]
    assert [process.wait(timeout=1000) for process in processes] == [0] * n
    found = list(store.scan())
    assert all(isinstance(item, RunRecord) for item in found)
    assert sorted(item.seed for item in found) == list(range(5 * n // 2))
    assert not (store.folder / "set-aside").exists()
    left = [name for name in files_in(store.folder) if not name.endswith(".json")]
    assert left == ["ledger.lock"]
    record_property("processes writing into one folder at once", len(processes))
    record_property("records written by them", 5 * len(processes))
    record_property(
        "records lost or damaged among them", 5 * n // 2 - len({item.seed for item in found})
    )


# Trajectories


def test_a_trajectory_comes_back_as_it_was(store, record, trajectory):
    store.save(record, trajectory)
    again = store.load_trajectory(record)
    for field in fields(trajectory):
        before, after = getattr(trajectory, field.name), getattr(again, field.name)
        if field.name == "arrays":
            assert before.keys() == after.keys()
            same = [(before[name], after[name]) for name in before]
        elif isinstance(before, np.ndarray):
            same = [(before, after)]
        else:
            assert before == after
            continue
        for one, other in same:
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other, strict=True)


def test_a_trajectory_comes_back_in_the_order_of_memory_it_was_scored_in(store, record, trajectory):
    """Sums of floats depend on it in their last digit, and with them metrics."""
    store.save(record, trajectory)
    again = store.load_trajectory(record)
    assert again.outputs.strides == trajectory.outputs.strides
    np.testing.assert_array_equal(again.probabilities(), trajectory.probabilities(), strict=True)


def test_a_trajectory_that_was_not_kept_is_none(store, record):
    store.save(record, None)
    assert store.load_trajectory(record) is None


def test_a_record_without_a_trajectory_ignores_one_left_by_an_earlier_try(
    store, record, trajectory
):
    store.save(record, trajectory)
    failed = record.model_copy(update={"trajectory_sha256": None, "status": "error"}).sealed()
    store.save(failed, None)
    assert store.load_trajectory(failed) is None


def test_another_runs_trajectory_is_refused(store, record, trajectory):
    outputs = trajectory.outputs.copy()
    outputs[-1, 0, 0] += 1e-6
    store.save(record, replace(trajectory, outputs=outputs))
    with pytest.raises(StoreError, match=r"\.npz is not the one its record was made from"):
        store.load_trajectory(record)


def test_a_trajectory_is_put_beside_its_record_later_and_another_runs_is_not(
    store, record, trajectory
):
    store.save(record, None)
    with pytest.raises(StoreError, match=r"not the one .* was made from"):
        store.save_trajectory(record, replace(trajectory, pairs=trajectory.pairs + 1))
    assert store.load_trajectory(record) is None
    assert store.save_trajectory(record, trajectory) == store.trajectory_path(record)
    assert np.array_equal(store.load_trajectory(record).outputs, trajectory.outputs)


def test_a_trajectory_damaged_anywhere_is_refused(store, record, trajectory):
    """Each of 300 flipped bytes and 20 cuts is noticed; none ends in another exception."""
    store.save(record, trajectory)
    path = store.trajectory_path(record)
    sound = path.read_bytes()
    chance = np.random.default_rng(0)
    # The ends of a zip file hold most of its structure.
    places = [*range(60), *range(len(sound) - 100, len(sound))]
    places += chance.integers(len(sound), size=140).tolist()
    unnoticed = 0
    for place in places:
        broken = bytearray(sound)
        broken[place] ^= 1 << chance.integers(8)
        path.write_bytes(broken)
        try:
            store.load_trajectory(record)
            unnoticed += 1  # a date in the archive, say: the content is the same
        except StoreError:
            pass
    assert unnoticed < len(places) / 2
    for length in chance.integers(len(sound), size=20):
        path.write_bytes(sound[:length])
        with pytest.raises(StoreError, match="cannot be read"):
            store.load_trajectory(record)


# All or nothing


def test_a_write_that_fails_at_the_end_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "folder" / "record.json"
    write_atomically(path, b"old")

    def fail(self, target):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(StoreError, match=r"record\.json cannot be written: Input/output error"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == ["record.json"]


def test_a_write_that_is_interrupted_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "record.json"
    write_atomically(path, b"old")

    def interrupt(handle):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert files_in(tmp_path) == ["record.json"]


def test_the_folder_is_flushed_too_so_that_the_new_name_outlasts_a_power_cut(tmp_path, monkeypatch):
    flushed = []
    fsync = os.fsync

    def note(handle):
        flushed.append(Path(f"/proc/self/fd/{handle}").resolve())
        fsync(handle)

    monkeypatch.setattr(os, "fsync", note)
    path = tmp_path / "record.json"
    write_atomically(path, b"text")
    assert flushed[-1] == tmp_path
    assert len(flushed) == 2


@pytest.mark.parametrize("refused", [errno.EINVAL, errno.EPERM, errno.ENOTSUP])
def test_a_file_system_that_flushes_nothing_is_put_up_with(tmp_path, monkeypatch, refused):
    def refuse(handle):
        raise OSError(refused, os.strerror(refused))

    monkeypatch.setattr(os, "fsync", refuse)
    write_atomically(tmp_path / "record.json", b"text")
    assert (tmp_path / "record.json").read_bytes() == b"text"
    assert files_in(tmp_path) == ["record.json"]


def test_a_file_system_without_permissions_is_put_up_with(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise PermissionError(errno.EPERM, "Operation not permitted")

    for name in ("chmod", "fchmod"):
        monkeypatch.setattr(os, name, refuse)
    write_atomically(tmp_path / "record.json", b"text")
    assert (tmp_path / "record.json").read_bytes() == b"text"


@pytest.mark.parametrize(
    ("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)], ids=oct
)
def test_a_written_file_has_the_permissions_that_umask_leaves(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "record.json", b"text")
    finally:
        os.umask(before)
    assert (tmp_path / "record.json").read_bytes() == b"text"
    assert (tmp_path / "record.json").stat().st_mode & 0o777 == mode


def test_the_trajectory_is_written_before_its_record(store, record, trajectory, monkeypatch):
    order = []
    monkeypatch.setattr(
        "codonbench.records.store.write_atomically", lambda path, _: order.append(path)
    )
    store.save(record, trajectory)
    assert [path.suffix for path in order] == [".npz", ".json"]


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_says_so_and_what_to_do(store, record, trajectory, monkeypatch, full):
    store.prepare()

    def no_space(handle):
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr(os, "fsync", no_space)
    with pytest.raises(StoreError) as caught:
        store.save(record, trajectory)
    assert str(caught.value) == (
        f"file {store.trajectory_path(record)}: no space left; free some or choose another folder"
    )
    assert files_in(store.folder) == []


def test_a_file_in_the_folders_place_is_named(tmp_path, record):
    (tmp_path / "results").write_text("")
    store = Store(tmp_path / "results")
    for attempt in (store.prepare, lambda: store.save(record, None)):
        with pytest.raises(StoreError) as caught:
            attempt()
        assert str(tmp_path / "results") in str(caught.value)
        assert "cannot be written: " in str(caught.value)
        assert str(caught.value).endswith("choose another folder")


@pytest.mark.parametrize("refused", ["open", "replace"])
def test_a_folder_that_cannot_be_written_is_named_before_anything_is_run(
    tmp_path, monkeypatch, refused
):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, refused, refuse)
    with pytest.raises(StoreError) as caught:
        Store(tmp_path).prepare()
    assert str(caught.value) == (
        f"results folder {tmp_path} cannot be written: Permission denied; choose another folder"
    )
    assert files_in(tmp_path) == []


def test_preparing_twice_does_no_harm(store, record):
    store.prepare()
    store.save(record, None)
    store.prepare()
    assert files_in(store.folder) == [f"{record.name}.json"]


def test_what_a_killed_writer_left_goes_and_what_another_is_writing_stays(
    finished, tmp_path, monkeypatch
):
    record, trajectory = finished
    store = Store(tmp_path)

    def die(*names):
        raise SystemExit

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", die)
        patch.setattr(Path, "unlink", lambda path, missing_ok=False: None)
        with pytest.raises(SystemExit):
            store.save(record, trajectory)
    other = tmp_path / ".another-run.json.xyz.tmp"
    other.write_text("being written")
    assert len([*tmp_path.rglob("*.tmp")]) == 2
    store.tidy(record)
    assert [*tmp_path.rglob("*.tmp")] == [other]
