"""What is known of a folder before it is read: never more than its files say now."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from codonbench.contracts.run_record import RunRecord, seals
from codonbench.errors import StoreError
from codonbench.records import known
from codonbench.records.files import decoded
from codonbench.records.store import BadRecord, Store, read_record

COMMITTED = Path(__file__).parents[2] / "leaderboard" / "results"


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Some committed records of several kinds, in a folder that is large enough for an index."""
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("codonbench.records.store.MANY", 1)
    folder = tmp_path / "results"
    folder.mkdir()
    for path in sorted(COMMITTED.glob("*.json"))[::60]:
        shutil.copy2(path, folder)
        os.utime(folder / path.name, (1e9, 1e9))  # long ago
    return Store(folder)


NAMES = [f"{i}.json" for i in range(100)]


def lines(found):
    return [item.to_line() if isinstance(item, RunRecord) else item for item in found]


def index(tmp_path):
    return list((tmp_path / "cache" / "records").glob("*.sqlite"))


def test_what_is_read_with_an_index_is_what_is_read_without(store, tmp_path, monkeypatch):
    alone = [read_record(path) for path in sorted(store.folder.glob("*.json"))]
    assert len(alone) > 20
    assert lines(store.scan()) == lines(alone)
    assert len(index(tmp_path)) == 1

    def refuse(content):
        raise AssertionError("is checked again")

    monkeypatch.setattr("codonbench.records.store.decoded", refuse)
    assert lines(store.scan()) == lines(alone)
    assert list(store.scan()) == alone


