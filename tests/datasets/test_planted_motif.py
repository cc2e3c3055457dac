"""The simulated grammar: its likelihoods are those of enumeration, and nobody beats them."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

import codonbench
from codonbench_datasets.planted_motif import (
    ALONE,
    GRAMMARS,
    IN_ORDER,
    OUT_OF_ORDER,
    Grammar,
    Planted,
    PlantedMotif,
    PlantedMotifOptions,
    best_accuracy,
    draw,
    posterior,
)

ROOT = Path(__file__).resolve().parents[2]

TINY = Grammar(
    length=6,
    sharpness=0.7,
    follows=Planted(IN_ORDER, (0, 1)),
    decoys=(ALONE, Planted(OUT_OF_ORDER, (0,)), Planted(IN_ORDER, (2,))),
    motifs=("AC", "GA"),
)
EVERY = np.array(list(itertools.product(range(4), repeat=6)), dtype=np.uint8)


def probability(planted):
    """Return the probability of each of the 4,096 sequences, by going through all that can be."""
    total = np.zeros(len(EVERY))
    for order in planted.orders:
        for gap in planted.gaps:
            span = len(order) * 2 + (len(order) - 1) * gap
            starts = 6 - span + 1
            for start in range(starts):
                places = np.full((6, 4), 0.25)
                at = start
                for motif, strand in order:
                    letters = ["ACGT".index(letter) for letter in TINY.motifs[motif]]
                    if strand:
                        letters = [3 - letter for letter in reversed(letters)]
                    for letter in letters:
                        places[at] = 0.1
                        places[at, letter] = 0.7
                        at += 1
                    at += gap
                each = places[np.arange(6), EVERY].prod(axis=1)
                total += each / len(planted.orders) / len(planted.gaps) / starts
    return total


def test_posteriors_are_those_of_enumerating_every_sequence_and_every_place():
    follows = probability(TINY.follows)
    decoys = np.mean([probability(each) for each in TINY.decoys], axis=0)
    assert follows.sum() == pytest.approx(1)
    assert decoys.sum() == pytest.approx(1)
    assert posterior(TINY, EVERY) == pytest.approx(follows / (follows + decoys), abs=1e-12)


def test_sequences_are_drawn_as_often_as_their_probability_says():
    letters, labels = draw(TINY, 60_000, np.random.default_rng(0))
    assert labels.mean() == pytest.approx(0.5, abs=0.01)
    number = letters.astype(np.int64) @ 4 ** np.arange(5, -1, -1)
    for label, expected in ((1, probability(TINY.follows)), (0, probability(TINY.decoys[0]))):
        mine = number[labels == label]
        if not label:
            expected = np.mean([probability(each) for each in TINY.decoys], axis=0)
        expected = expected * len(mine)
        found = np.bincount(mine, minlength=len(EVERY))
        chi2 = ((found - expected) ** 2 / expected).sum()
        assert abs(chi2 - 4095) < 4 * np.sqrt(2 * 4095)


def test_a_sequence_and_its_reverse_complement_have_one_posterior():
    letters, _ = draw(GRAMMARS["hard"], 200, np.random.default_rng(0))
    assert posterior(GRAMMARS["hard"], letters) == pytest.approx(
        posterior(GRAMMARS["hard"], 3 - letters[:, ::-1])
    )


def test_the_best_accuracy_by_hand():
    assert best_accuracy(np.array([0.5, 0.9, 0.2, 1.0])) == (
        0.8,
        round(0.8 - 1.959964 * np.sqrt(0.25 + 0.09 + 0.16) / 4, 6),
        round(0.8 + 1.959964 * np.sqrt(0.25 + 0.09 + 0.16) / 4, 6),
    )


@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_who_knows_the_grammar_is_at_the_ceiling(difficulty, tmp_path):
    data = PlantedMotif().load(
        "simulated", PlantedMotifOptions(difficulty=difficulty), cache=tmp_path
    )
    letters = data.items.rows()[data.splits["test"]]
    right = data.targets[data.splits["test"]]
    accuracy = np.mean((posterior(GRAMMARS[difficulty], letters) > 0.5) == right)
    assert data.provenance["best_low"] <= accuracy <= data.provenance["best_high"]


@pytest.mark.nightly("the official board holds k-mers and others to their ceilings")
@pytest.mark.parametrize("difficulty", ["easy", "medium", "hard"])
def test_a_model_of_k_mers_is_not_above_the_ceiling(difficulty, tmp_path):
    (record,) = codonbench.run(
        "kmer-linear",
        task="planted-motif",
        task_options={"difficulty": difficulty},
        results=tmp_path,
    )
    ceiling = PlantedMotif().ceiling(record)
    assert ceiling is not None
    assert record.metrics["accuracy"] < ceiling.high


def test_no_row_of_the_official_board_is_beyond_a_ceiling():
    board = json.loads((ROOT / "leaderboard" / "leaderboard.json").read_text())
    rows = [row for table in board["tables"] for row in (*table["rows"], *table["references"])]
    assert not [row["model"] for row in rows if "beyond the ceiling" in "".join(row["notes"])]
