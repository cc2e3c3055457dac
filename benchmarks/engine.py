"""What a training step costs: our engines, a bare loop, a clean loop and a paper-like script.

    python benchmarks/engine.py [--models mlp-64,lstm-64] [--against clean,paper] [--steps 300]
    python benchmarks/engine.py --commands [--models mlp-64,lstm-64] [--seeds 0-9]

Each pair is measured in a process of its own, on one thread, its two sides in turn, five times.
Every time, both begin at the same weights, are shown the same pairs and pass a warm-up that is not
counted. Times are CPU time of the process (`time.process_time`), which other load on the machine
distorts less than it does wall time, though shared caches and clocks still tell. Tables give
medians, the median of the five ratios, and the range of those. Goals with a star are for an
engine with a compiler.

Ours is the whole loop as `bench run` drives it, batches counted and bookkeeping done, its probes
left out but for the two that hold the stopwatch: the last one's forward pass counts against us.
Not counted on any side: building, capturing and the shuffle of an epoch.

With ``--commands``, whole commands in fresh folders: wall time, CPU time and peak memory as the
kernel counts them.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import multiprocessing
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from codonbench.cli.folders import cache_folder
from codonbench.config import RunRequest
from codonbench.discovery import load_registry
from codonbench.engines.traced import train_together
from codonbench.machine import describe_machine, pin_arithmetic
from codonbench.planning import prepare
from codonbench.seeding import seeded_globals
from codonbench.setting import Setting, make_lesson
from codonbench.stopping import Watcher
from codonbench.training import Course, Lesson, Probes, train

MODELS = "mlp-64,mlp-64x1024,embedding10-relu,rnn-64,rnn-256,gru-64,lstm-64"
COMMANDS = "mlp-64,lstm-64"
BATCH, SEEDS, REPETITIONS = 64, 8, 5
WARM = 128  # steps not counted; the traced engine draws up this many batches at a time


class Ground:
    """One model on the embedded data: the same start for every contender and repetition."""

    def __init__(self, model: str, steps: int) -> None:
        self.steps, self.warm_pairs, self.pairs = steps, WARM * BATCH, (WARM + steps) * BATCH
        asked = {"overrides": {"batch_size": str(BATCH)}, "pairs": self.pairs, "device": "cpu"}
        request = RunRequest(model=model, seeds=tuple(range(SEEDS)), full=True, **asked)
        self._job = prepare(request, load_registry(), cache_folder())
        self.settings = [Setting(plan, self._job.dataset, BATCH) for plan in self._job.plans]

    def lesson(self, seed: int = 0) -> Lesson:
        """Return a seed's lesson before its first pair."""
        config, entry = self._job.config, self._job.entry
        with seeded_globals(seed):
            return make_lesson(entry.cls(config), config, self.settings[seed])

    def order(self) -> Tensor:
        """Return the first seed's pairs, as input indices."""
        return torch.as_tensor(self.settings[0].stream.epoch(0)[: self.pairs])


class Stopwatch:
    """A probe schedule that times what lies between the end of the warm-up and of the steps."""

    def __init__(self, ground: Ground, every: bool) -> None:
        self._ground, self._every = ground, every
        self._seen: dict[int, list[float]] = {ground.warm_pairs: [], ground.pairs: []}

    def next_after(self, position: int, window_start: int | None) -> int:
        """Return where to probe next."""
        if self._every:
            return self._ground.settings[0].clock.step(position)
        return next(stop for stop in self._seen if stop > position)

    def probed(self, pairs: int, right: object) -> None:
        """Note when a seed's probe was done."""
        if pairs in self._seen:
            self._seen[pairs].append(time.process_time())

    def seconds(self) -> float:
        """Return CPU seconds a step, from the last seed's first stop to the first seed's last."""
        started, ended = self._seen.values()
        return (min(ended) - max(started)) / self._ground.steps


def make_course(ground: Ground, watch: Any, seed: int) -> Course:
    """Return a seed's way through a repetition, probed as the stopwatch says."""
    lesson, setting = ground.lesson(seed), ground.settings[seed]
    watcher = Watcher(lesson.labels[lesson.probe].numpy(), len(lesson.probe), "budget")
    about = (lesson, setting.stream, setting.clock, watch, watcher)
    return Course(*about, Probes(), watch.probed)


