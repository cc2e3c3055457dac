"""The tasks ``satmut-mpra`` and ``brca1-sge``: what does one changed letter do?

Zero-shot: a model scores a reference and an alternative sequence, and the scores are compared with
the measured effects.

``satmut-mpra``: saturation mutagenesis of regulatory elements, whose expression was measured by a
reporter assay: Kircher et al., "Saturation mutagenesis of twenty disease-associated regulatory
elements at single base-pair resolution", Nature Communications 10 (2019), GEO GSE126550. 29
experiments on 21 elements; each is a column of the target that is known only for its own variants,
so a correlation is the mean of those within experiments.

``brca1-sge``: saturation genome editing of 13 exons of BRCA1 and their flanks in haploid cells,
which die if the gene loses its function: Findlay et al., "Accurate classification of BRCA1 variants
with saturation genome editing", Nature 562 (2018).
"""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from codonbench import DataSource
from codonbench.contracts import Input, Ranking, Sequences, SequenceTuples, Target
from codonbench.contracts.dataset import Targets
from codonbench.data.table import Table
from codonbench.errors import DataError
from codonbench_datasets._table_task import TableTask, needed, table_file

if TYPE_CHECKING:
    import pandas as pd

ALPHABET = "ACGT"

FEWEST_BARCODES = 10
"""Of a variant of ``satmut-mpra`` that counts: of fewer, the effect is mostly noise."""

SATMUT = DataSource.of_folder(
    "satmut-mpra",
    "the measured effects of all experiments, in the authors' repository, pinned to a commit",
    "https://raw.githubusercontent.com/kircherlab/MPRA_SaturationMutagenesis/"
    "c5cadb46a3ec9bbeb8f678e8dc2b2335191f121b/data",
    {"elements.tsv.gz": None},
)
BRCA1 = DataSource.of_folder(
    "brca1-sge",
    "supplementary table 1 of the paper, in a public copy pinned to a commit",
    "https://raw.githubusercontent.com/ArcInstitute/evo2/"
    "53f195997257c56c00e5ef8d33a54f5baad143a6/notebooks/brca1",
    {"41586_2018_461_MOESM3_ESM.xlsx": None},
)

EXPERIMENTS = (
    *("BCL11A", "F9", "FOXE1", "GP1BA", "HBB", "HBG1", "HNF4A", "IRF4", "IRF6", "LDLR", "LDLR.2"),
    *("MSMB", "MYCrs11986220", "MYCrs6983267", "PKLR-24h", "PKLR-48h", "RET", "SORT1"),
    *("SORT1-flip", "SORT1.2", "TCF7L2", "TERT-GAa", "TERT-GBM", "TERT-GSc", "TERT-HEK", "UC88"),
    *("ZFAND3", "ZRSh-13", "ZRSh-13h2"),
)
"""Of ``satmut-mpra``, in the order of the target's columns."""

APART = 100
"""Letters between two variants of ``brca1-sge`` from which on they are in different exons."""

REPLICATES = "LDLR 0.969, SORT1 0.952, PKLR 0.859 after 24 and 48 hours, TERT 0.753 in two cells"


