"""Windows of mRNAs, worked by hand, and the real file where it is."""

import os
import re
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts import TaskOptions
from codonbench.errors import DataError
from codonbench_datasets import orf_in_mrna
from codonbench_datasets._table_task import FOLDER_VARIABLE
from codonbench_datasets.orf_in_mrna import (
    Mrna,
    OrfFrame,
    OrfStart,
    frames,
    read_mrnas,
    starts,
    table_of,
)

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data"))
REAL = DATA / "human_mrna_with_cds.fa.gz"
STOPS = ("TAA", "TAG", "TGA")

FASTA = """>a cds=3-11 cluster=C1 src=x
CCAUGGCCUAAGG
>b cds=1-6 cluster=C1
ATGTAA
>c gene=G cds=1-6 cluster=C2
atgtgac
"""


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_first_mrna_of_a_cluster_is_read_with_its_coding_sequence(tmp_path):
    (tmp_path / "m.fa").write_text(FASTA)
    first, second = read_mrnas(tmp_path / "m.fa")
    assert first == Mrna("CCATGGCCTAAGG", 2, 11)
    assert first.text[first.begin : first.end] == "ATGGCCTAA"
    assert second == Mrna("ATGTGAC", 0, 6)


@pytest.mark.parametrize("cds", ["0-6", "3-14", "6-3", "3..11", ""])
def test_a_header_that_does_not_say_where_the_coding_sequence_is_is_an_error(cds, tmp_path):
    (tmp_path / "m.fa").write_text(FASTA.replace("cds=3-11", f"cds={cds}"))
    with pytest.raises(DataError, match=r"line 1, column 'cds'.*two places from 1 to 13"):
        read_mrnas(tmp_path / "m.fa")


def test_the_start_and_another_atg_of_one_mrna_are_asked_about(monkeypatch, rng):
    monkeypatch.setattr(orf_in_mrna, "BEFORE", 2)
    monkeypatch.setattr(orf_in_mrna, "AFTER", 5)
    #         begin  other  too near the end
    text = "CCATGAACCGATGTTATGC"
    found = list(starts([Mrna(text, 2, 11)], rng))
    assert found == [(0, "CCATGAA", 1), (0, "CGATGTT", 0)]
    alone = Mrna("CCATGAACC", 2, 8)
    near_the_start = Mrna("ATGAACCATGAAC", 0, 6)
    assert list(starts([alone, near_the_start], rng)) == []


def test_the_frame_is_how_many_letters_stand_before_a_codon(monkeypatch, rng):
    monkeypatch.setattr(orf_in_mrna, "LENGTH", 6)
    monkeypatch.setattr(orf_in_mrna, "CODING", 3)
    monkeypatch.setattr(orf_in_mrna, "WINDOWS", 200)
    text = "CCCC" + "ATGGCCTAA" + "GGGG"
    seen = {window: label for _, window, label in frames([Mrna(text, 4, 13)], rng)}
    assert seen == {  # each holds three coding letters or more
        "CCCATG": 0,  # three letters of the untranslated region, then a codon
        "CCATGG": 2,
        "CATGGC": 1,
        "ATGGCC": 0,
        "TGGCCT": 2,
        "GGCCTA": 1,
        "GCCTAA": 0,
        "CCTAAG": 2,
        "CTAAGG": 1,
        "TAAGGG": 0,
    }
    assert list(frames([Mrna("ATGTA", 0, 5)], rng)) == []


def test_windows_of_one_mrna_and_near_copies_are_one_group(rng):
    texts = ["".join(rng.choice(list("ACGT"), 150)) for _ in range(12)]
    mutant = texts[2][:140] + texts[3][140:]
    windows = [(0, texts[0], 0), (0, texts[1], 1), (1, texts[2], 2), (2, mutant, 0)]
    windows += [(i, text, i % 3) for i, text in enumerate(texts[3:], 3)]
    groups = table_of(windows, ("0", "1", "2")).groups.tolist()
    assert [groups.index(group) for group in groups[:5]] == [0, 0, 2, 2, 4]
    assert len(set(groups)) == len(windows) - 2


def test_a_copy_of_one_s_own_is_asked_for(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(DataError, match=r"'orf-start' is no download: a FASTA file of mRNAs"):
        OrfStart().load("orf-start", TaskOptions(), cache=tmp_path)


@pytest.mark.skipif(not REAL.is_file(), reason=f"no real data in {REAL}")
@pytest.mark.parametrize(
    ("task", "sizes"), [(OrfStart(), [5204, 580, 1446]), (OrfFrame(), [6862, 764, 1908])]
)
def test_the_real_file_gives_the_recipe_s_windows(task, sizes, tmp_path):
    found = task.load(str(REAL), TaskOptions(), cache=tmp_path)
    assert (found.source, found.checksum) == (task.name, task.content)
    splits = [found.splits[name] for name in ("train", "validation", "test")]
    assert list(map(len, splits)) == sizes
    groups = [set(found.groups[rows].tolist()) for rows in splits]
    assert not any(one & other for one, other in combinations(groups, 2))
    texts, right = found.items.text("ACGT"), found.targets
    test = splits[2].tolist()
    if task.name == "orf-start":
        assert {text[75:78] for text in texts} == {"ATG"}
        open_ = [not any(t[i : i + 3] in STOPS for i in range(75, 199, 3)) for t in texts]
        shares = [np.mean([open_[i] for i in test if right[i] == label]) for label in (1, 0)]
        assert shares[0] > 0.99 > 0.4 > shares[1]
    else:
        runs = [[longest_run(texts[i], frame) for frame in range(3)] for i in test]
        assert np.mean(np.argmax(runs, axis=1) == right[test]) == pytest.approx(0.788, abs=5e-4)


def longest_run(text, frame):
    """Return how many codons of a frame follow one another without a stop, at most."""
    codons = re.findall("...", text[frame:])
    marks = "".join("." if codon in STOPS else "x" for codon in codons)
    return max(map(len, marks.split(".")))
