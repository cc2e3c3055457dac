"""The tasks ``gue-tf-0`` to ``gue-tf-4``: does a human transcription factor bind this sequence?

Five sets of the benchmark GUE, each of one factor's ChIP-seq peaks and as many sequences beside
them, split by its authors: Zhou et al., "DNABERT-2", ICLR 2024, arXiv 2306.15006.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

from codonbench import DataSource, Task, hookimpl
from codonbench.contracts import Input, Ranking, Strand, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench_datasets._table_task import TableTask

COMMIT = "486343e5212361d6cd7ed03c624f430ed3d5f02e"
FOLDER = f"https://raw.githubusercontent.com/wds-seu/DeepGene/{COMMIT}/data/GUE/tf"

SHA256 = {
    0: (
        "930080e019fb92961cbd71998839466c2fc4c34da8fc174999a2ed04ef46822f",
        "17ff638046d146102a86b727adc9ddead9f1f1793577a38961e1f3319da7f738",
        "d29934d0df424a91ef70f6a62671d9d1c4661b485d7010983b49c8bcfba6aeab",
    ),
    1: (
        "29dc3c962cc4e4d7161238bb4d0b84583f7794b246a622f81bf30e83e3ae8685",
        "fbffd591300e9ef192d131c139322cbe8e3fb87fae4f52236f64588d3975b8d1",
        "8995d9d9176d56aa6e3a7014dfcf61ad45bc25a59fba1faca9864250ce42008a",
    ),
    2: (
        "7f7483c2179242b6f42dd3578640e1496478e56e627e8fabd2ac79e088b1cbaa",
        "002168deb50cebb8dc94a9268e220d0ffa49068e4d9ae28b5873b74ba287c4a1",
        "78de7c31aea4393b98387f6768cc9144fc912c9391c6b20d27028e355a95c4f1",
    ),
    3: (
        "c4191038363919af593d4f68428e00e6320e3a35902575f1c5c0828954e25a88",
        "b878776f73bd503a371d1d8c0a77058da409ff3f3799901e017f764b07a0d0ef",
        "56d8d76fdcf98c8a444b26794099ef26185872371f62a7565f602181dd533903",
    ),
    4: (
        "7b43fcec55a8ae0f44e826566be776984c37200a175c684ec2e68650aebd483c",
        "4a18b9d9a6a4f77f6978d251b784ab554c127aca89c9fdb4546d81c20a47c436",
        "55f4ad82c52c7ced861c5df835e5b11e3b2b15d53f4d7743f47bda6b2844b980",
    ),
}
"""Of train, dev and test of each set."""

CONTENT = (
    "961bd4ae5b60088c74bc5601ae56d9b926c8908236178227696923b27b6ccde0",
    "6072f2588e1a83b73ebc98b67c57914474d7106f90c63523b72bc1fdbc377ca1",
    "d7d5b8acab69cdc7adb1f5871e06ff99ee9d1b2f5ac6faf90f06161807690bb5",
    "227cffc19320d0903401cfe51bb1b31e32168876f82bba047765dc55c59fbe62",
    "60912750a67ba8dbe4745d7db6d880912a6514910e23e31fb8a6f2769bc7a4ca",
)
"""SHA-256 of what the three tables of each set hold."""

PUBLISHED = (0.720, 0.761, 0.665, 0.585, 0.774)
"""MCC of DNABERT-2 on each set, after pretraining on genomes: table 4 of its paper."""


class GueTf(TableTask):
    """Bound or not, from 101 bases around a peak or beside one; one subclass per set."""

    category: ClassVar[str] = "regulatory"
    strand: ClassVar[Strand] = "either"
    input: ClassVar[Input] = Input.of_length(101)
    target: ClassVar[Target] = Target(names=("unbound", "bound"))
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", auroc="AUROC", accuracy="accuracy"
    )
    reference: ClassVar[str] = "Zhou et al., DNABERT-2, ICLR 2024, arXiv 2306.15006"
    licence: ClassVar[str] = (
        "Apache-2.0 (the public copy); sequences of the human genome, peaks of ENCODE"
    )

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the three tables of a folder: train, dev and test, with sequence and label."""
        return read_table(path, TableFormat(classes=("0", "1")))


def gue_tf(number: int) -> GueTf:
    """Return the task of set `number`, 0 to 4."""
    task = f"gue-tf-{number}"
    files = zip(("train.csv", "dev.csv", "test.csv"), SHA256[number], strict=True)
    source = DataSource.of_folder(
        task,
        "the three files of a public copy of GUE, pinned to a commit",
        f"{FOLDER}/{number}",
        dict(files),
    )

    class Numbered(GueTf):
        name: ClassVar[str] = task
        title: ClassVar[str] = (
            f"Binding of a human transcription factor, 101 bp (GUE, set {number})"
        )
        content: ClassVar[str] = CONTENT[number]
        notes: ClassVar[tuple[str, ...]] = (
            f"Published: MCC {PUBLISHED[number]:.3f} by DNABERT-2, pretrained on genomes "
            "(Zhou et al. 2024, table 4).",
        )
        origin: ClassVar[DataSource] = source

    return Numbered()


@hookimpl
def register_tasks(register: Callable[[Task], None]) -> None:
    """Register the five tasks."""
    for number in SHA256:
        register(gue_tf(number))
