"""Twins: by hand, planted, and not there by chance."""

import random
from collections import Counter
from itertools import pairwise

import numpy as np

from codonbench.contracts import Sequences
from codonbench.leakage.twins import in_pieces, shuffled
from leaks import cut_and_pasted, dinucleotide_shuffle


def found(finder, query, reference):
    items = Sequences.of([*reference, *query], "ACGT")
    n = len(reference)
    return finder(items, np.arange(n, n + len(query)), np.arange(n), 4).tolist()


def text(rng, n):
    return "".join(rng.choices("ACGT", k=n))


def test_the_shuffle_that_plants_twins_keeps_dinucleotides():
    one = text(random.Random(0), 80)
    other = dinucleotide_shuffle(one, random.Random(1))
    assert other != one
    assert Counter(map("".join, pairwise(one))) == Counter(map("".join, pairwise(other)))


def test_a_shuffled_twin_by_hand():
    one = "AACAAGAATAACCAAGGAATT"
    swapped = "AAGAACAATAACCAAGGAATT"  # AAC and AAG changed places
    assert found(shuffled, [swapped], [one]) == [-1]  # nearly all letters stand where they stood
    rng = random.Random(2)
    originals = [text(rng, 60) for _ in range(40)]
    twins = [dinucleotide_shuffle(each, rng) for each in originals[:20]]
    assert found(shuffled, [*twins, *(text(rng, 60) for _ in range(40))], originals) == [
        *range(20),
        *[-1] * 40,
    ]


def test_an_item_is_not_the_twin_of_its_copy():
    rng = random.Random(3)
    originals = [text(rng, 60) for _ in range(5)]
    assert found(shuffled, originals, originals) == [-1] * 5
    assert found(in_pieces, originals, originals) == [-1] * 5


def test_pieces_in_place_are_found():
    rng = random.Random(4)
    originals = [text(rng, 120) for _ in range(200)]
    made = [cut_and_pasted(each, rng) for each in originals[:60]]
    answers = found(in_pieces, [*made, *(text(rng, 120) for _ in range(60))], originals)
    assert answers == [*range(60), *[-1] * 60]


def test_pieces_at_other_places_are_none():
    rng = random.Random(5)
    one = text(rng, 120)
    assert found(in_pieces, [one[60:] + one[:60]], [one]) == [-1]
