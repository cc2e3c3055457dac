"""The tasks ``mrfp-expression``, ``cov-degradation`` and ``tc-riboswitch``: quantities of RNAs.

Three sets of the CodonBERT benchmark, with its splits: Li et al., Genome Research 34 (2024).
Fluorescence of E. coli with 1,459 synonymous coding sequences of mRFP (Nieuwkoop et al., Nucleic
Acids Research 51, 2023), degradation of RNA vaccine candidates, and switching factors of
tetracycline riboswitches. The licence allows academic, non-commercial use only, so neither
sequences nor targets are in this package.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench_datasets._table_task import TableTask, six_digits, table_file

COMMIT = "9c31ecc6631df08794c373c5d715235649e2181a"
FOLDER = (
    "https://raw.githubusercontent.com/Sanofi-Public/CodonBERT/"
    f"{COMMIT}/benchmarks/CodonBERT/data/fine-tune"
)
TERMS = "academic, non-commercial use only"


def source(task: str, file: str) -> DataSource:
    """Return the download of one task."""
    summary = f"one file of the CodonBERT benchmark, pinned to a commit; {TERMS}"
    return DataSource.of_folder(task, summary, FOLDER, {file: None}, terms=f"Sanofi: {TERMS}")


class _MrnaRegression(TableTask):
    """One quantity of an RNA.

    Class attributes:
        copy: What the table of a copy may be called.
    """

    category: ClassVar[str] = "quantities"
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "spearman", spearman="Spearman", pearson="Pearson", r2="R2"
    )
    copy: ClassVar[str]
    default_epochs: ClassVar[int] = 100
    reference: ClassVar[str] = "Li et al., Genome Research 34 (2024)"
    licence: ClassVar[str] = f"Sanofi: {TERMS}"
    shares_targets: ClassVar[bool] = False

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the table; the download's, which has more digits, to six of them."""
        if not downloaded:
            form = TableFormat(targets=("value",), kind="quantities", split="split")
            return read_table(table_file(path, self.copy, self.name), form)
        form = TableFormat("Sequence", targets=("Value",), kind="quantities", split="Split")
        return six_digits(read_table(path / self.origin.files[0].filename, form))


class MrfpExpression(_MrnaRegression):
    """Fluorescence from a whole coding sequence; the protein is always the same."""

    name: ClassVar[str] = "mrfp-expression"
    title: ClassVar[str] = "Fluorescence of mRFP in E. coli from its coding sequence, 678 nt"
    input: ClassVar[Input] = Input.of_length(678)
    target: ClassVar[Target] = Target(
        kind="quantities", names=("fluorescence",), units=("log fluorescence",)
    )
    copy: ClassVar[str] = "mrfp_expression"
    content: ClassVar[str] = "5f11ca9416ca4f859cbc2358a71fe31e905c8d9c7ef4f1adf1fa3140fb26241d"
    notes: ClassVar[tuple[str, ...]] = (
        "Published Spearman correlations on this split (Li et al. 2024, table 2): TextCNN 0.62 on "
        "nucleotides and 0.78 on codons, RNA-FM 0.80, CodonBERT 0.85.",
    )
    reference: ClassVar[str] = (
        "Li et al., Genome Research 34 (2024); Nieuwkoop et al., NAR 51 (2023)"
    )
    origin: ClassVar[DataSource] = source("mrfp-expression", "mRFP_Expression.csv")


class CovDegradation(_MrnaRegression):
    """Degradation of short designed RNAs."""

    name: ClassVar[str] = "cov-degradation"
    title: ClassVar[str] = "Degradation of RNAs designed for a COVID-19 vaccine, 81 nt"
    input: ClassVar[Input] = Input.of_length(81)
    target: ClassVar[Target] = Target(kind="quantities", names=("degradation",))
    copy: ClassVar[str] = "cov_degradation"
    content: ClassVar[str] = "7e5d09c4b82a3aa21b80a6e05423131aa4e3d65ff6b4bef05d56adb1710ddbf0"
    origin: ClassVar[DataSource] = source("cov-degradation", "CoV_Vaccine_Degradation.csv")


class TcRiboswitch(_MrnaRegression):
    """How strongly a riboswitch represses; 355 variants of one riboswitch."""

    name: ClassVar[str] = "tc-riboswitch"
    title: ClassVar[str] = "Switching factor of tetracycline riboswitches, 66 to 75 nt"
    input: ClassVar[Input] = Input(min_length=66, max_length=75)
    target: ClassVar[Target] = Target(kind="quantities", names=("switching",))
    copy: ClassVar[str] = "tc_riboswitch"
    content: ClassVar[str] = "3e3378b03ea4f172c534b59f474e19a9d9fcad3e9b966469d8bf34639a1fb8de"
    origin: ClassVar[DataSource] = source("tc-riboswitch", "Tc-Riboswitches.csv")