def eager(ground: Ground) -> float:
    """Our reference loop."""
    watch = Stopwatch(ground, every=False)
    train(make_course(ground, watch, 0))
    return watch.seconds()


def traced(ground: Ground, seeds: int = 1, every: bool = False) -> float:
    """Our traced engine; seconds a step and seed."""
    watch = Stopwatch(ground, every)
    deque(train_together([make_course(ground, watch, seed) for seed in range(seeds)]), maxlen=0)
    return watch.seconds() / seeds


def bare(ground: Ground) -> float:
    """What our reference loop does, written down by hand."""
    return _by_hand(ground, lesson := ground.lesson(), lesson.optimizer)


def clean(ground: Ground) -> float:
    """A good loop in plain PyTorch: index targets, gathered encodings, fused Adam."""
    torch.use_deterministic_algorithms(False)  # which nobody asks for unless there is a reason
    lesson = ground.lesson()
    lr = lesson.optimizer.param_groups[0]["lr"]
    adam = torch.optim.Adam(lesson.module.parameters(), lr=lr, fused=True)
    return _by_hand(ground, lesson, adam)


def _by_hand(ground: Ground, lesson: Lesson, optimizer: torch.optim.Optimizer) -> float:
    module, encode, labels, order = lesson.module, lesson.encode, lesson.labels, ground.order()

    def step(index: Tensor) -> None:
        optimizer.zero_grad()
        F.cross_entropy(module(encode(index)), labels[index]).backward()
        optimizer.step()

    starts = range(0, len(order), BATCH)
    return _timed(step, (order[i : i + BATCH] for i in starts), ground.steps)


def paper(ground: Ground) -> float:
    """A script as papers publish them: a DataLoader over encoded inputs and one-hot targets."""
    torch.use_deterministic_algorithms(False)
    lesson, order, loss_of = ground.lesson(), ground.order(), nn.CrossEntropyLoss()
    module, optimizer, labels = lesson.module, lesson.optimizer, lesson.labels[order]
    data = TensorDataset(lesson.encode(order), F.one_hot(labels, lesson.n_classes).float())

    def step(batch: list[Tensor]) -> None:
        optimizer.zero_grad()
        loss_of(module(batch[0]), batch[1]).backward()
        optimizer.step()

    return _timed(step, iter(DataLoader(data, batch_size=BATCH, shuffle=True)), ground.steps)


def _timed(step: Callable[[Any], None], batches: Iterator[Any], steps: int) -> float:
    """Return CPU seconds a step, after the warm-up."""
    for _ in range(WARM):
        step(next(batches))
    started = time.process_time()
    for batch in batches:
        step(batch)
    return (time.process_time() - started) / steps


@dataclass(frozen=True)
class Pair:
    """Two ways to take a step, and the goals for their ratio: by model, ``""`` for all others.

    What is asked is how many times faster ours is, or, for an `overhead`, by how many percent it
    is slower. `compiled` are goals for an engine with a compiler, starred in the table.
    """

    our_name: str
    ours: Callable[[Ground], float]
    other_name: str
    other: Callable[[Ground], float]
    goals: Mapping[str, float]
    compiled: Mapping[str, float] = field(default_factory=dict)
    overhead: bool = False

    def judge(self, model: str, figure: float) -> tuple[str, str]:
        """Return the goals, and whether they are met."""
        both = ((self.goals.get(model, self.goals.get("")), ""), (self.compiled.get(model), "*"))
        asked = [(goal, star) for goal, star in both if goal is not None]
        met = ["yes" if (figure <= g if self.overhead else figure >= g) else "no" for g, _ in asked]
        return ", ".join(self.show(g) + star for g, star in asked) or "-", ", ".join(met) or "-"

    def show(self, figure: float) -> str:
        """Return a figure as text."""
        return f"{figure:.1f} %" if self.overhead else f"{figure:.2f}x"


