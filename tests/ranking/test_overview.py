"""Many tables to one view: places, shares, what is missing, and what does not count."""

import math

import numpy as np
import pytest

from codonbench import Column, Ranking, Task
from codonbench.ranking.board import build_board
from codonbench.ranking.item_scores import Gain
from codonbench.ranking.items import CleanFigure, TableFigures
from codonbench.ranking.overview import (
    Share,
    Standing,
    Summary,
    Win,
    _wins,
    build_overview,
)
from codonbench.ranking.rows import clean_rank_text
from codonbench.ranking.statistics import DRAWS
from codonbench.report.markdown import WIDEST, render_board, render_table
from codonbench.report.site.page import _on_clean

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
    for name, category in [
        *[("one", "a"), ("two", "a"), ("three", "a"), ("four", "a")],
        ("other", "b"),
    ]
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
    assert [[win.value for win in row] for row in summary.wins] == [[0.6667, 1.0], [1.0], []]
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


@pytest.mark.parametrize(
    "seed", [0, 1, *(pytest.param(s, marks=pytest.mark.nightly("more draws")) for s in range(2, 8))]
)
def test_no_run_left_out_betters_a_model(overview, seed):
    """Without any one of its runs a model has no better mean rank, win rate or duel."""
    rng = np.random.default_rng(seed)
    names = ["x", "y", "z", "w"]
    scores = {
        task: {name: float(rng.integers(1, 5)) / 5 for name in names if rng.random() < 0.7}
        for task in ("one", "two", "three", "four")
    }
    scores["one"]["reference"] = scores["two"]["reference"] = scores["three"]["reference"] = 0.0
    scores["four"]["v"] = 0.1  # which may be the only one there
    before = stands(overview(scores))
    for task, models in scores.items():
        for name in models.keys() - {"reference", "v"}:
            some = {own: rows.copy() for own, rows in scores.items()}
            del some[task][name]
            after = stands(overview(some))
            if name in after:
                for old, new in zip(before[name], after[name], strict=True):
                    assert new <= old + 1e-4, (task, name)


def stands(board):
    """By model: minus its mean rank, its win rate."""
    (summary,) = build_overview(board).summaries
    return {own.model: (-own.mean_rank.value, own.win_rate.value) for own in summary.standings}


def test_a_task_that_no_common_model_was_run_on_is_left_out_and_named(overview):
    both = {"x": 0.9, "y": 0.5}
    (summary,) = build_overview(overview({"one": both, "two": both, "three": {"z": 1}})).summaries
    found = {own.model: own.mean_rank.value for own in summary.standings}
    assert found == {"x": 1, "y": 2}
    assert (summary.tasks, summary.unplaced) == (("one", "two"), ("three",))
    page = render_board(overview({"one": both, "two": both, "three": {"z": 1}}))
    assert "none of these models was run on them: three." in " ".join(page.split())


def test_there_is_no_summary_where_nobody_was_run_on_half_of_the_tasks(overview):
    board = overview({"one": {"x": 1}, "two": {"y": 1}, "three": {"z": 1}})
    assert build_overview(board).summaries == ()
    assert "mean rank" not in render_board(board).lower()


def test_duels_have_the_intervals_of_a_loop_over_samples():
    """Five models on seven tasks, some missing, against pairs counted one by one."""
    rng = np.random.default_rng(7)
    n_tasks, n_models, n_samples = 7, 5, 50
    there = rng.random((n_tasks, n_models)) < 0.6
    there[0] = True
    places = rng.integers(1, 6, (n_tasks, 1 + DRAWS, n_models)).astype(float)
    places = np.where(there[:, None], places, 6.0)
    tasks = rng.integers(0, n_tasks, (n_samples, n_tasks))
    picked = rng.integers(1, 1 + DRAWS, tasks.shape)
    found = _wins(places, there, tasks, picked)

    def share(i, j, which):
        won = [
            (places[t, d, i] < places[t, d, j]) + 0.5 * (places[t, d, i] == places[t, d, j])
            for t, d in which
            if there[t, i] or there[t, j]
        ]
        return sum(won) / len(won) if won else None

    for i in range(n_models):
        assert len(found[i]) == n_models - 1 - i
        for j in range(i + 1, n_models):
            win = found[i][j - i - 1]
            drawn = [
                share(i, j, zip(*pair, strict=True)) for pair in zip(tasks, picked, strict=True)
            ]
            known = sorted(one for one in drawn if one is not None)
            low, high = (known[math.ceil(q * len(known)) - 1] for q in (0.025, 0.975))
            assert win.value == round(share(i, j, [(t, 0) for t in range(n_tasks)]), 4)
            assert (win.low, win.high) == (round(low, 4), round(high, 4))
            assert win.n_tasks == (there[:, i] | there[:, j]).sum()


def test_a_duel_needs_six_tasks_to_tell_two_apart():
    """All of five are won by chance in 2 of 32 cases, all of six in 2 of 64: 6.2 and 3.1 %."""
    five, six = (Win(value=1, low=1, high=1, n_tasks=n) for n in (5, 6))
    assert (five.separated, six.separated) == (False, True)
    assert not Win(value=0.8, low=0.5, high=1, n_tasks=20).separated
    assert Win(value=0.2, low=0.1, high=0.4, n_tasks=20).separated


