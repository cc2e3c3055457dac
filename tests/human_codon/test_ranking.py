"""What the codon task says of records and rows."""

import math
from types import SimpleNamespace

import pytest
from scipy.stats import multinomial

from codonbench.contracts import Doubt
from codonbench_datasets.decipher import GUESSER, ONLY_REAL, RANKING, is_chance
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


def runs(excesses, model="any", role="contestant"):
    """Records of seeds whose streams have shown all after 2,000 pairs."""
    return tuple(
        SimpleNamespace(
            seed=seed,
            model=model,
            info=SimpleNamespace(role=role),
            metrics={"excess_pairs": e, "pairs_consumed": None if e is None else 2_000 + e},
        )
        for seed, e in enumerate(excesses)
    )


def notes(real, shuffled=(), guesser=()):
    references = {GUESSER: runs(guesser, GUESSER)} if guesser else {}
    return TASK.row_notes(runs(real), runs(shuffled), references)


def test_a_row_that_is_never_below_the_bound_has_no_note():
    assert notes([0, 64, None] * 3, [0] * 9, [-1_000] * 9) == ()


def test_below_the_bound_on_the_real_code_only_is_in_doubt_from_four_seeds_on():
    """As a table of synonyms is that a model uses in some of its runs: 1/16, the others alike."""
    some = [-1_500] * 4 + [0] * 6
    luck, only = notes(some, [0] * 10)
    assert "luck, " in luck
    assert not isinstance(luck, Doubt)
    assert only.startswith("below the bound in 4 of 10 on the real code and in 0 on shuffled")
    assert isinstance(only, Doubt)
    assert len(notes([-1_500] * 3 + [0] * 7, [0] * 10)) == 1
    assert len(notes(some, [-64] + [0] * 9)) == 1  # 3 of 3, 1/8
    assert len(notes(some, [0] * 6 + [-64] * 4)) == 1


@pytest.mark.parametrize(
    ("below", "of", "in_doubt"), [(2, 10, False), (3, 10, True), (6, 10, True), (2, 3, False)]
)
def test_below_the_bound_more_than_now_and_then_is_in_doubt_until_a_control_is_run(
    below, of, in_doubt
):
    """A table that is used in six of ten seeds is no more often below than luck may be."""
    excesses = [-1_500] * below + [0] * (of - below)
    (note,) = notes(excesses)
    assert isinstance(note, Doubt) == in_doubt
    assert note.endswith("not run under shuffled codes, see --control shuffled") == in_doubt
    first, *_ = notes(excesses, excesses)
    assert not isinstance(first, Doubt)


def test_a_control_of_some_seeds_says_nothing_of_the_others():
    excesses = [-1_500] * 6 + [0] * 4
    (note,) = notes(excesses, excesses[:1])
    assert isinstance(note, Doubt)
    assert "; 5 of them not run under shuffled codes" in note


@pytest.mark.parametrize("q", [0.05, 0.25, 0.5])
def test_equally_often_below_under_both_codes_is_seldom_in_doubt(q):
    """Over all ways that ten seeds can fall, the sign test errs far less often than its level."""
    flagged = sum(
        multinomial.pmf([a, b, 10 - a - b], 10, [q * (1 - q)] * 2 + [1 - 2 * q * (1 - q)])
        for a in range(11)
        for b in range(11 - a)
        if not is_chance(a, a + b, 0.5, ONLY_REAL)
    )
    assert 0 < flagged < 0.035


def test_as_soon_as_an_honest_guesser_is_in_doubt_where_that_was_no_waiting():
    some, guesser = [-1_000] * 2 + [0] * 8, [-1_000] * 8 + [0] * 2
    _, more = notes(some, guesser=guesser)
    assert more.startswith("as soon as frequency-guess in 2 of 8")
    assert "class frequency, " in more
    assert isinstance(more, Doubt)
    assert len(notes([-1_000] + [0] * 9, guesser=guesser)) == 1
    assert len(notes([-900] * 2 + [0] * 8, guesser=guesser)) == 1
    guesses = {GUESSER: runs([-8] * 10, GUESSER, "reference")}
    assert len(TASK.row_notes(runs([-9] * 10, GUESSER, "reference"), (), guesses)) == 1
    assert len(TASK.row_notes(runs([-9] * 10, GUESSER), (), guesses)) == 2  # goes by its name


def test_sooner_than_an_honest_guesser_is_no_guess():
    _, more = notes([-1_500] * 5 + [0] * 5, guesser=[-1_000] * 10)
    assert more.startswith("sooner than frequency-guess in 5 of 10")
    assert "guess by class frequency explains" in more
