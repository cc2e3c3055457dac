"""What a task's page says of single items, against numbers worked out by hand or by a loop."""

import json
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest

from codonbench import Target
from codonbench.contracts import Column, Ranking
from codonbench.ranking.by_item import TableItems, item_figures, row_items, table_items
from codonbench.records.recorded_outputs import ItemOutputs, hash_items
from codonbench.report.item_facts import ItemFacts
from codonbench.report.site.by_item import answers, missing_parts, questions
from codonbench.report.site.scripts import Packed, pack, unpack
from codonbench_metrics.classification import Accuracy
from codonbench_metrics.quantities import Pearson
from samples import TWO_CLASSES


def spec(**target):
    return TWO_CLASSES.model_copy(update={"target": Target(**target)})


CLASSES = TWO_CLASSES
QUANTITIES = spec(kind="quantities", names=("a", "b"))


def outputs(task, answers, targets):
    key = hash_items(np.asarray(targets), None)
    return ItemOutputs(task, "t", key, np.asarray(answers, dtype=np.float32), np.asarray(targets))


def table(kind, **runs):
    """A table of rows, each a list of outputs, without facts of items."""
    first = next(iter(runs.values()))[0]
    return TableItems(
        kind, first.items, {k: dict(enumerate(v)) for k, v in runs.items()}, {}, {}, {}
    )


def odds(*shares):
    """Logits of a second class that has these probabilities."""
    return [[0.0, float(np.log(p / (1 - p)))] for p in shares]


def test_a_row_is_as_sure_as_it_says_and_as_often_right_as_it_is():
    run = outputs(CLASSES, odds(0.95, 0.93, 0.92, 0.65), [1, 1, 0, 0])
    found = row_items("r", table("classes", r=[run]), "accuracy", {})
    # Of three answers of 0.93 on average two are right; the one of 0.65 is wrong.
    assert found.reliability == (
        (1.0, pytest.approx(0.65, abs=1e-3), 0.0),
        (3.0, pytest.approx((0.95 + 0.93 + 0.92) / 3, abs=1e-3), pytest.approx(2 / 3, abs=1e-3)),
    )
    assert found.confusion == ((0.0, 2.0), (0.0, 2.0))


def test_items_of_a_kind_have_a_score_of_their_own():
    """50 short items are all right, 50 long ones in 30 cases."""
    targets = np.arange(100) % 2
    right = np.where(np.arange(100) < 80, targets, 1 - targets)
    run = outputs(CLASSES, odds(*np.where(right == 1, 0.9, 0.1)), targets)
    short = np.arange(100) < 50
    asked = TableItems(
        "classes", run.items, {"r": {0: run}}, {}, {}, {"length": np.stack([short, ~short])}
    )
    one, other = row_items("r", asked, "accuracy", {"accuracy": Accuracy()}).parts["length"]
    assert one == (1.0, 1.0, 1.0)
    assert other[0] == pytest.approx(0.6)
    half = 1.96 * np.sqrt(0.6 * 0.4 / 50)
    assert (other[2] - other[1]) / 2 == pytest.approx(half, rel=0.2)


def test_a_score_that_is_not_defined_on_a_part_is_left_out():
    run = outputs(spec(kind="quantities", names=("a",)), np.ones((60, 1)), np.arange(60.0)[:, None])
    first = np.arange(60) < 30
    asked = TableItems(
        "quantities", run.items, {"r": {0: run}}, {}, {}, {"GC": np.stack([first, ~first])}
    )
    found = row_items("r", asked, "pearson", {"pearson": Pearson()})
    assert found.parts == {"GC": (None, None)}
    assert found.reliability == found.confusion == ()


def test_answers_are_votes_and_mean_probabilities_of_what_is_right():
    runs = [
        outputs(CLASSES, odds(*shares), [1, 0]) for shares in ((0.9, 0.4), (0.8, 0.8), (0.1, 0.6))
    ]
    asked = table("classes", r=runs)
    said, truth = answers("r", "page", asked), questions("t", asked)
    assert unpack(said.answer).tolist() == [1, 1]  # two of three seeds say so, for both items
    assert unpack(said.sure).tolist() == [round(255 * 0.6), 102]
    assert unpack(truth.right).tolist() == [1, 0]
    assert said.items == truth.items


