"""The task ``human-codon``: which of 21 classes does each of the 64 codons mean?

Joiret et al., "Cracking the genetic code with neural networks", Frontiers in Artificial
Intelligence 6 (2023), doi 10.3389/frai.2023.1128153.

Its control presents the same codons in the same order, with a new shuffled code for each run. This
makes no difference to a learner of single codons. One that was built around the genetic code, or
gains from its order (synonyms mostly share two nucleotides), loses its advantage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from pydantic import Field, field_validator

from codonbench import Dataset, DataSource, Sequences, Split, TaskOptions
from codonbench.contracts import EvaluationSet, Input, Target, TaskSpec
from codonbench.data import download
from codonbench.data.fasta import read_fasta, read_table
from codonbench.errors import ConfigError, DataError
from codonbench_datasets._deciphered_record import of_the_instrument
from codonbench_datasets.decipher import DecipheredTask
from codonbench_datasets.human_codon.orfs import (
    ALPHABET,
    CLASSES,
    CODONS,
    TEST_PAIRS,
    TRAIN_PAIRS,
    GeneticCode,
    OrfDataset,
    Orfs,
    SimulatedDataset,
    codon_letters,
    curate,
    expected_frequencies,
    genetic_code,
    human_usage,
    orf_lengths,
)

if TYPE_CHECKING:
    from codonbench.contracts.run_record import RunRecord
    from codonbench_datasets._deciphering import Remark

NAME = "human-codon"
VERSION = "1"
TITLE = "Deciphering the genetic code from human ORFs"

INPUT = Input.of_length(3, unit="codon", symbol="nucleotide", alphabet=ALPHABET, enumerable=True)
REFERENCE = "doi:10.3389/frai.2023.1128153"

EPOCHS = 40
"""The paper's budget, and that of official rows."""

INSTRUMENT_BATCHES = (3000, 6000, 9000)
"""Of an epoch: those at whose end the paper's heat map is drawn."""

JOIRET2023 = DataSource(
    name="joiret2023",
    summary="the paper's 69,768 human ORFs, from its authors' public repository (97 MB)",
    url="https://raw.githubusercontent.com/MasterCube/"
    "deep-learning-project-cracking-the-genetic-code/5f7f271/DATA/humanORFs.txt",
    filename="humanORFs.txt",
    git_blob="1482c633f04a2fe8b79426195d2500f0a2c86126",
    tested=False,
)
ENSEMBL = DataSource(
    name="ensembl",
    summary="human coding sequences of Ensembl release 112 (GRCh38)",
    url="https://ftp.ensembl.org/pub/release-112/fasta/homo_sapiens/cds/"
    "Homo_sapiens.GRCh38.cds.all.fa.gz",
    filename="ensembl-112.Homo_sapiens.GRCh38.cds.all.fa.gz",
    tested=False,
)

# fmt: off
PROTEOME_PERCENT: Mapping[str, float] = {
    "*": 0.34, "G": 6.597492, "V": 6.069294, "K": 5.63079, "N": 3.607692, "Q": 4.644156,
    "H": 2.601126, "E": 6.856608, "D": 4.693986, "Y": 2.750616, "C": 2.322078, "F": 3.78708,
    "I": 4.424904, "M": 2.202486, "W": 1.315512, "R": 5.670654, "L": 10.01583, "S": 8.112324,
    "T": 5.321844, "P": 6.109158, "A": 6.92637,
}
# fmt: on
"""Amino-acid percentages of the human proteome, from the authors' public script."""

RARE_SENSE_CODONS = ("UCG", "CGU")
"""Rarest sense codons of human ORFs: 4.5 and 4.7 in a thousand; only stops are rarer."""


def human_codon_spec(code: GeneticCode, *, simulated: bool = False) -> TaskSpec:
    """Return the task under one genetic code.

    Groups of codons: one for each amino acid, named by its letter; ``stop``, those labelled
    ``*``; ``rare``, the stops and `RARE_SENSE_CODONS`.

    Args:
        code: What each codon means.
        simulated: Whether the ORFs are, which the notes then say.
    """
    groups = {
        letter: tuple(i for i in range(64) if code.amino_acids[i] == letter)
        for letter in CLASSES[:-1]
    }
    groups["stop"] = code.stops
    rare_sense = (CODONS.index(codon) for codon in RARE_SENSE_CODONS)
    groups["rare"] = tuple(sorted({*code.stops, *rare_sense}))
    return TaskSpec(
        name=NAME,
        version=VERSION,
        title=TITLE,
        input=INPUT,
        target=Target(
            names=CLASSES,
            class_weights=tuple(1 / PROTEOME_PERCENT[letter] for letter in CLASSES),
        ),
        protocol="decipher",
        evaluation=EvaluationSet(inputs=CODONS, targets=tuple(code.labels.tolist()), groups=groups),
        train_size=TRAIN_PAIRS,
        test_size=TEST_PAIRS,
        default_epochs=EPOCHS,
        facts={"instrument_batches": [*INSTRUMENT_BATCHES], "watched_groups": ["stop"]},
        notes=_notes(code, simulated),
        reference=REFERENCE,
    )


