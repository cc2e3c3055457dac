"""Checkpoints at an address: where one machine is lost, another one goes on."""

import numpy as np
import pytest

from codonbench.errors import ConfigError
from codonbench.records.remote import RemoteCheckpoints, checkpoints_at
from codonbench.records.unfinished import Checkpoints, Progress
from samples import machine

fsspec = pytest.importorskip("fsspec")

PROGRESS = Progress(
    position=640,
    pairs=np.array([0, 320]),
    outputs=np.zeros((2, 3, 4), dtype=np.float32),
    seconds=(0.5, 2.0),
    resumed=(320,),
)


@pytest.fixture
def run_spec(finished):
    return finished[0].run_spec


@pytest.fixture(params=["memory", "file"])
def address(request, tmp_path):
    if request.param == "file":
        return f"file://{tmp_path / 'there'}"
    return f"memory://{tmp_path.name}"


def at(address, here, said=None, on="code"):
    say = (lambda sentence: None) if said is None else said.append
    return checkpoints_at(address, here, on, 0.05, say).on(machine())


def state(content):
    return lambda path: path.write_bytes(content)


def test_another_machine_goes_on_from_what_was_put_there(address, tmp_path, run_spec):
    at(address, tmp_path / "one").save(run_spec, PROGRESS, state(b"weights"))
    said = []
    found = at(address, tmp_path / "other", said).load(run_spec)
    assert (found.position, found.resumed, found.seconds) == (640, (320,), (0.5, 2.0))
    assert found.state.read_bytes() == b"weights"
    assert found.state.is_relative_to(tmp_path / "other")
    np.testing.assert_array_equal(found.pairs, PROGRESS.pairs)
    assert said == [f"seed {run_spec.seed} goes on from position 640"]


def test_the_latest_takes_the_place_of_the_one_before_and_goes_with_the_run(
    address, tmp_path, run_spec
):
    ours = at(address, tmp_path / "one")
    for content in (b"first", b"second", b"third"):
        ours.save(run_spec, PROGRESS, state(content))
    files, root = fsspec.core.url_to_fs(address)
    assert len(files.glob(f"{root}/checkpoints/*")) == 2
    assert at(address, tmp_path / "other").load(run_spec).state.read_bytes() == b"third"
    at(address, tmp_path / "driver").drop(run_spec)
    assert not files.glob(f"{root}/checkpoints/*")
    assert at(address, tmp_path / "last").load(run_spec) is None


def test_what_other_code_or_another_kind_of_machine_has_left_does_not_fit(
    address, tmp_path, run_spec
):
    at(address, tmp_path / "one").save(run_spec, PROGRESS, state(b"weights"))
    said = []
    assert at(address, tmp_path / "other", said, on="other code").load(run_spec) is None
    assert "other code or another machine" in said[0]


def test_a_state_that_is_damaged_on_its_way_is_not_gone_on_from(address, tmp_path, run_spec):
    at(address, tmp_path / "one").save(run_spec, PROGRESS, state(b"weights"))
    files, root = fsspec.core.url_to_fs(address)
    (path,) = files.glob(f"{root}/checkpoints/*.state")
    files.pipe_file(path, b"wrights")
    said = []
    assert at(address, tmp_path / "other", said).load(run_spec) is None
    assert "damaged" in said[0]


def test_a_store_that_cannot_be_written_is_said_once_and_the_run_goes_on(
    address, tmp_path, run_spec, monkeypatch
):
    said = []
    ours = at(address, tmp_path / "one", said)

    def refuse(*given, **named):
        raise PermissionError("no key")

    monkeypatch.setattr(type(ours._there), "put_file", refuse)
    ours.save(run_spec, PROGRESS, state(b"weights"))
    ours.save(run_spec, PROGRESS, state(b"weights"))
    assert len(said) == 1
    assert "no more checkpoints" in said[0]
    assert "no key" in said[0]


def test_a_folder_is_a_folder_and_an_address_that_nothing_reads_is_named(tmp_path):
    assert type(checkpoints_at(str(tmp_path), tmp_path, "", None, print)) is Checkpoints
    assert type(checkpoints_at(None, tmp_path, "", None, print)) is Checkpoints
    with pytest.raises(ConfigError, match="gopher"):
        RemoteCheckpoints("gopher://there", tmp_path, "", None, print)
