"""The task ``hydrogen-bonds``: how many of them hold a dinucleotide to its complement.

A pairs with U by two bonds and C with G by three, so a dinucleotide has four, five or six.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from codonbench import Column, Dataset, Ranking, Task, TaskOptions, TaskSpec, hookimpl
from codonbench.contracts.task import IntArray
from codonbench.errors import DataError

ALPHABET = "UCAG"
BONDS = {"U": 2, "C": 3, "A": 2, "G": 3}
DINUCLEOTIDES = tuple(first + second for first, second in product(ALPHABET, repeat=2))
LABELS = tuple(sum(BONDS[letter] for letter in word) - 4 for word in DINUCLEOTIDES)


class HydrogenBondsOptions(TaskOptions):
    """Options of `HydrogenBonds`."""

    gc: float = Field(default=0.4, gt=0, lt=1, description="share of G and C among the letters")


@dataclass(frozen=True, eq=False)
class Letters(Dataset):
    """Dinucleotides of letters drawn independently."""

    def draw(self, rng: np.random.Generator) -> tuple[IntArray, IntArray]:
        """Return training pairs (train_size,) and held-out pairs (test_size,)."""
        size = self.spec.train_size + self.spec.test_size
        pairs = rng.choice(len(self.inputs), size=size, p=self.frequencies)
        return pairs[: self.spec.train_size], pairs[self.spec.train_size :]


class HydrogenBonds(Task):
    """Count the hydrogen bonds of a dinucleotide with its complement."""

    name = "hydrogen-bonds"
    version = "1"
    title = "How many hydrogen bonds hold a dinucleotide to its complement?"
    ranking = Ranking(
        metric="pairs_consumed",
        direction="lower",
        columns=(
            Column(metric="pairs_consumed", title="pairs consumed", scale="position"),
            Column(metric="sustained_pairs", title="sustained", scale="position"),
        ),
        success="sustained_pairs",
    )
    Options = HydrogenBondsOptions
    default_data = "random"
    data_names: ClassVar[Mapping[str, str]] = {"random": "random dinucleotides (no download)"}

    def load(
        self, data: str, options: HydrogenBondsOptions, *, cache: Path, offline: bool = False
    ) -> Dataset:
        """Return the 16 dinucleotides, their classes and how likely each is."""
        if data not in self.data_names:
            raise DataError(f"task {self.name!r} has no data {data!r}; --data random is all")
        letter = {"U": 1 - options.gc, "A": 1 - options.gc, "C": options.gc, "G": options.gc}
        p = np.array([letter[first] * letter[second] for first, second in DINUCLEOTIDES]) / 4
        content = f"{data} {DINUCLEOTIDES} {LABELS} {options.gc!r}"
        return Letters(
            spec=self.spec(),
            source=data,
            checksum=hashlib.sha256(content.encode()).hexdigest(),
            simulated=True,
            inputs=np.array([[ALPHABET.index(letter) for letter in w] for w in DINUCLEOTIDES]),
            labels=np.array(LABELS),
            probe=np.arange(16),
            frequencies=p,
        )

    def spec(self) -> TaskSpec:
        """Return what is asked, and what is right."""
        return TaskSpec(
            name=self.name,
            version=self.version,
            title=self.title,
            unit="dinucleotide",
            symbol="nucleotide",
            alphabet=ALPHABET,
            length=2,
            classes=("four", "five", "six"),
            enumerable=True,
            probe_inputs=DINUCLEOTIDES,
            probe_labels=LABELS,
            train_size=20_000,
            test_size=2_000,
        )


@hookimpl
def register_tasks(register: Callable[[Task], None]) -> None:
    """Register the task."""
    register(HydrogenBonds())
