"""A task's page, a model's page and two rows side by side, in a browser, read by axe, too."""

import json
import re
import shlex
from dataclasses import replace

import numpy as np
import pytest

from browsing import DESKTOP, PHONE
from codonbench import Target
from codonbench.ranking.board import Board, Excluded
from codonbench.ranking.curves import Curve, Curves
from codonbench.ranking.published import Figure, Published, Source
from codonbench.ranking.statistics import Mean
from codonbench.report.site import page as page_data
from codonbench.report.site.figures import row_id
from codonbench.report.site.page import model_id, table_id
from samples import tuning

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.slow
expect = playwright.expect

OPEN_ALL = (
    "document.querySelectorAll('main section:not([hidden]) details').forEach(d => d.open = true)"
)


def test_a_task_says_what_it_asks_what_that_is_worth_and_where_rows_are_right(visit, shown, views):
    page = visit(shown.site).open(*views["task"])
    page.evaluate(OPEN_ALL)
    about = page.inner_text("#about-task")
    (audit,) = shown.known.audits.values()
    assert audit.line in about.replace("\n", "")
    assert "10 examples" in about
    assert page.locator("#about-task code.letters").count() == 10
    heads = page.locator("#table thead button").all_inner_texts()
    assert {"MCC", "Accuracy", "AUPRC", "AUROC", "ECE"} <= {*heads}
    headings = page.locator("#task-figures h3").all_inner_texts()
    assert headings == [
        "Score against cost",
        "Learning curves",
        "Calibration",
        "Confusion matrix",
        "Score by item property",
    ]
    for name in ("by length", "by GC", "by likeness"):
        expect(page.locator(f"#task-figures svg[aria-label$='{name}']")).to_be_visible()
    expect(page.locator("#task-figures svg[aria-label^='Share of correct']")).to_be_visible()
    confusion = page.locator("[aria-label='Confusion matrix'] tbody td").all_inner_texts()
    found = sum(float(text.split()[0]) for text in confusion)
    assert found == pytest.approx(len(shown.outputs("cnn")[0].targets), abs=0.3)


def test_a_row_shows_how_its_seeds_learned(visit, shown, views):
    page = visit(shown.site).open(*views["row"])
    expect(page.locator("#row figure h3")).to_have_text("Learning curves")
    expect(page.locator("#row svg [data-mark=line] path")).to_have_count(2)
    page.get_by_text("Learning curves in numbers").click()
    numbers = page.get_by_role("region", name="Learning curves in numbers").locator("tbody tr")
    assert numbers.count() > 4


def test_a_task_shows_how_its_rows_learned_from_files_loaded_when_that_is_opened(
    visit, shown, views
):
    """The witness: the median of what the row's two seeds scored at their last look."""
    seen = visit(shown.site)
    page = seen.open(*views["task"])
    assert not [url for url in seen.requests if "/rows/" in url]
    page.get_by_role("heading", name="Learning curves").click()
    part = page.locator("#task-figures details.part", has_text="Learning curves")
    expect(part.locator("svg [data-mark=line] path")).to_have_count(2)  # majority is trained, too
    expect(part.locator(".legend")).to_have_text("cnnmajority")
    expect(part).to_contain_text("the others have no trajectory or were not trained")
    part.get_by_text("Curves of rows in numbers").click()
    last = part.locator("tbody tr", has_text="cnn").last.locator("th, td").all_inner_texts()
    script = (
        shown.site / "rows" / f"{row_id(shown.runs[shown.row('cnn').run_ids[0]])}.js"
    ).read_text()
    seeds = json.loads(script.removeprefix("codonbench.row(").removesuffix(");\n"))["seeds"]
    assert last[0] == "cnn"
    assert int(last[1].replace(",", "")) == max(seed["pairs"][-1] for seed in seeds)
    wanted = np.median([seed["values"][-1] for seed in seeds])
    assert float(last[2].replace("\N{MINUS SIGN}", "-")) == pytest.approx(
        wanted, rel=0.01, abs=1e-4
    )


def test_a_task_says_why_it_has_no_learning_curves(visit, three_tasks, shown):
    first = shown.table.model_copy(update={"task": "first", "key": "first"})
    page = visit(three_tasks).open(f"#table={table_id(first)}", "#count:not(:empty)")
    expect(page.locator("#task-figures")).to_contain_text(
        "No learning curves: no trajectory of a trained row"
    )


