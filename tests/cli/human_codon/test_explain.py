"""`bench explain`: a table, one JSON object, a picture."""

import json

import pytest


@pytest.fixture
def explain(bench, board):
    return lambda *words: bench("explain", *words, "--results", board)


def test_each_codon_has_its_shares_and_below_stand_the_means(explain, tmp_path):
    answer = explain("mlp-64-s0", "--out", tmp_path / "why.svg")
    assert answer.code == 0
    rows = [line.split() for line in answer.out.splitlines()]
    codons = [row for row in rows if row and len(row[0]) == 3 and set(row[0]) <= set("UCAG")]
    assert len(codons) == 64
    assert codons[0][:2] == ["UUU", "F"]
    assert "position 3 silent" in answer.out
    assert "substitution: values add up to within" in answer.out
    assert "the model is handed the codon as a whole" in answer.out
    assert "running it again (it took" in answer.err
    assert (tmp_path / "why.svg").read_bytes().startswith(b"<?xml")


def test_json_is_one_object_with_values_shares_and_means(explain, board):
    answer = explain(next(board.glob("mlp-64-s0-*.json")), "--json")
    (facts,) = answer.facts
    assert json.dumps(facts, sort_keys=True, separators=(",", ":")) == answer.out.strip()
    assert [a["method"] for a in facts["attributions"]] == ["the code itself", "substitution"]
    for attribution in facts["attributions"]:
        assert len(attribution["values"]) == len(attribution["shares"]) == 64
        assert all(abs(sum(shares) - 1) < 1e-9 for shares in attribution["shares"])
    assert {s["over"]: s["n"] for s in facts["summaries"]} == {
        "all": 64,
        "position 3 silent": 32,
        "position 3 not silent": 32,
    }
    assert facts["same_weights"] is True


def test_a_file_that_is_no_picture_is_refused_before_the_run(explain):
    answer = explain("mlp-64-s0", "--out", "why.doc")
    assert answer.code == 2
    assert answer.err == "bench: --out why.doc should end in .png, .svg or .pdf\n"


def test_a_computed_row_is_refused(bench):
    assert bench("run", "--model", "oracle", "--pairs", "2000", "--results", "r").code == 0
    answer = bench("explain", "oracle-s0", "--results", "r")
    assert answer.code == 2
    assert "has no trained module to explain" in answer.err
