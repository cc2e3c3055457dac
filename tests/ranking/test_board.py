"""The board: who is compared with whom, ranks, censoring, what is left out."""

import json
import unicodedata
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from codonbench.contracts import ModelInfo
from codonbench.contracts.base import Origin
from codonbench.contracts.run_record import (
    DatasetFacts,
    Engine,
    Harness,
    RunRecord,
    Timings,
)
from codonbench.contracts.run_spec import RunSpec
from codonbench.errors import StoreError
from codonbench.ranking import board as boards
from codonbench.ranking.board import Board
from codonbench.ranking.rows import median_text, rank_text, ratio_text
from codonbench.ranking.statistics import (
    Median,
    censored_median,
    paired_ratio,
)
from codonbench.records.store import BadRecord
from codonbench.records.table import Records
from codonbench.report.markdown import (
    BEGIN,
    END,
    NEW_PAGE,
    insert_between_markers,
    render_board,
)
from codonbench_datasets.human_codon.task import HumanCodon
from samples import machine

BUDGET = 23_040_000
TASKS = {"human-codon": HumanCodon()}


def build_board(found: list[RunRecord | BadRecord]) -> Board:
    return boards.build_board(found, TASKS)


def make_record(
    model: str = "mlp-64",
    seed: int = 0,
    excess: float | None = 64,
    *,
    status: str = "done",
    role: str = "contestant",
    device: str = "cpu",
    device_name: str = "some processor",
    key: str = "k1",
    salt: str = "public",
    threads: int = 1,
    **changes: object,
) -> RunRecord:
    run_spec = RunSpec(
        rules="1",
        task="human-codon",
        task_version="1",
        task_options={"genetic_code": 1},
        data="usage",
        data_checksum="d" * 64,
        model=model,
        model_version="1",
        config={"hidden": 64},
        seed=seed,
        budget_pairs=BUDGET,
        stop="confident",
        salt=salt,
        device=device,
        threads=threads,
        engine="eager",
    )
    pairs = None if excess is None else 4096 + excess
    metrics = {
        "excess_pairs": excess,
        "pairs_consumed": pairs,
        "sustained_pairs": pairs,
        "confident_pairs": pairs,
        "rare_stop_ambiguity": 0,
        "decipher_epoch": None if excess is None else 1,
    }
    record = RunRecord(
        run_id=run_spec.run_id,
        comparability_key=key,
        model=model,
        task="human-codon",
        seed=seed,
        status=status,
        run_spec=run_spec,
        dataset=DatasetFacts(source="usage", checksum="d" * 64, simulated=True),
        plugin=Origin(distribution="codonbench", version="1", module="m", source_sha256="s"),
        info=ModelInfo(name="mlp", version="1", summary="", role=role),
        harness=Harness(version="0", commit=None, modified=None),
        machine=machine(device=device, device_name=device_name, threads=threads),
        engine=Engine(name="eager", version="1"),
        parameters=5440,
        pairs=70_000,
        metrics=metrics,
        trajectory_sha256="t",
        timings=Timings(train=2.0),
    )
    return record.model_copy(update=changes).sealed()


def row_seeds(model: str, excesses: list[float | None]) -> list[RunRecord]:
    return [make_record(model, seed, excess) for seed, excess in enumerate(excesses)]


def test_rows_are_ranked_by_the_upper_quartile_with_never_as_infinity() -> None:
    """Of four seeds it is the third: 640, never, and 64."""
    records = [
        *row_seeds("slow", [640, 640, 640, 640]),
        *row_seeds("mostly-never", [0, None, None, None]),
        *row_seeds("quick", [0, 0, 64, None]),
    ]
    table = build_board(records).tables[0]
    assert [(row.rank, row.model) for row in table.rows] == [
        (1, "quick"),
        (2, "slow"),
        (3, "mostly-never"),
    ]
    never = table.rows[2].medians["excess_pairs"]
    assert never is not None
    assert never.value is None
    assert never.never == 3
    assert table.rows[2].successes == 1