def test_a_cross_validated_task_tells_of_all_its_items_and_of_no_missing_trajectories(
    visit, shown, write, tmp_path
):
    runs = {
        name: record.model_copy(
            update={"run_spec": record.run_spec.model_copy(update={"protocol": "folds"})}
        )
        for name, record in shown.runs.items()
    }
    write(tmp_path / "site", Board(tables=(shown.table,), excluded=()), runs, shown.known)
    page = visit(tmp_path / "site").open(f"#table={table_id(shown.table)}", "#count:not(:empty)")
    expect(page.locator("#about-task")).to_contain_text("400, each tested once")
    expect(page.locator("#task-figures")).to_contain_text("No learning curves: rows are cross-")
    page.locator("#table th a").first.click()
    expect(page.locator("#row")).to_contain_text("No learning curves: rows are cross-")


def test_a_task_says_why_nobody_knows_what_its_items_are_like(visit, shown, write, tmp_path):
    known = replace(shown.known, facts={})
    write(tmp_path / "site", Board(tables=(shown.table,), excluded=()), shown.runs, known)
    page = visit(tmp_path / "site").open(f"#table={table_id(shown.table)}", "#count:not(:empty)")
    expect(page.locator("#task-figures")).to_contain_text(
        "No score by length, share of G and C, similarity to training: the items of these data "
        "have not been described"
    )


def test_rows_are_chosen_for_a_chart(visit, shown, views):
    page = visit(shown.site).open(*views["task"])
    page.evaluate(OPEN_ALL)
    part = page.locator("details", has=page.get_by_role("heading", name="Calibration")).first
    expect(part.locator(".legend")).to_contain_text("cnn")
    part.get_by_role("checkbox", name="cnn").uncheck()
    expect(part.locator(".legend")).not_to_contain_text("cnn")


def test_two_rows_side_by_side_disagree_where_their_outputs_do(visit, shown, views):
    """The witness: votes of the runs' own outputs."""
    page = visit(shown.site).open(*views["beside"])
    targets = shown.outputs("cnn")[0].targets

    def right(model):
        votes = sum(np.eye(2)[run.outputs.argmax(axis=1)] for run in shown.outputs(model))
        return votes.argmax(axis=1) == targets

    one, other = right("cnn"), right("kmer-linear")
    wanted = [
        (one & other).sum(),
        (one & ~other).sum(),
        (~one & other).sum(),
        (~one & ~other).sum(),
    ]
    cells = page.locator("#beside table").first.locator("td").all_inner_texts()
    assert [int(re.match(r"\d+", cell)[0]) for cell in cells] == wanted
    first = page.locator("[aria-label='Where cnn is better'] tbody tr").first
    item = int(first.locator("th").inner_text())
    odds = [
        np.mean(
            [np.exp(r.outputs[item]) / np.exp(r.outputs[item]).sum() for r in shown.outputs(m)], 0
        )
        for m in ("cnn", "kmer-linear")
    ]
    texts = first.locator("td").all_inner_texts()
    assert texts[0] == ("bound", "unbound")[1 - targets[item]] or texts[0] in ("bound", "unbound")
    shares = [float(text) for text in texts[1:3]]
    assert shares == pytest.approx([own[targets[item]] for own in odds], abs=0.01)
    assert len(texts) == 3 + 3  # length, GC, likeness


def test_two_rows_laid_side_by_side_are_in_the_address(visit, shown, views):
    page = visit(shown.site).open(*views["task"])
    page.get_by_role("button", name="Show where they disagree").click()
    expect(page.locator("#beside table").first).to_be_visible()
    assert "&beside=" in page.url


def test_a_model_shows_every_task_and_the_command_that_runs_it_again(visit, shown, views):
    page = visit(shown.site).open(*views["model"])
    assert page.locator("#model tbody tr").count() == 1
    page.evaluate(OPEN_ALL)
    command = page.inner_text("#model .command code")
    assert shlex.split(command)[:4] == ["bench", "run", "--model", "cnn"]
    record = shown.runs[shown.row("cnn").run_ids[0]]
    text = page.inner_text("#model")
    for fact in (record.plugin.source_sha256, record.machine.torch, record.harness.commit or "?"):
        assert fact in text
    page.get_by_role("button", name="Copy").click()
    expect(page.locator("#model .command [role=status]")).to_have_text(
        re.compile("copied|selected")
    )