@pytest.mark.parametrize(
    ("ranks", "groups"),
    [
        ((1.0, 2.0, 3.0), ((0, 1), (1, 2))),
        ((1.0, 1.5, 2.0, 5.0), ((0, 2),)),  # what lies inside a group is none
        ((1.0, 3.0, 5.0), ()),
        ((1.0, 2.1, 3.3, 3.4), ((0, 1), (1, 2), (2, 3))),
        ((1.0,), ()),
    ],
)
def test_a_group_joins_models_within_the_critical_difference_of_each_other(ranks, groups):
    share = {"low": 0, "high": 1}
    standings = [
        Standing(
            **{"model": str(i), "reference": False, "n_tasks": 9, "tier": 1, "swaps": None},
            mean_rank=Share(value=rank, **share),
            win_rate=Share(value=0.5, **share),
        )
        for i, rank in enumerate(ranks)
    ]
    summary = Summary(
        **{"category": "", "device": "cpu", "tasks": (), "failed": (), "unplaced": ()},
        critical_difference=1.2,
        standings=tuple(standings),
        wins=(),
    )
    assert summary.groups == groups


def test_a_failed_audit_takes_a_task_out_of_summaries_and_leaves_its_row(overview):
    found = build_overview(overview(CLEAR, failed=("two",)))
    (summary,) = found.summaries
    assert (summary.tasks, summary.failed) == (("one", "three"), ("two",))
    assert {line.task: line.counts for line in found.lines} == {
        "one": True,
        "three": True,
        "two": False,
    }


def test_failed_tasks_count_where_they_are_asked_for_and_the_board_says_so(overview):
    board = overview(CLEAR, failed=("two",))
    asked = board.model_copy(update={"with_failed": True})
    found = build_overview(asked)
    (summary,) = found.summaries
    assert set(summary.tasks) == {"one", "two", "three"}
    assert all(line.counts for line in found.lines)
    said = "Included although their data audit failed (`--with-failed`): two"
    page = " ".join(render_board(asked).split())
    assert said in page
    assert "The summaries include them (`--with-failed`)." in page
    assert "The summaries do not include them." in render_board(board)
    assert board.model_dump(mode="json").get("with_failed") is None


def test_the_table_of_a_tasks_own_options_counts_where_a_contestant_has_a_rank(overview):
    """The other one has more rows."""
    board = overview(CLEAR)
    one = next(table for table in board.tables if table.task == "one")
    hard = one.model_copy(
        update={"key": "hard", "task_options": {"difficulty": "hard"}, "usual": False}
    )
    own = {"task_options": {"difficulty": "medium"}, "rows": one.rows[:1]}
    bare = own | {"rows": (), "references": one.rows[:1]}
    for update, first in ((own, "one"), (bare, "hard")):
        tables = (one.model_copy(update=update), hard)
        lines = build_overview(board.model_copy(update={"tables": tables})).lines
        assert [line.key for line in lines if not line.apart] == [first]


def test_another_rank_on_clean_items_says_what_it_was(overview):
    board = overview(CLEAR)
    table, row = board.tables[0], board.tables[0].rows[0]
    figures = TableFigures(inputs="", metric="mcc", n_items=9, n_clean=7, rows={})
    for there, text in ((1, "1"), (2, "2 (was 1)"), (None, "")):
        clean = CleanFigure(mean=row.figure("mcc"), rank=there)
        moved = row.model_copy(update={"clean": clean})
        assert clean_rank_text(moved) == text
        page = render_table(table.model_copy(update={"rows": (moved,), "figures": figures}))
        assert "on the 7 test items" in page
        assert ("2 (was 1) |" in page) == (there == 2)
        said = _on_clean(moved, table.model_copy(update={"figures": figures}))
        assert said.partition("]")[2] == (f", rank {text}" if text else "") + (
            ", on the 7 test items without a near-copy in training"
        )


def test_one_task_of_a_category_has_no_summary_of_its_own_but_counts_among_all(overview):
    found = build_overview(overview({**CLEAR, "other": {"x": 0.3, "y": 0.2}}))
    assert [summary.category for summary in found.summaries] == ["a", ""]
    assert len(found.summaries[1].tasks) == 4


def test_the_board_begins_with_the_overview_and_fits_the_width(overview):
    scores = {**CLEAR, "other": {"x": 0.3, "y": 0.2}}
    page = render_board(overview(scores))
    assert page.startswith("### Overview")
    for task in scores:
        assert f"| [{task}]" in page
        assert f"[{task}]: #{task}-on-" in page
    assert max(len(line) for line in page.splitlines() if line.startswith("|")) <= WIDEST
    assert render_board(overview(CLEAR)) == render_board(overview(CLEAR))


