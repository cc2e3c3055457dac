"""Rules: scores by hand and by another library, and rules whose answer can be worked out."""

import numpy as np
import pytest
from sklearn.metrics import matthews_corrcoef

from codonbench.contracts import Sequences
from codonbench.leakage import trivial_rules
from codonbench.leakage.trivial_rules import Answers, Rows

ROWS = Rows(np.arange(0, 200), np.arange(200, 300), np.arange(300, 400))


def answers(right):
    return Answers(np.asarray(right), ("a", "b"))


def test_the_score_of_classes_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    right, said = rng.integers(0, 4, 200), rng.integers(0, 3, 200)
    ours = Answers(right, ("a", "b", "c", "d")).score(np.arange(200), said)
    assert ours == pytest.approx(matthews_corrcoef(right, said), abs=1e-12)


def test_the_score_of_a_constant_answer_is_0():
    assert answers([0, 1, 1, 0]).score(np.arange(4), np.zeros(4, dtype=int)) == 0
    quantities = Answers(np.array([[1.0], [2.0], [np.nan]]), ())
    assert quantities.score(np.arange(3), np.ones((3, 1))) == 0


def test_the_score_of_labels_is_named_as_such():
    labels = Answers(np.array([[0.0], [1.0]]), (), labels=True)
    assert labels.score_name == "mean Pearson's r of the labels"
    assert Answers(labels.right, ()).score_name == "Pearson's r"


def test_the_score_of_quantities_leaves_missing_ones_out():
    right = np.array([[1.0], [2.0], [np.nan], [4.0]])
    assert Answers(right, ()).score(
        np.arange(4), np.array([[2.0], [4.0], [-9.0], [8.0]])
    ) == pytest.approx(1)


def test_a_missing_answer_leaves_its_item_out_of_the_score():
    right = Answers(np.array([[1.0], [2.0], [3.0], [4.0]]), ())
    assert right.score(np.arange(4), np.array([[2.0], [np.nan], [6.0], [8.0]])) == pytest.approx(1)
    assert right.score(np.arange(4), np.full((4, 1), np.nan)) == 0


@pytest.fixture
def random_items():
    rng = np.random.default_rng(1)
    return rng, rng.integers(0, 4, (400, 30), dtype=np.uint8)


def test_one_position_that_tells_the_class_is_found_by_its_number(random_items):
    rng, letters = random_items
    right = rng.integers(0, 2, 400)
    letters[:, 11] = np.where(right, 2, letters[:, 11] % 2)  # G where b, else A or C
    one, several = trivial_rules.in_place(
        Sequences.of_rows(letters), answers(right), ROWS, 4, "ACGT"
    )
    assert (one.check, one.grade, one.value) == ("one position", "leak", 1.0)
    assert "letter 12 " in one.words
    assert "G b" in one.words
    assert several.value == 1.0


def test_two_words_at_their_places_tell_what_no_position_does(random_items):
    rng, letters = random_items
    right = rng.integers(0, 2, 400)
    place = rng.integers(0, 2, 400) * 10 + 5
    for i in np.flatnonzero(right):
        letters[i, place[i] : place[i] + 3] = (0, 1, 2)  # ACG at 6 or at 16
    one, several = trivial_rules.in_place(
        Sequences.of_rows(letters), answers(right), ROWS, 4, "ACGT"
    )
    assert several.value > 0.9 > 0.6 > one.value
    assert "ACG at 6" in several.words
    assert "ACG at 16" in several.words


def test_length_tells_and_says_where():
    right = np.arange(400) % 2
    items = Sequences.of(["A" * (10 + 3 * label + i % 3) for i, label in enumerate(right)], "ACGT")
    found = trivial_rules.length(items, answers(right), ROWS)
    assert (found.grade, found.value) == ("leak", 1.0)
    assert "12.5 letters" in found.words


def test_unknown_letters_tell_by_their_number_and_at_the_ends():
    right = np.arange(400) % 2
    items = Sequences.of(["NNACGT" if label else "ACNNGT" for label in right], "ACGT")
    found = trivial_rules.missing(items, answers(right), ROWS, 4)
    assert (found.grade, found.value) == ("leak", 1.0)
    hidden = Sequences.of(["NNNN"] * 400, "ACGT")
    assert trivial_rules.missing(hidden, answers(right), ROWS, 4).grade == "clear"


