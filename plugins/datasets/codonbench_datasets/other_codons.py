"""The tasks ``yeast-codon`` and ``human-mito-codon``: the codon task on other genes.

The protocol, the pairs and the metrics are those of ``human-codon``; the genes are the nuclear ones
of yeast (S. cerevisiae, genetic code 1) and the thirteen of human mitochondria (genetic code 2, in
which four codons are stops and UGA is tryptophan). No download of either is pinned: both files come
with the R package cubar, as FASTA.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from codonbench import Dataset, DataSource, TaskOptions
from codonbench.data.table_formats import FASTA, kind_of
from codonbench.errors import DataError
from codonbench_datasets._table_task import FOLDER_VARIABLE, local_copy
from codonbench_datasets.human_codon.task import HumanCodon, HumanCodonOptions


class _OtherCodons(HumanCodon):
    """The codon task on the genes of a FASTA file.

    Class attributes:
        notes: What is said of the genes.
    """

    default: ClassVar[bool] = False
    sources: ClassVar[tuple[DataSource, ...]] = ()
    notes: ClassVar[tuple[str, ...]]

    def load(self, data: str, options: Any, *, cache: Path, offline: bool = False) -> Dataset:
        """Load the coding sequences of a FASTA file.

        Args:
            data: The task's name for the one in ``$CODONBENCH_DATA/<task>``; or a file or folder.
            options: As for ``human-codon``.
            cache: Not needed.
            offline: Not needed.

        Raises:
            ConfigError: The options do not fit the data.
            DataError: The data are missing, unreadable or unusable.
        """
        found = super().load(str(self._file(data)), options, cache=cache, offline=offline)
        target = found.spec.target.model_copy(update={"class_weights": None})
        own = {"name": self.name, "version": self.version, "title": self.title, "target": target}
        spec = found.spec.model_copy(update={**own, "notes": (*found.spec.notes, *self.notes)})
        return replace(found, spec=spec)

    def _file(self, data: str) -> Path:
        place = local_copy(self.name) if data == self.default_data else Path(data)
        if place is None:
            raise DataError(
                f"the genes of {self.name!r} come with the R package cubar and no download is "
                f"pinned; put their FASTA file into ${FOLDER_VARIABLE}/{self.name} or give --data"
            )
        if not place.is_dir():
            return place
        files = [path for path in sorted(place.iterdir()) if kind_of(path) == "fasta"]
        if len(files) != 1:
            raise DataError(f"{place}: {len(files)} FASTA files ({', '.join(FASTA)}); expected one")
        return files[0]


class YeastCodon(_OtherCodons):
    """Codons of yeast's nuclear genes."""

    name: ClassVar[str] = "yeast-codon"
    title: ClassVar[str] = "Deciphering the genetic code from yeast ORFs"
    default_data: ClassVar[str] = "yeast-codon"
    data_names: ClassVar[Mapping[str, str]] = {
        "yeast-codon": "a FASTA file of yeast's nuclear coding sequences, of one's own"
    }
    notes: ClassVar[tuple[str, ...]] = ("Nuclear coding sequences of yeast.",)


class HumanMitoCodonOptions(HumanCodonOptions):
    """Options of ``human-mito-codon``."""

    genetic_code: int = Field(default=2, description="NCBI translation table")


class HumanMitoCodon(_OtherCodons):
    """Codons of the thirteen human mitochondrial genes."""

    name: ClassVar[str] = "human-mito-codon"
    title: ClassVar[str] = "Deciphering the mitochondrial genetic code from human ORFs"
    Options: ClassVar[type[TaskOptions]] = HumanMitoCodonOptions
    default_data: ClassVar[str] = "human-mito-codon"
    data_names: ClassVar[Mapping[str, str]] = {
        "human-mito-codon": "a FASTA file of human mitochondrial coding sequences, of one's own"
    }
    notes: ClassVar[tuple[str, ...]] = (
        "Of the thirteen genes seven end in an incomplete stop codon or do not begin with AUG and "
        "are left out: every run draws its pairs from the same 1,312 codons.",
    )
