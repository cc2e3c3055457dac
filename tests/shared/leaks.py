"""Data with a leak planted in them, and clean ones, for the audit of data."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path

OPPOSITE = str.maketrans("ACGT", "TGCA")


def text(rng: random.Random, n: int) -> str:
    """Return a random sequence."""
    return "".join(rng.choices("ACGT", k=n))


def dinucleotide_shuffle(sequence: str, rng: random.Random) -> str:
    """Return a sequence with the same dinucleotides in another order: Euler's algorithm.

    Altschul and Erickson, Mol. Biol. Evol. 2 (1985).
    """
    last = sequence[-1]
    while True:
        edges = {letter: [] for letter in sequence}
        for one, other in pairwise(sequence):
            edges[one].append(other)
        for each in edges.values():
            rng.shuffle(each)
        exits = {letter: each[-1] for letter, each in edges.items() if each and letter != last}
        if all(_leads(letter, exits, last) for letter in exits):
            break
    walk = [sequence[0]]
    while edges[walk[-1]]:
        walk.append(edges[walk[-1]].pop(0))
    return "".join(walk)


def _leads(letter: str, exits: dict[str, str], last: str) -> bool:
    for _ in range(len(exits) + 1):
        if letter == last:
            return True
        letter = exits[letter]
    return False


def cut_and_pasted(sequence: str, rng: random.Random, pieces: int = 8, kept: int = 4) -> str:
    """Return a sequence of which some of the pieces stay in place and the others are random."""
    size = len(sequence) // pieces
    stay = set(rng.sample(range(pieces), kept))
    parts = [sequence[i * size : (i + 1) * size] for i in range(pieces)]
    return "".join(p if i in stay else text(rng, len(p)) for i, p in enumerate(parts))


def rows(rng: random.Random, n: int, length: int = 80) -> list[tuple[str, str]]:
    """Return n random sequences, half of each class in random order, that nothing tells."""
    labels = ["0", "1"] * (n // 2)
    rng.shuffle(labels)
    return [(text(rng, length), label) for label in labels]


def write(path: Path, found: list[tuple[str, ...]], header: str = "sequence,label") -> str:
    """Write a table; return its path."""
    path.write_text("\n".join([header, *(",".join(row) for row in found)]) + "\n")
    return str(path)
