"""What the codon task says of records and rows."""

import math
from types import SimpleNamespace

import pytest

from codonbench_datasets.decipher import GUESSER, RANKING, is_chance
from codonbench_datasets.human_codon.task import HumanCodon

TASK = HumanCodon()


@pytest.mark.parametrize("values", [{}, {"excess_pairs": None}, {"excess_pairs": 0}])
def test_a_run_at_or_above_the_bound_has_no_flag(values):
    assert TASK.flags(values) == ()


def test_a_run_below_the_bound_is_flagged():
    (flag,) = TASK.flags({"excess_pairs": -64})
    assert flag.startswith("below the bound")


def test_a_table_is_keyed_by_the_metrics_that_it_always_was():
    assert set(RANKING.key_metrics) == {
        *("pairs_consumed", "excess_pairs", "sustained_pairs", "confident_pairs"),
        *("rare_stop_ambiguity", "decipher_epoch"),
    }


@pytest.mark.parametrize("n", [6, 10])
def test_chance_is_a_binomial_tail(n):
    for successes in range(n + 1):
        tail = sum(math.comb(n, k) * 0.25**k * 0.75 ** (n - k) for k in range(successes, n + 1))
        assert is_chance(successes, n, 0.25) == (tail >= 0.01)


def runs(excesses, model="any"):
    """Records of seeds whose streams have shown all after 2,000 pairs."""
    return tuple(
        SimpleNamespace(
            seed=seed,
            model=model,
            metrics={"excess_pairs": e, "pairs_consumed": None if e is None else 2_000 + e},
        )
        for seed, e in enumerate(excesses)
    )


def notes(real, shuffled=(), guesser=()):
    references = {GUESSER: runs(guesser, GUESSER)} if guesser else {}
    return TASK.row_notes(runs(real), runs(shuffled), references)


def test_a_row_that_is_never_below_the_bound_has_no_note():
    assert notes([0, 64, None] * 3, [0] * 9, [-1_000] * 9) == ()


def test_below_the_bound_on_the_real_code_only_is_said_from_five_seeds_on():
    """As a table of synonyms is that a model uses in half of its runs: 1/32, the others alike."""
    half = [-1_500] * 5 + [0] * 5
    luck, only = notes(half, [0] * 10)
    assert "luck, " in luck
    assert only.startswith("below the bound in 5 of 10 on the real code and in 0 on shuffled")
    assert len(notes(half)) == 1  # no control was run
    assert len(notes([-1_500] * 4 + [0] * 6, [0] * 10)) == 1
    assert len(notes(half, [-64] * 2 + [0] * 8)) == 1  # 3 of 3, 1/8
    assert len(notes(half, [0] * 5 + [-64] * 5)) == 1


def test_sooner_than_an_honest_guesser_is_no_guess():
    half, guesser = [-1_500] * 5 + [0] * 5, [-1_000] * 10
    _, more = notes(half, guesser=guesser)
    assert more.startswith("sooner than frequency-guess in 5 of 10")
    assert "guess by class frequency explains" in more
    assert len(notes([-1_000] * 10, guesser=guesser)) == 1  # as soon: a guess explains it
    assert len(TASK.row_notes(runs([-9] * 10, GUESSER), (), {GUESSER: runs([0] * 10)})) == 1
    _, more = notes([-9] * 10, guesser=[None] * 10)  # which never got there
    assert "in 10 of 10" in more