def test_quantities_are_asked_item_by_item_and_column_by_column_where_they_are_known():
    targets = np.array([[1.0, np.nan], [2.0, 5.0]], dtype=np.float32)
    asked = table("quantities", r=[outputs(QUANTITIES, [[1, 9], [3, 7]], targets)])
    said, truth = answers("r", "page", asked), questions("t", asked)
    assert unpack(truth.item).tolist() == [0, 1, 1]
    assert unpack(truth.column).tolist() == [0, 0, 1]
    assert (said.low, said.high, truth.low, truth.high) == (1, 7, 1, 5)
    steps = unpack(said.answer) / 65535 * (said.high - said.low) + said.low
    assert steps == pytest.approx([1, 3, 7], abs=1e-3)


def test_scores_of_what_was_never_trained_are_places_in_an_order():
    labels = spec(kind="labels", names=("works",))
    run = outputs(
        labels, [[-300.0], [5.0], [0.1]], np.array([[0.0], [1.0], [1.0]], dtype=np.float32)
    )
    said = answers("r", "page", table("scores", r=[run]))
    assert unpack(said.answer).tolist() == [0, 65535, 32768]
    assert row_items("r", table("scores", r=[run]), "auroc", {}).reliability == ()


def test_quantities_that_may_not_be_published_are_answered_and_not_told():
    run = outputs(QUANTITIES, [[1, 5], [2, 6]], [[1, 5], [2, 6]])
    run = replace(run, targets=None)
    own = table("quantities", r=[run])
    assert not own.right
    assert row_items("r", own, "pearson", {"pearson": Pearson()}) is None
    asked, said = questions("t", own), answers("r", "name", own)
    assert asked.right is None
    assert unpack(asked.item).tolist() == [0, 0, 1, 1]
    steps = unpack(said.answer) / 65535
    found = said.low + steps * (said.high - said.low)
    assert found == pytest.approx([1, 5, 2, 6], abs=1e-3)


def test_what_was_measured_is_told_by_means_over_twenty_items_where_an_item_may_not_be():
    """The row predicts 0 to 59 for what is twice that, so each third of it is known by hand."""
    measured = 2.0 * np.arange(60.0)[:, None]
    run = outputs(spec(kind="quantities", names=("a",)), measured / 2, measured)
    found = item_figures(table("quantities", r=[run]), "pearson", {"pearson": Pearson()})
    spread = 2 * np.sqrt((20**2 - 1) / 12)
    assert found.rows["r"].predicted == tuple(
        (20, mean, 2 * mean, pytest.approx(spread, rel=1e-3)) for mean in (9.5, 29.5, 49.5)
    )
    few = outputs(spec(kind="quantities", names=("a",)), measured[:39], measured[:39])
    assert item_figures(table("quantities", r=[few]), "pearson", {}).rows["r"].predicted == ()


def test_rows_of_which_nothing_is_at_hand_are_left_out(shown):
    row = shown.row("cnn")
    records = {row.id: [shown.runs[run] for run in row.run_ids]}
    assert table_items(records, {}, {}) is None


def read(folder, name):
    (path,) = folder.glob(f"{name}.js")
    text = path.read_text()
    return json.loads(text[text.index("(") + 1 : -3])


def test_the_files_of_a_table_say_what_its_runs_answered(shown):
    """The witness: a loop over the runs' own outputs."""
    (path,) = (shown.site / "data" / "tables").iterdir()
    page = read(path.parent, path.stem)
    targets = shown.outputs("cnn")[0].targets
    wanted = np.zeros((2, 2))
    for run in shown.outputs("cnn"):
        for target, answer in zip(targets, run.outputs.argmax(axis=1), strict=True):
            wanted[target, answer] += 1 / len(shown.outputs("cnn"))
    (row,) = [row for row in page["rows"] if row["model"] == "cnn"]
    assert row["items"]["confusion"] == wanted.round(1).tolist()
    assert sum(n for n, _, _ in row["items"]["reliability"]) == pytest.approx(len(targets), abs=0.5)
    assert {name: sum(p["items"] for p in parts) for name, parts in page["parts"].items()} == {
        "length": len(targets),
        "GC": len(targets),
        "likeness": len(targets),
    }
    truth = read(shown.site / "data" / "questions", page["id"])
    assert unpack(Packed(**truth["right"])).tolist() == targets.tolist()


