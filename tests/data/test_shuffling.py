"""Sequences in another order that keeps their dinucleotides."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from codonbench.contracts import Sequences
from codonbench.data.shuffling import shuffled


def dinucleotides(text):
    return Counter(pairwise(text))


def shuffle(texts, seed=0, alphabet="ACGT"):
    items = Sequences.of(texts, alphabet)
    found = shuffled(items, len(alphabet), np.random.default_rng(seed))
    assert found.offsets.tolist() == items.offsets.tolist()
    return found.text(alphabet)


@given(st.lists(st.text("ACGTN", max_size=40), max_size=8), st.integers(0, 99))
@settings(max_examples=60, deadline=None)
def test_letters_that_follow_one_another_stay_as_often_and_ends_stay(texts, seed):
    for before, after in zip(texts, shuffle(texts, seed), strict=True):
        assert dinucleotides(after) == dinucleotides(before)
        assert (after[:1], after[-1:], len(after)) == (before[:1], before[-1:], len(before))


def test_what_has_one_order_keeps_it():
    """Twelve letters of one kind; a walk that passes no letter twice; a loop that ends it."""
    texts = ["AAAAAAAAAAAA", "ACGT", "GAAAAC", "", "T"]
    assert shuffle(texts) == texts


@pytest.mark.parametrize("text", ["ACGACAGTA", "AACAAGA"])
def test_each_order_is_as_likely_as_any_other(text):
    """All of them by brute force: 12 orders of the first, 6 of the second."""
    every = {
        other
        for other in set(map("".join, permutations(text)))
        if dinucleotides(other) == dinucleotides(text)
    }
    found = Counter(shuffle([text] * 12_000, 3))
    assert set(found) == every
    assert len(every) > 5
    assert chisquare([found[other] for other in sorted(every)]).pvalue > 1e-3


def test_long_items_in_several_parts_are_the_same_as_alone(monkeypatch):
    """Parts bound memory; where one ends changes no item's dinucleotides."""
    monkeypatch.setattr("codonbench.data.shuffling._AT_ONCE", 64)
    rng = np.random.default_rng(5)
    texts = ["".join(rng.choice(list("ACGT"), n)) for n in (30, 200, 10, 64, 90)]
    after = shuffle(texts)
    assert [dinucleotides(text) for text in after] == [dinucleotides(text) for text in texts]
    assert sum(a != b for a, b in zip(texts, after, strict=True)) == len(texts)