def with_gains(board, gains):
    """The board, its rows with gains over a floor: by task and model the ends of the interval."""

    def gained(table):
        rows = [
            row.model_copy(
                update={"gain": Gain(over="the floor", value=(a + b) / 2, low=a, high=b, n=9)}
            )
            for row in table.rows
            for a, b in [gains[table.task][row.model]]
        ]
        return table.model_copy(update={"rows": tuple(rows)})

    return board.model_copy(update={"tables": tuple(map(gained, board.tables))})


def grid_of(page, task):
    """Headings and cells of the overview's line of a task, by heading."""
    lines = page.partition("\n### one")[0].splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"| [{task}] "))
    head = next(i for i in range(at, 0, -1) if not lines[i].startswith("|")) + 1
    cells = [[cell.strip() for cell in lines[i].split("|")[1:-1]] for i in (head, at)]
    return dict(zip(*cells, strict=True))


def test_a_cell_is_the_gain_with_its_interval_pale_where_that_holds_0_empty_where_not_run(overview):
    gains = {
        "one": {"x": (0.1, 0.3), "y": (-0.1, 0.12), "z": (-0.3, -0.1)},
        "two": {"x": (0.1, 0.3), "y": (0.2, 0.4), "z": (0.0, 0.2)},
        "three": {"x": (0.1, 0.3), "y": (0.2, 0.4)},
    }
    page = render_board(with_gains(overview(CLEAR), gains))
    assert grid_of(page, "one") == {
        **{"task": "[one]", "audit": "PASS", "row zero (MCC)": "floor"},
        **{"x": "+0.20 [0.10, 0.30]", "y": "(+0.01 [-0.10, 0.12])", "z": "-0.20 [-0.30, -0.10]"},
    }
    assert grid_of(page, "two")["z"] == "(+0.10 [0.00, 0.20])"
    assert grid_of(page, "three")["z"] == ""
    assert "Empty: not run." in page.replace("\n", " ")


def test_what_has_no_row_zero_is_a_score(overview):
    page = render_board(overview(CLEAR))
    assert grid_of(page, "one")["row zero (MCC)"] == ""
    assert grid_of(page, "one")["x"] == "0.90"


def test_failed_tasks_stand_apart(overview):
    page = render_board(overview({**CLEAR, "other": {"x": 0.3}}, failed=("two",)))
    sound, _, failed = page.partition("#### Tasks whose data audit failed")
    assert "| [two]" not in sound
    assert grid_of(failed, "two")["audit"] == "FAIL"
    assert "The summaries do not include them." in failed


def test_who_leads_a_task_is_named_where_that_is_no_column(overview):
    """Seven models lead a task each; five are columns at most, those that lead more often first."""
    names = [f"model-{i}" for i in range(7)]
    scores = {task: dict.fromkeys(names, 0.1) for task in ("one", "two", "three", "four", "other")}
    for place, task in enumerate(("one", "two", "three", "four")):
        scores[task][names[place]] = 0.9
    scores["four"] = {"model-6": 0.8}
    page = render_board(overview(scores))
    head = list(grid_of(page, "one"))
    assert len(head) == 8
    assert head[3:7] == ["model-6", "model-0", "model-1", "model-2"]
    with_long_names = {
        task: {f"{name}-{'long' * 6}": score for name, score in rows.items()}
        for task, rows in scores.items()
    }
    page = render_board(overview(with_long_names))
    assert max(len(line) for line in page.splitlines() if line.startswith("|")) <= WIDEST
    assert "Rank 1, if not among the columns: [three] model-2-long" in page.replace("\n", " ")


def test_a_task_that_only_reference_rows_were_run_on_is_named_below_the_grid(overview):
    board = overview(CLEAR)
    bare = [
        table.model_copy(
            update={
                "references": tuple(
                    row.model_copy(update={"role": "reference"}) for row in table.rows
                ),
                "rows": (),
            }
        )
        if table.task == "two"
        else table
        for table in board.tables
    ]
    page = render_board(board.model_copy(update={"tables": tuple(bare)}))
    assert "| [two]" not in page
    assert "Only reference rows were run on [two]." in page


def test_a_table_beside_a_tasks_first_has_a_line_and_counts_nowhere(overview):
    board = overview(CLEAR)
    folds = [t.model_copy(update={"key": "folds", "asked": "folds 5"}) for t in board.tables[:1]]
    more = board.model_copy(update={"tables": (*board.tables, *folds)})
    found = build_overview(more)
    assert [(line.task, line.apart) for line in found.lines if line.apart] == [("one", "folds 5")]
    assert found.summaries == build_overview(board).summaries
    page = render_board(more)
    assert "Further tables of these tasks, not in the summaries: [one on" in page.replace("\n", " ")
    assert page.count("| [one]") == 1


def test_names_of_strangers_stay_in_their_cells(overview):
    hostile = "a|b](x) [c] <img src=x> `d` \u202e\x1b[31m"
    page = render_board(overview({task: {hostile: 0.5, "y": 0.4} for task in CLEAR}))
    lines = page.partition("\n### one")[0].splitlines()
    assert {line.count("|") for line in lines if line.startswith(("| task", "| ["))} == {6}
    assert "<img" not in page
    assert "\u202e" not in page
