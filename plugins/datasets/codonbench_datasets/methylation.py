"""Sixteen tasks ``methylation-...``: is the letter in the middle of these 41 methylated?

The sets of iDNA-MS, one for each of three modifications (4mC, 5hmC, 6mA) and a species, split in
halves by their authors: Lv et al., iScience 23 (2020). A validation split is cut from training by
the seed. The source has methylated items first; rows are shuffled here. In sets whose negatives
lack the site of the positives, a few letters at fixed positions reveal the class; the audit of each
set says how well.
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
    "4mC_C.equisetifolia": "8510165ebfeaf2396a8e303f87d41f48393314c71b10b1c1708027626f6d07be",
    "4mC_F.vesca": "bae70beff34741fd3da029ce5b5aef21eb632de489928ae97153223849e8db2b",
    "4mC_S.cerevisiae": "89a53445dd3361d7bce2a7b76982147b122ccda86c11d3ee28652c13d0a3d5ba",
    "4mC_Tolypocladium": "5fbaf488feb3524fc038307558bb74b5ed54f33ff04bbf3807e4321dd8b041ef",
    "5hmC_H.sapiens": "d3b4e1ba3f4240be7e2e1a43d8372899ce1488ca47ec45352336e6505a29606b",
    "5hmC_M.musculus": "5b0e3570a17db96b276a5d0931ab9e30b53dec8e62d43b2c40a23041073d0d32",
    "6mA_A.thaliana": "0e837504533a9e00a51abb279d90a6f59d7767d30c796fc5bb8f5a65e15b0816",
    "6mA_C.elegans": "2d355e915ab031c2a4926176e902ae7971e37cfc3ce346f860fb5096d3e4472d",
    "6mA_C.equisetifolia": "b8d6ba3f4422cfc01d3e5aee516b24dbace07c799ff2f69be5a73c45b6bc3fbe",
    "6mA_D.melanogaster": "4efbc4c54d3c3413c642d03b8caa040f9a35e0cc195b1cfd1ed1cc23e2f899ae",
    "6mA_F.vesca": "27219f966f57c8d87cc6c7e52a5a057bee91f0019ce0886c0e219a4c0affcd1a",
    "6mA_H.sapiens": "09d98bb86e03b3d39222dc96a4ca488b737cc71fde974f4df355b096d46fe903",
    "6mA_R.chinensis": "64ae8eabc5155af0821f6e3f1ce50f8a352f836a6db6935f2a98a7ce5e6449cf",
    "6mA_S.cerevisiae": "9f9718d7ab090c480631f9823f33b1eb9abc63c9fd14d1a7b903d0d2aec91d80",
    "6mA_Tolypocladium": "4d485036fc0916928119ef2d13c02c162da5b87507224c88ff34fea7b1598b21",
    "6mA_Xoc_BLS256": "500f09dbea5fc89a354bc35b9f7f92ef3bb64b7ef7e2f0c9d66e2a7cb4d9eb7f",
}
"""SHA-256 of what the two tables of each set hold."""


class Methylation(TableTask):
    """Methylated or not; one subclass per set."""

    category: ClassVar[str] = "regulatory"
    input: ClassVar[Input] = Input.of_length(41)
    target: ClassVar[Target] = Target(names=("unmethylated", "methylated"))
    form: ClassVar[TableFormat] = TableFormat(classes=("0", "1"))
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", accuracy="accuracy", auroc="AUROC"
    )
    sorted_rows: ClassVar[bool] = True
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