def test_order_tells_where_classes_are_sorted_or_alternate():
    alternating = np.arange(400) % 2
    assert trivial_rules.order(ROWS, answers(alternating), ROWS).value == 1.0
    sorted_ = np.concatenate([np.repeat([0, 1], n // 2) for n in (200, 100, 100)])
    found = trivial_rules.order(ROWS, answers(sorted_), ROWS)
    assert (found.grade, found.value) == ("leak", 1.0)


def test_partners_of_the_other_class_are_a_leak_and_of_the_same_are_relatives():
    right = np.arange(400) % 2
    other = {i: i - 199 for i in range(200, 400)}
    nothing = trivial_rules.Predictions(np.zeros(100, dtype=int), np.zeros(100, dtype=int))

    def found(partner):
        return trivial_rules.of_partner(
            "shuffled twins", answers(right), ROWS, partner, "x", nothing
        )

    leak, both = found(other)
    assert (leak.grade, leak.value, both.grade) == ("leak", 1.0, "row zero")
    (relatives,) = found({i: i - 200 for i in range(200, 400)})
    assert (relatives.grade, relatives.value) == ("row zero", 1.0)
    (none,) = found({})
    assert (none.grade, none.value) == ("clear", 0.0)


def test_kmers_and_composition_are_row_zero(random_items):
    rng, letters = random_items
    right = np.arange(400) % 2
    letters[right == 1] = rng.choice([2, 2, 2, 0, 1, 3], ((right == 1).sum(), 30))
    items = Sequences.of_rows(letters)
    counted = trivial_rules.words_counted(items, answers(right), ROWS, 4)
    for found in (counted, trivial_rules.composition(items, answers(right), ROWS, 4)):
        assert found.grade == "row zero"
        assert found.value > 0.6


def test_a_class_that_is_one_origin_is_named_and_others_are_not():
    """By hand: of 40 items, class a is origin 7 but for one, b is two origins, c too few."""
    right = np.repeat([0, 1, 2], [20, 17, 3])
    origins = np.repeat([7, 1, 2, 5], [20, 9, 8, 3])
    assert trivial_rules.one_origin(right, origins, 3).tolist() == [0]
    origins[0] = 1  # 19 of 20, and no other: (40 * 19 - 20 * 19) / sqrt(20 * 20 * 19 * 21) = 0.951
    assert trivial_rules.one_origin(right, origins, 3).tolist() == [0]
    origins[1:3] = 1  # 17 of 20: 0.859
    assert trivial_rules.one_origin(right, origins, 3).tolist() == []
    everything_one = np.zeros(40, dtype=int)
    assert trivial_rules.one_origin(right, everything_one, 3).tolist() == []


def test_origins_that_say_nothing_of_classes_are_let_pass_in_200_random_sets():
    wrong = 0
    for seed in range(200):
        rng = np.random.default_rng(seed)
        n, classes, origins = rng.integers(40, 900), rng.integers(2, 6), rng.integers(1, 40)
        right = rng.choice(classes, n, p=rng.dirichlet([2.0] * classes))
        of = rng.choice(origins, n, p=rng.dirichlet([2.0] * origins))
        wrong += bool(len(trivial_rules.one_origin(right, of, classes)))
    assert wrong <= 10
    assert wrong == 0


def test_the_interval_of_a_score_is_that_of_scipy():
    from scipy.stats import bootstrap

    rng = np.random.default_rng(0)
    right = rng.integers(0, 2, 300)
    said = np.where(rng.random(300) < 0.8, right, 1 - right)
    low, high = answers(right).interval(np.arange(300), said, None)
    other = bootstrap(
        (right, said),
        matthews_corrcoef,
        paired=True,
        vectorized=False,
        n_resamples=1_000,
        method="percentile",
        rng=1,
    ).confidence_interval
    assert (low, high) == pytest.approx((other.low, other.high), abs=0.02)
    assert low < answers(right).score(np.arange(300), said) < high


def test_the_interval_is_wider_where_items_of_a_group_are_drawn_together():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(30), 10)
    right = np.repeat(rng.integers(0, 2, 30), 10)
    said = np.where(np.repeat(rng.random(30) < 0.8, 10), right, 1 - right)
    (low, high), (one, other) = (
        answers(right).interval(np.arange(300), said, each) for each in (None, groups)
    )
    assert other - one > 2 * (high - low)
    quantities = Answers(rng.normal(size=(300, 1)), ())
    ends = quantities.interval(np.arange(300), quantities.right + rng.normal(size=(300, 1)), None)
    assert ends == pytest.approx((0.63, 0.76), abs=0.06)