def test_two_models_lead_to_their_rows_side_by_side(visit, shown, views):
    page = visit(shown.site).open(*views["model"])
    page.locator("#model select").select_option(label="kmer-linear")
    page.get_by_role("link", name="item by item").click()
    expect(page.locator("#beside h4").first).to_have_text(
        "Where cnn is better, largest differences first"
    )
    assert page.locator("#model").is_hidden()


def test_two_models_are_not_said_to_be_comparable_where_no_answers_are_at_hand(
    visit, shown, write, tmp_path
):
    known = replace(shown.known, outputs={})
    write(tmp_path / "site", Board(tables=(shown.table,), excluded=()), shown.runs, known)
    address = f"#model={model_id('cnn')}&other={model_id('kmer-linear')}"
    page = visit(tmp_path / "site").open(address, "#model table")
    expect(page.locator("#model tbody td").last).to_have_text("no test outputs")
    expect(page.get_by_role("link", name="item by item")).to_have_count(0)


OVERVIEW = "#overview table"


def test_the_overview_shows_tasks_by_models_and_those_that_failed_apart(visit, three_tasks):
    seen = visit(three_tasks)
    page = seen.open("", OVERVIEW)
    headings = page.locator("#overview h3").all_inner_texts()
    assert headings == [
        "regulatory",
        "Tasks whose data audit failed",
        "All categories, 2 tasks, cpu",
    ]
    assert page.locator("#board").is_hidden()
    assert not [url for url in seen.requests if "/data/" in url and "board.js" not in url]
    page.get_by_role("combobox", name="Data audit").select_option("sound")
    expect(page.locator("#overview h3", has_text="failed")).to_have_count(0)
    assert "audit=sound" in page.url
    page.get_by_role("link", name="first").click()
    expect(page.locator("#count")).to_have_text("3 of 3 rows")
    assert page.locator("#overview").is_hidden()
    page.get_by_role("link", name="Overview").click()
    expect(page.locator("#overview")).to_be_visible()


def test_tasks_that_nobody_ran_are_named_on_the_official_board_alone(
    visit, three_tasks, shown, write, tmp_path
):
    page = visit(three_tasks).open("", OVERVIEW)
    expect(page.get_by_text("Not run yet")).to_have_count(0)
    tables = [shown.table.model_copy(update={"task": name, "key": name}) for name in "ab"]
    known = replace(shown.known, official=True)
    write(tmp_path / "site", Board(tables=tuple(tables), excluded=()), shown.runs, known)
    page = visit(tmp_path / "site").open("", OVERVIEW)
    page.get_by_text("Not run yet").click()
    expect(page.locator("#overview details")).to_contain_text("gue-tf-0, gue-tf-1")


def test_rows_are_filtered_by_the_day_of_their_runs_and_the_address_says_so(visit, three_tasks):
    page = visit(three_tasks).open("", OVERVIEW)
    assert page.locator("#overview td.missing").count() == 0
    page.get_by_label("Run since").fill("2999-01-01")
    expect(page.locator("#overview")).to_contain_text("No task fits.")
    assert "since=2999-01-01" in page.url
    page = visit(three_tasks).open("#since=2000-01-01", OVERVIEW)  # on which runs have a day
    expect(page.get_by_label("Run since")).to_have_value("2000-01-01")


@pytest.fixture(scope="module")
def two_protocols(shown, write, tmp_path_factory):
    """The page of two tasks, of the first of which a linear probe was run too, and curves."""
    tables = [
        shown.table.model_copy(update={"task": name, "key": name, "category": "regulatory"})
        for name in ("first", "second")
    ]

    def by(protocol, record):
        run_spec = record.run_spec.model_copy(update={"protocol": protocol})
        return record.model_copy(update={"run_spec": run_spec})

    runs = {name: by("supervised", record) for name, record in shown.runs.items()}
    rows = []
    for row in shown.table.rows:
        runs[f"probe-{row.id}"] = by("linear_probe", runs[row.run_ids[0]])
        rows.append(row.model_copy(update={"run_ids": (f"probe-{row.id}",)}))
    more = {"key": "probe", "asked": "linear_probe", "rows": tuple(rows), "references": ()}
    tables.append(tables[0].model_copy(update=more))
    ranking = shown.table.ranking
    curve = {"overrides": {}, "distribution": "codonbench", "seeds": (0,), "points": (None, None)}
    curves = Curves(
        **{"key": "curves", "task": "second", "data": "mine.csv", "device": "cpu"},
        data_checksum=shown.table.data_checksum,
        column=ranking.primary,
        lower=False,
        sizes=(10, 20),
        per_class=False,
        rows=(
            Curve(
                model="cnn",
                role="contestant",
                area=Mean(value=0.25, low=0.2, high=0.3, n=1),
                **curve,
            ),
        ),
    )
    site = tmp_path_factory.mktemp("two") / "site"
    write(site, Board(tables=tuple(tables), excluded=(), curves=(curves,)), runs, shown.known)
    return site