def test_half_of_a_rows_seeds_do_not_put_it_in_front() -> None:
    """Five of ten far below the bound, as by a table of synonyms; the others as `honest` has them.

    They share a rank, and stand in the order of how many runs are flagged, whatever their names.
    """
    flag = ("below the bound: ...",)
    records = row_seeds("honest", [0.0] * 10) + row_seeds("slow", [64.0] * 10)
    records += [make_record("a-cheat", s, -2000.0, flags=flag) for s in range(5)]
    records += [make_record("a-cheat", s, 0.0) for s in range(5, 10)]
    rows = build_board(records).tables[0].rows
    assert [(row.rank, row.model) for row in rows] == [(1, "honest"), (1, "a-cheat"), (3, "slow")]
    assert rows[0].tier == rows[1].tier


def test_below_the_bound_is_never_ahead_and_shows_in_the_rank() -> None:
    """A table of synonyms in all seeds shares rank 1 with what waits, in doubt and behind it."""
    records = row_seeds("honest", [0.0] * 10) + row_seeds("a-cheat", [-2000.0] * 10)
    board = build_board(records)
    rows = board.tables[0].rows
    ranks = [(rank_text(row), row.tier, row.model) for row in rows]
    assert ranks == [("1", 1, "honest"), ("1?", 1, "a-cheat")]
    assert "A question mark at a rank" in render_board(board)
    assert "question mark" not in render_board(build_board(row_seeds("honest", [0.0] * 10)))


def test_rows_without_a_usable_ranking_metric_are_not_ranked_by_name() -> None:
    """As in a task whose inputs cannot be enumerated: all is measured but the excess."""
    metrics = make_record().metrics | {"excess_pairs": None}
    records = [make_record(name, s, metrics=metrics) for name in ("b", "a") for s in range(10)]
    table = build_board(records).tables[0]
    assert [(row.rank, row.tier) for row in table.rows] == [(None, None)] * 2
    assert "Not ranked: no run has a value of excess pairs" in render_board(build_board(records))
    ranked = build_board([*records, *row_seeds("z", [64.0] * 10)]).tables[0].rows
    assert [(row.rank, row.model) for row in ranked] == [(1, "z"), (2, "a"), (2, "b")]


def test_never_is_shown_as_beyond_the_budget_and_never_dropped() -> None:
    text = render_board(build_board(row_seeds("mlp-64", [None] * 10)))
    assert "> 23,040,000" in text
    assert "0/10 [0-28 %]" in text  # Wilson: 1.96^2 / (10 + 1.96^2) = 27.8 %


def test_ranks_that_seeds_do_not_tell_apart_share_a_tier() -> None:
    records = [
        *row_seeds("first", [0.0] * 10),
        *row_seeds("alike", [64.0, -64.0] * 5),
        *row_seeds("slow", [640.0 * (i + 1) for i in range(10)]),
        *row_seeds("never", [None] * 10),
        *(make_record("known", seed, 0, role="reference") for seed in range(10)),
    ]
    table = build_board(records).tables[0]
    assert [(row.model, row.tier) for row in table.rows] == [
        ("first", 1),
        ("alike", 1),
        ("slow", 2),
        ("never", 3),
    ]
    assert [row.tier for row in table.references] == [None]
    lines = render_board(build_board(records)).splitlines()
    cells = [line.split("|")[1:4] for line in lines if line.startswith("|")]
    shown = [[text.strip() for text in words] for words in cells]
    assert shown[0] == ["#", "tier", "model"]
    assert shown[4] == ["3", "2", "slow"]


def test_the_restricted_mean_is_of_pairs_consumed_up_to_the_budget() -> None:
    records = row_seeds("mlp-64", [0.0] * 9 + [None])
    (row,) = build_board(records).tables[0].rows
    assert row.restricted_mean is not None
    assert row.restricted_mean.value == (9 * 4096 + BUDGET) / 10
    assert row.restricted_mean.never == 1


def test_a_computed_row_has_no_restricted_mean() -> None:
    row = build_board([make_record(trajectory_sha256=None)]).tables[0].rows[0]
    assert row.restricted_mean is None