class VariantTask(TableTask):
    """Variants of one letter each, in two tables: sequences, and their variants.

    Class attributes:
        places: The table of sequences, and its column of names, which the variants' table has too.
    """

    protocol: ClassVar[str] = "zero_shot"
    category: ClassVar[str] = "variants"
    places: ClassVar[tuple[str, str]]

    @staticmethod
    @abstractmethod
    def fetched(path: Path) -> pd.DataFrame:
        """Return what the download's folder holds, a row a variant.

        Columns: the place's name under that of `places`, pos, ref, alt, and what `target_of` and
        `counted` ask for. Places are rebuilt of the reference letters.
        """

    @abstractmethod
    def target_of(self, variants: pd.DataFrame) -> Targets:
        """Return what was measured of each row of the variants' table, shape (N, K)."""

    def counted(self, variants: pd.DataFrame) -> pd.DataFrame:
        """Return the rows that count."""
        return variants

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the variants of a folder that holds the two tables, or the download.

        Raises:
            DataError: A table or a column is missing, or a reference letter is not the sequence's.
        """
        import pandas as pd

        if not path.is_dir():
            raise DataError(f"{path}: expected a folder with {self.places[0]}.csv and variants.csv")
        table, name = self.places
        files = (
            (path / self.origin.files[0].filename,) * 2
            if downloaded
            else (table_file(path, table), table_file(path, "variants"))
        )
        try:
            if downloaded:
                places, variants = rebuilt(self.fetched(path), name)
            else:
                places, variants = (pd.read_csv(file, dtype={"chrom": str}) for file in files)
            sequences = dict(zip(places[name], places["sequence"], strict=True))
            variants = self.counted(variants)
            whole = [sequences[place] for place in variants[name]]
            offsets, letters = variants["offset"].tolist(), variants["alt"].tolist()
            references, targets = variants["ref"].tolist(), self.target_of(variants)
        except (OSError, ValueError, KeyError) as error:
            raise DataError(f"{path}: {files[0].name} and {files[1].name}: {error!r}") from error
        changed = []
        for row, (text, at, ref, alt) in enumerate(
            zip(whole, offsets, references, letters, strict=True), start=2
        ):
            if text[at : at + 1] != ref:
                raise DataError(
                    f"{files[1]}, line {row}: the reference letter is {ref!r}, but the sequence of "
                    f"{variants[name].iloc[row - 2]!r} has {text[at : at + 1]!r} at {at}"
                )
            changed.append(text[:at] + alt + text[at + 1 :])
        parts = Sequences.of(whole, ALPHABET), Sequences.of(changed, ALPHABET)
        return Table(
            items=SequenceTuples(parts),
            targets=targets,
            splits={"test": np.arange(len(whole))},
            kind=self.target.kind,
        )


class SatmutMpra(VariantTask):
    """The effect of a variant on expression, by experiment.

    Of 44,647 measured variants 38,556 are items. Left out are 5,477 deletions of a letter, and 614
    substitutions read by fewer than ten barcodes.
    """

    name: ClassVar[str] = "satmut-mpra"
    title: ClassVar[str] = "Effect of single letters on the expression that an element drives"
    input: ClassVar[Input] = Input.of_variants(Input(min_length=187, max_length=601))
    target: ClassVar[Target] = Target(
        kind="quantities", names=EXPERIMENTS, units=("log2 fold change",) * len(EXPERIMENTS)
    )
    ranking: ClassVar[Ranking] = Ranking.by_mean("pearson", pearson="Pearson", spearman="Spearman")
    places: ClassVar[tuple[str, str]] = ("elements", "element")
    content: ClassVar[str] = "18d3e1e66794d1f04520eebe14f270349d34e9571689b0cf13dba7b5334c8d3b"
    notes: ClassVar[tuple[str, ...]] = (
        f"Substitutions with {FEWEST_BARCODES} barcodes or more. Each figure is the mean of those "
        "within 29 experiments on 21 elements.",
        f"Two measurements of one element correlate at {REPLICATES} (Pearson).",
    )
    reference: ClassVar[str] = "Kircher et al., Nature Communications 10 (2019) 3583; GSE126550"
    licence: ClassVar[str] = "GPL-3 (the repository); data of GEO GSE126550, free with citation"
    origin: ClassVar[DataSource] = SATMUT

    @staticmethod
    def fetched(path: Path) -> pd.DataFrame:
        """Return the variants of the download, on the genome that is numbered GRCh38."""
        import pandas as pd

        found = pd.read_csv(path / "elements.tsv.gz", sep="\t", dtype={"Chrom": str})
        found = found[found["Release"] == "GRCh38"]
        names = {"Element": "element", "Pos": "pos", "Ref": "ref", "Alt": "alt"}
        found = found.rename(columns={**names, "Coefficient": "effect", "Barcodes": "barcodes"})
        return found.assign(effect=[float(f"{effect:.6g}") for effect in found["effect"]])

    def counted(self, variants: pd.DataFrame) -> pd.DataFrame:
        """Return the substitutions that enough barcodes measured."""
        return variants[(variants["alt"] != "-") & (variants["barcodes"] >= FEWEST_BARCODES)]

    def target_of(self, variants: pd.DataFrame) -> Targets:
        """Return each effect in its experiment's column, (N, 29), NaN in the others."""
        column = [EXPERIMENTS.index(name) for name in variants["element"]]
        targets = np.full((len(column), len(EXPERIMENTS)), np.nan, dtype=np.float32)
        targets[np.arange(len(column)), column] = variants["effect"]
        return targets


