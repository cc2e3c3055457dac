"""What a hostile worker may send its parent: the parent goes on, and its records stay sound."""

import json
import os
import socket
import threading
from contextlib import suppress
from itertools import count
from multiprocessing import Pipe
from multiprocessing.connection import Connection

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import UsageError
from codonbench.execution.in_process import unwatched
from codonbench.execution.messages import pack, pack_directions, unpack, unpack_directions
from codonbench.execution.pool import Crew
from codonbench.execution.processes import start
from codonbench.execution.run_all import run_all
from codonbench.execution.worker import serve
from codonbench.records.store import Store, read_record
from codonbench.training.feed import Directions

SEEDS = (0, 1)


class Overheard:
    """An honest worker, whose messages are noted on their way."""

    def __init__(self):
        self.messages = []

    def start(self, theirs):
        parent, (ours, worker) = _dup(theirs), Pipe()
        process = start(serve, (worker,))
        worker.close()
        threading.Thread(target=self._pass_on, args=(ours, parent, True), daemon=True).start()
        threading.Thread(target=self._pass_on, args=(parent, ours, False), daemon=True).start()
        return process

    def _pass_on(self, source, target, noted):
        try:
            while True:
                message = source.recv_bytes()
                if noted:
                    self.messages.append(message)
                target.send_bytes(message)
        except (EOFError, OSError):
            _hang_up(target)


class Scripted:
    """A worker that says what it was told to, whatever it is answered, and is gone."""

    def __init__(self, messages):
        self._messages = messages
        self.exitcode = None

    def start(self, theirs):
        mine = _dup(theirs)
        threading.Thread(target=self._speak, args=(mine,), daemon=True).start()
        threading.Thread(target=self._listen, args=(mine,), daemon=True).start()
        return self

    def _speak(self, mine):
        try:
            for message in self._messages:
                mine.send_bytes(message)
            _hang_up(mine)
        except OSError:
            pass  # it was buried
        self.exitcode = 0

    def _listen(self, mine):
        try:
            while True:
                mine.recv_bytes()
        except (EOFError, OSError):
            pass

    def join(self, timeout=None):
        pass

    terminate = kill = join


def _dup(connection):
    return Connection(os.dup(connection.fileno()))


def _hang_up(connection):
    """Say no more; what the other end says is still heard."""
    with socket.socket(fileno=os.dup(connection.fileno())) as end, suppress(OSError):
        end.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def job(toys):
    return toys.job("mlp-64", seeds=SEEDS, pairs=400, full=True)


@pytest.fixture(scope="module")
def honest(job, toys, tmp_path_factory):
    """The messages of an honest worker that trains both seeds and keeps its progress."""
    overheard = Overheard()
    store = Store(tmp_path_factory.mktemp("honest"))
    crew = Crew(1, start=overheard.start)
    outcomes = list(run_all(job, toys.registry(), store, unwatched, crew.learn, every=0.0))
    assert [outcome.record.status for outcome in outcomes] == ["done", "done"]
    kinds = {unpack(message)[0].kind for message in overheard.messages}
    assert kinds == {"hello", "began", "ask", "kept", "ended"}
    return tuple(overheard.messages)


@st.composite
def conversations(draw, honest, edited, damaged):
    """An honest conversation with messages edited, damaged, dropped, repeated, or out of turn."""
    messages = list(honest)
    for _ in range(draw(st.integers(1, 3))):
        i = draw(st.integers(0, len(messages) - 1)) if messages else 0
        i = draw(st.sampled_from((i, 0, len(messages) - 1, len(messages) - 2))) % max(
            len(messages), 1
        )
        message = messages[i] if messages else b""
        how = draw(
            st.sampled_from(("edit", "edit", "edit", "damage", "drop", "repeat", "move", "cut"))
        )
        if how == "edit" and message:
            try:
                said, rest = unpack(message)
            except ValueError:
                continue
            text = json.dumps(draw(edited(said.model_dump(mode="json")))).encode()
            messages[i] = len(text).to_bytes(4, "little") + text + rest
        elif how == "damage" and message:
            messages[i] = draw(damaged(message))
        elif how == "drop":
            del messages[i : i + 1]
        elif how == "repeat":
            messages[i:i] = [message]
        elif how == "move":
            del messages[i : i + 1]
            messages.insert(draw(st.integers(0, len(messages))), message)
        else:
            del messages[i:]
    return messages


