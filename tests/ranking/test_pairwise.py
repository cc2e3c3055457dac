import json
import math
from pathlib import Path

import pandas as pd
import pytest

import codonbench
from codonbench.errors import UsageError

RESULTS = Path(__file__).parents[2] / "leaderboard" / "results"


@pytest.fixture(scope="module")
def compared():
    """What is said of two models on one task, from the committed records."""
    found: dict[tuple[str, str], pd.Series] = {}

    def compare(first, second):
        if (first, second) not in found:
            table = codonbench.compare(first, second, RESULTS, task="gue-tf-2")
            (found[first, second],) = (row for _, row in table.iterrows())
        return found[first, second]

    return compare


def test_a_difference_from_row_zero_is_the_gain_that_the_board_shows(compared):
    made = compared("cnn", "kmer-linear")
    table = next(t for t in board() if t["task"] == "gue-tf-2" and not t.get("asked"))
    (gain,) = (row["gain"] for row in table["rows"] if row["model"] == "cnn")
    assert gain["over"] == "kmer-linear"
    assert (made.difference, made.low, made.high) == (gain["value"], gain["low"], gain["high"])
    assert (made.seeds, made["items"], made.metric) == (gain["n"], 1_000, "MCC")
    assert math.isclose(made.first_score - made.second_score, made.difference, abs_tol=1e-6)
    assert made.p < 0.01


def board():
    return json.loads((RESULTS.parent / "leaderboard.json").read_text())["tables"]


def test_the_other_way_round_it_has_the_other_sign(compared):
    one, other = compared("cnn", "kmer-linear"), compared("kmer-linear", "cnn")
    assert (one.difference, one.low, one.high) == (-other.difference, -other.high, -other.low)
    assert one.p == other.p


def test_a_model_does_not_differ_from_itself(compared):
    made = compared("cnn", "cnn")
    assert (made.difference, made.low, made.high, made.p) == (0, 0, 0, 1)


@pytest.mark.parametrize(
    ("pair", "task", "said"),
    [
        (("cnn", "nobody"), "gue-tf-2", "no table has both 'cnn' and 'nobody'; there are cnn, "),
        (("cnn", "majority"), "no-task", "no table has both .*; there are no rows"),
        (("mlp-64", "lstm-64"), "yeast-codon", "mlp-64"),
    ],
)
def test_what_cannot_be_compared_is_said(pair, task, said):
    with pytest.raises(UsageError, match=said):
        codonbench.compare(*pair, RESULTS, task=task)
