"""Kill -9, at random moments: nothing is lost, and every run ends as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts.run_record import RunRecord
from codonbench.records.store import Store

KILLS = 2
"""Of each victim, at least, one after another before it is left alone."""

SEEDS = (0, 1)

VICTIMS = [
    # model, engine, workers, and as many pairs as take a second or some
    ("mlp-64", "compiled", 0, 1_000_000),
    ("mlp-64", "eager", 0, 100_000),
    ("mlp-64", "traced", 1, 50_000),
    ("embedding10-relu", "traced", 0, 80_000),
    ("embedding10-relu", "eager", 1, 40_000),
    ("rnn-64", "compiled", 0, 250_000),
    ("rnn-64", "eager", 0, 5_000),
    ("gru-64", "traced", 2, 80_000),
    ("gru-64", "eager", 0, 25_000),
    ("lstm-64", "traced", 1, 60_000),
    ("lstm-64", "eager", 0, 25_000),
]
"""Five models, each at either end of the ladder: compiled where that takes seconds."""

ON_EACH_PUSH = (("rnn-64", "eager"),)
"""Those in workers, each a process to start, run nightly, as the others do, of them the compiled
ones; `tests/training/test_checkpoint.py` ends the parent of a worker on each push."""


class Victims:
    """A process that forks runs, so that they can be killed."""

    def __init__(self, process):
        self._process = process

    def start(self, folder, victim):
        model, engine, workers, pairs = victim
        request = {"model": model, "engine": engine, "pairs": pairs, "full": True, "seeds": SEEDS}
        asked = {"folder": str(folder), "request": request, "workers": workers}
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def ended(self):
        return int(self._process.stdout.readline())


@pytest.fixture(scope="module")
def victims(tmp_path_factory):
    script = Path(__file__).with_name("victims.py")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=tmp_path_factory.mktemp("victims"),
        text=True,
    )
    with process:  # which closes its pipes
        try:
            assert process.stdout.readline() == "ready\n"
            yield Victims(process)
        finally:
            process.kill()


def records(folder):
    """The sound records of a folder by seed, with trajectories; no other file may be there."""
    store = Store(folder)
    found = list(store.scan())
    assert all(isinstance(record, RunRecord) for record in found), found
    return {record.seed: (record, store.load_trajectory(record)) for record in found}


def lives(group):
    """Return whether a group of processes has not ended yet."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def first_checkpoint(folder, group):
    """Wait for a run's first checkpoint, or for its end; return how long it took."""
    started = time.monotonic()
    while lives(group) and not [*(folder / "checkpoints").glob("*.ckpt")]:
        time.sleep(0.005)
    return time.monotonic() - started


def assert_same(found, expected):
    """Hold that runs ended alike, to the bit, times aside."""
    assert found.keys() == expected.keys()
    for seed, (record, trajectory) in found.items():
        its_record, its_trajectory = expected[seed]
        assert record.status == "done", record.error
        # All but times and how many seeds shared a step: those left by a kill may be fewer.
        assert record.result() == its_record.result()
        assert record.weights_sha256 == its_record.weights_sha256
        assert np.array_equal(trajectory.pairs, its_trajectory.pairs)
        assert trajectory.outputs.tobytes() == its_trajectory.outputs.tobytes()


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, and kills groups of processes")
@pytest.mark.parametrize(
    "victim",
    [
        pytest.param(v, marks=[] if v[:2] in ON_EACH_PUSH else pytest.mark.nightly("one more"))
        for v in VICTIMS
    ],
    ids=lambda victim: "-".join(victim[:2]),
)
def test_no_kill_loses_or_changes_anything(victims, victim, tmp_path, record_property):
    chance = random.Random(VICTIMS.index(victim))
    if victim[1] == "compiled" and not (shutil.which("c++") or shutil.which("g++")):
        victim = (victim[0], "traced", *victim[2:])
    folders = (tmp_path / str(attempt) for attempt in count())

    whole = next(folders)
    started = time.monotonic()
    before_training = first_checkpoint(whole, victims.start(whole, victim))
    assert victims.ended() == 0
    lasts = time.monotonic() - started
    trains = lasts - before_training
    expected = records(whole)

    kills = went_on = 0
    while kills < KILLS or not went_on:  # again where none was killed at a moment of training
        cut = next(folders)
        for in_training in (True, False):  # it may be a small part of the time
            group = victims.start(cut, victim)
            if in_training:
                first_checkpoint(cut, group)
            time.sleep(chance.uniform(0, trains if in_training else lasts))
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            if victims.ended() != -signal.SIGKILL:  # runs are faster now than when they were timed
                trains, lasts = 0.8 * trains, 0.8 * lasts
                break
            kills += 1
            went_on += len([*(cut / "checkpoints").glob("*.ckpt")])
        victims.start(cut, victim)
        assert victims.ended() == 0
        assert_same(records(cut), expected)
        left = [*(cut / "checkpoints").rglob("*")]
        assert not left, left
    record_property("kill -9 at random moments", kills)
    record_property("runs that went on from a checkpoint", went_on)
    record_property("records lost or changed by a kill", 0)