class Brca1Sge(VariantTask):
    """Whether the gene still works with a variant: 3,893 variants, zero-shot."""

    name: ClassVar[str] = "brca1-sge"
    title: ClassVar[str] = "Whether BRCA1 still works with a single letter changed"
    input: ClassVar[Input] = Input.of_variants(Input(min_length=98, max_length=109))
    target: ClassVar[Target] = Target(kind="labels", names=("functional",))
    ranking: ClassVar[Ranking] = Ranking.by_mean("auroc", auroc="AUROC", auprc="AUPRC")
    places: ClassVar[tuple[str, str]] = ("exons", "exon")
    content: ClassVar[str] = "22bb8aa9ad04e8fbb130d17bd37140bd18f55ae5f4a66a07f27e37d69ba61512"
    notes: ClassVar[tuple[str, ...]] = (
        "Loss of function against function or intermediate; windows of 98 to 109 letters on the "
        "plus strand (the gene lies on the other). Evo 2 is quoted with AUROC 0.891 (7B) and 0.901 "
        "(40B) from 8,192 letters of context, which no window here has.",
    )
    reference: ClassVar[str] = "Findlay et al., Nature 562 (2018) 217-222, supplementary table 1"
    licence: ClassVar[str] = "supplement of the paper, in an Apache-2.0 repository"
    origin: ClassVar[DataSource] = BRCA1

    @staticmethod
    def fetched(path: Path) -> pd.DataFrame:
        """Return the variants of the paper's table; an exon is named by where it begins."""
        import pandas as pd

        needed("openpyxl")
        found = pd.read_excel(path / BRCA1.files[0].filename, header=2)
        names = {"position (hg19)": "pos", "reference": "ref", "func.class": "class"}
        found = found.rename(columns=names)
        pos = np.unique(found["pos"])
        begins = pos[np.diff(pos, prepend=-APART) >= APART]
        return found.assign(exon=begins[np.searchsorted(begins, found["pos"], side="right") - 1])

    def target_of(self, variants: pd.DataFrame) -> Targets:
        """Return 1 where the gene works, fully or in part, and 0 where it does not, (N, 1)."""
        works = np.asarray(variants["class"] != "LOF", dtype=np.float32)
        return works[:, None]


def rebuilt(variants: pd.DataFrame, name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the places that variants were made in, and the variants with their offsets.

    A place reaches from its first variant to its last; a letter that was not changed anywhere is
    not known, ``N``.

    Args:
        variants: With the columns pos, ref and, called `name`, the place.
        name: Of that column.
    """
    import pandas as pd

    first = variants.groupby(name, sort=False)["pos"].transform("min")
    places = []
    for place, own in variants.groupby(name, sort=False):
        letters = ["N"] * int(own["pos"].max() - own["pos"].min() + 1)
        for offset, ref in zip(own["pos"] - own["pos"].min(), own["ref"], strict=True):
            letters[offset] = ref
        places.append((place, "".join(letters)))
    return pd.DataFrame(places, columns=[name, "sequence"]), variants.assign(
        offset=variants["pos"] - first
    )
