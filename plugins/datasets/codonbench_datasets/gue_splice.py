"""The task ``gue-splice``: is there a splice site in the middle of these 400 bp, and which?

Set ``splice/reconstructed`` of the benchmark GUE, of which the public copy has no training part:
Zhou et al., "DNABERT-2", ICLR 2024, arXiv 2306.15006. Its authors only number the classes. Here
class 0 is called acceptor, 1 donor and 2 neither, as a network for splice sites predicts (MCC
0.846; 0.206 with 0 and 1 swapped).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import TableFormat
from codonbench_datasets._table_task import TableTask
from codonbench_datasets.gue_tf import COMMIT

SOURCE = DataSource.of_folder(
    "gue-splice",
    "the dev and test files of a public copy of GUE, pinned to a commit",
    f"https://raw.githubusercontent.com/wds-seu/DeepGene/{COMMIT}/data/GUE/splice/reconstructed",
    {
        "dev.csv": "77eead8ac4ca6c671edb71b268e011384fcfc6a08f7c7c3df9d9e6a97ec49292",
        "test.csv": "6889243418d7330a27e31a24bc47d773cd64d93732c2248c2e155e930b0fbbe7",
    },
)


class GueSplice(TableTask):
    """Acceptor, donor or neither: 4,562 validation and 4,562 test items, zero-shot."""

    name: ClassVar[str] = "gue-splice"
    title: ClassVar[str] = "Human splice sites, 400 bp (GUE)"
    category: ClassVar[str] = "regulatory"
    protocol: ClassVar[str] = "zero_shot"
    input: ClassVar[Input] = Input.of_length(400)
    target: ClassVar[Target] = Target(names=("acceptor", "donor", "neither"))
    form: ClassVar[TableFormat] = TableFormat(classes=("0", "1", "2"))
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"validation": ("dev",), "test": ("test",)}
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", auroc="AUROC", accuracy="accuracy"
    )
    content: ClassVar[str] = "8d35d5906c259316f8b31aa69e537dd036531f845685634359661941640a0f0f"
    notes: ClassVar[tuple[str, ...]] = (
        "Classes 0, 1 and 2 are acceptor, donor and neither. Published after fine-tuning: MCC "
        "0.850 by DNABERT-2, 0.894 by NT-2500M-multi (Zhou et al. 2024, table 4).",
    )
    reference: ClassVar[str] = "Zhou et al., DNABERT-2, ICLR 2024, arXiv 2306.15006"
    licence: ClassVar[str] = "Apache-2.0 (the public copy); sequences of the human genome"
    origin: ClassVar[DataSource] = SOURCE
