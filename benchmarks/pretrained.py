"""Time of a linear probe on 50,000 x 300 letters with a frozen trunk of 20,000 parameters.

python benchmarks/pretrained.py [--items N]
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn

from codonbench import Dataset, Input, Sequences, Target, Task, TaskSpec
from codonbench.contracts import GradientConfig, Model, ModelInfo, Ranking, TaskView
from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import prepare
from codonbench.execution.run import run
from codonbench.plugins.discovery import load_registry
from codonbench.protocols.referee import unwatched

LENGTH = 300


class Many(Task):
    """Is the share of G above its median?"""

    name, version, title, protocol = "many", "1", "Many sequences", "supervised"
    default_data, ranking = "dice", Ranking.by_mean("mcc", mcc="MCC")
    items = 50_000

    def load(self, data: str, options: object, *, cache: Path, offline: bool = False) -> Dataset:
        """Return random sequences."""
        n = self.items
        rows = np.random.default_rng(0).integers(4, size=(n, LENGTH))
        share = (rows == 2).mean(axis=1)
        sizes = {"train": n * 8 // 10, "validation": n // 10, "test": n // 10}
        ends = np.cumsum([0, *sizes.values()])
        spec = TaskSpec(
            name=self.name,
            version="1",
            title=self.title,
            input=Input.of_length(LENGTH),
            target=Target(names=("few", "many")),
            protocol=self.protocol,
            train_size=sizes["train"],
            validation_size=sizes["validation"],
            test_size=sizes["test"],
        )
        splits = {name: np.arange(*ends[i : i + 2]) for i, name in enumerate(sizes)}
        items, targets = Sequences.of_rows(rows), (share > np.median(share)).astype(np.int64)
        return Dataset(spec, "dice", "b" * 64, True, items, targets, splits=splits)


class Trunk(nn.Module):
    """Two convolutions and a mean over places."""

    def __init__(self, n_outputs: int) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Conv1d(4, 32, 15, padding=7),
            nn.ReLU(),
            nn.MaxPool1d(2),
            nn.Conv1d(32, 64, 9, padding=4),
            nn.ReLU(),
        )
        self.head = nn.Linear(64, n_outputs)

    def embed(self, letters: Tensor) -> Tensor:
        """Return the mean activation, (B, 64)."""
        found: Tensor = self.trunk(letters.transpose(1, 2)).mean(dim=2)
        return found

    def forward(self, letters: Tensor) -> Tensor:
        """Return outputs."""
        outputs: Tensor = self.head(self.embed(letters))
        return outputs


class Frozen(Model):
    """The trunk with the same weights for every seed."""

    info = ModelInfo(name="frozen", version="1", summary="A random trunk")
    Config = GradientConfig
    encoding = "symbol_onehot"

    def build(self, task: TaskView) -> nn.Module:
        """Return it."""
        torch.manual_seed(0)
        return Trunk(task.n_outputs)


def main() -> None:
    """Probe twice, with two seeds, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=Many.items)
    Many.items = parser.parse_args().items
    registry = load_registry()

    trunk = sum(p.numel() for p in Trunk(2).trunk.parameters())
    print(f"{Many.items:,} x {LENGTH}, trunk of {trunk:,} parameters, one thread\n")
    print("| head | embedding, s | seven heads, s | of CPU in all, s | MCC |")
    print("|---|---:|---:|---:|---:|")
    with TemporaryDirectory() as cache:
        os.environ["CODONBENCH_CACHE"] = cache
        registry.add(sys.modules[__name__], "benchmark", "1")
        for seed, name in ((0, "first"), (1, "second, the same trunk")):
            asked = RunRequest(model="frozen", task="many", protocol="linear_probe", seeds=(seed,))
            job = prepare(asked, registry, Path(cache))
            began = time.process_time()
            ((record, _),) = run(job, registry, unwatched)
            cpu = time.process_time() - began
            assert record.error is None, record.error
            took = record.timings
            figures = f"{took.build:.1f} | {took.train + took.probe:.1f} | {cpu:.1f}"
            print(f"| {name} | {figures} | {record.metrics['mcc']:.3f} |", flush=True)


if __name__ == "__main__":
    main()