def _notes(code: GeneticCode, simulated: bool) -> tuple[str, ...]:
    """Return what a reader of the leaderboard must know about these data."""
    notes = []
    if simulated:
        notes.append("Simulated ORFs: human codon usage and ORF lengths, no real sequence.")
    if code.number != 1:
        notes.append(f"Genetic code {code.number} ({code.name}).")
    if code.stop_or_sense:
        both = ", ".join(CODONS[i] for i in code.stop_or_sense)
        notes.append(
            f"Under genetic code {code.number} these codons can be stop or amino acid and are "
            f"labelled with the amino acid: {both}."
        )
    if not code.stops:
        notes.append("No codon is labelled stop, so metrics of stop codons do not apply.")
    return tuple(notes)


class HumanCodonOptions(TaskOptions):
    """Options of ``human-codon``."""

    genetic_code: int = Field(default=1, description="NCBI translation table")
    mean_length: int | None = Field(
        default=None,
        ge=50,
        le=20_000,
        description="codons in a simulated ORF on average (the paper's ORFs have 400); "
        "only for --data usage",
    )

    @field_validator("genetic_code")
    @classmethod
    def _exists(cls, number: int) -> int:
        try:
            genetic_code(number)
        except ConfigError as error:
            raise ValueError(str(error)) from error
        return number


class HumanCodon(DecipheredTask):
    """Translate codons of human open reading frames, or of any species' from a FASTA file."""

    name: ClassVar[str] = NAME
    version: ClassVar[str] = VERSION
    title: ClassVar[str] = TITLE
    input: ClassVar[Input] = INPUT
    target: ClassVar[Target] = Target(names=CLASSES)
    reference: ClassVar[str] = REFERENCE
    protocol: ClassVar[str] = "decipher"
    default: ClassVar[bool] = True
    Options: ClassVar[type[TaskOptions]] = HumanCodonOptions
    controls: ClassVar[Mapping[str, str]] = {
        "shuffled": "the codons have other meanings in each run"
    }
    official_budget: ClassVar[int | None] = EPOCHS * TRAIN_PAIRS
    default_data: ClassVar[str] = "usage"
    sources: ClassVar[tuple[DataSource, ...]] = (JOIRET2023, ENSEMBL)
    data_names: ClassVar[Mapping[str, str]] = {
        "usage": "simulated ORFs with human codon usage and lengths (no download)",
        **{source.name: source.summary for source in sources},
    }

    def load(self, data: str, options: Any, *, cache: Path, offline: bool = False) -> Dataset:
        """Load simulated ORFs, a download or a FASTA file.

        Args:
            data: A name from `data_names`, or the path of a FASTA file, plain or gzip.
            options: A `HumanCodonOptions`.
            cache: A folder for downloads; it may not exist yet.
            offline: True forbids any network access.

        Returns:
            The dataset. `inputs` are the 64 codons, shape (64, 3).

        Raises:
            ConfigError: The options do not fit the data.
            DataError: The data are missing, unreadable or unusable.
            DownloadError: A download failed, did not verify, or is missing while offline.
        """
        natural = self._load(data, options, cache, offline)
        return shuffled_code(natural) if options.control == "shuffled" else natural

    def remarks(self, record: RunRecord) -> tuple[Remark, ...]:
        """Return what a record's figures, epochs and heat maps cannot say of one run."""
        if record.trajectory_sha256 is None:
            return ()
        found = of_the_instrument(record, TRAIN_PAIRS, INSTRUMENT_BATCHES)
        of_it = ((f"metrics.{metric}", what) for metric, what in found)
        return (*super().remarks(record), *of_it)

    def _load(self, data: str, options: Any, cache: Path, offline: bool) -> Dataset:
        """Load the data under their own genetic code."""
        code = genetic_code(options.genetic_code)
        if data in ("usage", f"usage-mean{options.mean_length}"):  # as records name it
            return _load_usage(code, options.mean_length)
        if options.mean_length is not None:
            raise ConfigError(
                f"mean_length={options.mean_length} scales simulated ORFs and applies to "
                f"--data usage only, not to {data!r}"
            )
        if data in self.data_names:
            source = self.source(data)
            path = download.fetch(source, cache, offline=offline)
            return _load_orfs(path, code, name=data, url=source.url)
        if not _may_exist(data):
            near = get_close_matches(data, self.data_names, n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else "--data takes a table, a FASTA file or one of "
            )
            names = "" if near else ", ".join(self.data_names)
            raise DataError(f"no file {data!r}; {hint}{names}")
        return _load_orfs(data, code, name=Path(data).name)


def _may_exist(path: str) -> bool:
    """Return False where there is surely no such file."""
    try:
        return Path(path).exists()
    except OSError:  # reading it will say what is wrong
        return True


