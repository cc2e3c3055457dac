"""A table ranked by the mean of a score that is better higher, beside one of positions."""

import json
import re

import numpy as np
import pytest

from codonbench import Ceiling, Column, Ranking, Task
from codonbench.ranking.board import build_board
from codonbench.ranking.rows import tuned_on_tested
from codonbench.ranking.statistics import mean
from codonbench.report.markdown import render_board, render_table
from codonbench_datasets.decipher import DecipheredTask
from samples import tuning


class Promoters(Task):
    """Made-up records stand in for its runs."""

    name = "promoters"
    ranking = Ranking(
        metric="mcc",
        direction="higher",
        budget_divides=False,
        columns=(
            Column(metric="mcc", title="MCC", statistic="mean"),
            Column(metric="log_loss", title="log loss", statistic="mean", digits=2),
        ),
    )

    def load(self, data, options, *, cache, offline=False):
        raise NotImplementedError

    def row_notes(self, records, controlled, references):
        return ("short inputs only",) if records[0].model == "good" else ()


class Dipeptides(DecipheredTask):
    name = "dipeptide"
    load = Promoters.load


TASKS = {"promoters": Promoters(), "dipeptide": Dipeptides()}
NOISE = np.array([-0.03, -0.02, -0.01, 0.0, 0.0, 0.01, 0.02, 0.03, -0.01, 0.01])


@pytest.fixture
def made(finished):
    """Records of one model on promoters, one a seed, with these scores; None is no value."""

    def make(model, scores, log_loss=0.5, **changes):
        return [one(model, seed, score, log_loss, changes) for seed, score in enumerate(scores)]

    def one(model, seed, score, log_loss, changes):
        asked = {"task": "promoters", "model": model, "seed": seed, "task_options": {}}
        run_spec = finished[0].run_spec.model_copy(update=asked)
        metrics = {"mcc": score, "log_loss": None if score is None else log_loss}
        content = {
            **{"run_spec": run_spec, "run_id": run_spec.run_id, "comparability_key": "k"},
            **{"task": "promoters", "model": model, "seed": seed, "metrics": metrics},
            **{"not_measured": tuple(n for n, v in metrics.items() if v is None), "flags": ()},
        }
        return finished[0].model_copy(update=content | changes).sealed()

    return make


def table(records):
    (found,) = build_board(records, TASKS).tables
    return found


def test_rows_are_ranked_by_the_mean_and_higher_is_better(made):
    records = made("good", 0.6 + NOISE) + made("noise", NOISE) + made("best", 0.8 + NOISE)
    rows = table(records).rows
    assert [(row.rank, row.tier, row.model) for row in rows] == [
        (1, 1, "best"),
        (2, 2, "good"),
        (3, 3, "noise"),
    ]
    assert rows[1].means["mcc"] == mean([0.6 + noise for noise in NOISE])
    assert rows[1].means["mcc"].value == 0.6
    assert rows[1].notes == ("short inputs only",)
    assert rows[0].medians == {}


def test_what_no_seed_tells_apart_shares_a_tier_in_either_direction(made):
    alike = made("a", 0.6 + NOISE) + made("b", 0.6 - NOISE)
    assert {row.tier for row in table(alike).rows} == {1}


def test_rows_of_equal_means_share_a_rank(made):
    records = made("b", [0.5] * 6) + made("a", [0.5] * 6) + made("c", [0.4] * 6)
    assert [(row.rank, row.model) for row in table(records).rows] == [(1, "a"), (1, "b"), (3, "c")]


def test_a_mean_of_some_runs_stands_behind_means_of_all(made):
    records = made("lucky", [0.9, None, None]) + made("honest", [0.5] * 3)
    assert [row.model for row in table(records).rows] == ["honest", "lucky"]


def test_a_row_without_a_value_has_no_rank_and_comes_last(made):
    """Not even above noise below zero, whatever its name."""
    records = made("aaa", [None] * 10) + made("noise", NOISE - 0.007) + made("good", 0.573 + NOISE)
    rows = table(records).rows
    assert [(row.rank, row.model) for row in rows] == [(1, "good"), (2, "noise"), (None, "aaa")]
    assert rows[2].means["mcc"] is None
    assert "no MCC in 10 of 10 runs" in rows[2].notes
    line = next(x for x in render_table(table(records)).splitlines() if "| aaa" in x)
    assert [cell.strip() for cell in line.split("|")[1:5]] == ["-", "-", "aaa", "-"]


def test_a_table_without_any_value_ranks_nobody_and_says_so(made):
    found = table(made("a", [None] * 3) + made("b", [None] * 3))
    assert [row.rank for row in found.rows] == [None, None]
    assert "Not ranked: no run has a value of MCC" in render_table(found)


def test_seeds_without_a_value_are_left_out_of_the_mean_and_noted(made):
    (row,) = table(made("some", [0.5, None, 0.7])).rows
    assert (row.means["mcc"].value, row.means["mcc"].n) == (0.6, 2)
    assert "no MCC in 1 of 3 runs" in row.notes


