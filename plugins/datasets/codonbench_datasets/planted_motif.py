"""The task ``planted-motif``: does this sequence follow the grammar of two motifs?

Simulated, so that the truth is known. Letters are drawn uniformly, and two motifs of eight letters,
given as matrices of probabilities, are planted. A sequence follows the grammar if both are on one
strand, either of the two, in order and a few letters apart. The others are decoys: one motif alone,
both at another distance, or both in another order or orientation.

Since all probabilities are known, the posterior probability of a sequence's class is a sum over all
places where motifs may have been planted. No model's expected accuracy on the test sequences
exceeds the mean of the larger posterior, which is computed from them exactly; the 95 % interval
covers the chance in the drawn labels and is exact, too.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

import numpy as np
import numpy.typing as npt
from pydantic import Field

from codonbench import Ceiling, Dataset, RunRecord, Sequences, Task, TaskOptions, TaskSpec
from codonbench.contracts import DNA, Input, Ranking, Strand, Target
from codonbench.errors import DataError

Letters = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

MOTIFS = ("GATAAGCA", "CCGGAAGT")
"""The most likely letters of the first motif and of the second; neither is its own complement."""

SIZES = {"train": 10_000, "validation": 1_000, "test": 2_000}
SEED = 2023

T = TypeVar("T")
Oriented = tuple[int, int]
"""Which motif, 0 or 1, and on which strand, 0 as it is written, 1 as its reverse complement."""


@dataclass(frozen=True)
class Planted:
    """One way to plant motifs.

    Attributes:
        orders: The motifs from left to right; each equally likely. Closed under reverse complement.
        gaps: Letters between two motifs; each equally likely. Of one motif it says nothing.
    """

    orders: tuple[tuple[Oriented, ...], ...]
    gaps: tuple[int, ...] = (0,)


IN_ORDER = (((0, 0), (1, 0)), ((1, 1), (0, 1)))
OUT_OF_ORDER = (
    *(((0, 0), (1, 1)), ((1, 0), (0, 1))),
    *(((0, 1), (1, 0)), ((1, 1), (0, 0))),
    *(((1, 0), (0, 0)), ((0, 1), (1, 1))),
)
ALONE = Planted((((0, 0),), ((0, 1),), ((1, 0),), ((1, 1),)))
NEAR, FAR = (3, 4, 5), (8, 9, 10, 11, 12, 13, 14)


@dataclass(frozen=True)
class Grammar:
    """What sequences are drawn from.

    Attributes:
        length: Letters in a sequence.
        sharpness: Probability of a motif's most likely letter; the others share the rest.
        follows: How motifs are planted in a sequence that follows the grammar.
        decoys: How they are in the others, each way equally likely.
        motifs: Their most likely letters; all of one length.
    """

    length: int
    sharpness: float
    follows: Planted
    decoys: tuple[Planted, ...]
    motifs: tuple[str, ...] = MOTIFS

    def matrices(self) -> Floats:
        """Return the probability of each letter, by motif, strand and place: (M, 2, width, 4)."""
        rest = (1 - self.sharpness) / 3
        rows = [[DNA.index(letter) for letter in motif] for motif in self.motifs]
        written = np.where(np.eye(4, dtype=np.bool_)[np.array(rows)], self.sharpness, rest)
        return np.stack([written, written[:, ::-1, ::-1]], axis=1)

    def span(self, planted: Planted, order: tuple[Oriented, ...], gap: int) -> int:
        """Return how many letters lie from the first planted one to the last."""
        return len(order) * len(self.motifs[0]) + (len(order) - 1) * gap


GRAMMARS: Mapping[str, Grammar] = {
    "easy": Grammar(60, 0.95, Planted(IN_ORDER, NEAR), (ALONE,)),
    "medium": Grammar(100, 0.85, Planted(IN_ORDER, NEAR), (ALONE, Planted(IN_ORDER, FAR))),
    "hard": Grammar(
        100,
        0.75,
        Planted(IN_ORDER, NEAR),
        (Planted(IN_ORDER, FAR), Planted(OUT_OF_ORDER, NEAR)),
    ),
}


def draw(grammar: Grammar, n: int, rng: np.random.Generator) -> tuple[Letters, Letters]:
    """Return letters (n, length) and whether each sequence follows the grammar, (n,).

    Only evenly drawn numbers are used, which NumPy gives alike in all its versions.
    """
    letters = (rng.random((n, grammar.length)) * 4).astype(np.uint8)
    labels = (rng.random(n) < 0.5).astype(np.uint8)
    cumulative = grammar.matrices().cumsum(axis=-1)
    width = len(grammar.motifs[0])
    for row, label, chance in zip(letters, labels, rng.random((n, 4)), strict=True):
        planted = grammar.follows if label else _pick(grammar.decoys, chance[0])
        order, gap = _pick(planted.orders, chance[1]), _pick(planted.gaps, chance[2])
        start = int(chance[3] * (grammar.length - grammar.span(planted, order, gap) + 1))
        for motif, strand in order:
            drawn = rng.random(width)[:, None] >= cumulative[motif, strand][:, :3]
            row[start : start + width] = drawn.sum(axis=1)
            start += width + gap
    return letters, labels


def _pick(some: tuple[T, ...], chance: float) -> T:
    return some[int(chance * len(some))]


def posterior(grammar: Grammar, letters: Letters) -> Floats:
    """Return the probability that each sequence follows the grammar, given its letters, (n,).

    By Bayes' rule, from the likelihood of its letters under each class. That is a mean over all
    ways and places to plant motifs of the product of what each planted letter is likelier than an
    evenly drawn one.

    Args:
        grammar: What they were drawn from; both classes are equally likely.
        letters: Indices of ``ACGT``, (n, length).
    """
    ratios = _ratios(grammar, letters)
    follows = _likelihood(grammar, grammar.follows, ratios)
    decoys = np.mean([_likelihood(grammar, each, ratios) for each in grammar.decoys], axis=0)
    return np.asarray(follows / (follows + decoys))


def _ratios(grammar: Grammar, letters: Letters) -> dict[Oriented, Floats]:
    """Return how much likelier a window is under each motif than evenly drawn, (n, windows)."""
    matrices = grammar.matrices() * 4
    width = matrices.shape[2]
    windows = letters.shape[1] - width + 1
    found = {}
    for motif in range(len(matrices)):
        for strand in range(2):
            factors = (
                matrices[motif, strand, i][letters[:, i : i + windows]] for i in range(width)
            )
            found[motif, strand] = math.prod(factors, start=np.ones((len(letters), windows)))
    return found


def _likelihood(grammar: Grammar, planted: Planted, ratios: dict[Oriented, Floats]) -> Floats:
    width = len(grammar.motifs[0])
    means = []
    for order in planted.orders:
        for gap in planted.gaps:
            starts = grammar.length - grammar.span(planted, order, gap) + 1
            offsets = (i * (width + gap) for i in range(len(order)))
            each = zip(order, offsets, strict=True)
            product = math.prod(ratios[motif][:, at : at + starts] for motif, at in each)
            means.append(np.mean(product, axis=1))
    return np.asarray(np.mean(means, axis=0))


def best_accuracy(posteriors: Floats) -> tuple[float, float, float]:
    """Return the expected accuracy of who answers by the posterior, and its 95 % interval.

    Given the sequences, labels are independent draws from it: the accuracy is a mean of draws.
    """
    best = np.maximum(posteriors, 1 - posteriors)
    half = 1.959964 * math.sqrt(float(np.sum(best * (1 - best)))) / len(best)
    mean = float(best.mean())
    return round(mean, 6), round(mean - half, 6), round(mean + half, 6)


class PlantedMotifOptions(TaskOptions):
    """Options of ``planted-motif``."""

    difficulty: Literal["easy", "medium", "hard"] = Field(
        default="medium",
        description="easy: decoys have one motif; medium: also both at another distance; hard: "
        "also in another order, and motifs are less sharp",
    )


class PlantedMotif(Task):
    """Follows the grammar or not; the best possible accuracy is known."""

    name: ClassVar[str] = "planted-motif"
    version: ClassVar[str] = "1"
    title: ClassVar[str] = "Two motifs in order, and decoys: simulated, the best accuracy known"
    protocol: ClassVar[str] = "supervised"
    category: ClassVar[str] = "simulated"
    strand: ClassVar[Strand] = "either"
    input: ClassVar[Input] = Input(min_length=60, max_length=100)
    target: ClassVar[Target] = Target(names=("decoy", "grammar"))
    Options: ClassVar[type[TaskOptions]] = PlantedMotifOptions
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "accuracy", accuracy="accuracy", auroc="AUROC", mcc="MCC"
    )
    default_data: ClassVar[str] = "simulated"
    data_names: ClassVar[Mapping[str, str]] = {
        "simulated": "sequences drawn from a grammar of two motifs (no download)"
    }

    def load(self, data: str, options: Any, *, cache: Path, offline: bool = False) -> Dataset:
        """Draw the sequences, the same ones always.

        Args:
            data: ``simulated``.
            options: A `PlantedMotifOptions`.
            cache: Not needed.
            offline: Not needed.

        Raises:
            DataError: Other data were asked for.
        """
        if data != self.default_data:
            raise DataError(
                f"{self.name!r} is simulated and reads no file; leave --data {data} out"
            )
        grammar = GRAMMARS[options.difficulty]
        rng = np.random.Generator(np.random.PCG64((SEED, [*GRAMMARS].index(options.difficulty))))
        letters, labels = draw(grammar, sum(SIZES.values()), rng)
        ends = np.cumsum([0, *SIZES.values()])
        splits = {name: np.arange(a, b) for name, (a, b) in zip(SIZES, pairwise(ends), strict=True)}
        value, low, high = best_accuracy(posterior(grammar, letters[splits["test"]]))
        spec = TaskSpec(
            name=self.name,
            version=self.version,
            title=self.title,
            input=Input.of_length(grammar.length),
            target=self.target,
            protocol=self.protocol,
            train_size=SIZES["train"],
            validation_size=SIZES["validation"],
            test_size=SIZES["test"],
            default_epochs=20,
            notes=(f"Simulated, difficulty {options.difficulty}.",),
            licence="none needed: simulated",
        )
        return Dataset(
            spec=spec,
            source=self.default_data,
            checksum=hashlib.sha256(letters.tobytes() + labels.tobytes()).hexdigest(),
            simulated=True,
            items=Sequences.of_rows(letters),
            targets=labels.astype(np.int64),
            splits=splits,
            report=(
                f"{len(letters):,} simulated sequences; no model is expected above {value:.3f}",
            ),
            provenance={"best_accuracy": value, "best_low": low, "best_high": high},
        )

    def motifs(self, record: RunRecord) -> Mapping[str, Floats]:
        """Return both planted motifs, as they are written."""
        options = PlantedMotifOptions.model_validate(record.run_spec.task_options)
        grammar = GRAMMARS[options.difficulty]
        return dict(zip(grammar.motifs, grammar.matrices()[:, 0], strict=True))

    def ceiling(self, record: RunRecord) -> Ceiling | None:
        """Return the expected accuracy of who knows the grammar."""
        known = record.dataset.provenance
        value, low, high = (float(known[f"best_{part}"]) for part in ("accuracy", "low", "high"))
        return Ceiling(value=value, low=low, high=high, how="Bayes rate of these test sequences")
