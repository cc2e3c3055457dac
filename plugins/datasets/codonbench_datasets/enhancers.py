"""The task ``enhancers``: is this human segment of 200 bp an enhancer?

The benchmark of iEnhancer-2L and its independent test set: Liu et al., Bioinformatics 32 (2016).
Published models were selected by five-fold cross-validation within the training set; here the seed
cuts a validation split from it. The source has one file per class; rows are shuffled here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Strand, Target
from codonbench.data.table import Table, TableFormat
from codonbench_datasets._table_task import TableTask, read_classes

COMMIT = "421b25f034c2283342cc03f12a395736243a5241"
FILES = {
    "train": (("enhancer.cv.fa", "1"), ("non.cv.fa", "0")),
    "test": (("enhancer.ind.fa", "1"), ("non.ind.fa", "0")),
}
KEPT_AS = {
    "enhancer.cv.txt": "enhancer.cv.fa",
    "non.cv.txt": "non.cv.fa",
    "enhancer.ind.txt": "enhancer.ind.fa",
    "non.ind.txt": "non.ind.fa",
}
SOURCE = DataSource.of_folder(
    "enhancers",
    "four FASTA files of a public copy of the benchmark, pinned to a commit",
    f"https://raw.githubusercontent.com/khanhlee/bert-enhancer/{COMMIT}/data",
    dict.fromkeys(KEPT_AS),
    KEPT_AS,
)


class Enhancers(TableTask):
    """Enhancer or not; strong and weak ones are one class."""

    name: ClassVar[str] = "enhancers"
    version: ClassVar[str] = "2"
    title: ClassVar[str] = "Enhancer or not, human, 200 bp (Liu 2016)"
    category: ClassVar[str] = "regulatory"
    strand: ClassVar[Strand] = "either"
    input: ClassVar[Input] = Input.of_length(200)
    target: ClassVar[Target] = Target(names=("other", "enhancer"))
    form: ClassVar[TableFormat] = TableFormat(classes=("0", "1"))
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"train": ("train",), "test": ("test",)}
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", accuracy="accuracy", auroc="AUROC"
    )
    content: ClassVar[str] = "9cc52f8910c05b79932f4dff84551220c42ea551c8b5e986340424ecd3cc898a"
    sorted_rows: ClassVar[bool] = True
    default_epochs: ClassVar[int] = 30
    notes: ClassVar[tuple[str, ...]] = ("100 of the 400 test sequences stand in training.",)
    reference: ClassVar[str] = "Liu et al., Bioinformatics 32 (2016) 362-369"
    licence: ClassVar[str] = "none stated (the public copy); sequences of the human genome"
    origin: ClassVar[DataSource] = SOURCE

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the two tables of a copy, or the download's four files."""
        if not downloaded:
            return super().read(path, downloaded=False)
        return read_classes(path, FILES, ("0", "1"))
