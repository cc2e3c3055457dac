"""What a run costs more on a cluster than here, and how runs share two workers.

    python benchmarks/cluster.py [--runs 200] [--long 24]

Short runs, some milliseconds each, are made here by one worker process and on a Ray cluster of this
machine; the clock begins with the first that ends, so that what starts up is told apart. Long runs,
a second or so each, are made on the cluster one at a time and two at a time. Processor time is that
of all processes, Ray's own among them: on a machine that is shared with other work it says what the
clock does not. Prints Markdown.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from codonbench.contracts.run_spec import RunOptions, RunRequest
from codonbench.execution.cluster import Cluster, Resources
from codonbench.execution.cluster_runs import ClusterRuns
from codonbench.execution.executor import Executor, Listener, load_plugins
from codonbench.execution.run import Outcome

TICK = os.sysconf("SC_CLK_TCK")


def processor_seconds() -> float:
    """Return the processor time of this process and all that it has started, ended ones too."""
    children: dict[int, list[int]] = {}
    spent: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            words = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        pid = int(path.parent.name)
        children.setdefault(int(words[1]), []).append(pid)
        spent[pid] = sum(map(int, words[11:15])) / TICK
    total, waiting = 0.0, [os.getpid()]
    while waiting:
        pid = waiting.pop()
        total += spent.get(pid, 0.0)
        waiting += children.get(pid, [])
    return total


@dataclass
class Taken:
    """What runs took after the first of them had ended, a run: seconds, and of a processor."""

    first: float
    wall: float
    cpu: float


def timed(outcomes: Iterable[object], many: int) -> Taken:
    """Make runs; return what they took."""
    begun = time.perf_counter()
    first = cpu = 0.0
    seen = 0
    for outcome in outcomes:
        found = outcome[1] if isinstance(outcome, tuple) else outcome
        if not isinstance(found, Outcome) or found.record.status != "done":
            raise SystemExit(f"a run failed: {found}")
        seen += 1
        if seen == 1:
            first, cpu = time.perf_counter(), processor_seconds()
    if seen != many:
        raise SystemExit(f"{seen} of {many} runs")
    end, left = time.perf_counter(), many - 1
    return Taken(first - begun, (end - first) / left, (processor_seconds() - cpu) / left)


def request(many: int, **asked: object) -> RunRequest:
    """Return a request for so many runs."""
    return RunRequest.model_validate({"seeds": tuple(range(many)), "device": "cpu", **asked})


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--long", type=int, default=24)
    asked = parser.parse_args()
    load = os.getloadavg()[0]
    with TemporaryDirectory() as name:
        folder = Path(name)
        short = request(asked.runs, model="mlp-64", pairs=64, engine="eager")
        here = RunOptions(results=folder / "here", workers=1)
        with Executor(here, short, load_plugins) as executor:
            job = executor.prepare(short)
            local = timed(executor.outcomes(job, short), asked.runs)
        there = RunOptions(results=folder / "there", on="ray")
        begun = time.perf_counter()
        with Cluster("ray") as cluster, Executor(there, short, load_plugins) as executor:
            start = time.perf_counter() - begun
            runs = ClusterRuns(cluster, executor, there, Resources(cpus=2), Listener())
            remote = timed(runs.outcomes([short]), asked.runs)
            warm = there.model_copy(update={"results": folder / "warm", "workers": 2})
            some = request(6, model="mlp-64", pairs=64, engine="eager")
            runs = ClusterRuns(cluster, executor, warm, Resources(), Listener())
            timed(runs.outcomes([some]), 6)  # until two processes of the node are up
            scaled = []
            for workers in (1, 2):
                options = there.model_copy(
                    update={"results": folder / f"long-{workers}", "workers": workers}
                )
                long = request(asked.long, model="mlp-64", pairs=25_600, full=True, engine="eager")
                runs = ClusterRuns(cluster, executor, options, Resources(), Listener())
                scaled.append(timed(runs.outcomes([long]), asked.long))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load", end=" ")
    print(f"{load:.1f} as it began and {os.getloadavg()[0]:.1f} as it ended.\n")
    print(f"{asked.runs} short runs (`mlp-64`, one batch, two evaluations), one at a time:\n")
    print("| | until the first ends, s | a run, ms | a run, ms of a processor |")
    print("|---|---:|---:|---:|")
    for what, taken in (("here, one worker process", local), ("on the cluster", remote)):
        print(f"| {what} | {taken.first:.1f} | {1e3 * taken.wall:.1f} | {1e3 * taken.cpu:.1f} |")
    more = [1e3 * (remote.wall - local.wall), 1e3 * (remote.cpu - local.cpu)]
    print(f"| more | | {more[0]:.1f} | {more[1]:.1f} |\n")
    print(f"The cluster took {start:.1f} s to start.\n")
    one, two = scaled
    print(f"{asked.long} runs of 25,600 pairs (`mlp-64`, the plain loop):\n")
    print("| workers | a run, s | a run, s of a processor | times as fast |")
    print("|---|---:|---:|---:|")
    print(f"| 1 | {one.wall:.2f} | {one.cpu:.2f} | 1 |")
    print(f"| 2 | {two.wall:.2f} | {two.cpu:.2f} | {one.wall / two.wall:.2f} |")


if __name__ == "__main__":
    main()
