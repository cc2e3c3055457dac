"""What a person who waits sees: time left that does not jump, and warnings above the bar."""

import os
import pty
import re
import subprocess
import sys

import numpy as np
import pytest

from codonbench.cli import progress
from codonbench.cli.bars import TimeLeft
from codonbench.cli.progress import ClusterDisplay, RunDisplay
from codonbench.contracts.run_spec import RunRequest, configure
from codonbench.execution.run import Outcome


def shown(pairs_at, seconds, total, budget_seconds=None):
    """What is shown twice a second of a run that is heard of once a second."""
    left, times = TimeLeft(total, budget_seconds, 0.0), np.arange(0, seconds, 0.5)
    values = []
    for now in times:
        if now == int(now):
            left.update(int(pairs_at(now)), now)
        values.append(left.at(now))
    return times, values


def test_time_left_is_known_after_a_moment_and_comes_true():
    times, values = shown(lambda now: 1_000 * now, 60, 60_000)
    assert values[:4] == [None] * 4
    told = [(now, value) for now, value in zip(times, values, strict=True) if value is not None]
    assert times[-1] - told[0][0] > 50
    for now, value in told:
        assert value == pytest.approx(60 - now, abs=0.01)


def test_time_left_is_short_once_little_is_left():
    """A run that is compiled before its second look, and then all but done at the next."""
    left = TimeLeft(3_600, None, 0.0)
    for pairs, now in ((0, 0.0), (128, 6.0), (3_584, 53.0)):
        left.update(pairs, now)
    assert left.at(53.0) == pytest.approx(53 * 16 / 3_584, abs=0.7)


def test_what_comes_before_a_small_first_step_is_no_pace():
    """A run that waits ten seconds for its worker."""
    left = TimeLeft(4.0, None, 0.0)
    for done, now in ((0, 0.0), (0.01, 10.0), (0.06, 12.0)):
        left.update(done, now)
    assert left.at(12.0) is None  # too little to rest on
    left.update(0.26, 20.0)
    assert left.at(20.0) == pytest.approx(10 * 3.74 / 0.25)
    left = TimeLeft(4.0, None, 0.0)
    for done, now in ((0, 0.0), (0, 10.0), (0.5, 14.0)):  # its second look is a large step
        left.update(done, now)
    assert left.at(14.0) == pytest.approx(4 * 3.5 / 0.5)


def test_a_whole_run_is_a_pace_and_a_part_of_the_first_is_none():
    left, other = (TimeLeft(4.0, None, 0.0, small=1.0) for _ in range(2))
    for done, now in ((0, 0.0), (0.9, 30.0), (1.3, 34.0)):  # a cluster has come up
        left.update(done, now)
    assert left.at(34.0) == pytest.approx(4 * 2.7 / 0.4)
    for done, now in ((0, 0.0), (1, 30.0)):
        other.update(done, now)
    assert other.at(30.0) == 90.0


def test_time_left_does_not_jump_when_the_pace_changes():
    """A run that is looked at often at first: half as fast for ten seconds, and with pauses."""

    def pairs_at(now):
        steady = 500 * min(now, 10) + 1_000 * max(now - 10, 0)
        return steady - 3_000 * (30 < now < 33)

    times, values = shown(pairs_at, 100, 100_000)
    known = np.array([value for value in values if value is not None])
    steps = known[1:] - known[:-1] + 0.5  # but for the clock
    assert np.abs(steps).max() < 0.05 * known.max()
    assert values[-1] == pytest.approx(105 - times[-1], abs=3)


def test_a_budget_in_seconds_is_the_latest_end():
    times, values = shown(lambda now: 10 * now, 20, 10**9, budget_seconds=30)
    assert values[-1] == pytest.approx(30 - times[-1])


def test_without_a_terminal_lines_come_soon_and_then_less_often(toys, monkeypatch, capsys):
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    job = toys.job("mlp-64", pairs=100_000)
    with RunDisplay(job, lines=None, live=True) as display:
        follow = display.watch(job.run_specs[0])
        capsys.readouterr()
        for second in range(100):
            now[0] = float(second)
            follow(1_000 * second, lambda: f"validation loss {1 - now[0] / 100:.2f}")
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "seed 0   1,000 of 100,000 pairs, validation loss 0.99"
    assert lines[-1] == "seed 0   91,000 of 100,000 pairs, validation loss 0.09, ≤ 0:00:09 left"
    seconds = [int(line.split()[2].removesuffix(",000")) for line in lines]
    assert seconds == [1, 3, 7, 15, 31, 61, 91]