@pytest.mark.parametrize(("status", "value"), [("done", BUDGET - 1000), ("diverged", BUDGET - 500)])
def test_a_window_that_the_budget_cut_is_censored_where_it_may_have_begun(
    status: str, value: float
) -> None:
    """Five seeds: one gets there at once, two in the last moments, two are cut.

    Cut before those last moments, the two leave 4/5 and, with one of two gone, 2/5 waiting.
    Diverged, they will never get there: 4/5, 3/5, and 2/5 with the last.
    """
    metrics = make_record().metrics
    ends = [4096, BUDGET - 1000, BUDGET - 500, None, None]
    records = [
        make_record(
            seed=seed,
            metrics=metrics | {"sustained_pairs": end},
            pairs=BUDGET,
            status=status if end is None else "done",
        )
        for seed, end in enumerate(ends)
    ]
    median = build_board(records).tables[0].rows[0].medians["sustained_pairs"]
    assert median is not None
    assert (median.value, median.never) == (value, 2)


def test_reference_rows_stand_apart_and_have_no_rank() -> None:
    board = build_board([*row_seeds("mlp-64", [64]), make_record("count-table", role="reference")])
    table = board.tables[0]
    assert [row.model for row in table.rows] == ["mlp-64"]
    assert [(row.model, row.rank) for row in table.references] == [("count-table", None)]
    assert "|   |      | count-table |" in render_board(board)


def test_other_keys_and_other_devices_have_tables_of_their_own() -> None:
    records = [
        make_record(),
        make_record(key="k2", seed=1),
        make_record(device="cuda", device_name="some GPU", seed=2),
    ]
    tables = build_board(records).tables
    assert {(t.key, t.device) for t in tables} == {("k1", "cpu"), ("k2", "cpu"), ("k1", "some GPU")}


def test_a_metric_that_was_not_measured_does_not_count_as_never() -> None:
    answered = make_record(seed=0, excess=64)
    silent = make_record(seed=1, excess=None, not_measured=("excess_pairs",))
    median = build_board([answered, silent]).tables[0].rows[0].medians["excess_pairs"]
    assert median is not None
    assert (median.n, median.never, median.value) == (1, 0, 64)


def test_where_rows_have_several_devices_the_wall_time_is_said_to_be_of_each_row_s_own() -> None:
    alike = build_board([make_record("a"), make_record("b")])
    mixed = build_board([make_record("a"), make_record("b", device_name="another processor")])
    for board, several in ((alike, False), (mixed, True)):
        assert "| s / run |" in render_board(board)
        assert ("names another device" in " ".join(render_board(board).split())) is several


def test_seeds_run_on_different_devices_have_no_common_time() -> None:
    mixed = [make_record(), make_record(seed=1, device_name="another processor")]
    (row,) = build_board(mixed).tables[0].rows
    assert row.devices == ("another processor", "some processor")
    assert row.seconds is None


def test_unfinished_bad_and_repeated_runs_are_listed_with_the_reason() -> None:
    found = [
        make_record(seed=0),
        make_record(seed=0, salt="another"),
        make_record(seed=1, status="interrupted"),
        BadRecord(Path("broken.json"), "its content does not match its checksum"),
    ]
    board = build_board(found)
    assert board.tables[0].rows[0].seeds == (0,)
    reasons = [item.reason for item in board.excluded]
    assert any("checksum" in reason for reason in reasons)
    assert any("seed 0 is already counted" in reason for reason in reasons)
    assert any("interrupted" in reason for reason in reasons)
    assert "Not counted" in render_board(board)


def test_flags_and_knowledge_become_notes() -> None:
    record = make_record(
        excess=-64, flags=("below the bound: ...",), knowledge=("class frequencies",)
    )
    notes = build_board([record]).tables[0].rows[0].notes
    assert notes == (
        "knows class frequencies",
        "below the bound in 1 of 1 "
        "(luck, guessing by class frequency, structured input or prior knowledge)",
        "fewer than 10 seeds",
    )


@pytest.mark.parametrize(("below", "lucky"), [(1, True), (5, True), (6, True), (7, False)])
def test_below_the_bound_too_often_is_not_called_luck(below: int, lucky: bool) -> None:
    """Chance 1/4: six of ten or more happens in 2 % of rows, seven or more in 0.4 %."""
    records = [make_record(seed=seed, excess=-64 if seed < below else 64) for seed in range(10)]
    (note,) = build_board(records).tables[0].rows[0].notes
    assert note.startswith(f"below the bound in {below} of 10 (")
    assert "structured input or prior knowledge)" in note
    assert ("(luck, " in note) == lucky
    assert ("too often for luck" in note) != lucky


