import json
import os
import runpy
import time
from pathlib import Path

import numpy as np
import pytest

from codonbench import Dataset
from codonbench.data.fasta import read_fasta
from codonbench_datasets.human_codon.orfs import (
    CODONS,
    HumanUsage,
    SimulatedDataset,
    curate,
    expected_frequencies,
    genetic_code,
    human_usage,
    orf_lengths,
    sense_and_stop_frequencies,
)
from codonbench_datasets.human_codon.task import HumanCodon, HumanCodonOptions

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "measure_usage.py"


def toy_usage() -> HumanUsage:
    """Ten ORFs of 4 codons each: AUG, two of UUU/UUC/AUG, UAA or UGA."""
    counts = dict.fromkeys(CODONS, 0)
    counts |= {"AUG": 15, "UUU": 10, "UUC": 5, "UAA": 8, "UGA": 2}
    return HumanUsage(
        source="toy.fa",
        source_sha256="0" * 64,
        command="none",
        n_orfs=10,
        n_codons=40,
        mean_length=4,
        counts=counts,
        length_probabilities=(0, 1),
        length_quantiles=(4, 4),
    )


def load(mean_length: int | None, cache: Path) -> SimulatedDataset:
    data = HumanCodon().load("usage", HumanCodonOptions(mean_length=mean_length), cache=cache)
    assert isinstance(data, SimulatedDataset)
    return data


def test_the_start_codon_is_taken_out_of_the_sense_codons() -> None:
    sense, stop = sense_and_stop_frequencies(toy_usage())
    by_codon = dict(zip(CODONS, sense, strict=True))
    assert (by_codon["UUU"], by_codon["UUC"], by_codon["AUG"]) == (0.5, 0.25, 0.25)
    assert dict(zip(CODONS, stop, strict=True))["UAA"] == 0.8
    assert sense.sum() == stop.sum() == 1


def test_expected_frequencies_by_hand() -> None:
    """In ORFs of 4 codons: a quarter AUG, a half sense, a quarter stop."""
    usage = toy_usage()
    frequencies = expected_frequencies(usage, orf_lengths(usage))
    by_codon = dict(zip(CODONS, frequencies.tolist(), strict=True))
    expected = {"AUG": 0.375, "UUU": 0.25, "UUC": 0.125, "UAA": 0.2, "UGA": 0.05}
    assert {codon: p for codon, p in by_codon.items() if p} == pytest.approx(expected)


def test_the_committed_file_is_what_the_script_measures(tmp_path: Path) -> None:
    folder = SCRIPT.parents[1]
    data = Path(os.environ.get("CODONBENCH_TEST_DATA", folder.parent / "shared/data"))
    if not (data / "human_cds.fa.gz").is_file():
        pytest.skip("needs human_cds.fa.gz in CODONBENCH_TEST_DATA or ../shared/data")
    orfs = curate(read_fasta(data / "human_cds.fa.gz"), genetic_code(1), "human")
    measured = runpy.run_path(str(SCRIPT))["measure"](orfs, data / "human_cds.fa.gz")
    assert measured == human_usage()


def test_the_committed_figures_are_human() -> None:
    usage = human_usage()
    assert usage.n_codons == sum(usage.counts.values()) == 3_595_363
    stops = np.array([usage.counts[codon] for codon in ("UGA", "UAA", "UAG")])
    assert stops.sum() == usage.n_orfs == 6379
    # On the full assembly the stops are UGA 49.7 %, UAA 27.3 %, UAG 23.0 %.
    assert stops / stops.sum() == pytest.approx([0.497, 0.273, 0.230], abs=0.01)
    lowest = sorted(usage.counts, key=lambda codon: usage.counts[codon])[:5]
    assert set(lowest) == {"UAG", "UAA", "UGA", "UCG", "CGU"}
    assert "/" not in usage.source


