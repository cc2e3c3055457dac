"""Which records count, and what they come to."""

from pathlib import Path

import pytest

from codonbench.records.store import BadRecord
from codonbench_datasets.human_codon.reproduction.report import build_report

SGD = {"optimizer": "sgd"}


@pytest.fixture
def report(publication):
    return lambda records, data=None: build_report(publication, records, data)


def reading(report, number=0, cell=0):
    return report.cells[cell].readings[number]


def test_no_records_give_a_report_that_says_so(report):
    found = report([])
    assert found.dataset is None
    assert [c.verdict.kind for c in found.cells] == ["not run", "not run"]
    assert found.tallies == found.excluded == ()


def test_a_reading_is_a_model_and_its_overrides(report, run):
    found = report([run(seed=0, epoch=5), run(seed=0, epoch=9, overrides=SGD)])
    assert reading(found, 0).runs.epochs["unique"].median == 5
    assert reading(found, 1).runs.epochs["unique"].median == 9


def test_median_and_range_with_never_as_longer_than_any(report, run):
    """5, 9 and never: the middle is 9, the range is open above."""
    found = report([run(seed=s, epoch=e) for s, e in enumerate([9, None, 5])])
    spread = reading(found).runs.epochs["unique"]
    assert (spread.median, spread.low, spread.high) == (9, 5, None)
    assert (spread.n, spread.never) == (3, 1)
    assert reading(found).standings == {"unique": "inside", "argmax": "inside"}


def test_runs_that_stopped_early_or_had_another_budget_are_passed_over(report, run):
    found = report([run(stop="confident"), run(seed=1, budget=999), run("gru-64", seed=2)])
    assert found.dataset is None
    assert found.excluded == ()


def test_what_should_count_and_does_not_is_named(report, run):
    bad = BadRecord(Path("broken.json"), "is no JSON")
    unmeasured = run(seed=2, not_measured=("paper_epoch_unique",))
    again = run(seed=3, engine="traced")
    records = [run(seed=3), again, run(seed=1, status="timeout"), unmeasured, bad]
    found = report(records)
    reasons = sorted(e.reason for e in found.excluded)
    first = min(run(seed=3).name, again.name)
    assert reasons == [
        "is no JSON",
        "paper_epoch_unique was not measured",
        f"seed 3 is already counted from {first}",
        "status timeout",
    ]
    assert reading(found).runs.seeds == (3,)


def test_only_the_source_with_most_seeds_counts_in_a_row(report, run):
    records = [run(seed=s) for s in range(2)] + [run(seed=5, source="edited")]
    found = report(records)
    assert reading(found).runs.seeds == (0, 1)
    assert "another version or source" in found.excluded[0].reason


def test_a_control_is_no_reading(report, run):
    assert report([run(options={"control": "shuffled"})]).dataset is None


def test_real_data_come_first_and_others_are_mentioned(report, run):
    records = [run(seed=s, data="usage", simulated=True) for s in range(3)] + [run(seed=7)]
    found = report(records)
    assert found.dataset.source == "orfs.fa"
    assert found.others == (("usage", 3),)
    assert report(records, "usage").dataset.source == "usage"
    assert report(records, "nowhere").dataset is None


def test_data_with_reference_rows_only_do_not_win(report, run):
    records = [run("oracle", data="a.fa"), run(data="usage", simulated=True)]
    assert report(records).dataset.source == "usage"


def test_epochs_beyond_the_oracle_are_taken_seed_by_seed(report, run):
    """Seeds 0 to 2: 5 - 4, never, and 9 - unknown; so 1 and never."""
    oracle = [run("oracle", seed=s, epoch=e) for s, e in enumerate([4, 4, None])]
    found = report([*oracle, *(run(seed=s, epoch=e) for s, e in enumerate([5, None, 9]))])
    beyond = reading(found).runs.beyond
    assert (beyond.low, beyond.high, beyond.n, beyond.never) == (1, None, 2, 1)


def test_a_bound_gives_its_quantiles_and_nothing_that_was_measured(report, run, bound):
    found = report([run(), bound()])
    row = found.references[1]
    assert row.quantiles == {"mean": 100.0, "low": 40.0, "median": 95.0, "high": 250.0}
    assert row.runs.exact["pairs_consumed"] is None


def test_a_reference_may_lie_on_data_of_its_own(report, run, bound):
    short = bound(low=20.0, data="usage-mean400", options={"mean_length": 400}, simulated=True)
    found = report([run(), bound(), short])
    assert found.references[2].dataset.source == "usage-mean400"
    assert found.references[2].quantiles["low"] == 20.0
    assert found.dataset.source == "orfs.fa"


def test_a_figure_is_too_early_where_an_oracle_is_hardly_ever_done(report, run):
    """Epoch 7 prints 1,700 at its second look, the 20th: 200 codons looked at, where the rarest of
    64 has one chance in thirteen to be among them."""
    oracle = run("oracle", epoch=9, data="usage", simulated=True)
    early, unknown = (
        report([run(epoch=9, data="usage", simulated=True), oracle]),
        report([run(epoch=9), run("oracle", epoch=9)]),  # of data whose codons nobody counted
    )
    assert early.references[0].done[20] < 1e-4
    assert early.cells[0].verdict.kind == "unknown"
    assert unknown.references[0].done == ()
    assert unknown.cells[0].verdict.kind == "partly run"


def test_never_within_the_budget_is_held_against_what_the_oracle_leaves_open(report, run):
    """A seed whose oracle was not done either says nothing; the others must say never."""
    oracle = [run("oracle", seed=s, epoch=e) for s, e in enumerate([4, 4, None])]

    def place(*epochs):
        ours = [run("mlp-64", seed=s, epoch=e) for s, e in enumerate(epochs)]
        return reading(report([*oracle, *ours]), cell=1).standings["unique"]

    assert place(5, 6, None) == "later"
    assert place(5, None, None) == "inside"


def test_ambiguous_at_the_end_is_part_of_what_was_published(publication, run):
    """Never deciphered, but sure of its stops at the end: that is not what was published."""
    cells = (publication.cells[1].model_copy(update={"ambiguous": ("rivals",)}),)
    mine = publication.model_copy(update={"cells": cells})

    def place(rivals):
        record = run("mlp-64", epoch=None, metrics={"rivals": rivals})
        return reading(build_report(mine, [record])).standings["unique"]

    assert (place(0), place(1)) == ("later", "inside")


def test_tallies_count_cells_by_protocol_and_criterion(report, run):
    """Two cells under Adam with three seeds each: half of each is expected inside."""
    records = [run(seed=s, epoch=e, argmax=1) for s, e in enumerate([5, 7, 9])]
    records += [run("mlp-64", seed=s, epoch=None, argmax=None) for s in range(3)]
    first, second = report(records).tallies
    assert (first.protocol, first.criterion, first.inside, first.cells) == ("Adam", "unique", 2, 2)
    assert first.expected == pytest.approx(1.0)
    assert (second.criterion, second.inside) == ("argmax", 1)  # 7 lies after 1, 1 and 1
    assert not [t for t in report(records).tallies if t.protocol == "SGD"]


def test_the_order_of_records_is_of_no_account(report, run, bound):
    records = [run(seed=s) for s in range(3)] + [run(seed=1, engine="traced"), bound()]
    assert report(records) == report(records[::-1])
