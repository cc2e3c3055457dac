"""The 64 codons in order, and what each means under an NCBI translation table."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np
import numpy.typing as npt

from codonbench.errors import ConfigError

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
    def labels(self) -> npt.NDArray[np.int64]:
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


def codon_letters() -> npt.NDArray[np.int64]:
    """Return the letter indices of the 64 codons, shape (64, 3)."""
    return np.array(list(product(range(4), repeat=3)), dtype=np.int64)
