"""Time of a supervised run against the loops that people write themselves.

Usage: python benchmarks/supervised.py DATA [--epochs 5] [--repeats 5] [--seeds 10] [--part NAME]

DATA is the folder of GUE TF 0 (train.csv.gz, dev.csv.gz, test.csv.gz). All contenders train the
same network, `cnn`, with the same optimiser, batches and epochs, look at the development split,
keep the best state and give its outputs for the test split:

- `bench`: `codonbench.run`, its own schedule of evaluations, its record and trajectory written;
- `bare`: a loop of 20 lines over packed tensors, an evaluation an epoch, nothing written;
- `loader`: the same loop over a DataLoader of strings that are encoded item by item.

Each measurement is a process of its own; contenders take turns, and medians are compared. The parts
are `one` (one seed on one thread: seconds of the training loop with its evaluations, and CPU
seconds of the whole process), `pair` (the same without `loader`, which takes four times as long as
the others: more turns in the same time) and `ten` (wall-clock time of several seeds: two worker
processes against one loop after another, on one thread and on as many as there are cores).
Prints Markdown.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

Split = tuple[list[str], Tensor]

LETTERS = "ACGT"
BATCH = 128


def read(folder: Path, name: str) -> Split:
    """Return the sequences of a split as text, and their classes (N,)."""
    with gzip.open(folder / f"{name}.csv.gz", "rt", encoding="ascii") as file:
        rows = [line.split(",") for line in file.read().split()[1:]]
    return [row[0] for row in rows], torch.tensor([int(row[1]) for row in rows])


def network() -> nn.Module:
    """Return the module of `cnn` with its default settings."""
    from codonbench.contracts import Input, TaskView
    from codonbench_models.cnn import Cnn, CnnConfig

    asked = Input.of_length(101).model_dump(exclude={"enumerable"})
    return Cnn(CnnConfig()).build(TaskView(task="bare", **asked, n_outputs=2))


def bare(folder: Path, epochs: int) -> float:
    """Train on packed tensors; return the seconds of the loop."""
    packed = {}
    for name in ("train", "dev", "test"):
        texts, classes = read(folder, name)
        table = np.zeros(256, dtype=np.uint8)
        table[[ord(letter) for letter in LETTERS]] = range(4)
        letters = table[np.frombuffer("".join(texts).encode(), dtype=np.uint8)]
        packed[name] = torch.as_tensor(letters.reshape(len(texts), -1)), classes
    module = network()
    eye = torch.cat([torch.eye(4), torch.ones(4, 1)], dim=1)  # a one-hot, and 1 up to the end
    optimizer = torch.optim.Adam(module.parameters(), lr=0.003)
    started = time.perf_counter()
    (x, y), (x_dev, y_dev), (x_test, _) = (packed[name] for name in ("train", "dev", "test"))
    best, kept = float("inf"), module.state_dict()
    for _ in range(epochs):
        module.train()
        for index in torch.randperm(len(x)).split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(module(eye[x[index].long()]), y[index]).backward()
            optimizer.step()
        module.eval()
        with torch.no_grad():
            outputs = torch.cat([module(eye[part.long()]) for part in x_dev.split(BATCH)])
            loss = F.cross_entropy(outputs, y_dev).item()
        if loss < best:
            best, kept = loss, deepcopy(module.state_dict())
    module.load_state_dict(kept)
    with torch.no_grad():
        torch.cat([module(eye[part.long()]) for part in x_test.split(BATCH)])
    return time.perf_counter() - started


class Strings(Dataset[tuple[Tensor, Tensor]]):
    """Sequences as text, encoded when an item is asked for."""

    def __init__(self, split: Split) -> None:
        self.texts, self.classes = split

    def __len__(self) -> int:
        return len(self.texts)

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        one_hot = torch.zeros(len(self.texts[i]), 5)
        for place, letter in enumerate(self.texts[i]):
            one_hot[place, LETTERS.index(letter)] = one_hot[place, 4] = 1
        return one_hot, self.classes[i]


def loader(folder: Path, epochs: int) -> float:
    """Train on a DataLoader of strings; return the seconds of the loop."""
    train, dev, test = (
        DataLoader(Strings(read(folder, name)), BATCH, shuffle=name == "train")
        for name in ("train", "dev", "test")
    )
    module = network()
    optimizer = torch.optim.Adam(module.parameters(), lr=0.003)
    started = time.perf_counter()
    best, kept = float("inf"), module.state_dict()
    for _ in range(epochs):
        module.train()
        for x, y in train:
            optimizer.zero_grad()
            F.cross_entropy(module(x), y).backward()
            optimizer.step()
        module.eval()
        with torch.no_grad():
            loss = sum(F.cross_entropy(module(x), y, reduction="sum").item() for x, y in dev)
        if loss < best:
            best, kept = loss, deepcopy(module.state_dict())
    module.load_state_dict(kept)
    with torch.no_grad():
        torch.cat([module(x) for x, _ in test])
    return time.perf_counter() - started


def bench(folder: Path, epochs: int, seeds: int = 1, workers: int = 0) -> float:
    """Run `cnn` on the task; return the seconds of all training loops with their evaluations."""
    import codonbench

    with tempfile.TemporaryDirectory() as results:
        records = codonbench.run(
            "cnn",
            "gue-tf-0",
            data=str(folder),
            seeds=range(seeds),
            results=results,
            epochs=epochs,
            full=True,
            workers=workers,
        )
    assert all(record.status == "done" for record in records)
    shares = [record.timings.probe / record.timings.total for record in records]
    print(f"evaluations took {max(shares):.1%}", file=sys.stderr)
    return sum(record.timings.train + record.timings.probe for record in records)


ONE: dict[str, Callable[[Path, int], float]] = {"bench": bench, "bare": bare, "loader": loader}


def measured(contender: str, folder: Path, epochs: int, seeds: int, threads: int) -> list[float]:
    """Return seconds of the loop, wall-clock and CPU of a process that trains."""
    command = [sys.executable, __file__, str(folder), "--epochs", str(epochs)]
    command += ["--contender", contender, "--seeds", str(seeds), "--threads", str(threads)]
    started = time.perf_counter()
    said = subprocess.run(
        command,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
    )
    loop, cpu = json.loads(said.stdout)
    return [loop, time.perf_counter() - started, cpu]


def contend(contender: str, folder: Path, epochs: int, seeds: int, threads: int) -> None:
    """Train, and print the seconds of the loop and of this process's CPU, its workers' included."""
    torch.set_num_threads(threads)
    if contender == "bench":
        loop = bench(folder, epochs, seeds, workers=0 if seeds == 1 else 2)
    else:
        loop = sum(ONE[contender](folder, epochs) for _ in range(seeds))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    print(json.dumps([loop, sum(each.ru_utime + each.ru_stime for each in used)]))


def compare(
    title: str, contenders: dict[str, tuple[str, int, int]], asked: argparse.Namespace, column: int
) -> None:
    """Let contenders take turns; print medians, and how each compares with the first.

    Args:
        title: Above the table.
        contenders: By name: what trains, seeds and threads.
        asked: Folder, epochs and repeats.
        column: Of `measured`, what is compared: 0 the loop, 1 wall-clock time.
    """
    found: dict[str, list[list[float]]] = {name: [] for name in contenders}
    for turn in range(asked.repeats):
        order = list(contenders.items())
        for name, (contender, seeds, threads) in order if turn % 2 else order[::-1]:
            found[name].append(measured(contender, asked.data, asked.epochs, seeds, threads))
    first = next(iter(contenders))
    print(f"\n{title}\n")
    print("| contender | loop, s | wall clock, s | CPU, s | of the first, by pairs of turns |")
    print("|---|---:|---:|---:|---:|")
    for name, rows in found.items():
        medians = [statistics.median(values) for values in zip(*rows, strict=True)]
        pairs = zip(rows, found[first], strict=True)
        ratio = statistics.median(row[column] / own[column] for row, own in pairs)
        print(f"| {name} | " + " | ".join(f"{m:.2f}" for m in medians) + f" | {ratio:.3f} |")


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("data", type=Path, help="the folder of GUE TF 0")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--part", choices=["one", "pair", "ten"], action="append")
    parser.add_argument("--contender", choices=list(ONE), help=argparse.SUPPRESS)
    parser.add_argument("--threads", type=int, default=1, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.contender:
        contend(asked.contender, asked.data, asked.epochs, asked.seeds, asked.threads)
        return
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python "
        f"{platform.python_version()}, torch {torch.__version__}; {asked.epochs} epochs, "
        f"{asked.repeats} turns"
    )
    parts = asked.part or ["one", "ten"]
    if "one" in parts:
        one = {name: (name, 1, 1) for name in ("bench", "bare", "loader")}
        compare("One seed, one thread", one, asked, 0)
    if "pair" in parts:
        pair = {name: (name, 1, 1) for name in ("bench", "bare")}
        compare("One seed, one thread", pair, asked, 0)
    if "ten" in parts:
        cores = os.cpu_count() or 1
        ten = {
            "bench, 2 workers": ("bench", asked.seeds, 1),
            "bare, 1 thread": ("bare", asked.seeds, 1),
            f"bare, {cores} threads": ("bare", asked.seeds, cores),
        }
        compare(f"{asked.seeds} seeds", ten, asked, 1)


if __name__ == "__main__":
    main()
