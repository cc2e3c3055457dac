"""What a training step costs: our engines, bare and clean loops, a paper-like script, and peers.

    python benchmarks/engine.py [--models mlp-64,lstm-64] [--against clean,paper] [--steps 300]
    python benchmarks/engine.py --against lightning,jax,jax-mapped,jax-counted
    python benchmarks/engine.py --check
    python benchmarks/engine.py --commands [--models mlp-64,lstm-64] [--seeds 0-9]

Lightning and JAX are left out unless asked for: ``pip install -c constraints.txt -r
benchmarks/requirements.txt``. Who does what is in `contenders`, one file each; who is set against
whom, and the goals, in its `pairs.py`.

Each pair is measured in a process of its own, held to one core and one thread, its two sides in
turn, five times. Every time, both begin at the same weights, are shown the same pairs and pass a
warm-up of 128 steps that is not counted. Times are CPU time of the process
(`time.process_time`), which other load on the machine distorts less than it does wall time,
though shared caches and clocks still tell: wall time, given below each table as a multiple of CPU
time, should be 1.0 of it. Tables give medians, the median of the five ratios, and the range of
those. Goals with a star are for an engine with a compiler.

Ours is the whole loop as `bench run` drives it, batches counted and bookkeeping done, its probes
left out (but where they are what is measured) save the two that hold the stopwatch: the last
one's forward pass counts against us. ``bare`` sets that loop against the engine's own step in a
loop of three lines; ``schedule`` does so with the probes of `bench run`, which fall on each of
the first 256 batches and thin out after, and asks the same of it, though the goal may be read as
one for a loop without probes. Not counted on any side: building, capturing,
compiling, what a Trainer sets up, and the shuffle of an epoch.

With ``--check``, our engine and the peers take six steps in float64 with each of eight seeds, and
their weights are held to the reference loop's. With ``--commands``, whole commands in fresh
folders, and a paper-like script run for as many pairs: wall time, CPU time and peak memory as the
kernel counts them, medians of three. What worker processes use is not in the CPU time: their
parent is a process that outlives the command.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from codonbench.engines.comparison import TOLERANCE
from codonbench.execution.machine import describe_machine
from codonbench.training.determinism import pin_arithmetic
from contenders.check import CHECKED, differences
from contenders.ground import Ground
from contenders.ours import ENGINES
from contenders.pairs import PAIRS, PEERS

MODELS = "mlp-64,mlp-64x1024,embedding10-relu,rnn-64,rnn-256,gru-64,lstm-64"
COMMANDS = "mlp-64,lstm-64"
REPETITIONS = 5


def contender(name: str) -> Callable[[Ground], float]:
    """Return the function that ``file.function`` names among the contenders."""
    file, _, function = name.partition(".")
    found: Callable[[Ground], float] = getattr(import_module(f"contenders.{file}"), function)
    return found


def measure(key: str, model: str, steps: int, engine: str) -> tuple[list[list[float]], float]:
    """Return seconds a step of both sides of a pair, each repetition's, and wall per CPU time."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})  # before a library counts its cores
    pair, times = PAIRS[key], [[], []]
    sides = [contender(name) for name in (pair.ours, pair.other)]
    ground = Ground(model, steps, engine)
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(REPETITIONS):
        for side, seconds in zip(sides, times, strict=True):
            gc.collect()
            pin_arithmetic(1)
            seconds.append(side(ground))
    return times, (time.perf_counter() - wall) / (time.process_time() - cpu)


def command(words: Sequence[str]) -> tuple[float, float, float, str]:
    """Return wall seconds, CPU seconds, peak memory (MB) and standard output of one command.

    Peak memory is of its largest process; CPU time is of all that it waited for.
    """
    started = time.perf_counter()
    done = subprocess.run([sys.executable, *words], stdout=subprocess.PIPE, check=True, text=True)
    wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    peak = used.ru_maxrss * 1024 / 1e6  # KiB on Linux
    return wall, used.ru_utime + used.ru_stime, peak, done.stdout


def bench_run(model: str, seeds: str, *options: str) -> tuple[float, float, float, str]:
    """Return the same of one `bench run` into a fresh folder."""
    words = ["-m", "codonbench.cli.main", "run", "--model", model, "--seeds", seeds, "--json"]
    with tempfile.TemporaryDirectory() as folder:
        return command([*words, *options, "--results", folder])


def paper_run(model: str, budgets: str) -> tuple[float, float, float, str]:
    """Return the same of the paper-like script, run for as many pairs."""
    return command([str(Path(__file__).parent / "contenders/paper_command.py"), model, budgets])


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def print_row(*cells: object) -> None:
    print(f"| {' | '.join(map(str, cells))} |", flush=True)