def assert_sound(job, toys, store, messages):
    """Run a job whose worker says this; hold that each run has a record that reads back equal."""
    scripts = iter([messages])
    crew = Crew(1, start=lambda theirs: Scripted(next(scripts, ())).start(theirs))
    outcomes = list(run_all(job, toys.registry(), store, unwatched, crew.learn, every=0.0))
    assert sorted(outcome.record.seed for outcome in outcomes) == list(SEEDS)
    for record in (outcome.record for outcome in outcomes):
        assert read_record(store.folder / f"{record.name}.json") == record
        trajectory = store.load_trajectory(record)
        assert (trajectory is None) == (record.trajectory_sha256 is None)
    assert all(isinstance(found, RunRecord) for found in store.scan())


def test_whatever_a_worker_says_each_run_ends_in_a_sound_record(
    fuzz, job, honest, toys, edited, damaged, tmp_path, monkeypatch
):
    monkeypatch.setattr("os.fsync", lambda handle: None)
    numbers = count()

    def run(messages):
        assert_sound(job, toys, Store(tmp_path / str(next(numbers))), messages)

    drawn = conversations(honest, edited, damaged)
    fuzz("conversations of workers", drawn, run, (UsageError,), examples=100)


def test_any_bytes_are_a_message_or_are_refused(fuzz, honest, edited, damaged):
    drawn = st.sampled_from(honest).flatmap(damaged) | st.binary(max_size=60)

    def read(content):
        message, rest = unpack(content)
        assert unpack(pack(message, rest)) == (message, rest)

    fuzz("messages of workers", drawn, read, (ValueError,), examples=100)


def test_directions_read_back_equal(fuzz):
    columns = st.integers(0, 9).flatmap(
        lambda n: st.tuples(
            *(arrays.arrays("<i8", (n,), elements=st.integers(0, 2**31 - 1)) for _ in "il")
        )
    )
    answers = st.lists(st.tuples(st.none() | st.integers(0, 2**62), columns), max_size=3)

    def holds(drawn):
        directions = [Directions(probe, *pair) for probe, pair in drawn]
        again = unpack_directions(pack_directions(directions))
        for one, other in zip(again, directions, strict=True):
            assert one.probe == other.probe
            assert np.array_equal(one.index, other.index)
            assert np.array_equal(one.labels, other.labels)

    fuzz("directions, there and back", answers, holds, (), examples=30)


LONG = "x" * 300_000


@pytest.mark.parametrize(
    "lie",
    [
        {"parameters": -1},
        {"parameters": 2**63},
        {"position": 2**70},
        {"probe_seconds": -1e308},
        {"probe_seconds": 1e308},
        {"error": LONG, "status": "error"},
        {"weights_sha256": LONG},
        {"engine": {"name": LONG, "version": "1"}},
        {"engine": {"name": "traced", "version": "1", "rows": 2**70}},
        {"engine": {"name": "traced", "version": "1", "reason": "\x1b[2J" * 9000}},
    ],
    ids=str,
)
def test_a_lie_about_a_runs_end_costs_that_run_and_no_other(job, honest, toys, tmp_path, lie):
    messages = list(honest)
    (first, *_) = (i for i, m in enumerate(messages) if unpack(m)[0].kind == "ended")
    said = unpack(messages[first])[0].model_dump(mode="json") | lie
    text = json.dumps(said).encode()
    messages[first] = len(text).to_bytes(4, "little") + text
    assert_sound(job, toys, Store(tmp_path), messages)
