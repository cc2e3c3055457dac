"""Rows under controls and on clean test items, on made-up answers whose truth is known."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from codonbench import Ranking
from codonbench.ranking import items
from codonbench.ranking.items import Runs, compare
from codonbench.ranking.statistics import mean
from codonbench.records.recorded_outputs import ItemOutputs, hash_items
from codonbench_metrics.classification import Mcc
from samples import TWO_CLASSES

RANKING = Ranking.by_mean("mcc", mcc="MCC")
N = 400
TARGETS = np.random.default_rng(0).integers(2, size=N)
METRIC = Mcc()


class Answers:
    """Makes rows whose runs are right about a share of the items, and keeps what they answer."""

    def __init__(self, seed=0):
        self.rng = np.random.default_rng(seed)
        self.outputs = {}

    def runs(self, name, share, seeds=5, biased=0.0):
        """Return records, one a seed; a biased one answers yes so much more often, at random."""
        return [self._run(name, seed, share, biased) for seed in range(seeds)]

    def _run(self, name, seed, share, biased):
        right = self.rng.random(N) < share
        answer = np.where(right, TARGETS, 1 - TARGETS)
        answer = np.where(self.rng.random(N) < biased, 1, answer)
        outputs = np.stack([1.0 - answer, answer], axis=1).astype(np.float32)
        run_id = f"{name}-{seed}"
        self.outputs[run_id] = ItemOutputs(
            TWO_CLASSES, "t", hash_items(TARGETS, None), outputs, TARGETS
        )
        return SimpleNamespace(
            run_id=run_id,
            seed=seed,
            checksum=run_id,
            name=run_id,
            metrics={"mcc": METRIC.score(TARGETS, outputs, TWO_CLASSES)["mcc"]},
            dataset=SimpleNamespace(checksum="d"),
            run_spec=SimpleNamespace(config={}, control=""),
            info=SimpleNamespace(pretrained_on=""),
            pretrained_on="",
            plugin=SimpleNamespace(distribution="test"),
            model=name,
        )

    def row(self, name, share, *, reference=False, **controls):
        records = self.runs(name, share)
        under = {c: self.runs(f"{name} {c}", *given) for c, given in controls.items()}
        value = mean([r.metrics["mcc"] for r in records])
        return Runs(name, name, value, reference, records, under)

    def compared(self, *rows, copied=(), audited=N, rule=""):
        rules = {"d": items.Rule("twins", rule)} if rule else {}
        near = {"d": items.Copied(tuple(copied), audited)}
        return compare(
            rows, RANKING, items.Tested({"mcc": METRIC}, self.outputs, copied=near, rules=rules)
        )


def flags(found, name="row"):
    return {control: figure.flag for control, figure in found.rows[name].controls.items()}


def test_a_row_that_loses_all_without_labels_or_training_is_not_flagged():
    made = Answers()
    found = made.compared(
        made.row("row", 0.8, labels=(0.5,), untrained=(0.5, 5, 0.9), composition=(0.6,))
    )
    assert set(flags(found).values()) == {""}
    assert found.rows["row"].controls["labels"].chance == pytest.approx(0, abs=0.03)
    labels = found.rows["row"].controls["labels"].mean
    assert labels.low < 0 < labels.high


@pytest.mark.parametrize(
    ("control", "share", "words"),
    [
        ("labels", 0.6, "above chance with permuted labels"),
        ("untrained", 0.6, "above chance untrained"),
        ("composition", 0.8, "no better than on shuffled sequences"),
    ],
)
def test_a_control_that_does_not_take_away_what_it_should_is_told(control, share, words):
    made = Answers()
    found = made.compared(made.row("row", 0.8, **{control: (share,)}))
    assert flags(found)[control].startswith(words)


def ruling(share):
    """Return a rule's answers, right for the first so many items."""
    right = np.arange(N) < share * N
    return "".join(map(str, np.where(right, TARGETS, 1 - TARGETS)))


