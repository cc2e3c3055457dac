"""Checkpoints: damaged, or forged and sealed. A run goes on from none that does not fit."""

import hashlib
import io

import numpy as np
import pytest
import torch
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codonbench.records.unfinished import Checkpoints, Progress
from codonbench.training.state import read_state

ORIGIN = "o" * 64
STATE = hashlib.sha256(b"a state").digest()
NAMES = ("position", "pairs", "outputs", "seconds", "resumed", "state")
FACTS = {"name": "eager", "version": "1", "rows": 0}

PROGRESS = st.integers(1, 5).flatmap(
    lambda t: st.builds(
        Progress,
        position=st.integers(0, 2**62),
        pairs=arrays.arrays("<i8", (t,)),
        outputs=arrays.arrays("<f4", (t, 4, 3)),
        seconds=st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)),
        resumed=st.lists(st.integers(0, 2**62), max_size=3).map(tuple),
    )
)


@pytest.fixture(scope="module")
def run_spec(toys):
    return toys.job("mlp-64", pairs=3_000).run_specs[0]


@pytest.fixture
def kept(tmp_path, run_spec):
    """A folder of checkpoints, where the spec's lies, and what is said."""
    said = []
    checkpoints = Checkpoints(tmp_path, ORIGIN, 1.0, said.append)
    path = tmp_path / "checkpoints" / f"{run_spec.run_id}.ckpt"
    path.parent.mkdir()
    (path.parent / f"{run_spec.run_id}-{STATE.hex()[:16]}.state").write_bytes(b"a state")
    return checkpoints, path, said


def sealed(run_spec, content):
    """A content with the seal that a careful forger would give it."""
    return hashlib.sha256(f"{run_spec.run_id}\0{ORIGIN}\0".encode() + content).digest() + content


def archive(**members):
    buffer = io.BytesIO()
    np.savez(buffer, **members)
    return buffer.getvalue()


def test_any_file_is_a_checkpoint_or_is_set_aside(fuzz, damaged, kept, run_spec):
    checkpoints, path, said = kept
    fitting = {
        "position": np.int64(3),
        "pairs": np.arange(2),
        "outputs": np.zeros((2, 4, 3), dtype=np.float32),
        "seconds": np.ones(2),
        "resumed": np.array([1]),
        "state": np.frombuffer(STATE, dtype=np.uint8),
    }
    whole = archive(**fitting)
    other = arrays.arrays(
        st.sampled_from(("<f4", "<i8", "u1", "<U3", "<c16")),
        arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
    )
    forged = st.one_of(
        damaged(whole),
        st.dictionaries(st.sampled_from(NAMES), other).map(
            lambda drawn: archive(**(fitting | drawn))
        ),
        st.sets(st.sampled_from(NAMES)).map(
            lambda names: archive(**{name: fitting[name] for name in names})
        ),
        st.binary(max_size=60),
    ).map(lambda content: sealed(run_spec, content))

    def read(content):
        path.write_bytes(content)
        told = len(said)
        progress = checkpoints.load(run_spec)
        if progress is None:
            assert not path.exists()
            assert len(said) == told + 1
            raise ValueError(said[-1])
        assert progress.outputs.ndim == 3
        assert len(progress.pairs) == len(progress.outputs)
        assert len(progress.seconds) == 2

    whole_file = sealed(run_spec, whole)
    fuzz("checkpoints", forged | damaged(whole_file), read, (ValueError,), examples=80)


def test_what_is_written_reads_back_equal(fuzz, kept, run_spec):
    checkpoints, _, said = kept

    def holds(drawn):
        progress, state = drawn
        checkpoints.save(run_spec, progress, lambda path: path.write_bytes(state))
        again = checkpoints.load(run_spec)
        assert again.position == progress.position
        assert again.pairs.tobytes() == progress.pairs.tobytes()
        assert again.outputs.tobytes() == progress.outputs.tobytes()
        assert (again.seconds, again.state.read_bytes()) == (progress.seconds, state)
        assert again.resumed == progress.resumed
        goes_on = f"seed 0 goes on from position {again.position:,}"
        assert said == [goes_on] if again.position else "begins anew" in said[0]
        said.clear()

    fuzz(
        "checkpoints, there and back",
        st.tuples(PROGRESS, st.binary(max_size=99)),
        holds,
        (),
        examples=30,
    )


def test_a_state_that_is_damaged_or_lost_is_gone_on_from_by_no_run(kept, run_spec):
    checkpoints, path, said = kept
    pairs, outputs = np.arange(2), np.zeros((2, 4, 3), dtype=np.float32)
    for spoil in (lambda state: state.write_bytes(b"another"), lambda state: state.unlink()):
        progress = Progress(3, pairs, outputs, (1.0, 2.0))
        checkpoints.save(run_spec, progress, lambda path: path.write_bytes(bytes(1 << 20)))
        (state,) = path.parent.glob("*.state")
        assert checkpoints.load(run_spec).state == state
        spoil(state)
        assert checkpoints.load(run_spec) is None
        assert state.name in said[-1]
        assert not path.exists()


def test_any_state_is_a_learners_or_is_none(fuzz, damaged, tmp_path):
    file = tmp_path / "state"
    state = {"facts": FACTS, "module": {"weight": torch.ones(3, 2)}, "rest": [1, 2.0, "a"]}
    torch.save(state, file)
    assert read_state(file, FACTS)["rest"] == [1, 2.0, "a"]
    whole = file.read_bytes()

    def read(content):
        file.write_bytes(content)
        state = read_state(file, FACTS)
        if state is None:
            raise ValueError("no state")
        assert state["facts"]["name"] == FACTS["name"]

    fuzz("states of engines", damaged(whole) | st.binary(max_size=60), read, (ValueError,), 40)
