"""The task ``mrfp-expression``: how much red fluorescent protein does a coding sequence give?

1,459 synonymous coding sequences of mRFP in E. coli, Nieuwkoop et al., Nucleic Acids Research 51
(2023), with the split of the CodonBERT benchmark: Li et al., Genome Research 34 (2024). Its
licence allows academic, non-commercial use only, so nothing of the data comes with this package:
neither sequences nor targets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench_datasets._table_task import TableTask, table_file

COMMIT = "9c31ecc6631df08794c373c5d715235649e2181a"
FOLDER = (
    "https://raw.githubusercontent.com/Sanofi-Public/CodonBERT/"
    f"{COMMIT}/benchmarks/CodonBERT/data/fine-tune"
)
SOURCE = DataSource.of_folder(
    "mrfp-expression",
    "one file of the CodonBERT benchmark, pinned to a commit; non-commercial use only",
    FOLDER,
    {"mRFP_Expression.csv": None},
)


class MrfpExpression(TableTask):
    """Fluorescence from a whole coding sequence; the protein is always the same."""

    name: ClassVar[str] = "mrfp-expression"
    title: ClassVar[str] = "Fluorescence of mRFP in E. coli from its coding sequence, 678 nt"
    input: ClassVar[Input] = Input.of_length(678)
    target: ClassVar[Target] = Target(
        kind="quantities", names=("fluorescence",), units=("log fluorescence",)
    )
    category: ClassVar[str] = "quantities"
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "spearman", spearman="Spearman", pearson="Pearson", r2="R2"
    )
    content: ClassVar[str] = "5f11ca9416ca4f859cbc2358a71fe31e905c8d9c7ef4f1adf1fa3140fb26241d"
    default_epochs: ClassVar[int] = 100
    notes: ClassVar[tuple[str, ...]] = (
        "Published Spearman correlations on this split (Li et al. 2024, table 2): TextCNN 0.62 on "
        "nucleotides and 0.78 on codons, RNA-FM 0.80, CodonBERT 0.85.",
    )
    reference: ClassVar[str] = (
        "Li et al., Genome Research 34 (2024); Nieuwkoop et al., NAR 51 (2023)"
    )
    licence: ClassVar[str] = "Sanofi: academic, non-commercial use only"
    shares_targets: ClassVar[bool] = False
    default_data: ClassVar[str] = SOURCE.name
    data_names: ClassVar[Mapping[str, str]] = {SOURCE.name: SOURCE.summary}
    sources: ClassVar[tuple[DataSource, ...]] = (SOURCE,)

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the table; the download's, which has more digits, to six of them."""
        if not downloaded:
            form = TableFormat(targets=("value",), kind="quantities", split="split")
            return read_table(table_file(path, "mrfp_expression", self.name), form)
        form = TableFormat("Sequence", targets=("Value",), kind="quantities", split="Split")
        table = read_table(table_file(path, "mRFP_Expression"), form)
        rounded = [[float(f"{value:.6g}")] for value in table.targets[:, 0].tolist()]
        return replace(table, targets=np.array(rounded, dtype=np.float32))
