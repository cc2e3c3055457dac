"""The page: sections between markers, figures as text, hostile text as itself."""

from pathlib import Path

import pytest

from codonbench.errors import StoreError
from codonbench_datasets.human_codon.reproduction.page import (
    render_page,
    render_section,
    sections,
    spread_text,
)
from codonbench_datasets.human_codon.reproduction.report import Spread, build_report

SGD = {"optimizer": "sgd"}


@pytest.fixture
def report(publication):
    return lambda *records: build_report(publication, records)


@pytest.fixture
def section(report):
    """The text of one section."""

    def section(name, *records):
        return render_section(report(*records), name)

    return section


def cells(text, table=0):
    """The body of one of a section's tables, the first unless told, line by line."""
    blocks = [b for b in text.split("\n\n") if b.startswith("|")]
    lines = blocks[table].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def spread(*values):
    numbers = sorted(v for v in values if v is not None)
    never = len(values) - len(numbers)
    order = [*numbers, *[None] * never]
    middle = order[(len(order) - 1) // 2]
    low, high = order[0], order[-1]
    return Spread(median=middle, low=low, high=high, n=len(values), never=never, values=values)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((4_000,), "4,000"),
        ((11, 6, 33), "11 [6 to 33]"),
        ((11, 6, None), "11 [6 to never]"),
        ((6, None, None), "never [6 to never]"),
        ((None, None), "never"),
        ((5, 5), "5"),
    ],
)
def test_a_spread_shows_median_and_range(values, expected):
    assert spread_text(spread(*values)) == expected


def test_a_spread_shows_in_the_digits_it_is_given():
    assert spread_text(spread(0.5, 0.98765), "{:.4f}") == "0.5000 [0.5000 to 0.9877]"
    assert spread_text(None) == "-"
    assert spread_text(spread(None), never="> 40") == "> 40"


def test_a_new_page_has_every_section_and_writing_it_again_changes_nothing(report, run):
    found = report(run())
    page = render_page(found, None)
    assert page.count("\n## ") == len(sections())
    for name in sections():
        assert page.count(f"<!-- reproduce:{name}:begin -->") == 1
    assert render_page(found, page) == page


def test_what_people_wrote_stays_and_what_was_generated_goes(report, run):
    page = (
        "# Title\n\nBefore.\n\n<!-- reproduce:runs:begin -->\nold figures\n"
        "<!-- reproduce:runs:end -->\n\nAfter \\1.\n"
    )
    written = render_page(report(run()), page)
    assert written.startswith("# Title\n\nBefore.\n\n<!-- reproduce:runs:begin -->\n\n- Data:")
    assert written.endswith("<!-- reproduce:runs:end -->\n\nAfter \\1.\n")
    assert "old figures" not in written


@pytest.mark.parametrize(
    ("page", "sentence"),
    [
        ("nothing\n", "it has no marker such as"),
        (
            "<!-- reproduce:nonsense:begin --><!-- reproduce:nonsense:end -->",
            "no section 'nonsense'; there are runs, table",
        ),
        ("<!-- reproduce:runs:begin -->", "lacks its partner"),
        ("<!-- reproduce:runs:end --><!-- reproduce:runs:begin -->", "lacks its partner"),
        ("<!-- reproduce:runs:begin --><!-- reproduce:runs:end -->" * 2, "'runs' occurs twice"),
    ],
)
def test_markers_that_are_wrong_are_named(report, page, sentence):
    with pytest.raises(StoreError, match=sentence):
        render_page(report(), page)


def test_an_empty_folder_gives_an_honest_page(report):
    page = render_page(report(), None)
    assert "No run that spent the whole budget is recorded yet" in page
    assert "Published figures: 2 (not run yet: 2)." in page
    assert "Every record of such a run counts." in page


def test_each_row_says_how_many_seeds_it_rests_on(section, run):
    oracle = [run("oracle", seed=s, epoch=4) for s in range(3)]
    runs = [run(seed=s, epoch=e) for s, e in enumerate([8, None, 9])]
    text = section("table", *oracle, *runs)
    published, instrument, beside = (cells(text, table) for table in range(3))
    assert published[0] == ["1", "RNN", "no weights", "7 epochs, 1,700"]
    assert published[1][1] == "MLP"
    first, second, third = instrument
    assert first == ["1", "Adam", "3", "9 [8 to > 10]", "2,300 [2,000 to never]", "1 of 3"]
    assert second == ["1", "SGD", "0", "-", "-", "-"]
    assert third[0] == "2"
    assert beside[0] == ["1", "Adam", "+5 [+4 to never]", "earlier", "50 %"]
    assert beside[1] == ["1", "SGD", "-", "-", "-"]