def test_a_task_without_stops_has_no_ambiguity_of_stops_rather_than_never() -> None:
    metrics = make_record().metrics | {"rare_stop_ambiguity": None}
    row = build_board([make_record(metrics=metrics)]).tables[0].rows[0]
    assert row.medians["rare_stop_ambiguity"] is None


def test_what_must_be_known_of_the_data_stands_above_the_table() -> None:
    note = "No codon is labelled stop, so metrics of stop codons do not apply. " * 3
    dataset = DatasetFacts(source="x.fa", checksum="d" * 64, simulated=False, notes=(note, "<b>"))
    text = render_board(build_board([make_record(dataset=dataset)]))
    assert f"{note}&lt;b&gt;" in " ".join(text.split())


def test_overrides_make_a_row_of_their_own_with_its_own_label() -> None:
    plain_row = make_record()
    run_spec = plain_row.run_spec.model_copy(update={"config": {"hidden": 128}})
    other = make_record(run_spec=run_spec, run_id=run_spec.run_id, overrides={"hidden": 128})
    text = render_board(build_board([plain_row, other]))
    assert "mlp-64 (hidden=128)" in text
    assert len(build_board([plain_row, other]).tables[0].rows) == 2


def test_rows_of_one_name_say_what_tells_them_apart() -> None:
    """A default that was edited is no override, and neither is code."""
    first = make_record()
    run_spec = first.run_spec.model_copy(
        update={"config": {**first.run_spec.config, "learning_rate": 0.5}}
    )
    edited = first.plugin.model_copy(update={"source_sha256": "b" * 64})
    other = make_record(run_spec=run_spec, run_id=run_spec.run_id, plugin=edited)
    lone = make_record("alone", 0, 1.0)
    rows = {r.run_ids[0]: r for r in build_board([first, other, lone]).tables[0].rows}
    rate = first.run_spec.config.get("learning_rate")
    source = (first.plugin.source_sha256 or "unknown")[:8]
    assert rows[first.run_id].notes[0] == f"code SHA-256 {source}, learning_rate {rate}"
    assert rows[other.run_id].notes[0] == "code SHA-256 bbbbbbbb, learning_rate 0.5"
    assert rows[first.run_id].label == f"mlp-64 (code SHA-256 {source})"
    assert rows[other.run_id].label == "mlp-64 (code SHA-256 bbbbbbbb)"
    assert rows[lone.run_id].label == "alone"
    assert rows[lone.run_id].notes == ("fewer than 10 seeds",)


def test_rows_of_two_versions_are_called_by_their_version() -> None:
    first = make_record()
    run_spec = first.run_spec.model_copy(update={"model_version": "2"})
    edited = first.plugin.model_copy(update={"source_sha256": "b" * 64})
    other = make_record(run_spec=run_spec, run_id=run_spec.run_id, plugin=edited)
    labels = {row.label for row in build_board([first, other]).tables[0].rows}
    assert labels == {"mlp-64 (version 1)", "mlp-64 (version 2)"}


def test_the_order_of_records_does_not_matter() -> None:
    records = [*row_seeds("a", [1, 2, None]), *row_seeds("b", [3, 4, 5])]
    forward = build_board(records)
    backward = build_board(records[::-1])
    assert forward == backward
    assert render_board(forward) == render_board(backward)


def test_an_empty_board_says_so() -> None:
    assert render_board(Board(tables=(), excluded=())) == "No results yet."


def test_one_row_of_one_seed_is_a_board() -> None:
    board = build_board([make_record()])
    (row,) = board.tables[0].rows
    assert (row.rank, row.tier, row.seeds) == (1, None, (0,))
    assert "| mlp-64" in render_board(board)


def test_a_board_on_which_nobody_ever_got_there_ranks_nobody_and_says_so() -> None:
    records = [r for name in ("a", "b", "c") for r in row_seeds(name, [None] * 10)]
    board = build_board(records)
    assert [(row.rank, row.tier) for row in board.tables[0].rows] == [(None, None)] * 3
    assert "Not ranked: no run has a value of excess pairs" in render_board(board)
    assert "Tiers" not in render_board(board)
    means = [row.restricted_mean for row in board.tables[0].rows]
    assert [mean and (mean.value, mean.never) for mean in means] == [(BUDGET, 10)] * 3
    assert render_board(board).count("> 23,040,000") == 3