_CLEAN = {"mlp-64": 1.8, "mlp-64x1024": 1.2, "": 0.97}
_CLEAN_8 = {"mlp-64": 3.3, "mlp-64x1024": 1.2, "lstm-64": 1.2}
_COMPILED = {"mlp-64": 5.5, "rnn-64": 3.5, "gru-64": 2.3, "lstm-64": 1.7, "embedding10-relu": 1.25}
_PAPER = {"mlp-64": 18, "rnn-64": 8, "": 3}
_EIGHT = f"traced, {SEEDS} seeds, per seed"
_together = partial(traced, seeds=SEEDS)
_probing = partial(traced, every=True)

PAIRS = {
    "bare": Pair("eager, no probes", eager, "bare loop", bare, {"": 3}, overhead=True),
    "clean": Pair("traced", traced, "clean loop, fused Adam", clean, _CLEAN),
    "clean8": Pair(_EIGHT, _together, "clean loop, fused Adam", clean, _CLEAN_8, _COMPILED),
    "paper": Pair(_EIGHT, _together, "paper-like script", paper, _PAPER),
    "probes": Pair("probing every step", _probing, "traced", traced, {"": 5}, overhead=True),
}


def measure(key: str, model: str, steps: int) -> list[list[float]]:
    """Return seconds a step of both sides of a pair, each repetition's."""
    pair, times = PAIRS[key], [[], []]
    ground = Ground(model, steps)
    for _ in range(REPETITIONS):
        for contender, seconds in zip((pair.ours, pair.other), times, strict=True):
            gc.collect()
            pin_arithmetic(1)
            seconds.append(contender(ground))
    return times


def command(model: str, engine: str, seeds: str) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory (MB) of one `bench run`."""
    words = [sys.executable, "-m", "codonbench.cli.main", "run", "--model", model]
    words += ["--seeds", seeds, "--engine", engine, "--json", "--results"]
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([*words, folder], stdout=subprocess.DEVNULL, check=True)
        wall = time.perf_counter() - started
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024 / 1e6  # KiB on Linux


def alone(function: Callable[..., Any], *arguments: Any) -> Any:
    """Return what a function gives in a process of its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def print_pair(pair: Pair, key: str, models: list[str], steps: int) -> None:
    figure = "overhead" if pair.overhead else "ratio"
    print(f"\n| model | {pair.our_name}, us/step | {pair.other_name}, us/step |", end="")
    print(f" {figure} | range | goal | met? |\n{'|---' * 7}|", flush=True)
    for model in models:
        times = alone(measure, key, model, steps)
        both = list(zip(*times, strict=True))
        ratios = [100 * (a / b - 1) if pair.overhead else b / a for a, b in both]
        cells = [model, *(f"{1e6 * median(seconds):.1f}" for seconds in times)]
        low, middle, high = (pair.show(f(ratios)) for f in (min, median, max))
        cells += [middle, f"{low} to {high}"]
        print(f"| {' | '.join([*cells, *pair.judge(model, median(ratios))])} |", flush=True)


def print_commands(models: list[str], seeds: str) -> None:
    print("\n| command | wall s | CPU s | peak memory, MB |\n|---|---|---|---|", flush=True)
    for model, engine in itertools.product(models, ("auto", "eager")):
        wall, cpu, peak = alone(command, model, engine, seeds)
        print(f"| `bench run --model {model} --seeds {seeds} --engine {engine}` |", end="")
        print(f" {wall:.1f} | {cpu:.1f} | {peak:.0f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what a training step costs.")
    parser.add_argument("--models", help="names, separated by commas")
    parser.add_argument("--against", default=",".join(PAIRS), help="pairs, separated by commas")
    parser.add_argument("--steps", type=int, default=300, help="counted in each repetition")
    parser.add_argument("--commands", action="store_true", help="whole commands instead")
    parser.add_argument("--seeds", default="0-9", help="of whole commands")
    asked = parser.parse_args()
    here = describe_machine("cpu")
    print(f"{here.cpu_count} cores of {here.cpu_name}, {here.cpu_capability}, {here.system},")
    print(f"Python {here.python}, torch {here.torch}; load {os.getloadavg()[0]:.1f} before.")
    models = asked.models or (COMMANDS if asked.commands else MODELS)
    if asked.commands:
        print_commands(models.split(","), asked.seeds)
        return
    for key in asked.against.split(","):
        print_pair(PAIRS[key], key, models.split(","), asked.steps)


if __name__ == "__main__":
    main()
