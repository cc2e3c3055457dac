import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codonbench import Dataset, Sequences
from codonbench.data.fasta import read_fasta
from codonbench.errors import DataError
from codonbench_datasets.human_codon.orfs import (
    CODONS,
    REASONS,
    OrfDataset,
    Orfs,
    codon_letters,
    curate,
    genetic_code,
    pick_orfs,
)
from codonbench_datasets.human_codon.task import human_codon_spec

DATA = Path(
    os.environ.get("CODONBENCH_TEST_DATA", Path(__file__).resolve().parents[3] / "shared/data")
)


def data_file(name: str) -> Path:
    path = DATA / name
    if not path.is_file():
        pytest.skip(f"needs {name} in CODONBENCH_TEST_DATA or ../shared/data")
    return path


def write(folder: Path, *sequences: str) -> Path:
    path = folder / "x.fa"
    path.write_text("".join(f">r{i}\n{seq}\n" for i, seq in enumerate(sequences)))
    return path


def curated(folder: Path, *sequences: str, code: int = 1) -> Orfs:
    return curate(read_fasta(write(folder, *sequences)), genetic_code(code), "x.fa")


def texts(orfs: Orfs) -> list[str]:
    ends = np.cumsum(orfs.lengths)
    spans = zip(ends - orfs.lengths, ends, strict=True)
    return ["".join(CODONS[c] for c in orfs.codons[low:high]) for low, high in spans]


def naive_reason(sequence: str, seen: set[str], code: int) -> str | None:
    """Why a sequence is dropped, by the plainest reading of the rules."""
    table = genetic_code(code)
    meaning = dict(zip(CODONS, table.amino_acids, strict=True))
    rna = sequence.upper().replace("T", "U")
    if not rna:
        return REASONS[0]
    if any(letter not in "ACGU" for letter in rna):
        return REASONS[1]
    if len(rna) % 3:
        return REASONS[2]
    codons = [rna[i : i + 3] for i in range(0, len(rna), 3)]
    if codons[0] != "AUG":
        return REASONS[3]
    if CODONS.index(codons[-1]) not in table.ends:
        return REASONS[4]
    if any(meaning[codon] == "*" for codon in codons[:-1]):
        return REASONS[5]
    if rna in seen:
        return REASONS[6]
    seen.add(rna)
    return None


def test_each_reason_by_hand(tmp_path: Path) -> None:
    orfs = curated(
        tmp_path,
        "ATGTAA",  # kept
        "",
        "ATGNNNTAA",
        "ATGCTAA",
        "CTGCCCTAA",
        "ATGCCC",
        "ATGTGACCCTAA",
        "augUAA",  # equals the first
        "ATGTAAN",  # ambiguous comes before length
        "AUGCCCUGA",  # kept
    )
    assert texts(orfs) == ["AUGUAA", "AUGCCCUGA"]
    assert list(orfs.dropped.values()) == [1, 2, 1, 1, 1, 1, 1]
    assert orfs.report == (
        "2 ORFs kept (5 codons)",
        "1 record dropped: no sequence",
        "2 records dropped: ambiguous base",
        "1 record dropped: length not divisible by three",
        "1 record dropped: does not start with AUG",
        "1 record dropped: does not end in a stop codon",
        "1 record dropped: internal stop codon",
        "1 record dropped: duplicate of an earlier sequence",
    )
    assert orfs.counts.sum() == 5
    assert orfs.counts[CODONS.index("AUG")] == 2