def test_five_hundred_rows_are_ranked_without_gaps() -> None:
    records = [make_record(f"m{i}", 0, float(i)) for i in range(500)]
    board = build_board(records)
    rows = board.tables[0].rows
    assert [row.rank for row in rows] == list(range(1, 501))
    assert [row.model for row in rows[:3]] == ["m0", "m1", "m2"]
    assert {row.tier for row in rows} == {None}  # one seed each: nothing to test
    page = render_board(board)
    listed = [line.split("|")[1].strip() for line in page.splitlines() if line.startswith("|")]
    assert listed[2:] == [str(rank) for rank in range(1, 101)]
    assert "400" in page  # are on the page alone


def test_numbers_that_no_run_can_have_neither_stop_the_board_nor_count() -> None:
    metrics = make_record().metrics
    records = [
        make_record("huge", metrics=metrics | {"excess_pairs": 10**400}),
        *(make_record("large", i, metrics=metrics | {"excess_pairs": 1e308}) for i in range(6)),
        *(make_record("low", i, metrics=metrics | {"excess_pairs": -1e308}) for i in range(6)),
    ]
    board = build_board(records)
    assert [(row.model, row.tier) for row in board.tables[0].rows] == [("low", 1), ("large", 2)]
    assert "excess_pairs: too large to compute with" in board.excluded[0].reason
    assert "-1e+308" in render_board(board)


def test_of_two_records_of_one_run_the_same_counts_in_any_order() -> None:
    pair = [make_record(timings=Timings(train=seconds)) for seconds in (1.0, 2.0)]
    assert build_board(pair) == build_board(pair[::-1])


HOSTILE = (
    "<script>alert(1)</script>",
    "<!-- leaderboard:end -->",
    "![x](http://evil.example/x.png) [y](javascript:alert(1)) www.evil.example me@evil.example",
    "| a | b |\n|---|---|\r\n# heading\n\n- item\n> quote\n```\ncode\n~~~\n1. one",
    "\u202eright\u202c to \u2067left\u2069 \u200b\u200d\ufeff\x00\x1b[31m\x07",
    "`a` ``b`` **c** __d__ ~~e~~ $f$ \\| &lt;script&gt; &#60;b&#62;",
    "x" * 10_000,
    "Z" + "\u0301" * 10_000,
)


def hostile_board(text: str) -> Board:
    """A board on which everything that a record words freely is `text`."""
    record = make_record(excess=-64)
    run_spec = record.run_spec.model_copy(
        update={"data": text, "data_checksum": text, "task_options": {text: text}}
    )
    hostile = record.model_copy(
        update={
            "comparability_key": text,
            "run_spec": run_spec,
            "overrides": {text: text},
            "dataset": DatasetFacts(source=text, checksum=text, simulated=True, notes=(text,)),
            "plugin": record.plugin.model_copy(update={"distribution": text}),
            "machine": record.machine.model_copy(update={"device_name": text, "torch": text}),
            "engine": record.engine.model_copy(update={"name": text, "version": text}),
            "info": record.info.model_copy(update={"pretrained_on": text}),
            "knowledge": (text,) * 50,
            "flags": ("below the bound: " + text,),
        }
    )
    others = [
        BadRecord(Path(text.replace("/", "_")[:200] or "empty"), text),
        hostile.model_copy(update={"status": "error"}),
        hostile,
        hostile.model_copy(update={"run_id": "z" * 16}),
    ]
    return build_board(others)


