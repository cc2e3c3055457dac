"""The tasks ``ncrna-13`` and ``mirna-target``: what an RNA is, and what a microRNA binds.

``ncrna-13`` asks for the class of a non-coding RNA, of Rfam 12: Fiannaca et al., "nRC", BioData
Mining 10 (2017); the source has its rows family by family, here they are shuffled. ``mirna-target``
asks whether a microRNA and a stretch of a transcript were found bound together by CLASH: Klimentova
et al., "miRBind", Genes 13 (2022); the source has bound pairs first, here they are shuffled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench.data.table_files import TableFiles
from codonbench_datasets._table_task import TableTask

NRC = DataSource.of_folder(
    "ncrna-13",
    "the training and test sequences of nRC, pinned to a commit",
    "https://raw.githubusercontent.com/IcarPA-TBlab/nrc/"
    "fc89b13d1278d0e23e34b2e94cc89c3fe913bf9d/data/ECCB2017",
    dict.fromkeys(
        ("dataset_Rfam_6320_13classes.fasta", "dataset_Rfam_validated_2600_13classes.fasta")
    ),
)
CLASSES = (
    *("5S_rRNA", "5_8S_rRNA", "CD-box", "HACA-box", "IRES", "Intron_gpI", "Intron_gpII"),
    *("leader", "miRNA", "riboswitch", "ribozyme", "scaRNA", "tRNA"),
)


class Ncrna13(TableTask):
    """One of thirteen classes."""

    name: ClassVar[str] = "ncrna-13"
    title: ClassVar[str] = "Class of a non-coding RNA, one of 13 (nRC)"
    category: ClassVar[str] = "rna"
    input: ClassVar[Input] = Input(min_length=38, max_length=1182)
    target: ClassVar[Target] = Target(names=CLASSES)
    form: ClassVar[TableFormat] = TableFormat(classes=CLASSES)
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "accuracy", accuracy="accuracy", mcc="MCC", macro_f1="macro F1"
    )
    sorted_rows: ClassVar[bool] = True
    content: ClassVar[str] = "4e15703f35402a85d4627b0a5053d050d99b67c5495c3a6b1b153f813b299901"
    default_epochs: ClassVar[int] = 30
    notes: ClassVar[tuple[str, ...]] = (
        "347 of the 2,600 test sequences stand in training, and length alone tells much.",
    )
    reference: ClassVar[str] = "Fiannaca et al., BioData Mining 10 (2017), s13040-017-0148-2"
    licence: ClassVar[str] = "GPL-3 (the public copy); sequences of Rfam 12, CC0"
    origin: ClassVar[DataSource] = NRC

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the two tables; the download's are FASTA, ``>name class``."""
        return fetched(self, path) if downloaded else super().read(path, downloaded=False)


def fetched(task: TableTask, path: Path, **columns: Any) -> Table:
    """Return the tables of a download, one a split in the order of the task's.

    Args:
        task: The task.
        path: The folder of its files.
        columns: Of `TableFormat`, where they are called otherwise than in a copy.
    """
    files = zip(task.tables, task.origin.files, strict=True)
    where = TableFiles({split: path / file.filename for split, file in files})
    return read_table(where, replace(task.form, **columns))


CLASH = DataSource.of_folder(
    "mirna-target",
    "training, evaluation and test pairs of miRBind, pinned to a commit",
    "https://raw.githubusercontent.com/ML-Bioinfo-CEITEC/miRBind/"
    "b00af549013e2bd73434119aa69429017597712a/Datasets",
    {f"{part}_set_1_1_CLASH2013_paper.tsv": None for part in ("train", "evaluation", "test")},
)


class MirnaTarget(TableTask):
    """Bound or not; negatives are pairs of a microRNA and another's target."""

    name: ClassVar[str] = "mirna-target"
    title: ClassVar[str] = "Does this microRNA bind this stretch of 50 nt? (CLASH, one to one)"
    category: ClassVar[str] = "rna"
    input: ClassVar[Input] = Input.of_parts(
        Input(unit="mirna", min_length=17, max_length=20), Input.of_length(50, unit="target")
    )
    target: ClassVar[Target] = Target(names=("unbound", "bound"))
    form: ClassVar[TableFormat] = TableFormat(("mirna", "gene"), classes=("0", "1"))
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "auprc", auprc="average precision", auroc="AUROC", mcc="MCC"
    )
    sorted_rows: ClassVar[bool] = True
    content: ClassVar[str] = "902320266fdc7ecd9e092ea48b091e82415da9f2274a95e7866310edb7f75557"
    default_epochs: ClassVar[int] = 10
    reference: ClassVar[str] = "Klimentova et al., Genes 13 (2022) 2323"
    licence: ClassVar[str] = "none stated (the public copy)"
    origin: ClassVar[DataSource] = CLASH

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the three tables; the download calls the first column miRNA."""
        if not downloaded:
            return super().read(path, downloaded=False)
        return fetched(self, path, sequence=("miRNA", "gene"))
