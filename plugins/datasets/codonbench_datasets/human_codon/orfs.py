"""Codons and where they come from: genetic codes, real ORFs, ORFs simulated from codon usage."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import product

import numpy as np
import numpy.typing as npt

from codonbench import Dataset, Split
from codonbench.contracts import Frozen
from codonbench.contracts.trajectory import BoolArray, FloatArray, IntArray
from codonbench.data.fasta import FastaRecords
from codonbench.errors import ConfigError, DataError

ByteArray = npt.NDArray[np.uint8]

TRAIN_PAIRS = 576_000
TEST_PAIRS = 64_000

ALPHABET = "UCAG"
"""Nucleotides in index order, the order of the textbook table."""

CODONS: tuple[str, ...] = tuple("".join(letters) for letters in product(ALPHABET, repeat=3))
"""The 64 codons; n1 n2 n3 has index ``16*n1 + 4*n2 + n3``: UUU is 0, AUG 35, GGG 63."""

CLASSES: tuple[str, ...] = (*"ACDEFGHIKLMNPQRSTVWY", "*")
"""The 21 classes: amino acids in alphabetical order of their letters, stop last."""

START = CODONS.index("AUG")
"""Index of AUG, the one start codon that curation accepts."""


@dataclass(frozen=True)
class GeneticCode:
    """What each codon means under one NCBI translation table.

    In tables 27, 28 and 31 a codon can be both stop and amino acid. NCBI's amino-acid line
    gives the amino acid, and so do `amino_acids` and `labels`; `ends` still holds the codon.

    Attributes:
        number: NCBI's number: 1 is the standard code, 2 vertebrate mitochondria.
        name: NCBI's first name for it.
        amino_acids: One class letter for each of the 64 codons, in index order.
        ends: Indices of the codons that can end an open reading frame.
    """

    number: int
    name: str
    amino_acids: str
    ends: tuple[int, ...]

    @property
    def labels(self) -> IntArray:
        """Class of each codon, as an index into `CLASSES`, shape (64,)."""
        return np.array([CLASSES.index(letter) for letter in self.amino_acids], dtype=np.int64)

    @property
    def stops(self) -> tuple[int, ...]:
        """Indices of the codons labelled ``*``; empty where every stop is also an amino acid."""
        return tuple(i for i, letter in enumerate(self.amino_acids) if letter == "*")

    @property
    def stop_or_sense(self) -> tuple[int, ...]:
        """Indices of the codons that are both stop and amino acid."""
        return tuple(end for end in self.ends if self.amino_acids[end] != "*")


@cache
def genetic_codes() -> tuple[int, ...]:
    """Return the numbers of the NCBI translation tables that Biopython knows."""
    from Bio.Data import CodonTable  # here, because to list the tasks needs no genetic code

    return tuple(sorted(CodonTable.unambiguous_rna_by_id))


@cache
def genetic_code(number: int) -> GeneticCode:
    """Return NCBI translation table `number`, as Biopython holds it.

    Raises:
        ConfigError: There is no such table; the message lists those there are.
    """
    if number not in genetic_codes():
        known = ", ".join(map(str, genetic_codes()))
        raise ConfigError(f"genetic code {number} does not exist; NCBI's tables are {known}")
    from Bio.Data import CodonTable  # here, as above

    table = CodonTable.unambiguous_rna_by_id[number]
    return GeneticCode(
        number=number,
        name=table.names[0],
        amino_acids="".join(table.forward_table.get(codon, "*") for codon in CODONS),
        ends=tuple(sorted(CODONS.index(codon) for codon in table.stop_codons)),
    )


def codon_letters() -> IntArray:
    """Return the letter indices of the 64 codons, shape (64, 3)."""
    return np.array(list(product(range(4), repeat=3)), dtype=np.int64)


# Real ORFs

REASONS = (
    "no sequence",
    "ambiguous base",
    "length not divisible by three",
    "does not start with AUG",
    "does not end in a stop codon",
    "internal stop codon",
    "duplicate of an earlier sequence",
)
"""Why a record is dropped. They are tried in this order and a record counts under the first."""


@dataclass(frozen=True, eq=False)
class Orfs:
    """Curated open reading frames, AUG and stop codon included.

    Attributes:
        codons: Codon indices of all ORFs end to end, shape (sum of lengths,).
        lengths: Codons in each ORF, shape (n,), each at least 2.
        dropped: How many records were dropped for each of `REASONS`.
    """

    codons: ByteArray
    lengths: IntArray
    dropped: dict[str, int]

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def counts(self) -> IntArray:
        """How often each codon occurs, shape (64,)."""
        # In blocks: bincount would turn all codons into 8-byte integers at once.
        blocks = range(0, len(self.codons), 1 << 20)
        per_block = [np.bincount(self.codons[i : i + (1 << 20)], minlength=64) for i in blocks]
        return np.asarray(np.sum(per_block, axis=0), dtype=np.int64)

    @property
    def report(self) -> tuple[str, ...]:
        """One line for what was kept and one for each reason that dropped anything."""
        kept = f"{len(self):,} {_plural('ORF', len(self))} kept ({len(self.codons):,} codons)"
        return kept, *_drop_lines(self.dropped)

    def checksum(self, code: GeneticCode) -> str:
        """Return the SHA-256 (hex) of codons, lengths and genetic code."""
        digest = hashlib.sha256(f"orfs 1 genetic code {code.number} n {len(self)}\n".encode())
        digest.update(self.lengths.astype("<i8").tobytes())
        digest.update(self.codons.data)
        return digest.hexdigest()


def curate(records: FastaRecords, code: GeneticCode, name: str) -> Orfs:
    """Keep the records that are open reading frames, each sequence once.

    Kept: starts with AUG, ends in one of the code's stop codons, length divisible by three, no
    codon labelled ``*`` before the last, only A, C, G, T, U, not equal to an earlier sequence.
    This is the paper's curation (doi 10.3389/frai.2023.1128153).

    Args:
        records: The records; their `bases` are overwritten, to save memory.
        code: Says which codons are stops.
        name: What messages call the file.

    Raises:
        DataError: Nothing is left; the message gives the reasons.
    """
    reason = np.full(len(records), -1, dtype=np.int8)

    def drop(which: BoolArray, index: int) -> None:
        reason[which & (reason < 0)] = index

    drop(records.lengths == 0, 0)
    drop(records.unclear, 1)
    drop(records.lengths % 3 != 0, 2)
    drop(_codon_at(records, records.starts, reason) != START, 3)
    last = _codon_at(records, records.starts + records.lengths - 3, reason)
    drop(~np.isin(last, code.ends), 4)

    codons, lengths = _pack_codons(records, reason < 0)
    candidates = np.flatnonzero(reason < 0)
    reason[candidates[_stopped(codons, lengths, code)]] = 5
    repeats = _repeats(codons, lengths, reason[candidates] < 0)
    reason[candidates[repeats]] = 6
    keep = reason[candidates] < 0
    codons, lengths = codons[np.repeat(keep, lengths)], lengths[keep]

    dropped = {text: int(np.count_nonzero(reason == i)) for i, text in enumerate(REASONS)}
    if not len(lengths):
        why = "; ".join((*_drop_lines(dropped), *_hints(dropped)))
        raise DataError(
            f"{name!r} holds no usable open reading frame under genetic code {code.number}: {why}"
        )
    return Orfs(codons, lengths, dropped)


def _codon_at(records: FastaRecords, where: IntArray, reason: npt.NDArray[np.int8]) -> IntArray:
    """Return the codon that begins at `where` in each record not yet dropped, -1 in others."""
    codons = np.full(len(records), -1, dtype=np.int64)
    alive = np.flatnonzero(reason < 0)
    letters = records.bases[where[alive][:, None] + np.arange(3)].astype(np.int64)
    codons[alive] = letters @ (16, 4, 1)
    return codons


def _pack_codons(records: FastaRecords, keep: BoolArray) -> tuple[ByteArray, IntArray]:
    """Return the codons of the kept records end to end, and their lengths in codons."""
    starts, lengths = records.starts[keep], records.lengths[keep]
    bases, written = records.bases, 0
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        bases[written : written + length] = bases[start : start + length]
        written += length
    triplets = bases[:written].reshape(-1, 3)
    codons = triplets[:, 0] * np.uint8(16)
    codons += triplets[:, 1] * np.uint8(4)
    codons += triplets[:, 2]
    return codons, lengths // 3


def _stopped(codons: ByteArray, lengths: IntArray, code: GeneticCode) -> BoolArray:
    """Return which ORFs hold a codon labelled ``*`` before their last, shape (n,)."""
    is_stop = np.zeros(len(codons), dtype=np.bool_)
    for stop in code.stops:  # three passes of comparison beat one of np.isin
        is_stop |= codons == stop
    ends = np.cumsum(lengths)
    is_stop[ends - 1] = False
    return np.asarray(np.logical_or.reduceat(is_stop, ends - lengths), dtype=np.bool_)


def _repeats(codons: ByteArray, lengths: IntArray, among: BoolArray) -> BoolArray:
    """Return which of the ORFs in `among` equal an earlier one of them, shape (n,)."""
    seen: set[bytes] = set()
    repeats = np.zeros(len(lengths), dtype=np.bool_)
    ends = np.cumsum(lengths)
    text = codons.data
    for i in np.flatnonzero(among).tolist():
        orf = bytes(text[ends[i] - lengths[i] : ends[i]])
        if orf in seen:
            repeats[i] = True
        seen.add(orf)
    return repeats


def _plural(noun: str, count: int) -> str:
    return noun if count == 1 else f"{noun}s"


def _drop_lines(dropped: dict[str, int]) -> tuple[str, ...]:
    """Return one line for each reason that dropped anything."""
    counted = [(reason, n) for reason, n in dropped.items() if n]
    return tuple(f"{n:,} {_plural('record', n)} dropped: {reason}" for reason, n in counted)


def _hints(dropped: dict[str, int]) -> tuple[str, ...]:
    """Return what commonly is the matter with a file of which nothing can be used."""
    whole = dropped[REASONS[2]] or dropped[REASONS[3]]
    return (
        *(["coding sequences are needed, from AUG to stop, without UTRs"] if whole else []),
        *(["another --genetic-code may fit"] if dropped[REASONS[5]] else []),
    )


def pick_orfs(lengths: IntArray, needed: int, rng: np.random.Generator) -> IntArray:
    """Pick ORFs at random with replacement until they hold at least `needed` codons.

    Args:
        lengths: Codons in each ORF, shape (n,).
        needed: How many codons are wanted.
        rng: The only source of chance.

    Returns:
        Indices into `lengths`, in the order of picking; a few more than needed.
    """
    batch = int(1.1 * needed / lengths.mean()) + 1
    picked = np.empty(0, dtype=np.int64)
    while lengths[picked].sum() < needed:
        picked = np.concatenate((picked, rng.integers(len(lengths), size=batch)))
    return picked


def shuffled_split(codons: IntArray, rng: np.random.Generator) -> Split:
    """Return the codons in random order: `TRAIN_PAIRS` to train on, the rest as the test split."""
    shuffled = rng.permutation(codons)
    return Split(shuffled[:TRAIN_PAIRS], np.zeros(0, dtype=np.int64), shuffled[TRAIN_PAIRS:])


@dataclass(frozen=True, eq=False, kw_only=True)
class OrfDataset(Dataset):
    """Codons of real ORFs.

    Attributes:
        orfs: What is drawn from.
    """

    orfs: Orfs

    def split(self, rng: np.random.Generator) -> Split:
        """Draw one seed's pairs as the paper does.

        ORFs are picked at random with replacement and laid end to end until there are 640,000
        codons; the last ORF is cut off there. Then the codons are shuffled and split.

        Args:
            rng: The seed's own generator.

        Returns:
            Codon indices: training pairs (576000,), held-out pairs (64000,) as the test split.
        """
        needed = TRAIN_PAIRS + TEST_PAIRS
        lengths = self.orfs.lengths
        picked = pick_orfs(lengths, needed, rng)
        begins = np.cumsum(lengths)[picked] - lengths[picked]
        offsets = np.cumsum(lengths[picked]) - lengths[picked]
        where = np.repeat(begins - offsets, lengths[picked])[:needed] + np.arange(needed)
        return shuffled_split(self.orfs.codons[where].astype(np.int64), rng)


# Simulated ORFs

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
        return shuffled_split(codons[:needed], rng)