class Tags(HTMLParser):
    """What a page of HTML is made of."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.comments = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found |= {tag, *(name for name, _ in attrs)}

    def handle_comment(self, data: str) -> None:
        self.comments += 1


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_record_shows_as_harmless_text(text: str) -> None:
    board = hostile_board(text)
    page = insert_between_markers(f"# Ours\n\nbefore\n\n{BEGIN}\n{END}\n", render_board(board))
    markdown = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    tags = Tags(markdown.render(page))
    assert tags.found <= {
        *("h1", "h3", "p", "ul", "li"),
        *("table", "thead", "tbody", "tr", "th", "td", "style"),
    }
    assert tags.comments == 2
    assert insert_between_markers(page, render_board(board)) == page
    (row,) = [line for line in page.splitlines() if line.startswith("| 1 |")]
    assert row.count("|") <= 9
    assert not {c for c in page if unicodedata.category(c)[0] == "C"} - {"\n"}
    assert max(len(line) for line in page.splitlines()) < 20_000
    assert "://" not in page


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_record_is_whole_in_the_json_and_the_same_to_the_byte(text: str) -> None:
    first, second = (json.dumps(hostile_board(text).model_dump(mode="json")) for _ in range(2))
    assert first == second
    assert first.isascii()
    table = json.loads(first)["tables"][0]
    assert table["data"] == text
    assert table["rows"][0]["overrides"] == {text: text}


def test_median_text_spells_interval_censoring_and_absence() -> None:
    assert median_text(None, 100) == "-"
    assert median_text(censored_median([7]), 100) == "7"
    some = Median(value=5000.0, low=64.0, high=None, n=10, never=4)
    assert median_text(some, 9000) == "5,000 [64 to > 9,000]"
    assert median_text(some, None) == "5,000 [64 to never]"


def test_ratio_text_spells_interval_infinity_and_absence() -> None:
    assert ratio_text(None) == "-"
    assert ratio_text(paired_ratio([1], [2])) == "0.50"
    assert ratio_text(Median(value=0.57, low=0.36, high=None, n=10, never=0)) == "0.57 [0.36 to ∞]"


def test_a_number_too_long_to_read_is_shown_short() -> None:
    assert median_text(censored_median([1e300]), 100) == "1e+300"


def test_markers_keep_what_people_wrote_around_them() -> None:
    page = f"# Ours\n\n{BEGIN}\nold\n{END}\n\nafter\n"
    renewed = insert_between_markers(page, "new")
    assert renewed == f"# Ours\n\n{BEGIN}\n\nnew\n\n{END}\n\nafter\n"
    assert insert_between_markers(renewed, "new") == renewed
    assert insert_between_markers(NEW_PAGE, "new").endswith(f"\n\n{BEGIN}\n\nnew\n\n{END}\n")


def test_a_lost_marker_is_an_error() -> None:
    for page in (f"{BEGIN}\nno end", f"{END}\n{BEGIN}\n", "no marker", ""):
        with pytest.raises(StoreError, match="must hold"):
            insert_between_markers(page, "new")


def test_runs_as_a_frame_have_a_row_a_run_and_a_column_a_metric() -> None:
    frame = Records([make_record(seed=0, excess=64), make_record(seed=1, excess=None)]).to_frame()
    assert list(frame["seed"]) == [0, 1]
    assert frame.groupby("model")["excess_pairs"].median()["mlp-64"] == 64
    assert frame["excess_pairs"].isna().tolist() == [False, True]


def test_board_json_holds_no_infinity() -> None:
    board = build_board(row_seeds("mlp-64", [None, None]))
    json.dumps(board.model_dump(mode="json"), allow_nan=False)


def test_seeds_run_with_an_edited_model_are_a_row_of_their_own() -> None:
    records = row_seeds("mylstm", [0, 64, 128, 640])
    edited = Origin(**records[3].plugin.model_dump() | {"source_sha256": "e" * 64})
    records[3] = records[3].model_copy(update={"plugin": edited}).sealed()
    rows = build_board(records).tables[0].rows
    assert sorted(row.seeds for row in rows) == [(0, 1, 2), (3,)]


def test_runs_on_different_gpus_share_neither_a_table_nor_a_row():
    gpus = [
        make_record(model, seed, device="cuda", device_name=name)
        for model in ("mlp-64", "lstm-64")
        for seed, name in enumerate(["NVIDIA A100", "NVIDIA A100", "NVIDIA H100"])
    ]
    cpus = [make_record(seed=seed, device_name=name) for seed, name in enumerate("ab")]
    board = build_board([*gpus, *cpus])
    seeds = {
        table.device: sorted((row.model, row.seeds) for row in table.rows) for table in board.tables
    }
    assert seeds == {
        "NVIDIA A100": [("lstm-64", (0, 1)), ("mlp-64", (0, 1))],
        "NVIDIA H100": [("lstm-64", (2,)), ("mlp-64", (2,))],
        "cpu": [("mlp-64", (0, 1))],
    }
    h100 = next(table for table in board.tables if table.device == "NVIDIA H100")
    assert all(any("none left out" in note for note in row.notes) for row in h100.rows)
    text = render_board(board)
    assert "NVIDIA A100" in text
    assert "NVIDIA H100" in text