def test_each_table_of_a_task_is_found_by_its_protocol(visit, two_protocols):
    page = visit(two_protocols).open("", OVERVIEW)
    tasks = page.locator("#overview .overview tbody th")
    assert [text.split("\n")[0] for text in tasks.all_inner_texts()] == ["first"] * 2 + [
        "second"
    ] * 2
    expect(tasks.nth(1)).to_contain_text("linear_probe")
    page.get_by_role("combobox", name="Protocol").select_option("linear_probe")
    assert "protocol=linear_probe" in page.url
    assert tasks.count() == 1
    page.get_by_role("combobox", name="Protocol").select_option("sample_efficiency")
    expect(tasks).to_contain_text("by training examples")
    expect(page.locator("#overview .overview tbody td")).to_have_text("0.250")
    page.locator("#overview .overview tbody th a").click()
    expect(page.locator("#task-figures h3", has_text="Score by training examples")).to_be_visible()


@pytest.mark.parametrize("summary", ["rank", "wins", "categories"])
def test_no_summary_stands_beside_a_filter_that_it_does_not_follow(visit, two_protocols, summary):
    page = visit(two_protocols).open(f"#summary={summary}", OVERVIEW)
    title = page.locator("#overview h3", has_text="2 tasks")
    hidden = page.get_by_text("Summaries over tasks are not shown")
    protocol = page.get_by_role("combobox", name="Protocol")
    expect(title).to_be_visible()
    protocol.select_option("supervised")  # by which all was run that it counts
    expect(page.locator("#overview .overview tbody th")).to_have_count(2)
    expect(title).to_be_visible()
    protocol.select_option("linear_probe")
    expect(title).to_have_count(0)
    expect(hidden).to_be_visible()
    page.get_by_role("link", name="Clear these filters").click()
    expect(title).to_be_visible()
    expect(hidden).to_have_count(0)
    assert "protocol" not in page.url
    assert f"summary={summary}" in page.url
    page.get_by_label("Run since").fill("2000-01-01")
    expect(title).to_be_visible()
    page.get_by_label("Run since").fill("2999-01-01")
    expect(hidden).to_be_visible()


def test_a_bar_joins_models_that_are_not_told_apart(visit, three_tasks):
    page = visit(three_tasks).open("", OVERVIEW)  # two tasks tell no three models apart
    assert page.locator("#overview svg .group-bar").count() == 1
    bar = page.locator("#overview svg .group-bar").bounding_box()
    dots = page.locator("#overview svg circle")
    assert dots.count() == 3
    for i in range(3):
        assert bar["y"] <= dots.nth(i).bounding_box()["y"] + 5 <= bar["y"] + bar["height"]
    groups = page.locator("[aria-label='Models over tasks, as numbers'] tbody td:nth-child(3)")
    assert groups.all_inner_texts() == ["a", "a", "a"]


def test_who_beats_whom_is_told_with_its_interval_and_pale_of_two_tasks(visit, three_tasks):
    page = visit(three_tasks).open("#summary=wins", OVERVIEW)
    cells = page.locator("[aria-label='Pairwise comparison'] tbody td")
    texts = [text.split("\n") for text in cells.all_inner_texts()]
    assert [text == [""] for text in texts] == [i % 4 == 0 for i in range(9)]
    assert all(re.fullmatch(r"\d+ to \d+", text[1].strip()) for text in texts if text != [""])
    expect(cells.nth(1)).to_have_attribute("title", "over 2 tasks")
    expect(cells.nth(1)).to_have_class("pale")
    expect(cells.nth(1)).to_contain_text("no significant difference")
    for i, j in ((1, 3), (2, 6), (5, 7)):  # each way round, they make a whole
        one, other = (float(texts[at][0].split()[0]) for at in (i, j))
        assert one + other == 100