def print_heading(*names: str) -> None:
    print()
    print_row(*names)
    print(f"{'|---' * len(names)}|", flush=True)


def print_pair(key: str, models: Sequence[str], steps: int, engine: str) -> None:
    pair, busy, by_model = PAIRS[key], [], []
    ours, other = (f"{n.format(engine=engine)}, us/step" for n in (pair.our_name, pair.other_name))
    figure = "overhead" if pair.overhead else "ratio"
    print_heading("model", ours, other, figure, "range", "goal", "met?")

    def spread(figures: Sequence[float]) -> tuple[str, str]:
        low, middle, high = (pair.show(f(figures)) for f in (min, median, max))
        return middle, f"{low} to {high}"

    for model in models:
        times, wall = alone(measure, key, model, steps, engine)
        figures = [pair.figure(a, b) for a, b in zip(*times, strict=True)]
        cells = (f"{1e6 * median(seconds):.1f}" for seconds in times)
        print_row(model, *cells, *spread(figures), *pair.judge(model, median(figures)))
        by_model.append(figures)
        busy.append(wall)
    if not pair.overhead and set(models) == set(MODELS.split(",")):
        means = [geometric_mean(figures) for figures in zip(*by_model, strict=True)]
        print_row("geometric mean", "", "", *spread(means), *pair.judge_mean(median(means)))
    print(
        f"\nWall time was {min(busy):.2f} to {max(busy):.2f} times CPU time, set-up included.",
        flush=True,
    )


def print_commands(models: Sequence[str], seeds: str) -> None:
    print_heading("command", "wall s", "CPU s", "peak memory of a process, MB")

    def show(name: str, how: Callable[..., tuple[float, float, float, str]], *words: str) -> str:
        runs = [alone(how, *words) for _ in range(3)]
        wall, cpu, peak = (median(figures) for figures in zip(*(r[:3] for r in runs), strict=True))
        print_row(name, f"{wall:.1f}", f"{cpu:.1f}", f"{peak:.0f}")
        return str(runs[-1][3])

    for model in models:
        name = f"bench run --model {model} --seeds {seeds}"
        show(f"`{name}`", bench_run, model, seeds)
        for engine in ("auto", "eager"):
            options = ("--workers", "0", "--engine", engine)
            out = show(f"`{name} {' '.join(options)}`", bench_run, model, seeds, *options)
        records = [json.loads(line) for line in out.splitlines()]
        budgets = ",".join(str(record["pairs"]) for record in records)
        show(f"paper-like script, {model}, as many pairs for each seed", paper_run, model, budgets)


def print_checks(names: Sequence[str], models: Sequence[str], engine: str) -> None:
    print_heading("who", "model", "largest difference", "weights moved by up to", "same?")
    for name, model in itertools.product(names, models):
        apart, moved = alone(differences, name, model, engine)
        same = "yes" if apart <= TOLERANCE < moved else "no"
        print_row(name, model, f"{apart:.1e}", f"{moved:.2f}", same)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a training step costs.")
    parser.add_argument("--models", help="names, separated by commas")
    usual = ",".join(key for key in PAIRS if key not in PEERS)
    parser.add_argument("--against", help=f"of {','.join(PAIRS)}; by default {usual}")
    parser.add_argument("--steps", type=int, default=300, help="counted in each repetition")
    parser.add_argument("--engine", choices=ENGINES, default="traced", help="ours")
    parser.add_argument("--check", action="store_true", help="do all compute the same? instead")
    parser.add_argument("--commands", action="store_true", help="whole commands instead")
    parser.add_argument("--seeds", default="0-9", help="of whole commands")
    asked = parser.parse_args()
    here = describe_machine("cpu")
    print(f"{here.cpu_count} cores of {here.cpu_name}, {here.cpu_capability}, {here.system},")
    peers = (f"{name} {version(name)}" for name in ("lightning", "jax") if find_spec(name))
    versions = ", ".join((f"Python {here.python}", f"torch {here.torch}", *peers))
    print(f"{versions}; load {os.getloadavg()[0]:.1f} before.")
    models = (asked.models or (COMMANDS if asked.commands else MODELS)).split(",")
    if asked.commands:
        print_commands(models, asked.seeds)
    elif asked.check:
        print_checks((asked.against or ",".join(CHECKED)).split(","), models, asked.engine)
    else:
        for key in (asked.against or usual).split(","):
            print_pair(key, models, asked.steps, asked.engine)


if __name__ == "__main__":
    main()
