"""The tasks ``ncrna-13`` and ``mirna-target``: what an RNA is, and what a microRNA binds.

``ncrna-13`` asks for the class of a non-coding RNA, of Rfam 12: Fiannaca et al., "nRC", BioData
Mining 10 (2017). ``mirna-target`` asks whether a microRNA and a stretch of a transcript were found
bound together by CLASH: Klimentova et al., "miRBind", Genes 13 (2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import TableFormat
from codonbench_datasets._table_task import TableTask

NRC = DataSource.of_folder(
    "ncrna-13",
    "the training sequences of nRC, pinned to a commit; the test sequences are another file there",
    "https://raw.githubusercontent.com/IcarPA-TBlab/nrc/"
    "fc89b13d1278d0e23e34b2e94cc89c3fe913bf9d/data/ECCB2017",
    {"dataset_Rfam_6320_13classes.fasta": None},
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
    content: ClassVar[str] = "aaa1250e464790ac8d50ba9befc8d47b65365969f53f799e379c4bbcac993e11"
    conversion: ClassVar[str] = (
        "the file of its test sequences is not pinned here; two CSVs are needed, train and test, "
        "with the columns sequence (T for U) and label"
    )
    default_epochs: ClassVar[int] = 30
    notes: ClassVar[tuple[str, ...]] = (
        "347 of the 2,600 test sequences stand in training, and length alone tells much.",
    )
    reference: ClassVar[str] = "Fiannaca et al., BioData Mining 10 (2017), s13040-017-0148-2"
    licence: ClassVar[str] = "GPL-3 (the public copy); sequences of Rfam 12, CC0"
    origin: ClassVar[DataSource] = NRC


CLASH = DataSource.of_folder(
    "mirna-target",
    "training and test pairs of miRBind, pinned to a commit; the validation pairs are another file",
    "https://raw.githubusercontent.com/ML-Bioinfo-CEITEC/miRBind/"
    "b00af549013e2bd73434119aa69429017597712a/Datasets",
    dict.fromkeys(("train_set_1_1_CLASH2013_paper.tsv", "test_set_1_1_CLASH2013_paper.tsv")),
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
    content: ClassVar[str] = "e8340b8ea0c02f8bcae9183a1f4e94f35794a8038093d38f41b4014936768524"
    conversion: ClassVar[str] = (
        "the file of its validation pairs is not pinned here; three CSVs are needed, train, dev "
        "and test, with the columns mirna, gene and label"
    )
    default_epochs: ClassVar[int] = 10
    reference: ClassVar[str] = "Klimentova et al., Genes 13 (2022) 2323"
    licence: ClassVar[str] = "none stated (the public copy)"
    origin: ClassVar[DataSource] = CLASH