orf_like = st.builds(
    lambda head, body, tail, extra: head + "".join(body) + tail + extra,
    st.sampled_from(["ATG", "aug", "CTG", ""]),
    st.lists(st.sampled_from([*CODONS, "NNN"]), max_size=4),
    st.sampled_from(["TAA", "uag", "TGA", "AGA", "CCC"]),
    st.sampled_from(["", "", "", "A"]),
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(sequences=st.lists(orf_like, max_size=12), code=st.sampled_from([1, 2, 6, 22, 27, 28, 31]))
def test_curation_agrees_with_a_plain_loop(sequences: list[str], code: int, tmp_path: Path) -> None:
    sequences = ["ATGTAATAGTGA", *sequences]
    sequences.append({2: "ATGAGA", 6: "ATGTGA", 22: "ATGTAA", 27: "ATGTGA"}.get(code, "ATGTAA"))
    seen: set[str] = set()
    reasons = [naive_reason(sequence, seen, code) for sequence in sequences]
    orfs = curated(tmp_path, *sequences, code=code)
    kept = [s for s, reason in zip(sequences, reasons, strict=True) if reason is None]
    assert texts(orfs) == [s.upper().replace("T", "U") for s in kept]
    assert {k: v for k, v in orfs.dropped.items() if v} == Counter(r for r in reasons if r)


def test_nothing_left_says_so_and_why(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        curated(tmp_path, "CCC", "CCA", "ATGTAACCCTAA")
    assert str(caught.value) == (
        "'x.fa' holds no usable open reading frame under genetic code 1: "
        "2 records dropped: does not start with AUG; 1 record dropped: internal stop codon; "
        "coding sequences are needed, from AUG to stop, without UTRs; "
        "another --genetic-code may fit"
    )


def test_an_end_that_is_also_sense_may_stand_inside(tmp_path: Path) -> None:
    """In table 28 all three stops are also amino acids, so none is an internal stop."""
    assert texts(curated(tmp_path, "ATGTAATGA", code=28)) == ["AUGUAAUGA"]


def test_the_real_human_orfs_are_all_kept() -> None:
    orfs = curate(read_fasta(data_file("human_cds.fa.gz")), genetic_code(1), "human")
    assert (len(orfs), len(orfs.codons)) == (6379, 3_595_363)
    assert orfs.report == ("6,379 ORFs kept (3,595,363 codons)",)
    assert orfs.counts.sum() == 3_595_363
    assert orfs.counts[list(genetic_code(1).stops)].sum() == 6379


def test_the_human_mitochondrial_genes_under_their_own_code() -> None:
    path = data_file("human_mitochondrial_13.table2.fa.gz")
    orfs = curate(read_fasta(path), genetic_code(2), "mito")
    # 6 end in an incomplete stop; of the 4 that do not start with AUG 3 are among them.
    assert orfs.report == (
        "6 ORFs kept (1,312 codons)",
        "6 records dropped: length not divisible by three",
        "1 record dropped: does not start with AUG",
    )


def make_dataset(orfs: Orfs) -> OrfDataset:
    code = genetic_code(1)
    return OrfDataset(
        spec=human_codon_spec(code),
        source="test",
        checksum=orfs.checksum(code),
        simulated=False,
        items=Sequences.of_rows(codon_letters()),
        targets=code.labels,
        evaluation=np.arange(64),
        orfs=orfs,
    )


def pairs_of(data: Dataset, rng: np.random.Generator) -> np.ndarray:
    """All pairs that a generator draws, training and held out."""
    split = data.split(rng)
    assert len(split.validation) == 0
    return np.concatenate([split.train, split.test])


def drawn_by(data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A seed's training and held-out pairs."""
    split = data.split(np.random.default_rng(seed))
    return split.train, split.test


def test_draws_have_the_papers_sizes_and_follow_the_seed(tmp_path: Path) -> None:
    data = make_dataset(curated(tmp_path, "ATGCCCCCATAA", "ATGGGGTGA", "ATGTTTTTTTTTTAG"))
    train, test = drawn_by(data, 5)
    assert (train.shape, test.shape) == ((576_000,), (64_000,))
    assert train.dtype == test.dtype == np.int64
    again_train, again_test = drawn_by(data, 5)
    assert np.array_equal(train, again_train)
    assert np.array_equal(test, again_test)
    assert not np.array_equal(train, drawn_by(data, 6)[0])


def test_drawn_codons_come_in_whole_orfs_but_the_last() -> None:
    """With one ORF of 7 codons, 640,000 = 7 x 91,428 + 4 codons; the counts are then known."""
    orfs = Orfs(np.array([35, 1, 2, 3, 4, 5, 10], np.uint8), np.array([7]), {})
    drawn = pairs_of(make_dataset(orfs), np.random.default_rng(0))
    expected = np.zeros(64, dtype=np.int64)
    expected[[35, 1, 2, 3]] = 91_429
    expected[[4, 5, 10]] = 91_428
    assert np.array_equal(np.bincount(drawn, minlength=64), expected)


def test_orfs_are_picked_alike_whatever_their_length() -> None:
    lengths = np.array([10, 30, 20])
    picked = pick_orfs(lengths, 600_000, np.random.default_rng(1))
    assert lengths[picked].sum() >= 600_000
    shares = np.bincount(picked) / len(picked)
    assert shares == pytest.approx([1 / 3] * 3, abs=0.01)


def test_a_draw_of_real_orfs_is_quick_and_has_their_frequencies() -> None:
    orfs = curate(read_fasta(data_file("human_cds.fa.gz")), genetic_code(1), "human")
    data = make_dataset(orfs)
    begin = time.process_time()
    drawn = pairs_of(data, np.random.default_rng(0))
    assert time.process_time() - begin < 0.5  # typically 0.015 s
    frequencies = np.bincount(drawn, minlength=64) / len(drawn)
    assert frequencies == pytest.approx(orfs.counts / len(orfs.codons), abs=0.004)


def test_checksum_follows_content_and_code(tmp_path: Path) -> None:
    one = curated(tmp_path, "ATGCCCTAA", "ATGTAA")
    same = curated(tmp_path, "augccc\nUAA", "ATGTAA", "CCC")
    other_lengths = Orfs(one.codons, one.lengths[::-1].copy(), {})
    other_codons = Orfs(one.codons[::-1].copy(), one.lengths, {})
    code = genetic_code(1)
    assert one.checksum(code) == same.checksum(code)
    sums = {orfs.checksum(code) for orfs in (one, other_lengths, other_codons)}
    assert len({*sums, one.checksum(genetic_code(11))}) == 4