def test_a_models_file_has_a_row_a_table_and_the_command_that_makes_it_again(shown):
    models = [read(path.parent, path.stem) for path in (shown.site / "data" / "models").iterdir()]
    assert {model["label"] for model in models} == {"majority", "kmer-linear", "cnn"}
    (cnn,) = [model for model in models if model["label"] == "cnn"]
    (row,) = cnn["rows"]
    assert row["command"].startswith("bench run --model cnn --data mine.csv ")
    assert "--seeds 0-1" in row["command"]
    record = shown.runs[shown.row("cnn").run_ids[0]]
    assert row["source"] == record.plugin.source_sha256
    assert row["environment"]["torch"] == record.machine.torch


SCORE = Ranking.by_mean("accuracy", accuracy="accuracy")
RUN = SimpleNamespace(seed=0, run_id="run", run_spec=SimpleNamespace(protocol=""))


def items_of(n, **facts):
    """What somebody said of n test items, all of which have 41 letters unless `facts` say more."""
    said = {"lengths": np.full(n, 41), "gc": np.arange(n), "likeness": np.arange(n), **facts}
    packed = {name: None if own is None else pack(own, "u4") for name, own in said.items()}
    return ItemFacts(task="t", checksum="c", items=n, **packed)


@pytest.mark.parametrize(
    ("facts", "fact", "why"),
    [
        (items_of(200), "length", "all test items have 41 letters"),
        (items_of(200, gc=None), "GC", "the alphabet has no G and C"),
        (items_of(200, likeness=None), "likeness", "the task has no training items"),
        (items_of(200, likeness=np.full(200, 9)), "likeness", "it is the same for all test items"),
        (items_of(200, gc=np.arange(200) // 199), "GC", "it is the same for nearly all test items"),
        (items_of(39), "GC", "39 test items are fewer than two parts of 20"),
        (items_of(200, lengths=None, gc=None, likeness=None), "GC", "items are features"),
        (items_of(0), "GC", "each seed draws its own test items"),
        (items_of(7), "GC", "rows were tested on other items than the test split"),
        (None, "GC", "the items of these data have not been described"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_why_there_is_no_score_by_a_fact_is_said(facts, fact, why):
    n = facts.items if facts and facts.items > 30 else 200
    run = outputs(CLASSES, odds(*[0.9] * n), np.arange(n) % 2)
    own = table_items({"r": [RUN]}, {"run": run}, facts.values() if facts else {})
    found = missing_parts(SCORE, own, facts, own.parts, answered=True)
    assert found[fact].startswith(why)
    assert found.keys() == {"length", "GC", "likeness"} - own.parts.keys()


def test_parts_hold_all_items_and_few_copies_of_training_items_are_among_them():
    """15 of 120 have a copy: too few for a part of their own, which was left out."""
    likeness = np.repeat([20, 25, 30, 100], [30, 30, 45, 15])
    run = outputs(CLASSES, odds(*[0.9] * 120), np.arange(120) % 2)
    found = table_items({"r": [RUN]}, {"run": run}, {"likeness": likeness})
    parts, masks = found.parts["likeness"], found.masks["likeness"]
    assert masks.sum(axis=0).tolist() == [1] * 120
    assert [part.items for part in parts] == masks.sum(axis=1).tolist()
    assert min(part.items for part in parts) >= 20
    assert (parts[0].low, parts[-1].high) == (20, 100)
    assert all(a.high < b.low for a, b in pairwise(parts))


def test_why_nothing_is_known_of_test_items_is_said():
    facts = items_of(200)
    assert set(missing_parts(SCORE, None, facts, (), answered=False).values()) == {
        "no test outputs are available"
    }
    assert set(missing_parts(SCORE, None, facts, (), answered=True).values()) == {
        "the targets of the test items may not be published"
    }
    pairs = Column(metric="pairs", title="pairs", scale="position")
    ranking = Ranking(metric="pairs", direction="lower", columns=(pairs,))
    found = missing_parts(ranking, None, None, (), answered=False)
    assert set(found.values()) == {
        "rows are ranked by how many training pairs they needed, not on a test split"
    }
    run = replace(outputs(QUANTITIES, np.ones((200, 2)), np.ones((200, 2))), targets=None)
    own = table_items({"r": [RUN]}, {"run": run}, facts.values())
    assert missing_parts(SCORE, own, facts, (), answered=True)["GC"] == (
        "it was not computed where the data are available"
    )