def test_the_rule_of_the_audit_is_row_zero_where_it_goes_furthest():
    made = Answers()
    rows = made.row("row", 0.8), made.row("floor", 0.6, reference=True)
    found = made.compared(*rows, rule=ruling(0.9))
    gained = found.rows["row"].gain
    assert gained.over == "the audit's rule (twins)"
    assert found.rule.value == pytest.approx(mcc_of_rule(0.9), abs=1e-6)
    assert found.rule.low < found.rule.value < found.rule.high
    assert gained.value == pytest.approx(found.rows["row"].mean.value - found.rule.value, abs=1e-6)
    assert gained.low < gained.value < gained.high < 0
    weak = made.compared(*rows, rule=ruling(0.55))
    assert weak.rows["row"].gain == made.compared(*rows).rows["row"].gain
    assert (weak.rows["row"].gain.over, weak.rule.value < 0.2) == ("floor", True)
    assert made.compared(rows[0], rule=ruling(0.7)).rows["row"].gain.over.startswith("the audit's")
    assert made.compared(*rows, rule=ruling(0.9)[1:]).rule is None


def mcc_of_rule(share):
    said = np.array([int(digit) for digit in ruling(share)])
    outputs = np.eye(2, dtype=np.float32)[said]
    return METRIC.score(TARGETS, outputs, TWO_CLASSES)["mcc"]


def test_two_seeds_are_too_few_to_flag_a_row():
    made = Answers()
    assert flags(made.compared(made.row("row", 0.8, labels=(0.9, 2)))) == {"labels": ""}


def test_a_row_that_knows_nothing_is_seldom_flagged():
    """40 rows of five seeds whose answers are coins, at a level of 1 %."""
    made = Answers(1)
    rows = [made.row(f"row{i}", 0.5, labels=(0.5, 5, 0.5 * (i % 2))) for i in range(40)]
    found = made.compared(*rows)
    n = sum(bool(flags(found, row.id)["labels"]) for row in rows)
    assert n <= 2


def test_answers_on_the_other_strand_are_held_against_those_on_this():
    made = Answers()
    row = made.row("row", 0.9, strand=(0.9,))
    figure = made.compared(row).rows["row"].controls["strand"]
    by_hand = [
        np.mean(
            made.outputs[f"row-{s}"].outputs.argmax(1)
            == made.outputs[f"row strand-{s}"].outputs.argmax(1)
        )
        for s in range(5)
    ]
    assert figure.agreement == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert figure.chance is None


def test_rows_are_ranked_anew_on_items_that_are_no_copies():
    """One row has learned the 200 copies by heart and knows nothing else; the other is even."""
    made = Answers()
    heart, even = made.row("heart", 0.5), made.row("even", 0.72)
    for record in heart.records:
        item = made.outputs[record.run_id]
        item.outputs[:200] = np.stack([1 - TARGETS, TARGETS], axis=1)[:200]
        record.metrics["mcc"] = METRIC.score(TARGETS, item.outputs, TWO_CLASSES)["mcc"]
    heart = Runs(
        "heart", "heart", mean([r.metrics["mcc"] for r in heart.records]), False, heart.records
    )
    found = made.compared(heart, even, copied=range(200))
    assert found.n_clean == 200
    assert [found.rows[name].clean.rank for name in ("heart", "even")] == [2, 1]
    by_hand = [
        METRIC.score(TARGETS[200:], made.outputs[f"even-{s}"].outputs[200:], TWO_CLASSES)["mcc"]
        for s in range(5)
    ]
    assert found.rows["even"].clean.mean.value == pytest.approx(np.mean(by_hand), abs=1e-6)
    assert found.rows["heart"].clean.mean.low < 0 < found.rows["heart"].clean.mean.high
    assert found.inputs != made.compared(heart, even).inputs


def test_rows_that_were_tested_on_other_items_than_the_audit_are_not_scored_on_clean_ones():
    made = Answers()
    row = made.row("row", 0.8)
    assert made.compared(row, copied=range(200)).n_clean == N - 200
    assert made.compared(row, copied=range(200), audited=N - 100).n_clean is None  # folds
    made.outputs = {  # each seed cut a test split of its own
        run: replace(item, items=run) for run, item in made.outputs.items()
    }
    found = made.compared(row, copied=range(200), rule="1" * N)
    assert (found.n_clean, found.rule, found.rows["row"].clean) == (None, None, None)


@pytest.mark.parametrize("n_copied", [0, 375])
def test_rows_are_not_scored_on_all_items_twice_nor_on_a_handful(n_copied):
    made = Answers()
    found = made.compared(made.row("row", 0.8), copied=range(n_copied))
    assert (found.n_clean, found.rows["row"].clean) == (None, None)
