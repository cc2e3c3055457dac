import gzip
import hashlib
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from codonbench import Dataset, DataSource, TaskSpec
from codonbench.data import download
from codonbench.errors import ConfigError, DataError, DownloadError, UnknownNameError
from codonbench_datasets.human_codon import register_tasks
from codonbench_datasets.human_codon import task as human_codon
from codonbench_datasets.human_codon.orfs import CODONS, genetic_code, genetic_codes
from codonbench_datasets.human_codon.task import (
    PROTEOME_PERCENT,
    HumanCodon,
    HumanCodonOptions,
    human_codon_spec,
)

DATA = Path(
    os.environ.get("CODONBENCH_TEST_DATA", Path(__file__).resolve().parents[3] / "shared/data")
)
SEQUENCES = ">a\nATGCCCTAA\n>b\nATGTGA\n>c\nATGNNNTGA\n"


def load(data: str | Path, cache: Path, offline: bool = False, **options: Any) -> Dataset:
    chosen = HumanCodonOptions(**options)
    return HumanCodon().load(str(data), chosen, cache=cache, offline=offline)


def group(spec: TaskSpec, name: str) -> set[str]:
    return {spec.evaluation.inputs[i] for i in spec.groups[name]}


def test_the_spec_is_the_papers() -> None:
    spec = human_codon_spec(genetic_code(1))
    assert (spec.name, spec.version, spec.input.unit, spec.input.symbol) == (
        "human-codon",
        "1",
        "codon",
        "nucleotide",
    )
    assert (spec.input.alphabet, spec.input.max_length, spec.input.enumerable) == ("UCAG", 3, True)
    assert (spec.evaluation.inputs[0], spec.evaluation.inputs[63]) == ("UUU", "GGG")
    assert "".join(spec.target.names) == "ACDEFGHIKLMNPQRSTVWY*"
    assert (spec.train_size, spec.test_size, spec.default_epochs) == (576_000, 64_000, 40)
    assert spec.facts["instrument_batches"] == [3000, 6000, 9000]
    assert spec.notes == ()
    assert "10.3389/frai.2023.1128153" in spec.reference


def test_groups_are_stops_rare_codons_and_amino_acids() -> None:
    spec = human_codon_spec(genetic_code(1))
    assert group(spec, "stop") == {"UAA", "UAG", "UGA"}
    assert group(spec, "rare") == {"UAA", "UAG", "UGA", "UCG", "CGU"}
    assert group(spec, "M") == {"AUG"}
    assert group(spec, "L") == {"UUA", "UUG", "CUU", "CUC", "CUA", "CUG"}
    assert sum(len(spec.groups[letter]) for letter in spec.target.names[:-1]) == 61


def test_class_weights_are_inverses_of_the_authors_percentages() -> None:
    spec = human_codon_spec(genetic_code(1))
    assert spec.target.class_weights is not None
    weights = dict(zip(spec.target.names, spec.target.class_weights, strict=True))
    assert weights["*"] == 1 / 0.34
    assert weights["L"] == 1 / 10.01583
    assert sum(PROTEOME_PERCENT.values()) == pytest.approx(100, abs=0.01)


@pytest.mark.parametrize("number", genetic_codes())
def test_every_genetic_code_makes_a_task(number: int) -> None:
    code = genetic_code(number)
    spec = human_codon_spec(code)
    assert (
        "".join(spec.target.names[label] for label in spec.evaluation.targets) == code.amino_acids
    )
    assert spec.groups["stop"] == code.stops
    assert any("do not apply" in note for note in spec.notes) == (not code.stops)
    assert group(spec, "rare") == group(spec, "stop") | {"UCG", "CGU"}


def orfs_of(number: int) -> str:
    """A FASTA in which every codon occurs, and every stop of the code at an end."""
    code = genetic_code(number)
    sense = "".join(codon for i, codon in enumerate(CODONS) if i not in code.stops)
    return "".join(f">{end}\nAUG{sense}{CODONS[end]}\n" for end in code.ends)


