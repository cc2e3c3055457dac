"""The tasks ``ecoli-promoter`` and ``ecoli-sigma``: a promoter of E. coli, and its sigma factor.

The benchmark of iPromoter-2L, from RegulonDB: 81 bp, from 60 before a transcription start to 20
after it, and as many negatives from the same genome. Liu et al., Bioinformatics 34 (2018). The
papers report five-fold cross-validation; the public copy has no split. In our split, promoters that
share 20 letters on either strand are in one group, since transcription starts may be close
together, and no group crosses splits or folds. ``ecoli-promoter`` is cross-validated over five
folds, anew for each seed, unless ``--folds 0`` asks for the split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Sequences, Target
from codonbench.data.table import Table, TableFormat
from codonbench_datasets._own_split import sharing, split_by
from codonbench_datasets._table_task import TableTask, read_classes

COMMIT = "2256b56d129c540f7d737442ad4045d1a816f43f"
FOLDER = (
    f"https://raw.githubusercontent.com/occasumlux/Promoters/{COMMIT}/Dataset/Benchmark_dataset"
)
SHARED = 20
"""Letters in a row that put two promoters into one group."""

SIGMAS = ("sigma24", "sigma28", "sigma32", "sigma38", "sigma54", "sigma70")


def source(task: str, folder: str, names: Sequence[str]) -> DataSource:
    """Return a task's download: a FASTA file for each of its classes."""
    kept_as = {f"{folder}/{name}.txt": f"{name}.fa" for name in names}
    summary = f"{len(names)} files of a public copy of the benchmark, pinned to a commit"
    return DataSource.of_folder(task, summary, FOLDER, dict.fromkeys(kept_as), kept_as)


class _EcoliTask(TableTask):
    """A task of E. coli promoters, split by group.

    Class attributes:
        of_files: The class of each of the download's files, in their order.
    """

    of_files: ClassVar[tuple[str, ...]]
    form: ClassVar[TableFormat]
    category: ClassVar[str] = "regulatory"
    input: ClassVar[Input] = Input.of_length(81)
    ranking: ClassVar[Ranking]
    notes: ClassVar[tuple[str, ...]] = (
        "The split is ours: no group of sequences that share 20 letters crosses it. Published "
        "figures are of five-fold cross-validation and are not comparable.",
    )
    default_epochs: ClassVar[int] = 30
    reference: ClassVar[str] = "Liu et al., Bioinformatics 34 (2018) 33-40"
    licence: ClassVar[str] = "MIT (the public copy); data of RegulonDB"

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the table, or what the download's files hold, with our split."""
        if downloaded:
            names = [file.filename for file in self.origin.files]
            files = tuple(zip(names, self.of_files, strict=True))
            table = replace(read_classes(path, {"all": files}, self.form.classes), splits={})
        else:
            table = super().read(path, downloaded=False)
        assert isinstance(table.items, Sequences)
        return split_by(table, sharing(table.items, SHARED))


PROMOTERS = source("ecoli-promoter", "promoter_and_non-promoter", ("positive2860", "negative2860"))


class EcoliPromoter(_EcoliTask):
    """Promoter or not."""

    name: ClassVar[str] = "ecoli-promoter"
    title: ClassVar[str] = "Promoter of E. coli or not, 81 bp"
    target: ClassVar[Target] = Target(names=("other", "promoter"))
    form: ClassVar[TableFormat] = TableFormat(classes=("0", "1"))
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("benchmark", "ecoli-promoter")}
    folds: ClassVar[int] = 5
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", accuracy="accuracy", auroc="AUROC"
    )
    content: ClassVar[str] = "423ffb4480792833d89e5ab66011cf82b9a1bc9b0bc79baab7740cfb09f1f197"
    of_files: ClassVar[tuple[str, ...]] = ("1", "0")
    origin: ClassVar[DataSource] = PROMOTERS


SIGMA = source("ecoli-sigma", "sigma_subtypes", [f"{sigma}promoter" for sigma in SIGMAS])


class EcoliSigma(_EcoliTask):
    """The sigma factor of a promoter."""

    name: ClassVar[str] = "ecoli-sigma"
    title: ClassVar[str] = "Sigma factor of an E. coli promoter, six classes, 81 bp"
    target: ClassVar[Target] = Target(names=SIGMAS)
    form: ClassVar[TableFormat] = TableFormat(classes=SIGMAS)
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("sigma", "ecoli-sigma")}
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", balanced_accuracy="balanced accuracy", accuracy="accuracy"
    )
    content: ClassVar[str] = "9766a987529d3cfcdddb92f2839fc7ad731fc139f5b6c99be887bc294ef14d66"
    of_files: ClassVar[tuple[str, ...]] = SIGMAS
    origin: ClassVar[DataSource] = SIGMA