def test_as_long_as_runs_wait_there_is_a_time_left_for_all(toys, finished, monkeypatch, capsys):
    now, (record, _) = [0.0], finished
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    job = toys.job("mlp-64", seeds=(0, 1, 2, 3), pairs=10_000)
    one, two, three, four = job.run_specs

    def ended(run_spec, **how):
        mine = record.model_copy(update={"run_id": run_spec.run_id, "run_spec": run_spec})
        display.finished(Outcome(mine, **how))

    with RunDisplay(job, lines=None, live=True) as display:
        ended(four, reused=True)
        follow = display.watch(one)
        for now[0] in range(1, 36):
            follow(100 * now[0], str)
        lines = capsys.readouterr().err.splitlines()
        assert "left" not in lines[-5]  # no pace is known
        assert lines[-2] == "seed 0   1,500 of 10,000 pairs, ≤ 0:01:25 left"
        assert (
            lines[-1] == "seed 0   3,100 of 10,000 pairs, ≤ 0:01:09 left, ≤ 0:04:29 left for all 3"
        )
        ended(one, reused=False)  # early: it has done its share, and the others may do as well
        assert display._all.done == 10_000
        assert [task.description for task in display._progress.tasks] == ["all 3"]
        display.watch(two)
        assert display._all.some_wait
        display.watch(three)
        assert not display._all.some_wait
        assert [task.description for task in display._progress.tasks] == ["seed 1", "seed 2"]


def test_runs_on_a_cluster_share_a_bar_whose_time_left_is_by_those_that_were_made(
    toys, finished, monkeypatch, capsys
):
    now, (record, _) = [0.0], finished
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    asked = {"model": "mlp-64", "task": "dipeptide", "seeds": "0-3"}
    request = configure(RunRequest, asked, {}, "test")
    job = toys.job("mlp-64", seeds=request.seeds)
    with ClusterDisplay([request], lines=None) as display:
        display.planned(0, job)
        display.finished(job, Outcome(record, reused=True))
        (bar,) = display._progress.tasks

        def left():
            return bar.fields["left"].at(now[0])

        assert (bar.total, bar.completed, left()) == (4, 1, None)
        now[0] = 20.0
        display.finished(job, Outcome(record, reused=False))
        assert (bar.completed, left()) == (2, 40.0)
        assert "already recorded" in capsys.readouterr().err
        now[0] = 30.0
        display.moved(0.5)  # of one that is under way
        assert (bar.completed, left()) == (2.5, 30.0)
        assert "2.5 of 4 runs, 0:00:30 left" in capsys.readouterr().err
        now[0] = 30.5
        display.moved(0.6)
        assert not capsys.readouterr().err


WARNING_BESIDE_A_BAR = """
import os, sys, time, warnings
from rich.progress import Progress
from codonbench.cli.console import messages, terminal_kept

with terminal_kept(), Progress(console=messages(), refresh_per_second=50) as bar:
    task = bar.add_task("seed 0", total=10)
    for i in range(10):
        bar.advance(task)
        time.sleep(0.02)
        if i == 3:
            os.system("echo said by a worker >&2")
        if i == 6:
            warnings.warn("said here")
        time.sleep(0.02)
print("the end", file=sys.stderr)
"""


def test_what_plugins_and_workers_print_stands_above_the_bar():
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", WARNING_BESIDE_A_BAR],
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(theirs)
    seen = b""
    try:
        while part := os.read(ours, 65_536):
            seen += part
    except OSError:  # Linux says so at the end of a terminal
        pass
    assert run.wait() == 0
    os.close(ours)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    lines = [line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n")]
    assert "said by a worker" in lines
    assert any(line.endswith("UserWarning: said here") for line in lines)
    assert lines[-2:] == ["the end", ""]
    assert not [line for line in lines if "seed 0" in line and "said" in line]
