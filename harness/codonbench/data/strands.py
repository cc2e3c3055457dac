"""Reverse complements of nucleotide sequences."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from codonbench.contracts import Items, Sequences

_COMPLEMENTS = dict(zip("ACGTURYSWKMBDHVN", "TGCAAYRSWMKVHDBN", strict=True))
"""Complements of bases and of IUPAC ambiguity codes (Cornish-Bowden 1985)."""


def reverse_complements(items: Items, alphabet: str) -> Sequences | None:
    """Return the reverse complement of each item; None if they are not nucleotide sequences.

    Unknown letters stay unknown.
    """
    complements = _complements(alphabet)
    if not isinstance(items, Sequences) or complements is None:
        return None
    ends = items.offsets[-1]
    turned = Sequences(complements[items.letters[::-1]], ends - items.offsets[::-1])
    return turned.take(np.arange(len(items))[::-1])


def concatenated(first: Sequences, second: Sequences) -> Sequences:
    """Return the sequences of `first`, then those of `second`."""
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
    return Sequences(np.concatenate([first.letters, second.letters]), offsets)


def _complements(alphabet: str) -> npt.NDArray[np.uint8] | None:
    """Return the complement of each letter index, shape (256,); None if a letter has none."""
    rna = "U" in alphabet and "T" not in alphabet
    pairs = {a: "U" if rna and b == "T" else b for a, b in _COMPLEMENTS.items()}
    found = [alphabet.find(pairs.get(letter.upper(), "?")) for letter in alphabet]
    if not found or min(found) < 0:
        return None
    table = np.arange(256, dtype=np.uint8)
    table[: len(found)] = found
    return table
