"""What networks of sequences cost: per letter, beside a bare loop, in memory, and mutagenesis.

    OMP_NUM_THREADS=1 python benchmarks/zoo.py

CPU seconds of one thread, which other work on the machine lengthens little; of mutagenesis, for
which `bench explain` uses every core, seconds by the clock, of an idle machine. What is compared is
timed in turn, and medians are. Prints Markdown; of some of it with `memory`, `steps`, `mutants` or
`per_letter` behind the command.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from codonbench.contracts import DNA, Sequences, TaskView
from codonbench.data.encodings import make_encoder
from codonbench.execution.machine import cores
from codonbench.explain.attribution import mutagenesis
from codonbench.plugins.discovery import load_registry
from codonbench.testing.subject import ModelSubject, dataset_of
from codonbench.training.determinism import pin_arithmetic
from codonbench.training.loop import make_step

Clock = Callable[[], float]
CPU = torch.device("cpu")
REGISTRY = load_registry()
LENGTHS = (1_000, 15_000)
STEPPED = ("deepbind", "basset", "deepsea", "dilated", "danq", "bilstm", "transformer")
STEPPED += ("transformer-kmers", "transformer-bytepairs", "conv-transformer", "hyena", "mamba")
STEPPED += ("autoencoder", "vae", "cnn")


def make(name: str) -> Any:
    entry = REGISTRY.model(name)
    return entry.cls(entry.cls.Config(**entry.preset))


def in_turn(
    calls: list[Callable[[], object]], rounds: int, clock: Clock = time.process_time
) -> list[float]:
    """Return the median seconds of each call, timed in turn after one round that is not."""

    def seconds(call: Callable[[], object]) -> float:
        began = clock()
        call()
        return clock() - began

    for call in calls:
        call()
    times = [[seconds(call) for call in calls] for _ in range(rounds)]
    return [median(column) for column in zip(*times, strict=True)]


def view(length: int) -> TaskView:
    one = {"unit": "sequence", "symbol": "nucleotide", "alphabet": DNA}
    return TaskView(task="toy", **one, min_length=length, max_length=length, n_outputs=2)


def sequences(n: int, length: int) -> Sequences:
    return Sequences.of_rows(np.random.default_rng(0).integers(4, size=(n, length)))


def forward_and_back(name: str, length: int) -> Callable[[], object]:
    module = make(name).build(view(length)).train()
    letters = make_encoder("symbol_onehot_mask", view(length), sequences(1, length), CPU)(
        torch.zeros(1, dtype=torch.long)
    )

    def once() -> None:
        module.zero_grad()
        module(letters).sum().backward()

    return once


def per_letter() -> None:
    print("\n| network | us a letter, 1,000 | us a letter, 15,000 | grows |\n|---|---:|---:|---:|")
    for name in ("hyena", "mamba", "transformer"):  # the last takes minutes
        short, long = in_turn([forward_and_back(name, length) for length in LENGTHS], 3)
        each = [1e6 * t / n for t, n in zip((short, long), LENGTHS, strict=True)]
        print(
            f"| `{name}` | {each[0]:.1f} | {each[1]:.1f} | {each[1] / each[0]:.2f}x |", flush=True
        )


def steps() -> None:
    data = dataset_of(REGISTRY.task("planted-motif").task)
    rows = torch.as_tensor(data.items.rows().astype(np.int64))
    print("\n| network | step, ms | bare loop, ms | ratio |\n|---|---:|---:|---:|")
    for name in STEPPED:
        plugin = make(name)
        subject = ModelSubject(type(plugin), plugin.config, data)
        state, bare = subject.state(), subject.state()
        module, optimizer, step = bare.module, bare.optimizer, make_step(state)
        module.train()
        mask = torch.ones(plugin.config.batch_size, rows.shape[1], 1)
        own = getattr(module, "outputs_and_loss", None)
        batch = subject.batches[0]

        def bare_step(
            module: Any = module,
            optimizer: Any = optimizer,
            own: Any = own,
            mask: torch.Tensor = mask,
            batch: torch.Tensor = batch,
            targets: torch.Tensor = bare.targets,
        ) -> None:
            optimizer.zero_grad(set_to_none=True)
            inputs = torch.cat([F.one_hot(rows[batch], 4).float(), mask], dim=2)
            outputs, added = own(inputs) if own else (module(inputs), 0.0)
            (F.cross_entropy(outputs, targets[batch]) + added).backward()
            optimizer.step()

        ours, theirs = in_turn([partial(step, batch), bare_step], 21)
        print(
            f"| `{name}` | {1e3 * ours:.2f} | {1e3 * theirs:.2f} | {ours / theirs:.2f} |",
            flush=True,
        )


def memory() -> None:
    n, length, batch = 50_000, 300, 64
    encode = make_encoder("symbol_onehot_mask", view(length), sequences(n, length), CPU)
    letters = encode(torch.arange(batch))
    gc.collect()
    floats = [
        each.untyped_storage().nbytes()
        for each in gc.get_objects()
        if isinstance(each, torch.Tensor) and each.is_floating_point()
    ]
    print(
        f"\nOf {n:,} x {length} letters, a batch of {batch}: {letters.nbytes:,} bytes one-hot; the "
        f"largest tensor of floats in memory: {max(floats):,} bytes; all one-hot would be "
        f"{n * length * 5 * 4:,}"
    )


def mutants() -> None:
    print("\n| network | in batches, s | one at a time, s | ratio |\n|---|---:|---:|---:|")
    some = sequences(2, 200)
    pin_arithmetic(cores())  # which the run that is explained has done
    for name in ("cnn", "deepbind", "deepsea", "dilated", "hyena"):
        module = make(name).build(view(200)).eval()

        @torch.no_grad()
        def score(rows: np.ndarray, module: Any = module) -> np.ndarray:
            items = Sequences.of_rows(rows)
            encode = make_encoder("symbol_onehot_mask", view(200), items, CPU)
            return np.asarray(module(encode(torch.arange(len(items))))[:, 0].double().numpy())

        batched, alone = in_turn(
            [
                lambda score=score: [mutagenesis(score, row, 4) for row in some.rows()],
                lambda score=score: [mutagenesis(score, row, 4, at_once=1) for row in some.rows()],
            ],
            5,
            time.perf_counter,
        )
        print(f"| `{name}` | {batched:.3f} | {alone:.3f} | {alone / batched:.1f}x |", flush=True)


if __name__ == "__main__":
    for part in (memory, steps, mutants, per_letter):
        torch.set_num_threads(1)
        if part.__name__ in (sys.argv[1:] or part.__name__):
            part()
