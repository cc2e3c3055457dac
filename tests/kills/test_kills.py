"""Kill -9, at random moments: nothing is lost, and every run ends as if nothing had happened."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from codonbench.records import RunRecord
from codonbench.store import Store

KILLS = 20
"""In all: at least two for each of the victims."""

SEEDS = (0, 1)

VICTIMS = [
    # model, engine, workers, and as many pairs as take some seconds
    ("mlp-64", "compiled", 0, 1_000_000),
    ("mlp-64", "eager", 0, 100_000),
    ("embedding10-relu", "traced", 0, 80_000),
    ("embedding10-relu", "eager", 1, 40_000),
    ("rnn-64", "compiled", 0, 250_000),
    ("rnn-64", "eager", 0, 40_000),
    ("gru-64", "traced", 2, 80_000),
    ("gru-64", "eager", 0, 25_000),
    ("lstm-64", "traced", 1, 60_000),
    ("lstm-64", "eager", 0, 25_000),
]
"""Five models, each at either end of the ladder: compiled where that takes seconds."""

IN_A_ROW = 2
"""Kills of one run, before it is left alone."""


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


@contextmanager
def victims_in(folder):
    script = Path(__file__).with_name("victims.py")
    process = subprocess.Popen(
        [sys.executable, str(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=folder,
        text=True,
    )
    with process:  # which closes its pipes
        try:
            assert process.stdout.readline() == "ready\n"
            yield Victims(process)
        finally:
            process.kill()


def records(folder):
    """The sound records of a folder by seed, with their traces; no other file may be there."""
    store = Store(folder)
    found = list(store.scan())
    assert all(isinstance(record, RunRecord) for record in found), found
    return {record.seed: (record, store.load_trace(record)) for record in found}


def first_checkpoint(folder, started):
    """Wait for the first checkpoint of a run; return how long it took."""
    while time.monotonic() - started < 120:
        if [*(folder / "checkpoints").glob("*.ckpt")]:
            return time.monotonic() - started
        time.sleep(0.005)
    raise AssertionError(f"no checkpoint in {folder}")


def was_killed(victims, folder, victim, moment):
    """Kill a run at a moment; return whether it was still under way."""
    group = victims.start(folder, victim)
    time.sleep(moment)
    with suppress(ProcessLookupError):
        os.killpg(group, signal.SIGKILL)
    return victims.ended() == -signal.SIGKILL


def assert_same(found, expected):
    """Hold that runs ended alike, to the bit, times aside."""
    assert found.keys() == expected.keys()
    for seed, (record, trace) in found.items():
        its_record, its_trace = expected[seed]
        assert record.status == "done", record.error
        # All but times and how many seeds shared a step: those left by a kill may be fewer.
        assert record.result() == its_record.result()
        assert record.weights_sha256 == its_record.weights_sha256
        assert np.array_equal(trace.pairs, its_trace.pairs)
        assert trace.logits.tobytes() == its_trace.logits.tobytes()


@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks, and kills groups of processes")
def test_no_kill_loses_or_changes_anything(tmp_path, record_property):
    chance = random.Random(20)
    compiler = shutil.which("c++") or shutil.which("g++")
    kills = went_on = 0
    with victims_in(tmp_path) as victims:
        for number, victim in enumerate(VICTIMS):
            if victim[1] == "compiled" and compiler is None:
                victim = (victim[0], "traced", *victim[2:])
            folders = (tmp_path / f"{number}-{attempt}" for attempt in count())
            whole = next(folders)
            started = time.monotonic()
            victims.start(whole, victim)
            trains = first_checkpoint(whole, started)
            assert victims.ended() == 0
            lasts = time.monotonic() - started
            expected = records(whole)
            while kills * len(VICTIMS) < KILLS * (number + 1):
                cut = next(folders)
                for _ in range(IN_A_ROW):
                    # Every other one while it trains, which may be a small part of the time.
                    moment = chance.uniform(trains if kills % 2 else 0, lasts)
                    if not was_killed(victims, cut, victim, moment):
                        # It was over already: runs are faster now than when they were timed.
                        trains, lasts = 0.8 * trains, 0.8 * lasts
                        break
                    kills += 1
                    went_on += len([*(cut / "checkpoints").glob("*.ckpt")])
                victims.start(cut, victim)
                assert victims.ended() == 0
                assert_same(records(cut), expected)
                assert not [*(cut / "checkpoints").glob("*")]
    assert kills >= KILLS
    assert went_on >= KILLS / 2  # else the moments were no moments of training
    record_property("kill -9 at random moments", kills)
    record_property("runs that went on from a checkpoint", went_on)
    record_property("records lost or changed by a kill", 0)
