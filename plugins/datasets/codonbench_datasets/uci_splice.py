"""The task ``uci-splice``: does a splice site lie in the middle of these 60 letters, and which?

Primate splice junctions of the UCI repository, as mlbench and many textbooks use them. Small and
nearly solved: a task for trying things out.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np

from codonbench import DataSource
from codonbench.contracts import DNA, Input, Ranking, Sequences, Target
from codonbench.data.compression import faults_named, open_text
from codonbench.data.table import Table, TableFormat
from codonbench.errors import DataError
from codonbench_datasets._own_split import sharing, split_by
from codonbench_datasets._table_task import TableTask

SOURCE = DataSource.of_folder(
    "uci-splice",
    "the file of the UCI repository, in a public copy pinned to a commit",
    "https://raw.githubusercontent.com/vijetaalavani32-oss/DNA-Splice-Site-Classification-CNN/"
    "0ecc7b8282db85803d57ae3e078a38514db96509/data",
    {"splice.data": None},
)
SHARED = 20
"""Letters in a row that put two sequences into one group."""


class UciSplice(TableTask):
    """Exon to intron (a donor), intron to exon (an acceptor), or neither."""

    name: ClassVar[str] = "uci-splice"
    title: ClassVar[str] = "Splice junction: donor, acceptor or none, 60 bp (UCI)"
    category: ClassVar[str] = "regulatory"
    input: ClassVar[Input] = Input.of_length(60)
    target: ClassVar[Target] = Target(names=("donor", "acceptor", "neither"))
    form: ClassVar[TableFormat] = TableFormat(classes=("EI", "IE", "N"))
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("all", "uci-splice")}
    ranking: ClassVar[Ranking] = Ranking.by_mean("accuracy", accuracy="accuracy", mcc="MCC")
    content: ClassVar[str] = "537679c2cd2b5d48473e865eaf4e157053e95fda2a198ee77af70ddc2610a0f2"
    notes: ClassVar[tuple[str, ...]] = (
        "The split is ours: no group of sequences that share 20 letters crosses it. Published "
        "figures are of ten-fold cross-validation and are not comparable.",
    )
    default_epochs: ClassVar[int] = 30
    reference: ClassVar[str] = "Towell and Noordewier, UCI Machine Learning Repository (1991)"
    licence: ClassVar[str] = "CC BY 4.0 (UCI)"
    origin: ClassVar[DataSource] = SOURCE

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the table, or what the download's file holds, with our split."""
        if downloaded:
            table = from_uci(path / "splice.data")
        else:
            table = super().read(path, downloaded=False)
        assert isinstance(table.items, Sequences)
        return split_by(table, sharing(table.items, SHARED))


def from_uci(path: Path) -> Table:
    """Return what UCI's file holds: lines of class, name and sequence, with blanks around them."""
    texts: list[str] = []
    labels: list[int] = []
    classes = UciSplice.form.classes
    with faults_named(path), open_text(path) as file:
        for number, line in enumerate(file, 1):
            cells = [cell.strip() for cell in line.split(",")]
            if cells == [""]:
                continue
            if len(cells) != 3 or cells[0] not in classes:
                raise DataError(f"{path}, line {number}: not a class, a name and a sequence")
            labels.append(classes.index(cells[0]))
            texts.append(cells[2])
    return Table(Sequences.of(texts, DNA), np.array(labels), classes)
