"""The task ``hydrogen-bonds``: how many of them hold a dinucleotide to its complement.

A pairs with U by two bonds and C with G by three, so a dinucleotide has four, five or six.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from codonbench import (
    Column,
    Dataset,
    EvaluationSet,
    Input,
    Ranking,
    Sequences,
    Split,
    Target,
    Task,
    TaskOptions,
    TaskSpec,
)
from codonbench.errors import DataError

ALPHABET = "UCAG"
BONDS = {"U": 2, "C": 3, "A": 2, "G": 3}
DINUCLEOTIDES = tuple(first + second for first, second in product(ALPHABET, repeat=2))
TARGETS = tuple(sum(BONDS[letter] for letter in word) - 4 for word in DINUCLEOTIDES)


class HydrogenBondsOptions(TaskOptions):
    """Options of `HydrogenBonds`."""

    gc: float = Field(default=0.4, gt=0, lt=1, description="share of G and C among the letters")


@dataclass(frozen=True, eq=False)
class Letters(Dataset):
    """Dinucleotides of letters drawn independently."""

    def split(self, rng: np.random.Generator) -> Split:
        """Return training items (train_size,) and held-out items (test_size,), all drawn."""
        size = self.spec.train_size + self.spec.test_size
        drawn = rng.choice(len(self.items), size=size, p=self.frequencies)
        train, test = np.split(drawn, [self.spec.train_size])
        return Split(train, validation=np.zeros(0, dtype=np.int64), test=test)


class HydrogenBonds(Task):
    """Count the hydrogen bonds of a dinucleotide with its complement."""

    name = "hydrogen-bonds"
    version = "1"
    title = "How many hydrogen bonds hold a dinucleotide to its complement?"
    protocol = "decipher"
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
        content = f"{data} {DINUCLEOTIDES} {TARGETS} {options.gc!r}"
        return Letters(
            spec=self.spec(),
            source=data,
            checksum=hashlib.sha256(content.encode()).hexdigest(),
            simulated=True,
            items=Sequences.of(DINUCLEOTIDES, ALPHABET),
            targets=np.array(TARGETS),
            evaluation=np.arange(16),
            frequencies=p,
        )

    def spec(self) -> TaskSpec:
        """Return what is asked, and what is right."""
        return TaskSpec(
            name=self.name,
            version=self.version,
            title=self.title,
            input=Input.of_length(2, unit="dinucleotide", alphabet=ALPHABET, enumerable=True),
            target=Target(names=("four", "five", "six")),
            protocol=self.protocol,
            evaluation=EvaluationSet(inputs=DINUCLEOTIDES, targets=TARGETS),
            train_size=20_000,
            test_size=2_000,
        )