@pytest.mark.parametrize("number", genetic_codes())
def test_every_genetic_code_runs_and_metrics_of_stops_say_where_there_are_none(
    number: int, toys: Any, tmp_path: Path
) -> None:
    path = tmp_path / "all_codons.fa"
    path.write_text(orfs_of(number))
    asked = {"data": str(path), "task_overrides": {"genetic_code": str(number)}}
    record, trajectory = toys.run(
        "count-table", task="human-codon", pairs=6_400, full=True, **asked
    )
    code = genetic_code(number)
    names, targets = trajectory.task.target.names, trajectory.task.evaluation.targets
    assert "".join(names[target] for target in targets) == code.amino_acids
    assert (record.status, record.metrics["excess_pairs"]) == ("done", 0)
    assert record.run_spec.task_options == {"genetic_code": number, "mean_length": None}
    details = {name for name in record.metrics if name.startswith("stop_") and "_p" in name}
    assert details == {f"stop_{CODONS[i]}_p" for i in code.stops}
    none = not code.stops
    assert none == (number in (27, 28, 31))
    assert (record.metrics["rare_stop_ambiguity"] is None) == none
    assert (record.metrics["stops_right_pairs"] is None) == none
    assert any("metrics of stop codons do not apply" in n for n in record.dataset.notes) == none


def test_a_control_of_another_genetic_code_shuffles_that_code(tmp_path: Path) -> None:
    path = tmp_path / "all_codons.fa"
    path.write_text(orfs_of(2))
    data = load(path, tmp_path, genetic_code=2, control="shuffled")
    run = data.for_run(np.random.default_rng(0))
    assert sorted(run.targets) == sorted(genetic_code(2).labels)
    assert len(run.spec.groups["stop"]) == 4
    assert any("Genetic code 2" in note for note in run.spec.notes)


def test_codons_that_are_stop_or_sense_are_named_in_the_notes() -> None:
    notes = " ".join(human_codon_spec(genetic_code(31)).notes)
    assert "UAA, UAG" in notes
    assert "Blastocrithidia" in notes


def test_usage_is_the_default_and_always_called_simulated(tmp_path: Path) -> None:
    data = load(HumanCodon.default_data, tmp_path)
    assert (data.source, data.simulated) == ("usage", True)
    assert any("Simulated" in note for note in data.spec.notes)
    assert data.items.rows().shape == (64, 3)
    assert np.array_equal(data.evaluation, np.arange(64))
    assert data.targets.tolist() == list(data.spec.evaluation.targets)
    paper = load("usage", tmp_path, mean_length=400)
    assert (paper.source, paper.simulated) == ("usage-mean400", True)
    assert load(paper.source, tmp_path, mean_length=400).checksum == paper.checksum
    assert paper.checksum != data.checksum
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("packed", [False, True])
def test_a_fasta_by_path(packed: bool, tmp_path: Path) -> None:
    path = tmp_path / "my orfs.fa"
    content = SEQUENCES.encode()
    path.write_bytes(gzip.compress(content) if packed else content)
    data = load(path, tmp_path / "cache")
    assert (data.source, data.simulated) == ("my orfs.fa", False)
    kept, dropped, _ = data.report
    assert (kept, dropped) == ("2 ORFs kept (5 codons)", "1 record dropped: ambiguous base")
    assert data.provenance["file_sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (data.provenance["orfs"], data.provenance["codons"]) == (2, 5)
    assert data.frequencies is not None
    expected = {"AUG": 0.4, "CCC": 0.2, "UAA": 0.2, "UGA": 0.2}
    assert {CODONS[i]: p for i, p in enumerate(data.frequencies) if p} == pytest.approx(expected)
    split = data.split(np.random.default_rng(0))
    assert (len(split.train), len(split.test)) == (576_000, 64_000)
    assert not (tmp_path / "cache").exists()


def test_codons_that_do_not_occur_are_counted_in_the_notes(tmp_path: Path) -> None:
    path = tmp_path / "few.fa"
    path.write_text(">a\nATGAAATAG\n")
    dataset = HumanCodon().load(str(path), HumanCodon.Options(), cache=tmp_path)
    warning = "Only 3 of the 64 codons occur: nobody can learn the rest from them."
    assert dataset.spec.notes == (warning,)
    assert dataset.report == ("1 ORF kept (3 codons)", warning)


def test_checksum_is_of_the_content_and_not_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.fa").write_text(SEQUENCES)
    (tmp_path / "b.fa").write_text(SEQUENCES.lower().replace("\n", "\r\n"))
    one, two = load(tmp_path / "a.fa", tmp_path), load(tmp_path / "b.fa", tmp_path)
    assert one.checksum == two.checksum
    assert one.provenance["file_sha256"] != two.provenance["file_sha256"]
    assert one.checksum != load(tmp_path / "a.fa", tmp_path, genetic_code=11).checksum


def test_real_human_orfs(tmp_path: Path) -> None:
    path = DATA / "human_cds.fa.gz"
    if not path.is_file():
        pytest.skip("needs human_cds.fa.gz in CODONBENCH_TEST_DATA or ../shared/data")
    data = load(path, tmp_path)
    assert (data.source, data.simulated) == ("human_cds.fa.gz", False)
    assert data.provenance["orfs"] == 6379
    assert data.provenance["codons"] == 3_595_363
    usage = load("usage", tmp_path)
    assert data.frequencies == pytest.approx(usage.frequencies, rel=0.001)


def test_options_that_do_not_fit_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match=r"genetic code 7 does not exist; .* 1, 2, 3"):
        HumanCodonOptions(genetic_code=7)
    with pytest.raises(ValidationError):
        HumanCodonOptions(mean_length=1)
    with pytest.raises(ConfigError, match="whose genetic code is 1, not 2"):
        load("usage", tmp_path, genetic_code=2)
    with pytest.raises(ConfigError, match="applies to --data usage only"):
        load("x.fa", tmp_path, mean_length=400)