def test_who_may_train_for_less_than_most_says_so(made):
    def trained(model, examples, **changes):
        records = made(model, 0.6 + NOISE)
        budget = {"budget_pairs": examples, "stop": "patience"}
        return [
            r.model_copy(update={"run_spec": r.run_spec.model_copy(update=budget)} | changes)
            for r in records
        ]

    fitted = {"engine": made("fit", [0])[0].engine.model_copy(update={"name": "fit"})}
    records = trained("a", 3000) + trained("b", 3000) + trained("short", 1000)
    rows = table(records + trained("fitted", 100, **fitted)).rows
    notes = {row.model: row.notes for row in rows}
    assert notes["short"] == ("trained on at most 1,000 examples, most rows on 3,000 examples",)
    assert {notes[model] for model in ("a", "b", "fitted")} == {()}


def test_the_board_shows_each_task_under_its_own_headings(made, finished):
    records = made("good", 0.6 + NOISE) + made("noise", NOISE)
    board = build_board([*records, finished[0]], TASKS)
    assert [found.task for found in board.tables] == ["dipeptide", "promoters"]
    positions, scores = (
        next(line for line in render_table(found).splitlines() if re.match(r"\| +#", line))
        for found in board.tables
    )
    assert "excess pairs" in positions
    assert "success" in positions
    headings = [cell.strip() for cell in scores.split("|")[1:-1]]
    assert headings[:5] == ["#", "tier", "model", "MCC", "gain"]
    assert headings[5:] == ["log loss", "parameters", "s / run"]
    page = render_board(board)
    assert "exact signed-rank test" in page
    assert "no early stop: at 3,000 pairs" in page
    low, high = (getattr(mean(list(0.6 + NOISE)), end) for end in ("low", "high"))
    assert f"0.600 [{low:.3f}, {high:.3f}]" in page
    assert "0.50 |" in page  # log loss: two digits, no interval where all seeds agree


def test_the_board_of_such_records_is_json_and_the_same_in_any_order(made):
    records = made("good", 0.6 + NOISE) + made("noise", NOISE)
    board = build_board(records, TASKS)
    assert board == build_board(records[::-1], TASKS)
    (found,) = json.loads(json.dumps(board.model_dump(mode="json"), allow_nan=False))["tables"]
    assert found["rows"][0]["means"]["mcc"]["n"] == 10


def test_records_of_a_task_that_is_not_installed_are_left_out_with_that_reason(made, finished):
    board = build_board([*made("good", [0.6]), finished[0]], {"dipeptide": Dipeptides()})
    assert [found.task for found in board.tables] == ["dipeptide"]
    (left_out,) = board.excluded
    assert "task promoters is not installed" in left_out.reason


def test_a_ranking_by_what_is_no_column_is_refused():
    columns = (Column(metric="mcc", title="MCC", statistic="mean"),)
    with pytest.raises(ValueError, match="'auroc' is no column"):
        Ranking(metric="auroc", direction="higher", columns=columns)


class Simulated(Promoters):
    name = "promoters"

    def ceiling(self, record):
        return Ceiling(value=0.7, low=0.7, high=0.7, how="Bayes rate, computed exactly")


def test_a_ceiling_stands_on_the_board_and_who_is_beyond_it_is_told_so(made):
    records = made("honest", 0.65 + NOISE) + made("leaky", 0.8 + NOISE)
    (found,) = build_board(records, {"promoters": Simulated()}).tables
    assert [row.model for row in found.rows if "beyond the ceiling" in "".join(row.notes)] == [
        "leaky"
    ]
    text = render_table(found)
    assert re.search(r"\| ceiling +\| +0\.700 \|", text)
    assert "Ceiling: Bayes rate, computed exactly." in text


def test_the_ceiling_of_two_replicates_is_that_of_their_mean():
    """With r 0.8 the root of 1.6 / 1.8; of 28 items z is 1.0986 -+ 1.96 / 5."""
    found = Ceiling.of_replicates(0.8, 28, "of replicates")
    assert found.value == pytest.approx(0.942809, abs=1e-6)
    worst, best = np.tanh(1.098612 - 0.391993), np.tanh(1.098612 + 0.391993)
    assert found.low == pytest.approx(np.sqrt(2 * worst / (1 + worst)), abs=1e-6)
    assert found.high == pytest.approx(np.sqrt(2 * best / (1 + best)), abs=1e-6)


@pytest.mark.parametrize(
    ("said", "test_size", "protocol", "other_data", "tested"),
    [
        (True, 50, None, False, False),
        (False, 50, None, False, False),  # a record from before the split decided
        (True, 0, None, False, True),
        (True, 50, "folds", False, True),
        (True, 50, "sample_efficiency", False, False),
        (False, None, None, False, True),
        (True, None, None, False, False),
        (True, None, "folds", False, True),
        (False, 0, "folds", True, False),
    ],
)
def test_a_row_says_whether_what_it_is_tested_on_has_tuned_it(
    made, finished, said, test_size, protocol, other_data, tested
):
    own = finished[0].run_spec.data_checksum
    found = tuning(data_checksum="0" * 64 if other_data else own, tests_unseen=said)
    (record,) = made("tuned", [0.6], tuning=found)
    record = record.model_copy(
        update={"run_spec": record.run_spec.model_copy(update={"protocol": protocol})}
    ).sealed()
    sizes = {"test_size": test_size}
    asked = None if test_size is None else finished[1].task.model_copy(update=sizes)
    assert tuned_on_tested(record, asked) == tested
    if asked is None:
        notes = build_board([record], TASKS).tables[0].rows[0].notes
        assert any("its test items" in note for note in notes) == tested
        assert any(
            "preset found, tuned on promoters: 20 trials, 0.1 CPU-hours" in note for note in notes
        )
