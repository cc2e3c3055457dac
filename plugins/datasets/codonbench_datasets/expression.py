"""The tasks ``golub`` and ``tcga-breast``: the class of a sample from the expression of its genes.

Both have few samples, far more features than samples, and the published split into training and
test samples. A validation split is cut from the training samples by the seed, the same for every
model of a seed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench.data.table_files import TableFiles
from codonbench.data.table_formats import columns_of
from codonbench_datasets._table_task import TableTask, table_file

GOLUB_COMMIT = "60f0d63c5eab1c10e532ca14ef48f63569c25911"
GOLUB = DataSource.of_folder(
    "golub",
    "training and test samples in a public copy of golubEsets, pinned to a commit",
    f"https://raw.githubusercontent.com/ramhiser/datamicroarray/{GOLUB_COMMIT}/data/golub-leukemia",
    {"golub-train.csv": None, "golub-test.csv": None},
)

TCGA_COMMIT = "d732983ad52fdd7fb2496a7ca8ac1bec501a63ab"
TCGA = DataSource.of_folder(
    "tcga-breast",
    "the R object breast.TCGA of mixOmics, pinned to a commit",
    f"https://raw.githubusercontent.com/mixOmicsTeam/mixOmics/{TCGA_COMMIT}/data",
    {"breast.TCGA.rda": None},
)


class ExpressionTask(TableTask):
    """Classes of samples, from one table of training samples and one of test samples.

    Class attributes:
        column: The column of classes in a local copy.
        stems: What the two tables of a local copy may be called, less ``_train`` and ``_test``.
    """

    column: ClassVar[str]
    stems: ClassVar[tuple[str, ...]]
    default_epochs: ClassVar[int] = 100
    category: ClassVar[str] = "expression"
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", balanced_accuracy="balanced accuracy"
    )

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return both tables, with the features of the test samples."""
        stems, joint = ((self.name,), "-") if downloaded else (self.stems, "_")
        files = {
            split: table_file(path, *(f"{stem}{joint}{split}" for stem in stems), split)
            for split in ("train", "test")
        }
        column = "labels" if downloaded else self.column
        features = tuple(name for name in columns_of(files["test"]) if name != column)
        form = TableFormat(features=features, targets=(column,), classes=self.target.names)
        return read_table(TableFiles(files), form)


class Golub(ExpressionTask):
    """Acute lymphoblastic or myeloid leukaemia."""

    name: ClassVar[str] = "golub"
    title: ClassVar[str] = "Acute leukaemia, lymphoblastic or myeloid, from 7,129 probes"
    input: ClassVar[Input] = Input.of_length(
        7129, kind="features", unit="sample", symbol="probe", alphabet=""
    )
    target: ClassVar[Target] = Target(names=("ALL", "AML"))
    column: ClassVar[str] = "label"
    stems: ClassVar[tuple[str, ...]] = ("golub",)
    content: ClassVar[str] = "4c493b4a8b5a7dd4e8adbceccb7bfe4e94c68342ca6b1dc126e31379f15c00c8"
    reference: ClassVar[str] = "Golub et al., Science 286 (1999) 531-537"
    licence: ClassVar[str] = "MIT (the public copy)"
    default_data: ClassVar[str] = GOLUB.name
    data_names: ClassVar[Mapping[str, str]] = {GOLUB.name: GOLUB.summary}
    sources: ClassVar[tuple[DataSource, ...]] = (GOLUB,)


class TcgaBreast(ExpressionTask):
    """Three subtypes of breast cancer; the proteins, which no test sample has, are left out."""

    name: ClassVar[str] = "tcga-breast"
    title: ClassVar[str] = "Subtype of a breast cancer from 200 mRNAs and 184 miRNAs"
    input: ClassVar[Input] = Input.of_length(
        384, kind="features", unit="sample", symbol="gene", alphabet=""
    )
    target: ClassVar[Target] = Target(names=("Basal", "Her2", "LumA"))
    column: ClassVar[str] = "subtype"
    stems: ClassVar[tuple[str, ...]] = ("breast_tcga", "tcga-breast")
    content: ClassVar[str] = "69a29d4716126d5bf96643d4cd064b6812f2d6d2209d398ec8dd97ca8a6d5c61"
    conversion: ClassVar[str] = (
        "it is an R object; two CSVs are needed, tcga-breast_train and tcga-breast_test, with the "
        "columns subtype and, for each mRNA and miRNA of both, its expression"
    )
    reference: ClassVar[str] = "Rohart et al., PLoS Computational Biology 13 (2017) e1005752"
    licence: ClassVar[str] = "GPL-2 or later (the public copy); data of The Cancer Genome Atlas"
    default_data: ClassVar[str] = TCGA.name
    data_names: ClassVar[Mapping[str, str]] = {TCGA.name: TCGA.summary}
    sources: ClassVar[tuple[DataSource, ...]] = (TCGA,)
