"""The task ``yeast-promoter``: how strongly does a segment of 80 bp drive expression in yeast?

A massively parallel reporter assay of native and random promoter segments, measured twice: de Boer
et al., "Deciphering eukaryotic gene-regulatory logic with 100 million random promoters", Nature
Biotechnology 38 (2020), GEO GSE104878. The published file has no split. In our split, segments that
share a 20-mer on one strand are in one group (native segments overlap), and no group crosses
splits: a random split of equal size overestimates scores, by 0.026 for ridge regression on 1- to
4-mers (Pearson 0.788 against 0.761). The groups and the split are those of the table and cannot be
computed from its sequences: segments linked by shared 20-mers form 13,969 groups, each within one
of the table's 12,756; the largest has 5,380 segments, the table's largest 7,574. So the table's
groups were joined by segments that are not in it.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from codonbench import Ceiling, DataSource, RunRecord
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench_datasets._table_task import TableTask, table_file

COMMIT = "e7a94176f84c6b501b5ea4d76c5f82592af168ed"
FOLDER = f"https://raw.githubusercontent.com/yeastpro/ExpressYeaself/{COMMIT}/example/native_data"
SOURCE = DataSource.of_folder(
    "yeast-promoter",
    "the published measurements, in a public copy pinned to a commit, without a split",
    FOLDER,
    {"native_data.txt.gz": None},
)

REPLICATES = 0.957
"""Pearson correlation of the two replicates on the native test items."""

CEILING = Ceiling.of_replicates(REPLICATES, 5_591, "of two replicates, native test items")
"""The best Pearson correlation with the mean of both replicates that a model can attain: 0.989."""


class YeastPromoter(TableTask):
    """Expression from 80 bp in a fixed context, split by group."""

    name: ClassVar[str] = "yeast-promoter"
    title: ClassVar[str] = "Expression driven by a promoter segment in yeast, 80 bp"
    input: ClassVar[Input] = Input.of_length(80)
    target: ClassVar[Target] = Target(
        kind="quantities", names=("expression",), units=("log2 fluorescence bin",)
    )
    category: ClassVar[str] = "quantities"
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "pearson", pearson="Pearson", spearman="Spearman", r2="R2"
    )
    content: ClassVar[str] = "9a91ec0b73bf50bf65d3836b2997f0b7fa40992ed9f7ee6b9b5a0d69ccbec848"
    conversion: ClassVar[str] = (
        "its split is not published, and neither that nor its groups can be computed from its "
        "sequences; a CSV is needed with the columns sequence (80 letters, the flanks cut off), "
        "expression, group and split (train, dev or test)"
    )
    notes: ClassVar[tuple[str, ...]] = (
        f"Ceiling: replicates correlate at {REPLICATES} (Pearson, native test items), so no model "
        f"of their mean exceeds {CEILING.value:.3f}.",
        "No group of segments that overlap on one strand crosses splits; the library tiles both "
        "strands, and 12.1 % of test items overlap a training item in reverse complement.",
    )
    reference: ClassVar[str] = "de Boer et al., Nature Biotechnology 38 (2020) 56-65; GSE104878"
    licence: ClassVar[str] = "MIT (the public copy); data of GEO GSE104878"
    origin: ClassVar[DataSource] = SOURCE

    def ceiling(self, record: RunRecord) -> Ceiling | None:
        """Return what the replicates allow."""
        return CEILING if record.dataset.checksum == self.content else None

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the table with the split."""
        form = TableFormat(targets=("expression",), kind="quantities", split="split", group="group")
        return read_table(table_file(path, "all", self.name), form)
