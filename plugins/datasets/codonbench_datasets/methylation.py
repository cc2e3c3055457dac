"""Sixteen tasks ``methylation-...``: is the letter in the middle of these 41 methylated?

The sets of iDNA-MS, one for each of three modifications (4mC, 5hmC, 6mA) and a species, split in
halves by their authors: Lv et al., iScience 23 (2020). A validation split is cut from training by
the seed. Where negatives lack the site that positives have, a few letters at fixed places tell the
class; the audit of each set says how far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import ClassVar

from codonbench import DataSource, Task, hookimpl
from codonbench.contracts import Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench.data.table_files import TableFiles
from codonbench.data.table_formats import columns_of
from codonbench_datasets._table_task import TableTask

FOLDER = (
    "https://raw.githubusercontent.com/FakeEnd/iDNA_ABF/"
    "6feae58080cb8a675590a1fbf3a956baf25142f3/data/DNA_MS/tsv"
)

CONTENT: Mapping[str, str] = {}
"""SHA-256 of what the two tables of each set hold."""


class Methylation(TableTask):
    """Methylated or not; one subclass a set."""

    category: ClassVar[str] = "regulatory"
    input: ClassVar[Input] = Input.of_length(41)
    target: ClassVar[Target] = Target(names=("unmethylated", "methylated"))
    form: ClassVar[TableFormat] = TableFormat(classes=("0", "1"))
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", accuracy="accuracy", auroc="AUROC"
    )
    default_epochs: ClassVar[int] = 20
    reference: ClassVar[str] = "Lv et al., iScience 23 (2020) 100991"
    licence: ClassVar[str] = "none stated (the public copy)"

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the two tables; a download's columns are number, class, sequence."""
        if not downloaded:
            return super().read(path, downloaded=False)
        files = {split: path / f"{split}.tsv" for split in ("train", "test")}
        _, label, sequence = columns_of(files["train"])
        form = TableFormat(sequence, targets=(label,), classes=("0", "1"))
        return read_table(TableFiles(files), form)


def methylation(which: str) -> Methylation:
    """Return the task of one set, such as ``6mA_A.thaliana``."""
    modification, species = which.split("_", 1)
    task = f"methylation-{which.lower().replace('_', '-').replace('.', '-')}"
    source = DataSource.of_folder(
        task,
        "two files of a public copy of the iDNA-MS sets, pinned to a commit",
        f"{FOLDER}/{modification}/{which.replace('_BLS', '%20BLS')}",
        {"train.tsv": None, "test.tsv": None},
    )

    class Named(Methylation):
        name: ClassVar[str] = task
        title: ClassVar[str] = (
            f"{modification} or not at the middle of 41 bp, {species.replace('_', ' ')}"
        )
        tables: ClassVar[Mapping[str, tuple[str, ...]]] = {
            split: (f"{which}.{split}", split) for split in ("train", "test")
        }
        content: ClassVar[str] = CONTENT[which]
        origin: ClassVar[DataSource] = source

    return Named()


@hookimpl
def register_tasks(register: Callable[[Task], None]) -> None:
    """Register the sixteen."""
    for which in CONTENT:
        register(methylation(which))