def _load_usage(code: GeneticCode, mean_length: int | None) -> Dataset:
    """Return simulated ORFs."""
    if code.number != 1:
        raise ConfigError(
            f"--data usage simulates human nuclear genes, whose genetic code is 1, not "
            f"{code.number}; give --data a FASTA file for other codes"
        )
    usage = human_usage()
    lengths = orf_lengths(usage, mean_length)
    return SimulatedDataset(
        spec=human_codon_spec(code, simulated=True),
        source="usage" if mean_length is None else f"usage-mean{mean_length}",
        checksum=usage.checksum(mean_length),
        simulated=True,
        items=Sequences.of_rows(codon_letters()),
        targets=code.labels,
        evaluation=np.arange(64),
        frequencies=expected_frequencies(usage, lengths),
        report=(f"simulated ORFs, {lengths.mean():.1f} codons on average; no real sequence",),
        provenance={
            "measured_on": usage.source,
            "measured_on_sha256": usage.source_sha256,
            "measured_orfs": usage.n_orfs,
            "measured_codons": usage.n_codons,
            "mean_length": float(lengths.mean()),
            "genetic_code": code.number,
        },
        usage=usage,
        lengths=lengths,
    )


def _load_orfs(path: str | Path, code: GeneticCode, *, name: str, url: str = "") -> Dataset:
    """Return the curated ORFs of a file, `name` being what records call it."""
    read = read_table if name == JOIRET2023.name else read_fasta
    orfs = curate(read(path), code, str(path))
    provenance: dict[str, str | int | float] = {
        "file_sha256": _file_sha256(Path(path)),
        "orfs": len(orfs),
        "codons": len(orfs.codons),
        "mean_length": float(orfs.lengths.mean()),
        "records_dropped": sum(orfs.dropped.values()),
        "genetic_code": code.number,
    }
    spec, gaps = human_codon_spec(code), _gaps(orfs)
    return OrfDataset(
        spec=spec.model_copy(update={"notes": (*spec.notes, *gaps)}),
        source=name,
        checksum=orfs.checksum(code),
        simulated=False,
        items=Sequences.of_rows(codon_letters()),
        targets=code.labels,
        evaluation=np.arange(64),
        frequencies=orfs.counts / len(orfs.codons),
        report=(*orfs.report, *gaps),
        provenance={**provenance, "url": url} if url else provenance,
        orfs=orfs,
    )


def _file_sha256(path: Path) -> str:
    """Return the SHA-256 (hex) of a file; empty for a pipe, which can be read only once."""
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _gaps(orfs: Orfs) -> tuple[str, ...]:
    """Return a warning where not all codons occur."""
    there = int((orfs.counts > 0).sum())
    if there == 64:
        return ()
    return (f"Only {there} of the 64 codons occur: nobody can learn the rest from them.",)


NOTE = (
    "Control: in each run the codons' meanings are shuffled, so that every class keeps its "
    "number of codons; stop means the codons that the shuffled code makes stop."
)


@dataclass(frozen=True, eq=False, kw_only=True)
class ShuffledCode(Dataset):
    """Data whose codons mean something else in each run.

    Before `for_run` the labels are the natural ones, and which codons are stop is left open.

    Attributes:
        natural: What pairs are drawn from, exactly as without the control.
    """

    natural: Dataset

    def split(self, rng: np.random.Generator) -> Split:
        """Draw one seed's pairs: those of the natural data."""
        return self.natural.split(rng)

    def for_run(self, rng: np.random.Generator) -> Self:
        """Return the data under the code that `rng` shuffles.

        The groups of the classes follow the code; ``rare`` stays, because a codon is as rare as
        it was. Class weights stay with their classes, and are no longer the data's.
        """
        targets = rng.permutation(self.targets.astype(np.int64))
        asked = targets[self.evaluation]
        spec = self.spec
        evaluation = spec.evaluation
        assert evaluation is not None
        names = ("stop" if name == "*" else name for name in spec.target.names)
        members = {name: tuple(np.flatnonzero(asked == i).tolist()) for i, name in enumerate(names)}
        update = {"targets": tuple(asked.tolist()), "groups": evaluation.groups | members}
        asked_now = evaluation.model_copy(update=update)
        spec = spec.model_copy(update={"evaluation": asked_now})
        return replace(self, spec=spec, targets=targets)


def shuffled_code(natural: Dataset) -> ShuffledCode:
    """Return data that are `natural` but for what their codons mean."""
    spec = natural.spec
    assert spec.evaluation is not None
    groups = {name: members for name, members in spec.groups.items() if name != "stop"}
    evaluation = spec.evaluation.model_copy(update={"groups": groups})
    spec = spec.model_copy(update={"evaluation": evaluation, "notes": (*spec.notes, NOTE)})
    report = (*natural.report, "control: each seed has a shuffled genetic code of its own")
    # the checksum stays: it vouches for the pairs, and these are the same
    same = {field.name: getattr(natural, field.name) for field in fields(Dataset)}
    return ShuffledCode(**same | {"spec": spec, "report": report, "natural": natural})