def test_names_of_one_checkpoint_are_cut_where_they_differ(visit, three_tasks):
    page = visit(three_tasks).open("", OVERVIEW)
    twins = [f"hf (checkpoint={'c' * 40}{more})" for more in ("", "; init=random")]
    shown = page.evaluate("(names) => names.map((name) => codonbench.words.name(name, 26))", twins)
    assert shown == ["hf (checkpoint=cccccccccc…", "hf (init=random; checkpoi…"]
    loose = "hf (checkpoint cccccccccc, init random) by a lab"
    assert (
        page.evaluate("(name) => codonbench.words.name(name, 20)", loose) == "hf (init random, ch…"
    )


def test_a_score_stands_against_each_of_its_costs(visit, shown, views):
    page = visit(shown.site).open(*views["task"])
    page.get_by_text("Score against cost").click()
    part = page.locator("details", has=page.get_by_role("heading", name="Score against cost")).first
    for cost, label in (
        ("parameters", "parameters"),
        ("seconds", "training seconds per run, on cpu"),
        ("pairs", "training pairs until the tested state"),
        ("tuning-cpu", "seconds of tuning on CPU cores"),
    ):
        part.locator("select").select_option(value=cost)
        expect(part.locator(f"svg[aria-label*='against {label}']")).to_be_visible()
        expect(part.locator(".note")).to_contain_text("no cheaper row matches")
        told = part.locator(".note").inner_text()
        assert ("not the number of examples that a row needs" in told) == (cost == "pairs")
        # It is trained, and has no parameters that anybody counts: no row that is cheaper than all.
        assert ("Parameters are not counted for majority" in told) == (cost == "parameters")
        assert "majority" not in told.partition(".")[0] or cost != "parameters"


def test_tuning_on_a_gpu_has_an_axis_of_its_own(visit, shown, write, tmp_path):
    (cnn,) = shown.table.rows
    tuned = {"device": "cuda", "seconds": 90.0}
    rows = (cnn.model_copy(update={"tuning": tuning(**tuned)}),)
    beside = [
        row.model_copy(update={"tuning": tuning(seconds=40.0)} if row.model != "majority" else {})
        for row in shown.table.references
    ]
    table = shown.table.model_copy(update={"rows": rows, "references": tuple(beside)})
    write(tmp_path / "site", Board(tables=(table,), excluded=()), shown.runs, shown.known)
    page = visit(tmp_path / "site").open(f"#table={table_id(table)}")
    page.get_by_text("Score against cost").click()
    part = page.locator("details", has=page.get_by_role("heading", name="Score against cost")).first
    for kind, words, there in (
        ("cpu", "CPU cores", ["kmer-linear: ", "40"]),
        ("cuda", "a GPU", ["cnn: ", "90"]),
    ):
        part.locator("select").select_option(value=f"tuning-{kind}")
        chart = part.locator(f"svg[aria-label*='against seconds of tuning on {words}']")
        expect(chart).to_be_visible()
        titles = chart.locator("title").all_text_contents()
        assert len(titles) == 2  # and what nobody tuned
        assert any(all(word in title for word in there) for title in titles)
        expect(part.locator(".note")).to_contain_text("left out")


def test_a_row_of_one_seed_has_its_interval_over_items(visit, shown, write, tmp_path):
    (cnn,), metric = shown.table.rows, shown.table.ranking.metric
    alone = cnn.means[metric].model_copy(update={"n": 1})
    row = cnn.model_copy(update={"means": cnn.means | {metric: alone}})
    table = shown.table.model_copy(update={"rows": (row,)})
    write(tmp_path / "site", Board(tables=(table,), excluded=()), shown.runs, shown.known)
    page = visit(tmp_path / "site").open(f"#table={table_id(table)}", "#count:not(:empty)")
    line = page.locator("#table tbody tr", has_text="cnn").first
    expect(line).to_contain_text(f"{alone.value:.3f}{alone.low:.3f} to {alone.high:.3f}")


