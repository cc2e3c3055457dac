"""Trajectories: damaged archives, pickles, arrays that claim to be huge, shapes that do not fit."""

import io
import json
import pickle
import struct
import tracemalloc
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codonbench.contracts.run_record import hash_trajectory
from codonbench.errors import PluginError, StoreError
from codonbench.records import store as store_module
from codonbench.records.store import Store
from codonbench.scoring.score import score

ARRAYS = ("first_seen", "test_counts", "frame_pairs", "frame_inputs")
MEMBERS = ("header", "pairs", "outputs", "test_outputs", *(f"array_{name}" for name in ARRAYS))
DTYPES = st.sampled_from(("<f4", ">f4", "<i8", "u1", "?", "<c16", "<U3", "S2", "<M8[s]", "<f2"))
SHAPES = arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4)
HUGE = st.sampled_from(((2**40,), (2**31, 2**31), (2**62, 4), (-1,), (2**63,), (10**30,)))


@pytest.fixture
def kept(tmp_path, finished):
    """A stored record, its trajectory, the trajectory's file, and its members."""
    record, trajectory = finished
    store = Store(tmp_path / "results")
    store.save(record, trajectory)
    path = store.trajectory_path(record)
    with zipfile.ZipFile(path) as file:
        members = {name: file.read(f"{name}.npy") for name in MEMBERS}
    return store, record, trajectory, path, members


def array(value):
    buffer = io.BytesIO()
    np.save(buffer, value, allow_pickle=False)
    return buffer.getvalue()


def claiming(shape, dtype):
    """The file of an array that claims a shape and holds next to nothing."""
    head = f"{{'descr': {dtype!r}, 'fortran_order': False, 'shape': {shape!r}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + bytes(64)


def archive(members, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(f"{name}.npy", content)
    return buffer.getvalue()


class Marked:
    """Leaves a mark where it is unpickled."""

    unpickled = 0

    def __reduce__(self):
        return (mark, ())


def mark():
    Marked.unpickled += 1
    return np.zeros(3)


def pickled(protocol):
    """The file of an array of objects, as numpy pickles it."""
    head = b"{'descr': '|O', 'fortran_order': False, 'shape': (3,), }\n"
    body = pickle.dumps(Marked(), protocol)
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + body


@pytest.fixture
def files(kept, damaged, edited):
    """Contents of trajectory files."""
    *_, path, members = kept
    whole = path.read_bytes()
    headers = edited(json.loads(members["header"][members["header"].index(b"\n") + 1 :])).map(
        lambda header: array(np.frombuffer(json.dumps(header).encode(), dtype=np.uint8))
    )
    other = st.one_of(
        headers,
        arrays.arrays(DTYPES, SHAPES).map(array),
        st.builds(claiming, HUGE, st.sampled_from(("<f4", "<U99999999", "|V2000000000", "|O"))),
        st.builds(claiming, st.just("(" * 3000), st.just("<f4")),
        st.integers(0, 5).map(pickled),
        st.sampled_from(MEMBERS).flatmap(lambda name: damaged(members[name])),
        st.sampled_from(MEMBERS).map(members.get),
        st.binary(max_size=60),
    )
    swapped = st.dictionaries(st.sampled_from(MEMBERS), other, min_size=1, max_size=3).map(
        lambda drawn: archive(members | drawn)
    )
    fewer = st.sets(st.sampled_from(MEMBERS)).map(
        lambda names: archive({name: members[name] for name in names})
    )
    return st.one_of(damaged(whole), swapped, fewer, st.binary(max_size=100), st.just(b"PK"))


def test_any_file_is_the_trajectory_of_its_record_or_is_refused(fuzz, files, kept):
    store, record, trajectory, path, _ = kept

    def read(content):
        path.write_bytes(content)
        assert hash_trajectory(store.load_trajectory(record)) == hash_trajectory(trajectory)

    fuzz("trajectories", files, read, (StoreError,), examples=80)
    assert Marked.unpickled == 0


def test_a_forged_trajectory_that_its_forged_record_vouches_for_can_be_scored(
    fuzz, files, kept, toys, monkeypatch
):
    """As by somebody who seals both: what is no trajectory in its shapes is refused even so."""
    store, record, _, path, _ = kept
    metrics = [entry.metric for entry in toys.installed.metrics.values()]

    def read(content):
        path.write_bytes(content)
        with monkeypatch.context() as patch:
            patch.setattr(
                store_module, "hash_trajectory", lambda trajectory: record.trajectory_sha256
            )
            trajectory = store.load_trajectory(record)
        hash_trajectory(trajectory)
        score(trajectory, metrics)

    fuzz("forged trajectories", files, read, (StoreError, PluginError), examples=80)
    assert Marked.unpickled == 0


def test_a_zip_bomb_is_refused_before_it_fills_the_memory(kept, monkeypatch):
    store, record, _, path, members = kept
    path.write_bytes(archive(members | {"outputs": array(np.zeros(1 << 25, dtype=np.float32))}))
    assert path.stat().st_size < 1 << 20
    monkeypatch.setattr(store_module, "_MOST", 1 << 26)
    tracemalloc.start()
    try:
        with pytest.raises(StoreError, match="unpacked"):
            store.load_trajectory(record)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 1 << 24


def test_a_pickle_is_refused_and_not_loaded(kept):
    store, record, _, path, members = kept
    path.write_bytes(archive(members | {"outputs": pickled(2)}))
    with pytest.raises(StoreError, match="cannot be read"):
        store.load_trajectory(record)
    path.write_bytes(pickle.dumps(Marked()))
    with pytest.raises(StoreError, match="cannot be read"):
        store.load_trajectory(record)
    assert Marked.unpickled == 0


def test_what_is_written_reads_back_equal(fuzz, kept):
    store, record, trajectory, _, _ = kept
    n_inputs, n_classes = len(trajectory.task.evaluation.inputs), len(trajectory.task.target.names)
    positions = st.lists(st.integers(0, trajectory.facts.pairs), max_size=5, unique=True).map(
        sorted
    )
    drawn = positions.flatmap(
        lambda pairs: st.tuples(
            arrays.arrays("<f4", (len(pairs), n_inputs, n_classes)),
            st.just(np.array(pairs, dtype=np.int64)),
        )
    )

    def holds(drawn):
        outputs, pairs = drawn
        made = replace(trajectory, outputs=outputs, pairs=pairs)
        its = record.model_copy(update={"trajectory_sha256": hash_trajectory(made)})
        store.save(its, made)
        again = store.load_trajectory(its)
        assert again.outputs.tobytes() == outputs.tobytes()
        assert np.array_equal(again.pairs, pairs)
        assert hash_trajectory(again) == its.trajectory_sha256

    fuzz("trajectories, there and back", drawn, holds, (), examples=20)
