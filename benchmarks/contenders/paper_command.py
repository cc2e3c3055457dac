"""A paper-like script as a whole command: seed after seed, each for as many pairs as it is told.

    python paper_command.py mlp-64 115136,99328

Imports nothing of codonbench. One-hot codons, drawn by human codon usage, in a DataLoader;
one-hot targets; PyTorch's default Adam; no probe, no metric, no record.
"""

from __future__ import annotations

import json
import sys
from itertools import product
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

CODE = "FFLLSSSSYY**CC*WLLLLPPPPHHQQRRRRIIIMTTTTNNKKSSRRVVVVAAAADDEEGGGG"
CODONS = ["".join(letters) for letters in product("UCAG", repeat=3)]
DATASETS = Path(__file__).parents[2] / "plugins/datasets/codonbench_datasets"
USAGE = DATASETS / "human_codon/human_usage.json"
EPOCH, BATCH = 576_000, 64


class Lstm(nn.Module):
    """Two layers of 64 over the three nucleotides, the last step to 21 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = nn.LSTM(4, 64, num_layers=2, batch_first=True)
        self.out = nn.Linear(64, 21, bias=False)

    def forward(self, letters: Tensor) -> Tensor:
        """Return logits (B, 21) of codons (B, 3, 4)."""
        return self.out(self.cells(letters)[0][:, -1])


def linear() -> nn.Module:
    """64 - 64 - 21, no biases."""
    return nn.Sequential(nn.Linear(64, 64, bias=False), nn.Linear(64, 21, bias=False))


def main(model: str, budgets: list[int]) -> None:
    torch.set_num_threads(1)
    counts = json.loads(USAGE.read_text())["counts"]
    usage = np.array([counts[codon] for codon in CODONS], dtype=float)
    labels = torch.tensor([sorted(set(CODE)).index(letter) for letter in CODE])
    nucleotides = torch.tensor([["UCAG".index(letter) for letter in codon] for codon in CODONS])
    inputs = torch.eye(64) if model == "mlp-64" else F.one_hot(nucleotides, 4).float()
    for seed, pairs in enumerate(budgets):
        torch.manual_seed(seed)
        drawn = np.random.default_rng(seed).choice(64, size=EPOCH, p=usage / usage.sum())
        index = torch.as_tensor(drawn)
        data = TensorDataset(inputs[index], F.one_hot(labels[index], 21).float())
        module = linear() if model == "mlp-64" else Lstm()
        optimizer = torch.optim.Adam(module.parameters(), lr=0.05 if model == "mlp-64" else 0.005)
        loss_of, seen = nn.CrossEntropyLoss(), 0
        while seen < pairs:
            for batch, targets in DataLoader(data, batch_size=BATCH, shuffle=True):
                optimizer.zero_grad()
                loss_of(module(batch), targets).backward()
                optimizer.step()
                seen += len(batch)
                if seen >= pairs:
                    break
        right = (module(inputs).argmax(dim=1) == labels).sum().item()
        print(f"seed {seed}: {seen} pairs, {right} of 64 right", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], [int(pairs) for pairs in sys.argv[2].split(",")])