def test_how_a_table_is_sorted_and_filtered_is_in_the_address(visit, shown, views):
    table, ready = views["task"]
    page = visit(shown.site).open(table, ready)
    page.get_by_label("Model, supplier or note").fill("kmer")
    expect(page.locator("#count")).to_have_text("1 of 3 rows")
    page.locator("#table button", has_text="Parameters").click()
    page.get_by_label("All columns").check()
    asked = page.url.partition("#")[2]
    assert {"find=kmer", "sort=parameters", "columns=all"} <= {*asked.split("&")}
    again = visit(shown.site).open(f"#{asked}", ready)
    expect(again.locator("#count")).to_have_text("1 of 3 rows")
    expect(again.get_by_label("All columns")).to_be_checked()
    expect(again.locator("th[aria-sort=ascending]")).to_contain_text("Parameters")
    again.get_by_role("combobox", name="Model", exact=True).select_option(label="cnn")
    assert "find=" not in again.url


def test_a_long_table_loads_its_other_rows_when_they_are_asked_for(
    visit, shown, write, tmp_path, monkeypatch
):
    monkeypatch.setattr(page_data, "FIRST_ROWS", 1)
    (one,) = shown.table.rows
    rows = [one, *(one.model_copy(update={"model": f"other-{i}"}) for i in range(4))]
    runs = dict(shown.runs)
    for i, row in enumerate(rows[1:]):
        first = runs[row.run_ids[0]]
        run = first.model_copy(update={"run_id": f"{i:016x}", "model": row.model})
        runs[run.run_id] = run
        rows[i + 1] = row.model_copy(update={"run_ids": (run.run_id,), "rank": i + 2})
    table = shown.table.model_copy(update={"rows": tuple(rows)})
    write(
        tmp_path / "site",
        Board(tables=(table,), excluded=()),
        runs,
        replace(shown.known, outputs={}),
    )
    seen = visit(tmp_path / "site")
    page = seen.open(f"#table={table_id(table)}")
    expect(page.locator("#count")).to_have_text("7 of 7 rows")
    expect(page.locator("#more-rows")).to_have_text("4 more rows")
    assert not [url for url in seen.requests if "/data/rest/" in url]
    page.locator("#more-rows").click()
    expect(page.locator("#table tbody tr[data-row]")).to_have_count(7)
    assert [url for url in seen.requests if "/data/rest/" in url]
    hidden = row_id(runs[rows[3].run_ids[0]])
    page = visit(tmp_path / "site").open(f"#table={table_id(table)}&row={hidden}", "#row-title")
    expect(page.locator("#row-title")).to_have_text("other-2")


def test_rows_stand_side_by_side_where_what_is_right_may_not_be_told(visit, shown, write, tmp_path):
    """Of quantities: the made-up runs answer 0 to 1; nothing on the page says what was measured."""
    told = {}
    for name, own in shown.known.outputs.items():
        target = Target(kind="quantities", names=("signal",))
        task = own.task.model_copy(update={"target": target})
        told[name] = replace(
            own, task=task, outputs=own.outputs[:, 1:], targets=own.targets[:, None] * 1.5
        )
    table = shown.table.model_copy(update={"shares_targets": False})
    board = Board(tables=(table,), excluded=())
    write(tmp_path / "site", board, shown.runs, replace(shown.known, outputs=told))
    rows = [row_id(shown.runs[row.run_ids[0]]) for row in (*table.rows, *table.references)]
    address = f"#table={table_id(table)}&beside={rows[0]}.{rows[1]}"
    page = visit(tmp_path / "site").open(address, "#beside svg")
    expect(page.locator("#beside")).to_contain_text("the page cannot show which row is closer")
    expect(page.locator("#beside h4").first).to_have_text(
        "Where cnn predicts more, largest differences first"
    )
    expect(page.locator("#task-figures")).to_contain_text("may not be published")
    asked = next((tmp_path / "site" / "data" / "questions").iterdir()).read_text()
    assert '"right":null' in asked


HOSTILE = (
    "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    "\u202egnp.exe\u2066\x00${alert(3)}{{7*7}}Z" + "\u0301" * 1_000 + "A" * 1_000
)