def test_data_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"no file 'usgae'; did you mean 'usage'\?"):
        load("usgae", tmp_path)
    with pytest.raises(DataError, match=r"no file '\./no\.fa'; .* usage, joiret2023, ensembl"):
        load("./no.fa", tmp_path)
    with pytest.raises(DataError, match="is a folder"):
        load(tmp_path, tmp_path)


def local_sources(table: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the paper's download be the given bytes, and nothing reachable."""
    blob = hashlib.sha1(b"blob %d\0" % len(table) + table).hexdigest()
    paper = DataSource(
        name="joiret2023",
        summary="-",
        url="http://127.0.0.1:9/",
        filename="humanORFs.txt",
        git_blob=blob,
    )
    monkeypatch.setattr(HumanCodon, "sources", (paper, human_codon.ENSEMBL))


def test_the_papers_table_and_ensembl_load_from_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = b"cdsID\tsequence\na\tAUGCCCUAA\nb\tAUGUGA\n"
    local_sources(table, monkeypatch)
    (tmp_path / "humanORFs.txt").write_bytes(table)
    paper = load("joiret2023", tmp_path, offline=True)
    assert (paper.source, paper.simulated) == ("joiret2023", False)
    assert paper.report[0] == "2 ORFs kept (5 codons)"
    assert paper.provenance["url"] == "http://127.0.0.1:9/"

    (tmp_path / human_codon.ENSEMBL.filename).write_bytes(gzip.compress(SEQUENCES.encode()))
    ensembl = load("ensembl", tmp_path, offline=True)
    assert ensembl.source == "ensembl"
    assert ensembl.checksum == paper.checksum  # the same ORFs
    task = HumanCodon()
    assert download.status(task.source("ensembl"), tmp_path) == "present, 0.0 MB"
    assert download.verify(task.source("ensembl"), tmp_path)[0]
    path = download.fetch(task.source("joiret2023"), tmp_path, offline=True)
    assert path.read_bytes() == table


def test_downloads_that_cannot_be_had(tmp_path: Path) -> None:
    for name in ("joiret2023", "ensembl"):
        with pytest.raises(DownloadError, match=f"'bench data fetch {name}' once without"):
            load(name, tmp_path, offline=True)
        assert download.status(HumanCodon().source(name), tmp_path) == "absent"
        assert download.verify(HumanCodon().source(name), tmp_path)[0] is False
    with pytest.raises(UnknownNameError, match="'usage'; human-codon has joiret2023, ensembl"):
        HumanCodon().source("usage")


def test_downloads_say_that_they_are_untested() -> None:
    assert [source.tested for source in HumanCodon.sources] == [False, False]
    assert human_codon.JOIRET2023.git_blob == "1482c633f04a2fe8b79426195d2500f0a2c86126"
    assert (human_codon.ENSEMBL.sha256, human_codon.ENSEMBL.git_blob) == (None, None)


def test_the_hook_registers_the_task() -> None:
    registered: list[Any] = []
    register_tasks(registered.append)
    assert [type(task) for task in registered] == [HumanCodon]
