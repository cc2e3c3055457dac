"""The rules by which a published figure agrees with runs, worked by hand."""

import itertools

import pytest

from codonbench.plugins.shipped_files import find_file
from codonbench_datasets.human_codon.reproduction.agreement import (
    chance_outside,
    judge,
    read_off,
    standing,
    too_early,
)
from codonbench_datasets.human_codon.reproduction.publications import (
    SHIPPED,
    Cell,
    Reading,
    read_publication,
)
from codonbench_metrics.deciphering import printed_pairs

READINGS = (Reading(protocol="Adam", model="rnn-64"),)


def cell(epoch, pairs=None, rounded_to=1, censored=False):
    return Cell(
        configuration="RNN",
        condition="",
        printed="",
        epoch=epoch,
        pairs=pairs,
        rounded_to=rounded_to,
        censored=censored,
        readings=READINGS,
    )


@pytest.fixture(scope="module")
def joiret2023():
    return read_publication(find_file("joiret2023", *SHIPPED))


@pytest.mark.parametrize(
    ("published", "ours", "expected"),
    [
        (22, [11, 33], "inside"),
        (11, [11, 33], "inside"),
        (33, [11, 33], "inside"),
        (10, [11, 33], "earlier"),
        (34, [11, 33], "later"),
        (34, [11, None], "inside"),  # "never" is later than any number
        (34, [None, None], "earlier"),
        (None, [11, 33], "later"),
        (None, [11, None], "inside"),
        (None, [None, None], "inside"),  # never, in both
        (6, [6], "inside"),
    ],
)
def test_a_figure_lies_inside_the_range_or_on_one_side_of_it(published, ours, expected):
    assert standing(published, ours) == expected
    assert standing(published, list(reversed(ours))) == expected


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_luck_alone_puts_one_more_draw_outside_two_times_in_n_plus_one(n):
    """Witness: count over all orders of n + 1 distinct values."""
    orders = list(itertools.permutations(range(n + 1)))
    outside = sum(standing(first, rest) != "inside" for first, *rest in orders)
    assert chance_outside(n) == pytest.approx(outside / len(orders))


def test_ties_and_nevers_make_luck_rarer():
    draws = [5, 5, 7, None, None]
    orders = list(itertools.permutations(draws))
    outside = sum(standing(first, rest) != "inside" for first, *rest in orders)
    assert outside / len(orders) < chance_outside(4)


def test_a_published_count_names_its_look(joiret2023):
    """Epoch 22, second look: 21 x 576,000 + 384,000 presented, 576,000 fewer printed."""
    look = read_off(cell(22, 11_900_000, 10_000), joiret2023.instrument)
    assert (look.frame, look.presented, look.printed) == (65, 12_480_000, 11_904_000)
    assert look.inputs == 65 * 64
    assert not look.honest


def test_the_first_epoch_is_printed_as_it_is(joiret2023):
    look = read_off(cell(1, 192_000), joiret2023.instrument)
    assert (look.frame, look.presented, look.printed, look.honest) == (1, 192_000, 192_000, True)


def test_what_fits_no_look_of_its_epoch_has_none(joiret2023):
    assert read_off(cell(22, 11_850_000, 10_000), joiret2023.instrument) is None
    assert read_off(cell(21, 11_904_000), joiret2023.instrument) is None
    assert read_off(cell(22), joiret2023.instrument) is None


def test_every_published_count_is_what_the_authors_counting_prints(joiret2023):
    """Witness: the formula as the metric has it, tried over all 120 looks of a run."""
    instrument = joiret2023.instrument
    for published in joiret2023.cells:
        if published.pairs is None:
            continue
        fitting = [
            (epoch - 1) * 3 + number + 1
            for epoch in range(1, 41)
            for number, frame in enumerate(instrument.frames)
            if epoch == published.epoch
            and abs(printed_pairs((epoch - 1) * 576_000 + frame, 576_000) - published.pairs)
            <= published.rounded_to / 2
        ]
        look = read_off(published, instrument)
        assert [look.frame] == fitting, published.printed


def test_a_figure_before_an_oracle_could_be_done_is_too_early(joiret2023):
    look = read_off(cell(2, 384_000), joiret2023.instrument)
    assert look.inputs == 320
    assert "320 inputs" in too_early(look, cell(2, 384_000), 0.0006)
    assert too_early(look, cell(2, 384_000), 0.05) == ""
    assert too_early(look, cell(2, 384_000), None) == ""
    assert too_early(None, cell(2, 384_000), 0.0006) == ""
    assert too_early(look, cell(2, 384_000, censored=True), 0.0006) == ""


ALL = {"unique": "inside", "argmax": "inside"}
LATER = {"unique": "later", "argmax": "later"}
MIXED = {"unique": "inside", "argmax": "later"}
LUCK = "outside a range luck alone lies up to 20 times in 100"


@pytest.mark.parametrize(
    ("standings", "early", "kind", "reason"),
    [
        ({}, "", "not run", "no run with the whole budget is recorded"),
        ({}, "too soon", "not run", "no run with the whole budget is recorded"),
        (
            {"Adam": ALL, "SGD": ALL},
            "",
            "agrees",
            "inside our range in each of the 2 protocols run",
        ),
        (
            {"Adam": LATER, "SGD": LATER},
            "",
            "differs",
            f"later than all our runs in each of the 2 protocols run; {LUCK}",
        ),
        ({"Adam": LATER, "SGD": LATER}, "too soon", "unknown", "too soon"),
        (
            {"Adam": LATER, "SGD": ALL},
            "",
            "unknown",
            f"depends on the protocol: inside with SGD; {LUCK}",
        ),
        (
            {"Adam": MIXED, "SGD": MIXED},
            "",
            "unknown",
            f"depends on the criterion: inside with Adam (unique); SGD (unique); {LUCK}",
        ),
        (
            {"Adam": MIXED, "SGD": LATER},
            "",
            "unknown",
            f"depends on the protocol and criterion: inside with Adam (unique); {LUCK}",
        ),
        (
            {"Adam": {"unique": "earlier", "argmax": "earlier"}, "SGD": LATER},
            "",
            "unknown",
            f"depends on the protocol: inside with none, on either side; {LUCK}",
        ),
    ],
)
def test_a_verdict_needs_every_reading(standings, early, kind, reason):
    verdict = judge(standings, early, readings=2, seeds=9)
    assert (verdict.kind, verdict.reason) == (kind, reason)


def test_a_verdict_waits_for_the_other_protocols():
    verdict = judge({"Adam": ALL}, "", readings=4, seeds=10)
    assert verdict.kind == "partly run"
    assert verdict.reason == "1 of 4 protocols run: inside our range in the one protocol run"


@pytest.mark.parametrize(("seeds", "kind"), [(1, "too few"), (8, "too few"), (9, "differs")])
def test_outside_a_range_of_few_seeds_is_no_difference_yet(seeds, kind):
    assert judge({"Adam": LATER}, "", readings=1, seeds=seeds).kind == kind
    mixed = judge({"Adam": MIXED}, "", readings=1, seeds=seeds)
    assert mixed.kind == ("unknown" if kind == "differs" else kind)
    assert judge({"Adam": ALL}, "", readings=1, seeds=seeds).kind == "agrees"