def test_hostile_words_do_nothing_in_any_view(visit, shown, write, tmp_path):
    """What records, audits, published tables and descriptions of items may say."""
    runs = {
        name: run.model_copy(
            update={
                "overrides": {HOSTILE: HOSTILE},
                "info": run.info.model_copy(update={"summary": HOSTILE, "authors": (HOSTILE,)}),
                "machine": run.machine.model_copy(update={"torch": HOSTILE}),
                "plugin": run.plugin.model_copy(update={"module": HOSTILE}),
            }
        )
        for name, run in shown.runs.items()
    }
    rows, references = (
        tuple(
            row.model_copy(update={"model": f"{i}{HOSTILE}", "notes": (HOSTILE,)})
            for i, row in enumerate(own)
        )
        for own in (shown.table.rows, shown.table.references)
    )
    said = Published(
        source=Source(source=HOSTILE, place=HOSTILE, split=HOSTILE, comparable=HOSTILE),
        figures=(Figure(task="mine", metric="mcc", model=HOSTILE, value=0.5),),
    )
    changes = {"rows": rows, "references": references, "published": (said,), "data": HOSTILE}
    tables = [
        shown.table.model_copy(
            update={**changes, "task": f"{name}{HOSTILE}", "key": name, "category": HOSTILE}
        )
        for name in ("one", "two")
    ]
    (checksum, audit), (_, facts) = (
        *shown.known.audits.items(),
        *shown.known.facts.items(),
    )
    finding = audit.findings[0].model_copy(update={"words": HOSTILE})
    example = facts.examples[0].model_copy(update={"parts": (HOSTILE,), "answer": HOSTILE})
    known = replace(
        shown.known,
        audits={checksum: audit.model_copy(update={"findings": (finding,)})},
        facts={checksum: facts.model_copy(update={"examples": (example,)})},
    )
    board = Board(tables=tuple(tables), excluded=(Excluded(name=HOSTILE, reason=HOSTILE),))
    write(tmp_path / "site", board, runs, known)
    seen = visit(tmp_path / "site", PHONE)
    table, row = f"#table={table_id(tables[0])}", row_id(runs[rows[0].run_ids[0]])
    other = row_id(runs[references[0].run_ids[0]])
    for address, ready in (
        ("", OVERVIEW),
        ("#summary=wins", OVERVIEW),
        (f"{table}&row={row}", "#row-title"),
        (f"{table}&beside={row}.{other}", "#beside table"),
        (f"#model={model_id(rows[0].label)}", "#model-title"),
    ):
        page = seen.open(address, ready)
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(300)
        assert page.locator("img").count() == 0
        assert page.locator("script:not([src])").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], address
        assert "<script>alert(1)</script>" in page.inner_text("main")
        assert "\u202e" not in page.content()


def test_a_cell_leads_to_its_row(visit, three_tasks):
    page = visit(three_tasks).open("", OVERVIEW)
    page.locator("#overview td a").first.click()
    expect(page.locator("#row-title")).to_be_focused()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE], ids=["desktop", "phone"])
def test_no_view_is_wider_than_the_window(visit, shown, three_tasks, views, viewport):
    page = visit(three_tasks, viewport).open("", OVERVIEW)
    assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"]
    seen = visit(shown.site, viewport)
    for address, ready in views.values():
        page = seen.open(address, ready)
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= viewport["width"], address


@pytest.mark.parametrize(
    "scheme",
    ["light", pytest.param("dark", marks=pytest.mark.nightly("the same, in other colours"))],
)
@pytest.mark.parametrize(
    "names",
    [
        ("rank", "row"),
        pytest.param(
            ("wins", "categories", "since", "task", "beside", "model", "models"),
            marks=pytest.mark.nightly("a board and a row are read on each push"),
        ),
    ],
    ids="-".join,
)
def test_axe_finds_nothing_wrong(visit, shown, three_tasks, views, scheme, names):
    Axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe  # noqa: N806
    seen = visit(shown.site, color_scheme=scheme, bypass_csp=True)  # axe is an inline script
    over = visit(three_tasks, color_scheme=scheme, bypass_csp=True)
    asked = {name: (over, f"#summary={name}", OVERVIEW) for name in ("rank", "wins", "categories")}
    asked["since"] = (over, "#since=2999-01-01", "#overview .note")
    asked |= {name: (seen, *view) for name, view in views.items()}
    for each, address, ready in map(asked.__getitem__, names):
        page = each.open(address, ready)
        page.evaluate(OPEN_ALL)
        page.wait_for_timeout(300)
        found = Axe().run(page, options={"preload": False})  # which would fetch, from disk
        assert found.violations_count == 0, f"{address}\n{found.generate_report()}"