def test_a_file_that_is_edited_by_hand_is_read_anew_whatever_its_size_and_date(store):
    before = list(store.scan())
    path = sorted(store.folder.glob("*.json"))[3]
    facts, text = path.stat(), path.read_text()
    path.write_text(re.sub(r'"seed": (\d)', lambda seed: f'"seed": {9 - int(seed[1])}', text))
    os.utime(path, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert path.stat().st_size == facts.st_size
    found = list(store.scan())
    assert isinstance(found[3], BadRecord)
    assert [*found[:3], *found[4:]] == [*before[:3], *before[4:]]
    assert found[3] == read_record(path)


def test_a_file_that_is_removed_or_added_is_gone_or_there(store):
    before = list(store.scan())
    first, second = sorted(store.folder.glob("*.json"))[:2]
    kept = first.read_bytes()
    first.unlink()
    assert list(store.scan()) == before[1:]
    first.write_bytes(kept)
    assert list(store.scan()) == before
    second.write_text("{}")
    assert isinstance(list(store.scan())[1], BadRecord)


@pytest.mark.parametrize("content", [None, b"", b"no database", "folder"])
def test_an_index_that_is_gone_or_damaged_is_done_without(store, tmp_path, content):
    before = list(store.scan())
    (file,) = index(tmp_path)
    file.unlink()
    if content == "folder":
        file.mkdir()
    elif content is not None:
        file.write_bytes(content)
    assert list(store.scan()) == before
    assert list(store.scan()) == before


BROKEN = [b"", b"{}", b"{", b'{"run_id": ', b"\xff", b"[" * 10_000]


@pytest.mark.parametrize("process", ["serves", "dies", "lies"])
def test_files_that_another_process_checks_are_held_to_the_same(store, monkeypatch, process):
    paths = sorted(store.folder.glob("*.json"))
    monkeypatch.setattr(known, "SHARED_OUT", 1)
    monkeypatch.setattr(known, "_SHARE", 1.0)
    monkeypatch.setattr(known, "_cores", lambda: 2)
    for path, content in zip(paths, BROKEN, strict=False):
        path.write_bytes(content)
    forged = paths[len(BROKEN)]
    forged.write_text(re.sub(r'"pairs": (\d)', r'"pairs": 1\1', forged.read_text()))
    twice = paths[len(BROKEN) + 1]
    twice.write_text(twice.read_text().replace("{", '{"pairs": 1,', 1))
    alone = [read_record(path) for path in paths]
    assert sum(isinstance(item, BadRecord) for item in alone) == len(BROKEN) + 2
    asked = []
    real = known.subprocess.Popen

    def popen(command, **settings):
        asked.append(command[3])
        say = {"serves": command[2:], "dies": ["-c", "exit(3)"], "lies": ["-c", "print('1 2 3')"]}
        return real([*command[:2], *say[process]], **settings)

    monkeypatch.setattr(known.subprocess, "Popen", popen)
    assert lines(store.scan()) == lines(alone)
    assert asked == ["codonbench.records.known"]
    assert lines(store.scan()) == lines(alone)


def test_a_file_that_changes_while_another_process_checks_it_is_checked_here(store, monkeypatch):
    monkeypatch.setattr(known, "SHARED_OUT", 1)
    monkeypatch.setattr(known, "_cores", lambda: 2)
    path = sorted(store.folder.glob("*.json"))[0]
    elsewhere = known.Known(store.folder, [path.name] * 4)
    assert elsewhere.is_checked(path.name, path.stat())
    elsewhere._second._taken[path.name] = "as it was", 1e9
    assert elsewhere.unsound() == [path.name]
    assert not elsewhere.is_checked(path.name, path.stat())
    elsewhere.close()


def test_a_damaged_record_is_never_taken_for_a_checked_one(store):
    path = sorted(store.folder.glob("*.json"))[2]
    content = json.loads(path.read_bytes())
    content["pairs"] += 1
    path.write_text(json.dumps(content))
    os.utime(path, (1e9, 1e9))
    reasons = [next(i for i in store.scan() if isinstance(i, BadRecord)).reason for _ in range(3)]
    assert len(set(reasons)) == 1
    assert "checksum" in reasons[0]


def test_what_was_written_a_moment_ago_is_checked_again(store, tmp_path):
    path = sorted(store.folder.glob("*.json"))[0]
    os.utime(path)
    list(store.scan())
    facts = path.stat()
    assert not known.Known(store.folder, NAMES).is_checked(path.name, facts)
    other = sorted(store.folder.glob("*.json"))[1]
    assert known.Known(store.folder, NAMES).is_checked(other.name, other.stat())


def test_validation_trusts_no_index(store, monkeypatch, tmp_path):
    path = sorted(store.folder.glob("*.json"))[0]
    content = json.loads(path.read_bytes())
    content["pairs"] += 1
    path.write_text(json.dumps(content))
    os.utime(path, (1e9, 1e9))
    forged = known.Known(store.folder, NAMES)
    forged.note(path.name, path.stat())
    forged.save()
    assert isinstance(next(iter(store.scan())), RunRecord)  # so much can who writes to the cache
    done = subprocess.run(
        [sys.executable, "-m", "codonbench.cli.main", "validate", str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "checksum" in done.stdout + done.stderr


def test_records_hold_what_they_share_once_and_nothing_of_their_own(store):
    records = [item for item in store.scan() if isinstance(item, RunRecord)]
    by_model = {}
    for record in records:
        told = (record.model, record.info.model_dump_json(exclude_unset=True))
        by_model.setdefault(told, []).append(record)
    rows = [row for row in by_model.values() if len(row) > 1]
    assert rows
    for first, second, *_ in rows:
        assert first.info is second.info
        assert first.run_id != second.run_id
        assert first.metrics is not second.metrics
    changed = records[0].model_copy(update={"pairs": 1})
    assert changed.model_dump(exclude={"pairs"}) == records[0].model_dump(exclude={"pairs"})
    fields = [record.model_fields_set for record in records]
    assert [r.model_fields_set for r in store.scan() if isinstance(r, RunRecord)] == fields


TWINS = [
    '{"a": 1, "a": 2}',
    '{"a" : 1, "a": 2}',
    '{"a"\n:1,"a":2}',
    '{"b": {"a": 1, "\\u0061": 2}}',
    '{"x\\\\": 1, "x\\\\": 2}',
    '{"q\\"": 1, "q\\"": 2}',
    '{"v": ": ", "a": 1, "a": 1}',
    '[{"a": 1}, {"a": 1, "a": 1}]',
]


@pytest.mark.parametrize("text", TWINS)
def test_a_key_that_is_given_twice_is_found_however_it_is_written(text):
    with pytest.raises(StoreError, match="twice"):
        decoded(text.encode())


@pytest.mark.parametrize("text", ['{"a": ": b", "b": "c\\": d"}', '{"\\\\": {"a" :1}, "a": [1]}'])
def test_keys_that_are_not_given_twice_are_let_through(text):
    assert decoded(text.encode()) == json.loads(text)


def test_a_folder_is_listed_once_however_many_runs_are_looked_for(store, monkeypatch):
    records = [item for item in store.scan() if isinstance(item, RunRecord)]
    calls = []
    real = os.scandir
    monkeypatch.setattr(os, "scandir", lambda *a: calls.append(a) or real(*a))
    for record in records:
        # A record of an older format has the name of the spec that it was written with.
        assert store.find(record.run_id, record.name) == record
        assert store.find("0" * 16, "no-s0-" + "0" * 16) is None
    assert len(calls) == 1


def test_a_record_that_another_process_stores_meanwhile_is_found(store):
    record = next(item for item in store.scan() if isinstance(item, RunRecord))
    path = store.folder / f"{record.name}.json"
    kept = path.read_bytes()
    path.unlink()
    assert store.find(record.run_id, record.name) is None
    path.write_bytes(kept)
    assert store.find(record.run_id, record.name) == record
    assert seals(json.loads(kept))[0] == record.run_id