def test_the_look_behind_a_published_count_is_shown(section, run):
    """1,700 = 6 x 300 + 200 - 300."""
    text = section("printing", run())
    assert cells(text) == [["1", "7 epochs, 1,700", "20", "1,700", "2,000", "200"]]
    assert "1 of the 1 published counts" in text
    assert "0 of them are what had been presented" in text


def test_the_oracle_explains_a_share_of_each_figure_by_its_exact_law(run, publication):
    """Looks of 200 inputs, so that it is done in half of all streams by look 15, in epoch 5: it
    prints 4 x 300 + 300 - 300 = 1,200 of 1,700, which is 71 %."""
    wide = publication.instrument.model_copy(update={"frame_inputs": 200})
    mine = publication.model_copy(update={"instrument": wide})
    usage = {"data": "usage", "simulated": True, "epoch": 4}
    found = build_report(mine, [run("oracle", **usage), run(**usage)])
    done = found.references[0].done
    assert done[14] < 0.5 <= done[15]
    text = render_section(found, "instrument").partition("exact law")[2]
    late, early = f"{100 * (1 - done[19]):.2g} %", f"{100 * done[20]:.2g} %"
    assert cells(text) == [["1", "71 %", late, early]]
    assert "done by look 15 in half of all streams, in epoch 5" in text
    assert "as late as 1 of these 1 figures" in text


def test_a_bound_is_shown_in_inputs_and_in_epochs(section, run, bound):
    """95 inputs are ten looks of 10, which the fourth epoch of three completes."""
    (row,) = cells(section("instrument", run(), bound()))
    assert row == ["counts", "orfs.fa", "40 (2)", "95 (4)", "100 (4)", "250 (9)"]


def test_each_criterion_has_its_own_epoch_and_standing(section, run):
    (row,) = cells(section("criteria", run(epoch=7, argmax=3)))
    assert row == ["1", "Adam", "1", "7, inside", "3, later"]


def test_exact_figures_stand_beside_and_the_instruments_ratio_below(section, run):
    text = section("exact", run(epoch=7, overrides=SGD))
    assert cells(text) == [["1", "SGD", "rnn-64 (optimizer=sgd)", "1", "0"]]
    figures = [cell for table in range(1, 5) for cell in cells(text, table)[0][2:]]
    assert figures == ["90", "100", "10", "120", "1", "2", "0.5000"]
    assert "Rows that have both: 1." in text
    assert "17 to 17 times" in text  # 1,700 / 100


def test_a_verdict_stands_beside_its_reason(section, run):
    both = [run(epoch=7), run(epoch=7, overrides=SGD)]
    text = section("verdicts", *both)
    assert "Published figures: 2 (agrees: 1, not run yet: 1)." in text
    line = "- 1, RNN, no weights: **agrees**: inside our range in each of the 2 protocols run."
    assert line in text.splitlines()


def test_hostile_text_shows_as_itself(report, publication, run):
    nasty = "<img src=x>|[a](b)\u202e\n# x -->"
    record = run(data=nasty)
    broken = run(seed=1, status="error", run_id="0" * 16)
    cell = publication.cells[0].model_copy(update={"configuration": nasty, "printed": nasty})
    hostile = publication.model_copy(update={"cells": (cell, publication.cells[1])})
    page = render_page(build_report(hostile, [record, broken]), None)
    assert "<img" not in page
    assert "\u202e" not in page
    assert "\n# x" not in page
    table = render_section(build_report(hostile, [record, broken]), "table")
    bars = [{line.count("|") for line in block.splitlines()} for block in table.split("\n\n")]
    assert bars == [{5}, {7}, {6}]
    assert render_page(build_report(hostile, [record, broken]), page) == page


def test_the_committed_page_can_be_read_by_a_person():
    """At most eight columns and 120 characters a line in a table."""
    page = Path(__file__).resolve().parents[3] / "docs" / "joiret2023.md"
    lines = [line for line in page.read_text().splitlines() if line.startswith("|")]
    assert len(lines) > 100
    assert max(map(len, lines)) <= 120
    assert max(line.count("|") for line in lines) <= 9