@pytest.mark.parametrize(("mean_length", "expected"), [(None, 563.6), (400, 400), (50, 50)])
def test_lengths_keep_their_mean_and_shape(mean_length: int | None, expected: float) -> None:
    lengths = orf_lengths(human_usage(), mean_length)
    assert lengths.mean() == pytest.approx(expected, rel=0.002)
    assert lengths.min() >= 2
    assert (np.diff(lengths) >= 0).all()
    quantiles = np.interp([0.25, 0.5], *_distribution())
    if mean_length is None:
        assert np.quantile(lengths, [0.25, 0.5]) == pytest.approx(quantiles, abs=1)


def _distribution() -> tuple[tuple[float, ...], tuple[float, ...]]:
    usage = human_usage()
    return usage.length_probabilities, usage.length_quantiles


def pairs_of(data: Dataset, rng: np.random.Generator) -> np.ndarray:
    """All pairs that a generator draws, training and held out."""
    split = data.split(rng)
    assert len(split.validation) == 0
    return np.concatenate([split.train, split.test])


def drawn_by(data: Dataset, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A seed's training and held-out pairs."""
    split = data.split(np.random.default_rng(seed))
    return split.train, split.test


@pytest.mark.parametrize("mean_length", [None, 400])
def test_draws_have_the_expected_frequencies(mean_length: int | None, tmp_path: Path) -> None:
    data = load(mean_length, tmp_path)
    drawn = np.concatenate([pairs_of(data, np.random.default_rng(s)) for s in range(5)])
    observed = np.bincount(drawn, minlength=64) / len(drawn)
    assert data.frequencies is not None
    # 3.2 million codons: six standard errors, doubled for the chance in ORF lengths.
    error = np.sqrt(data.frequencies / len(drawn))
    assert (np.abs(observed - data.frequencies) < 12 * error).all()
    assert data.frequencies.sum() == pytest.approx(1)


def test_expected_frequencies_are_those_measured(tmp_path: Path) -> None:
    usage = human_usage()
    measured = np.array([usage.counts[codon] for codon in CODONS]) / usage.n_codons
    assert load(None, tmp_path).frequencies == pytest.approx(measured, rel=0.001)


def test_a_simulated_stretch_is_made_of_orfs() -> None:
    """Unshuffled, by a generator whose permutation does nothing: AUG, sense, one stop, again."""

    class Unshuffled(np.random.Generator):
        def permutation(self, x, axis=0):  # type: ignore[no-untyped-def]
            return x

    usage = human_usage()
    lengths = orf_lengths(usage)
    code = genetic_code(1)
    data = load(None, Path("unused"))
    codons = pairs_of(data, Unshuffled(np.random.PCG64(3)))
    assert len(codons) == 640_000
    ends = np.flatnonzero(np.isin(codons, code.stops))
    begins = np.append(0, ends[:-1] + 1)
    assert (codons[begins] == CODONS.index("AUG")).all()
    assert codons[ends[-1] + 1] == CODONS.index("AUG")  # the ORF that is cut off
    simulated = ends - begins + 1
    assert set(simulated.tolist()) <= set(lengths.tolist())
    assert simulated.mean() == pytest.approx(lengths.mean(), rel=0.1)


def test_draws_follow_the_seed_and_are_quick(tmp_path: Path) -> None:
    data = load(None, tmp_path)
    begin = time.process_time()
    train, test = drawn_by(data, 1)
    assert time.process_time() - begin < 0.5  # typically 0.03 s
    assert (train.shape, test.shape) == ((576_000,), (64_000,))
    assert train.dtype == test.dtype == np.int64
    again = drawn_by(load(None, tmp_path), 1)
    assert np.array_equal(train, again[0])
    assert np.array_equal(test, again[1])
    assert not np.array_equal(train, drawn_by(data, 2)[0])


def test_checksum_follows_the_numbers_and_the_option() -> None:
    usage = human_usage()
    record = json.loads(usage.model_dump_json())
    renamed = HumanUsage(**{**record, "source": "other.fa", "command": "x"})
    record["counts"]["UUU"] += 1
    changed = HumanUsage(**record)
    assert usage.checksum(None) == renamed.checksum(None)
    sums = {usage.checksum(None), usage.checksum(400), usage.checksum(401), changed.checksum(None)}
    assert len(sums) == 4
