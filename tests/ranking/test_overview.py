"""Many tables to one view: places, shares, what is missing, and what does not count."""

import numpy as np
import pytest

from codonbench import Column, Ranking, Task
from codonbench.ranking.board import build_board
from codonbench.ranking.overview import build_overview
from codonbench.report.markdown import WIDEST, render_board

STEP = 0.001 * np.arange(10)


class Scored(Task):
    """Made-up records stand in for its runs."""

    ranking = Ranking(
        metric="mcc",
        direction="higher",
        columns=(Column(metric="mcc", title="MCC", statistic="mean"),),
    )

    def __init__(self, name, category):
        self.name, self.category = name, category

    def load(self, data, options, *, cache, offline=False):
        raise NotImplementedError


TASKS = {
    name: Scored(name, category)
    for name, category in [("one", "a"), ("two", "a"), ("three", "a"), ("other", "b")]
}


@pytest.fixture
def overview(finished):
    """The view over tables of these scores, by task and model; those of `failed` fail the audit."""

    def record(task, model, seed, score):
        asked = {"task": task, "model": model, "seed": seed, "task_options": {}}
        run_spec = finished[0].run_spec.model_copy(update=asked)
        content = {
            **{"run_spec": run_spec, "run_id": run_spec.run_id, "comparability_key": task},
            **{"task": task, "model": model, "seed": seed, "metrics": {"mcc": score}},
            **{"not_measured": (), "flags": ()},
        }
        return finished[0].model_copy(update=content).sealed()

    def make(scores, failed=()):
        records = [
            record(task, model, seed, mean + step)
            for task, models in scores.items()
            for model, mean in models.items()
            for seed, step in enumerate(STEP)
        ]
        board = build_board(records, TASKS)
        tables = [
            t.model_copy(update={"verdict": "FAIL" if t.task in failed else "PASS"})
            for t in board.tables
        ]
        return board.model_copy(update={"tables": tuple(tables)})

    return make


CLEAR = {
    "one": {"x": 0.9, "y": 0.5, "z": 0.1},
    "two": {"x": 0.5, "y": 0.9, "z": 0.1},
    "three": {"x": 0.9, "y": 0.5},
}


def test_places_shares_and_who_beats_whom_are_those_worked_by_hand(overview):
    """Places: x 1, 2, 1; y 2, 1, 2; z 3, 3 and, where it was not run, 3."""
    (summary,) = build_overview(overview(CLEAR)).summaries
    found = {own.model: own for own in summary.standings}
    assert [own.model for own in summary.standings] == ["x", "y", "z"]
    assert {name: own.mean_rank.value for name, own in found.items()} == {
        "x": 1.3333,
        "y": 1.6667,
        "z": 3.0,
    }
    assert {name: own.win_rate.value for name, own in found.items()} == {
        "x": 0.8333,  # 5 of 6 pairs of a task and another model
        "y": 0.6667,
        "z": 0.0,
    }
    assert summary.wins == ((None, 0.6667, 1.0), (0.3333, None, 1.0), (0.0, 0.0, None))
    assert [own.n_tasks for own in summary.standings] == [3, 3, 2]
    # Nemenyi: q(0.05; 3, inf) / sqrt(2) = 2.343, times sqrt(3 * 4 / (6 * 3)) (Demsar 2006, table 5)
    assert summary.critical_difference == pytest.approx(2.343 * (12 / 18) ** 0.5, abs=2e-3)
    assert [own.tier for own in summary.standings] == [1, 1, 1]


def test_intervals_hold_the_value_and_neighbours_swap_as_often_as_tasks_are_drawn(overview):
    """x is ahead of y in two of three tasks: behind where task two is drawn twice or more, 7/27."""
    (summary,) = build_overview(overview(CLEAR)).summaries
    for own in summary.standings:
        assert own.mean_rank.low <= own.mean_rank.value <= own.mean_rank.high
        assert own.win_rate.low <= own.win_rate.value <= own.win_rate.high
    assert summary.standings[0].swaps == pytest.approx(7 / 27, abs=0.03)
    assert summary.standings[1].swaps == 0
    assert summary.standings[2].swaps is None


def test_what_is_missing_never_helps(overview):
    """Without its worst task a model stands no better than with it."""
    whole = {task: {"x": 0.9, "y": 0.5, "z": 0.1} for task in ("one", "two", "three")}
    some = {**whole, "three": {"x": 0.9, "z": 0.1}}
    stands = [
        {
            own.model: own.mean_rank.value
            for own in build_overview(overview(s)).summaries[0].standings
        }
        for s in (whole, some)
    ]
    assert stands[1]["y"] >= stands[0]["y"]


def test_a_task_of_which_no_common_model_was_run_places_them_all_alike(overview):
    both = {"x": 0.9, "y": 0.5}
    (summary,) = build_overview(overview({"one": both, "two": both, "three": {"z": 1}})).summaries
    found = {own.model: own.mean_rank.value for own in summary.standings}
    assert found == {"x": pytest.approx(3.5 / 3, abs=1e-4), "y": pytest.approx(5.5 / 3, abs=1e-4)}


def test_a_failed_audit_takes_a_task_out_of_summaries_and_leaves_its_row(overview):
    found = build_overview(overview(CLEAR, failed=("two",)))
    (summary,) = found.summaries
    assert (summary.tasks, summary.failed) == (("one", "three"), ("two",))
    assert {line.task: line.counts for line in found.lines} == {
        "one": True,
        "three": True,
        "two": False,
    }


def test_one_task_of_a_category_has_no_summary_of_its_own_but_counts_among_all(overview):
    found = build_overview(overview({**CLEAR, "other": {"x": 0.3, "y": 0.2}}))
    assert [summary.category for summary in found.summaries] == ["a", ""]
    assert len(found.summaries[1].tasks) == 4


def test_the_board_begins_with_the_overview_and_fits_the_width(overview):
    board = overview({**CLEAR, "other": {"x": 0.3, "y": 0.2}})
    page = render_board(board)
    assert page.startswith("### Overview")
    for task in TASKS:
        assert f"| [{task}]" in page
        assert f"[{task}]: #{task}-on-" in page
    assert max(len(line) for line in page.splitlines() if line.startswith("|")) <= WIDEST
    assert render_board(overview(CLEAR)) == render_board(overview(CLEAR))
