"""Simulated human ORFs: measured codon usage and lengths, no sequence."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from codonbench import Dataset, Split
from codonbench.contracts import Frozen
from codonbench_datasets.human_codon.genetic_code import CODONS, START, genetic_code
from codonbench_datasets.human_codon.orfs import pick_orfs, shuffle_and_split, split_of
from codonbench_datasets.human_codon.spec import TEST_PAIRS, TRAIN_PAIRS

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

SHORTEST = 2
"""Codons in the shortest ORF there can be: AUG and a stop."""

_N_LENGTHS = 10_000


class HumanUsage(Frozen):
    """What was measured on real human ORFs; ``scripts/measure_usage.py`` writes it.

    Attributes:
        source, source_sha256: The file measured: its name and the SHA-256 of its bytes.
        command: What wrote this file.
        n_orfs, n_codons: How much was measured.
        mean_length: Codons in an ORF on average, AUG and stop codon included.
        counts: How often each codon occurs, by codon.
        length_probabilities: Where the distribution of lengths was read off, rising from 0 to 1.
        length_quantiles: ORF length in codons at each of them.
    """

    source: str
    source_sha256: str
    command: str
    n_orfs: int
    n_codons: int
    mean_length: float
    counts: dict[str, int]
    length_probabilities: tuple[float, ...]
    length_quantiles: tuple[float, ...]

    def checksum(self, mean_length: int | None) -> str:
        """Return the SHA-256 (hex) of all that decides a draw: the numbers and the option."""
        counts = [self.counts[codon] for codon in CODONS]
        parts = (counts, self.n_orfs, self.length_probabilities, self.length_quantiles, mean_length)
        return hashlib.sha256(f"usage 1 {parts!r}".encode()).hexdigest()


@cache
def human_usage() -> HumanUsage:
    """Return the measured human codon usage that is installed with this package."""
    text = (files("codonbench_datasets.human_codon") / "human_usage.json").read_text("utf-8")
    return HumanUsage.model_validate_json(text)


def sense_and_stop_frequencies(usage: HumanUsage) -> tuple[FloatArray, FloatArray]:
    """Return how often each codon stands inside an ORF, and at its end, each summing to 1.

    Start codons are left out of the first: every ORF has its AUG besides.

    Returns:
        Two arrays of shape (64,), for the standard genetic code.
    """
    counts = np.array([usage.counts[codon] for codon in CODONS], dtype=np.float64)
    is_stop = np.isin(np.arange(64), genetic_code(1).stops)
    sense = np.where(is_stop, 0.0, counts)
    sense[START] -= usage.n_orfs
    stop = np.where(is_stop, counts, 0.0)
    return sense / sense.sum(), stop / stop.sum()


def orf_lengths(usage: HumanUsage, mean_length: int | None = None) -> IntArray:
    """Return equally likely ORF lengths: the measured distribution at 10,000 even steps.

    Between the measured quantiles the inverse of the distribution function is a straight line.

    Args:
        usage: The measured quantiles.
        mean_length: Codons in an ORF on average; the whole distribution is scaled to it.
            None keeps the measured lengths.

    Returns:
        Lengths in codons, AUG and stop codon included, at least `SHORTEST`, shape (10000,).
    """
    steps = (np.arange(_N_LENGTHS) + 0.5) / _N_LENGTHS
    lengths = np.interp(steps, usage.length_probabilities, usage.length_quantiles)
    if mean_length is not None:
        lengths *= mean_length / lengths.mean()
    return np.maximum(SHORTEST, np.rint(lengths)).astype(np.int64)


def expected_frequencies(usage: HumanUsage, lengths: IntArray) -> FloatArray:
    """Return the probability of each codon in a draw, shape (64,), summing to 1.

    An ORF of mean length m has one AUG at its head, one stop codon and m - 2 sense codons.
    """
    sense, stop = sense_and_stop_frequencies(usage)
    mean = float(lengths.mean())
    frequencies = (sense * (mean - 2) + stop) / mean
    frequencies[START] += 1 / mean
    return frequencies


@dataclass(frozen=True, eq=False, kw_only=True)
class SimulatedDataset(Dataset):
    """Codons of simulated ORFs.

    Attributes:
        usage: The codon frequencies.
        lengths: Equally likely ORF lengths in codons.
    """

    usage: HumanUsage
    lengths: IntArray

    def split(self, rng: np.random.Generator) -> Split:
        """Simulate one seed's ORFs and draw its pairs from them as from real ones.

        Each ORF is AUG, independent sense codons, one stop codon. They are laid end to end until
        there are 640,000 codons (the last is cut off there), shuffled and split.

        Args:
            rng: The seed's own generator.

        Returns:
            Codon indices: training pairs (576000,), held-out pairs (64000,) as the test split.
        """
        needed = TRAIN_PAIRS + TEST_PAIRS
        sense, stop = sense_and_stop_frequencies(self.usage)
        ends = np.cumsum(self.lengths[pick_orfs(self.lengths, needed, rng)])
        ends = ends[: int(np.searchsorted(ends, needed, side="left")) + 1]
        codons = rng.choice(64, size=int(ends[-1]), p=sense)
        codons[np.append(0, ends[:-1])] = START
        codons[ends - 1] = rng.choice(64, size=len(ends), p=stop)
        return split_of(*shuffle_and_split(codons[:needed], rng))
