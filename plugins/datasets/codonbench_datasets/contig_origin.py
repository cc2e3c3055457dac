"""The task ``contig-origin``: what kind of genome does a stretch of 15,000 letters come from?

Test sequences of tiara: Karlicki et al., Bioinformatics 38 (2022). Four of the five classes are a
single organism each, and so is most of each split, so a model may learn organisms instead of the
named classes. No split by organism is possible. In our split, contigs that are near-copies are in
one group, and no group crosses splits.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from codonbench import DataSource
from codonbench.contracts import DNA, Input, Ranking, Sequences, Strand, Target
from codonbench.data.table import Table, TableFormat
from codonbench_datasets._own_split import near_copies, split_by
from codonbench_datasets._table_task import TableTask

CLASSES = ("archaea", "bacteria", "eukarya", "mitochondria", "plast")
ORDER = ("eukarya", "bacteria", "archaea", "mitochondria", "plast")
SOURCE = DataSource(
    name="contig-origin",
    summary="the wheel of tiara 1.0.2, which holds its test sequences (103 MB)",
    url="https://pypi.org/project/tiara/1.0.2/",
    package="tiara==1.0.2",
    filename="tiara-1.0.2-py3-none-any.whl",
    sha256="27ee174b6f2a80a56619ead44a0525e5e69852097b75983a1eb89523023fc760",
)


class ContigOrigin(TableTask):
    """One of five classes; most are one organism."""

    name: ClassVar[str] = "contig-origin"
    title: ClassVar[str] = "Origin of a contig of 15,000 bp, five classes (tiara)"
    category: ClassVar[str] = "long"
    strand: ClassVar[Strand] = "either"
    input: ClassVar[Input] = Input.of_length(15_000)
    target: ClassVar[Target] = Target(names=CLASSES)
    form: ClassVar[TableFormat] = TableFormat(classes=CLASSES, origins=("organism",))
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("all", "contig-origin")}
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "balanced_accuracy", balanced_accuracy="balanced accuracy", mcc="MCC", accuracy="accuracy"
    )
    content: ClassVar[str] = "625f6ffbe8e84fb09e0b1b89a474dde2b3605f8a3ff2dd6f7fd021d28c594c7a"
    notes: ClassVar[tuple[str, ...]] = (
        "Four of the five classes are one organism each, so a model may learn the organism; the "
        "split is ours, near-copies in one group.",
    )
    default_epochs: ClassVar[int] = 10
    reference: ClassVar[str] = "Karlicki et al., Bioinformatics 38 (2022) 344-350"
    licence: ClassVar[str] = "MIT (the package)"
    origin: ClassVar[DataSource] = SOURCE

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return a table, or what the package's wheel holds, with our split."""
        if path.suffix == ".whl":
            table = from_wheel(path)
        else:
            table = super().read(path, downloaded=downloaded)
        assert isinstance(table.items, Sequences)
        return split_by(table, near_copies(table.items))


def from_wheel(path: Path) -> Table:
    """Return the contigs in tiara's wheel."""
    texts: list[str] = []
    labels: list[int] = []
    organisms: list[str] = []
    with zipfile.ZipFile(path) as wheel:
        for label in ORDER:
            with wheel.open(f"tiara/test/test_data/{label}_fr.fasta") as file:
                records = io.TextIOWrapper(file, encoding="ascii").read().split(">")[1:]
            texts += ["".join(record.splitlines()[1:]) for record in records]
            labels += [CLASSES.index(label)] * len(records)
            organisms += [" ".join(record.split(maxsplit=4)[2:4]) for record in records]
    origins = {"organism": np.unique(organisms, return_inverse=True)[1]}
    return Table(Sequences.of(texts, DNA), np.array(labels), CLASSES, origins=origins)
