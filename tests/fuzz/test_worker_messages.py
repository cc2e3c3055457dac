"""What a hostile worker may send its parent: the parent goes on, and its records stay sound."""

import json
import os
import threading
from contextlib import suppress
from itertools import count

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from codonbench.contracts.run_record import RunRecord
from codonbench.errors import UsageError
from codonbench.execution import process
from codonbench.execution.pool import WorkerPool, launch_worker
from codonbench.execution.run import run_all
from codonbench.execution.worker import Reply, pack, unpack, unpack_to_worker
from codonbench.protocols import Evaluation
from codonbench.protocols.referee import Instructions, RefereeGroup, unwatched
from codonbench.records.store import Store, read_record

pytestmark = pytest.mark.usefixtures("forked_workers")

SEEDS = (0, 1)


class Overheard:
    """An honest worker, whose messages are noted on their way; as `launch` gives it."""

    def __init__(self, states, messages):
        self._process = launch_worker(states)
        self._messages = messages
        self.outgoing = self._process.outgoing
        self.incoming, self._ours = os.pipe()
        os.set_blocking(self.incoming, False)
        os.set_blocking(self._process.incoming, True)
        threading.Thread(target=self._pass_on, daemon=True).start()

    def _pass_on(self):
        try:
            inbox = process.Inbox(self._process.incoming)
            while True:
                header, body = inbox.wait()
                self._messages.append(process.framed(header, bytes(body)))
                process.send(self._ours, self._messages[-1])
        except (EOFError, OSError):
            os.close(self._ours)

    def __getattr__(self, name):
        return getattr(self._process, name)


class Scripted:
    """A worker that says what it was told to, whatever it is answered, and is gone."""

    def __init__(self, messages, states):
        self.exitcode, self.overuse = None, ""
        self._answered = threading.Semaphore(0)
        self.incoming, speaks = os.pipe()
        hears, self.outgoing = os.pipe()
        os.set_blocking(self.incoming, False)
        self._threads = [
            threading.Thread(target=self._speak, args=(speaks, messages, states), daemon=True),
            threading.Thread(target=self._listen, args=(hears,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def _speak(self, speaks, messages, states):
        try:
            for message in messages:
                for run in SEEDS:
                    self._leave(states / f"{run}.state")
                process.send(speaks, message)
                self._wait(message)
        except OSError:
            pass  # it was buried
        os.close(speaks)
        self.exitcode = 0

    def _wait(self, message):
        pass

    def _leave(self, file):
        file.write_bytes(b"a state")

    def _listen(self, hears):
        inbox = process.Inbox(hears)
        with suppress(EOFError, OSError):
            while True:
                inbox.wait()
                self._answered.release()
        self._answered.release()  # whoever waits yet is not answered any more
        os.close(hears)

    def join(self, timeout=None):
        pass

    terminate = join

    def kill(self):
        if self._threads:
            os.close(self.incoming)
            os.close(self.outgoing)
            for thread in self._threads:
                thread.join()
            self._threads.clear()


class Patient(Scripted):
    """One that waits to be answered, as an honest one does."""

    def _wait(self, message):
        if said(message).kind in ("hello", "ask", "kept"):
            self._answered.acquire(timeout=60)


class Hoarding(Patient):
    """One whose states are of 10 GiB, which would be read for many seconds."""

    def _leave(self, file):
        whole = file.with_suffix(".whole")  # the parent may look at any moment
        with whole.open("wb") as holes:
            holes.truncate(10 << 30)
        whole.replace(file)


def of(frame):
    """A frame's header and body."""
    header = int.from_bytes(frame[:4], "little")
    return frame[12 : 12 + header], memoryview(frame)[12 + header :]


def said(frame):
    return unpack(of(frame))


@pytest.fixture(scope="module")
def job(toys):
    return toys.job("mlp-64", seeds=SEEDS, pairs=400, full=True)


@pytest.fixture(scope="module")
def honest(job, toys, tmp_path_factory):
    """The messages of an honest worker that trains both seeds and keeps its progress."""
    messages = []
    folder = tmp_path_factory.mktemp("honest")
    with WorkerPool(
        1, states=folder / "states", launch=lambda states: Overheard(states, messages)
    ) as pool:
        store = Store(folder)
        outcomes = list(run_all(job, toys.registry(), store, unwatched, pool.train, every=1e-9))
    assert [outcome.record.status for outcome in outcomes] == ["done", "done"]
    assert {said(message).kind for message in messages} == {
        *("hello", "began", "ask", "kept", "ended", "served")
    }
    return tuple(messages)


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
            header, rest = of(message)
            try:
                facts = json.loads(header)
            except ValueError:
                continue
            text = json.dumps(draw(edited(facts))).encode()
            messages[i] = process.framed(text, bytes(rest))
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
    with WorkerPool(
        1, states=store.folder / "states", launch=lambda states: Scripted(next(scripts, ()), states)
    ) as pool:
        outcomes = list(run_all(job, toys.registry(), store, unwatched, pool.train, every=0.0))
    assert sorted(outcome.record.seed for outcome in outcomes) == list(SEEDS)
    for record in (outcome.record for outcome in outcomes):
        assert read_record(store.folder / f"{record.name}.json") == record
        trajectory = store.load_trajectory(record)
        assert (trajectory is None) == (record.trajectory_sha256 is None)
    assert all(isinstance(found, RunRecord) for found in store.scan())


@pytest.mark.parametrize(("worker", "kept"), [(Patient, True), (Hoarding, False)])
def test_large_states_are_kept_seldom_as_others_wait_for_the_disk(
    job, honest, toys, tmp_path, monkeypatch, worker, kept
):
    saved = []
    monkeypatch.setattr(RefereeGroup, "keep", lambda *words: saved.append(words))
    with WorkerPool(
        1, states=tmp_path / "states", launch=lambda states: worker(honest, states)
    ) as pool:
        list(run_all(job, toys.registry(), Store(tmp_path), unwatched, pool.train, every=0.0))
    assert bool(saved) == kept


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
        message = unpack(of(content))
        assert pack(unpack(of(pack(message)))) == pack(message)

    fuzz("messages of workers", drawn, read, (ValueError,), examples=100)


def test_instructions_read_back_equal(fuzz):
    columns = arrays.arrays("<i8", st.integers(0, 9), elements=st.integers(-1, 2**63 - 1))
    due = st.builds(
        Evaluation, position=st.integers(0, 2**62), split=st.just("test"), of_selected=st.booleans()
    )
    answers = st.lists(st.builds(Instructions, st.none() | due, st.booleans(), columns, columns))

    def holds(drawn):
        again = unpack_to_worker(of(pack(Reply(instructions=tuple(drawn))))).instructions
        for before, after in zip(drawn, again, strict=True):
            assert (before.evaluation, before.keep) == (after.evaluation, after.keep)
            assert np.array_equal(before.index, after.index)
            assert np.array_equal(before.targets, after.targets)
            assert after.index.dtype == after.targets.dtype == np.int64

    fuzz("instructions, there and back", answers, holds, (), examples=30)


LONG = "x" * 300_000


@pytest.mark.parametrize(
    "lie",
    [
        {"parameters": -1},
        {"parameters": 2**63},
        {"position": 2**70},
        {"evaluate_seconds": -1e308},
        {"evaluate_seconds": 1e308},
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
    (first, *_) = (i for i, m in enumerate(messages) if said(m).kind == "ended")
    facts = said(messages[first]).model_dump(mode="json") | lie
    messages[first] = process.framed(json.dumps({"message": facts, "arrays": []}).encode())
    assert_sound(job, toys, Store(tmp_path), messages)
