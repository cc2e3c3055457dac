"""A split that no near-copy crosses: its groups by hand, and an audit of what is written."""

import random
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import codonbench
from codonbench.leakage.own_table import table_subject
from codonbench.leakage.safe_split import as_table, clean_ids, safe_split
from codonbench.plugins.discovery import load_registry
from leaks import OPPOSITE, text, write


@pytest.fixture
def subject(tmp_path, monkeypatch):
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    metrics_of = load_registry().metrics_of

    def subject(found, header="sequence,label"):
        return table_subject(write(tmp_path / "mine.csv", found, header), {}, metrics_of)

    return subject


def near(sequence, seed):
    """Return a sequence with six letters changed."""
    letters = list(sequence)
    for place in random.Random(seed).sample(range(len(letters)), 6):
        letters[place] = "C" if letters[place] != "C" else "G"
    return "".join(letters)


def test_chains_of_copies_near_copies_and_groups_are_one_group(subject):
    rng = random.Random(0)
    a, b, c = (text(rng, 80) for _ in range(3))
    one = near(a, 1)
    found = [(a, "g1"), (one, "g2"), (near(one, 2)[::-1].translate(OPPOSITE), "g3")]
    found += [(b, "g3"), (b, "g4"), (c, "g5")]
    labelled = [(sequence, str(i % 2), group) for i, (sequence, group) in enumerate(found)]
    labelled += [(text(rng, 80), str(i % 2), f"h{i}") for i in range(40)]
    _, groups = safe_split(subject(labelled, "sequence,label,group"))
    assert groups[:6].tolist() == [0, 0, 0, 0, 0, 1]
    assert len(set(groups.tolist())) == 42


def test_a_group_larger_than_a_split_stays_in_training_and_sizes_are_kept(subject, tmp_path):
    rng = random.Random(1)
    large = text(rng, 80)
    found = [(near(large, i), str(i % 2)) for i in range(100)]
    found += [(text(rng, 80), str(i % 2)) for i in range(100)]
    rng.shuffle(found)
    asked = subject(found)
    splits, groups = safe_split(asked)
    assert np.bincount(groups).max() == 100
    assert [len(splits[name]) for name in ("train", "validation", "test")] == [144, 16, 40]
    assert set(np.flatnonzero(groups == np.bincount(groups).argmax())) <= {*splits["train"]}
    path = tmp_path / "safe.csv"
    path.write_text(as_table(asked, splits, groups))
    audit = codonbench.audit_data(path)
    assert (audit.verdict, audit.test, audit.copied) == ("PASS", 40, ())
    again = table_subject(str(path), {}, load_registry().metrics_of)
    assert again.dataset.items.text("ACGT") == [sequence for sequence, _ in found]
    assert again.dataset.targets.tolist() == [int(label) for _, label in found]
    rows = clean_ids(again.dataset, audit).split()
    assert rows == ["id", *(str(row + 1) for row in splits["test"])]


def test_a_table_keeps_its_columns_and_is_read_as_it_was(subject, tmp_path):
    rng = random.Random(2)
    found = [(f"g{i // 2}", text(rng, 80).lower(), "" if i == 3 else f"4.{i}") for i in range(60)]
    found = [(*row, "test" if i < 20 else "train", "old") for i, row in enumerate(found)]
    asked = subject(found, "gene,dna,value,set,group")
    splits, groups = safe_split(replace(asked, groups=""))
    path = tmp_path / "safe.csv"
    path.write_text(as_table(asked, splits, groups))
    written = pd.read_csv(path, dtype=str, keep_default_na=False)
    assert list(written.columns) == ["gene", "dna", "value", "group", "split"]
    assert list(zip(written["gene"], written["dna"], written["value"], strict=True)) == [
        row[:3] for row in found
    ]
    assert written["group"].tolist() == list(map(str, groups.tolist()))
    groups_found = [f.words for f in codonbench.audit_data(path).findings if f.check == "groups"]
    assert any("share their gene with training items" in words for words in groups_found)


def test_a_written_split_is_read_without_saying_which_column_is_what(subject, tmp_path):
    rng = random.Random(3)
    asked = subject([(text(rng, 80), f"{i}.5") for i in range(60)], "seq,half life")
    splits, groups = safe_split(asked)
    path = tmp_path / "safe.csv"
    path.write_text(as_table(asked, splits, groups))
    assert codonbench.audit_data(path).test == len(splits["test"])
