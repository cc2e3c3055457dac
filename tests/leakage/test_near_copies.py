"""Near-copies: by hand, against an alignment of all pairs, and what is none."""

import numpy as np
import pytest

from codonbench.contracts import Sequences
from codonbench.data.table_report import complement
from codonbench.leakage.letters import kmers
from codonbench.leakage.near_copies import nearest, word_length

PAIRS = complement("ACGT")
OPPOSITE = str.maketrans("ACGT", "TGCA")


def text(rng, n):
    return "".join(rng.choice(list("ACGT"), n))


def changed(rng, sequence, share):
    """Return a sequence with this share of its letters changed."""
    letters = list(sequence)
    for i in rng.choice(len(letters), round(share * len(letters)), replace=False):
        letters[i] = rng.choice([x for x in "ACGT" if x != letters[i]])
    return "".join(letters)


def copied(query, reference):
    """Return which reference each query is a near-copy of, -1 for none."""
    items = Sequences.of([*reference, *query], "ACGT")
    n = len(reference)
    asked = np.arange(n, n + len(query))
    return nearest(items, asked, np.arange(n), 4, PAIRS).copied.tolist()


def test_kmers_by_hand():
    items = Sequences.of(["ACGTN", "TT"], "ACGT")
    number, item, place, turned = kmers(items, np.array([0, 1]), 2, 4)
    assert number.tolist() == [1, 6, 11, 15]  # AC, CG, GT, TT
    assert (item.tolist(), place.tolist()) == ([0, 0, 0, 1], [0, 1, 2, 0])
    assert not turned.any()
    number, *_, turned = kmers(items, np.array([0, 1]), 2, 4, PAIRS)
    assert number.tolist() == [1, 6, 1, 0]  # GT is AC read in reverse, TT is AA
    assert turned.tolist() == [False, False, True, True]


def test_words_are_long_enough_to_be_rare():
    assert word_length(1_000, 4) == 8
    assert 4 ** word_length(50_000_000, 4) >= 25_000_000 > 4 ** (word_length(50_000_000, 4) - 1)


@pytest.mark.parametrize("length", [60, 101, 500])
def test_copies_of_nine_letters_in_ten_are_found_and_unrelated_ones_are_not(length):
    rng = np.random.default_rng(length)
    reference = [text(rng, length) for _ in range(300)]
    query = [changed(rng, reference[i], 0.1) for i in range(0, 300, 3)]
    found = copied([*query, *(text(rng, length) for _ in range(200))], reference)
    assert np.mean(np.array(found[:100]) == np.arange(0, 300, 3)) >= 0.99
    assert found[100:] == [-1] * 200


def test_shifted_reversed_and_gapped_copies_are_found():
    rng = np.random.default_rng(1)
    reference = [text(rng, 100) for _ in range(50)]
    one = reference[7]
    shifted = one[15:] + text(rng, 15)
    apart = one[40:] + text(rng, 40)  # 60 % overlap is too little
    gapped = one[:30] + one[33:60] + "ACG" + one[60:]
    turned = changed(rng, one, 0.1)[::-1].translate(OPPOSITE)
    part = one[20:75]  # of the shorter all
    assert copied([shifted, apart, gapped, turned, part], reference) == [7, -1, 7, 7, 7]


def test_unknown_letters_are_like_nothing():
    rng = np.random.default_rng(2)
    one = text(rng, 100)
    masked = one[:40] + "N" * 60
    assert copied([masked, "N" * 100], [masked, "N" * 100]) == [-1, -1]


def test_a_family_larger_than_what_one_kmer_leads_to_is_found_all_the_same():
    rng = np.random.default_rng(3)
    one = text(rng, 100)
    family = [changed(rng, one, 0.05) for _ in range(200)]
    found = copied(family[:20], [*(text(rng, 100) for _ in range(50)), *family[20:]])
    assert min(found) >= 50


def test_an_item_is_no_near_copy_of_itself():
    rng = np.random.default_rng(4)
    items = Sequences.of([text(rng, 100) for _ in range(20)], "ACGT")
    everything = np.arange(20)
    assert nearest(items, everything, everything, 4, PAIRS).copied.tolist() == [-1] * 20
