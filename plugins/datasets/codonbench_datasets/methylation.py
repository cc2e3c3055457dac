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

CONTENT: Mapping[str, str] = {
    "4mC_C.equisetifolia": "b0c7789db64cfe2d6a9b1df05b2121b1b08f275379248a37e38ef0b5db2bd551",
    "4mC_F.vesca": "622c84ef8b5ee6911166cf1f8e897ca841b8ba95bd29928a8d676e498cdeebf3",
    "4mC_S.cerevisiae": "36acff66ec2d8a71e859146730b99c656e6d0765996aa7ee449e59a2e6aa0085",
    "4mC_Tolypocladium": "cc8790325a9b45a4b66c4a37f300df60547f45b1bc9dcb4d6647416409ff0c34",
    "5hmC_H.sapiens": "3627d9ac77a34ec7a1e11d563767979d8d625fae71fa720506636d20d8ee9923",
    "5hmC_M.musculus": "bc29042e89c5ba76b7ed7a5f0e60bb605ed1f5f4d6f261c7fbadfc339767d9fc",
    "6mA_A.thaliana": "26f0a4c94a349b5050cc0007b392b14d16d13d02d1fe8da28b4300d5ceeb091a",
    "6mA_C.elegans": "d82936b56b22bde9e6ae04bf1b56b41c039879aa32ad8bb03b42b8d07308c1b9",
    "6mA_C.equisetifolia": "b83a59bb41b4e1b9e627943cf43997f71bfd8b2cee035632c86223021723bc48",
    "6mA_D.melanogaster": "7c3ead071e4a7a7861160ead32d8ad41310dcd3cbd3e8596a87dddfb220ebfee",
    "6mA_F.vesca": "1b56969acc97ecbca32955b795dd2df395af9ebc6aa5ba030da21e82881b5b9a",
    "6mA_H.sapiens": "acdc2e50da8afdc84a7206c29585ba01eba11eb68a3e81efff5d055a0625f496",
    "6mA_R.chinensis": "99a9de0e8c14c598edc921d7eb855acf1e948a73733095024395f765d898c81a",
    "6mA_S.cerevisiae": "07bcc3305d1a1347af1e9425d96c590d7677ce4a8982d7a4fdf2a177cbfa26d0",
    "6mA_Tolypocladium": "9579af907db03a50a6752c1ebd45e5b6df248bf2a71562704f343f8a7460033c",
    "6mA_Xoc_BLS256": "cce4a21445072989ea70103916c30a7170d29e8908533ca0efd4dfcf529f035d",
}
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
