"""The tasks ``lentimpra-sample`` and ``deepstarr-sample``: small samples of two reporter assays.

Samples of a thousand sequences per split, drawn by the authors of the DREAM challenge for trying
out code: lentiMPRA in human cells, and DeepSTARR in those of Drosophila, for a developmental and a
housekeeping promoter. They are quick to run; figures on them are not comparable with those on the
full sets. All of DeepSTARR's sample comes from its training set.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench.data.table_files import TableFiles
from codonbench_datasets._table_task import TableTask, six_digits

COMMIT = "f7b2e197f673319aaae3ef460b7f9980f74304af"
FOLDER = (
    "https://raw.githubusercontent.com/de-Boer-Lab/random-promoter-dream-challenge-2022/"
    f"{COMMIT}/benchmarks"
)


def source(task: str, folder: str, validation: str) -> DataSource:
    """Return the three files of a sample."""
    files = (f"sample_{part}.txt" for part in ("train", validation, "test"))
    summary = "three files of the DREAM challenge's repository, pinned to a commit; a small sample"
    return DataSource.of_folder(task, summary, f"{FOLDER}/{folder}/data", dict.fromkeys(files))


class _MpraSample(TableTask):
    """A sample of a reporter assay.

    Class attributes:
        columns: Those of the download: of sequences, and of each target.
    """

    columns: ClassVar[tuple[str, ...]]
    category: ClassVar[str] = "quantities"
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "pearson", pearson="Pearson", spearman="Spearman", r2="R2"
    )
    default_epochs: ClassVar[int] = 50
    notes: ClassVar[tuple[str, ...]] = (
        "A sample of 1,000 sequences a split, to try things on: no figure here is one of the full "
        "set.",
    )
    licence: ClassVar[str] = "MIT (the public copy)"

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the three tables; the download's to six digits."""
        if not downloaded:
            return super().read(path, downloaded=False)
        names = [file.filename for file in self.origin.files]
        files = dict(zip(("train", "validation", "test"), names, strict=True))
        sequence, *targets = self.columns
        form = TableFormat(sequence, targets=tuple(targets), kind="quantities")
        where = TableFiles({split: path / name for split, name in files.items()})
        return six_digits(read_table(where, form))


class LentimpraSample(_MpraSample):
    """Activity of a segment in human cells."""

    name: ClassVar[str] = "lentimpra-sample"
    title: ClassVar[str] = "Activity in a lentiMPRA of human cells, 230 bp: a small sample"
    input: ClassVar[Input] = Input.of_length(230)
    target: ClassVar[Target] = Target(kind="quantities", names=("activity",))
    form: ClassVar[TableFormat] = TableFormat(targets=("value",), kind="quantities")
    content: ClassVar[str] = "c29c8b23ed3e1fe5982d554cca2e9ec117b794cf97bd192e950546e0b0161449"
    columns: ClassVar[tuple[str, ...]] = ("seq", "mean_value")
    reference: ClassVar[str] = "Rafi et al., Nature Biotechnology (2024); lentiMPRA of human cells"
    origin: ClassVar[DataSource] = source("lentimpra-sample", "human", "valid")


class DeepstarrSample(_MpraSample):
    """Activity of a segment of Drosophila with either of two promoters."""

    name: ClassVar[str] = "deepstarr-sample"
    title: ClassVar[str] = "Enhancer activity in Drosophila S2 cells, 249 bp: a small sample"
    input: ClassVar[Input] = Input.of_length(249)
    target: ClassVar[Target] = Target(
        kind="quantities",
        names=("developmental", "housekeeping"),
        units=("log2 enrichment", "log2 enrichment"),
    )
    form: ClassVar[TableFormat] = TableFormat(targets=("dev", "hk"), kind="quantities")
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "train": ("train",),
        "validation": ("val",),
        "test": ("test",),
    }
    content: ClassVar[str] = "6340fa2c48fc579c7d9ed3df441577c5b2e9013e18be775a82df8315f8a45430"
    columns: ClassVar[tuple[str, ...]] = ("Sequence", "Dev_log2_enrichment", "Hk_log2_enrichment")
    reference: ClassVar[str] = "de Almeida et al., Nature Genetics 54 (2022) 613-624"
    origin: ClassVar[DataSource] = source("deepstarr-sample", "drosophila", "val")
