"""The tasks ``orf-start`` and ``orf-frame``: where in a human mRNA a protein begins, and its frame.

Windows of messenger RNAs whose coding sequence is annotated, untranslated regions included.
``orf-start``: is the ATG after the first 75 letters the start of the coding sequence? Negatives are
drawn from all other ATGs of the same mRNA, in any frame. ``orf-frame``: what is the reading frame
of a window that is at least half coding?

Counts of k-mers reveal a frame only at the ends of a window, so a model has to read in steps of
three. One mRNA represents each cluster of isoforms and near-identical genes; windows of one mRNA,
and those that are near-copies of one another, are in one group, and no group crosses splits.
Windows are drawn by a fixed seed, in the order of the file.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from codonbench.contracts import DNA, Input, Ranking, Sequences, Target
from codonbench.data.table import Table
from codonbench.data.table_formats import read_chunks
from codonbench_datasets._own_split import joined, near_copies, split_by
from codonbench_datasets._table_task import TableTask, table_file

SEED = 2023
BEFORE, AFTER = 75, 126
"""Letters of a window of ``orf-start`` before its ATG, and from that on."""

LENGTH, CODING, WINDOWS = 150, 75, 2
"""Letters of a window of ``orf-frame``, how many are coding at least, and windows of an mRNA."""


@dataclass(frozen=True)
class Mrna:
    """A messenger RNA.

    Attributes:
        text: Its letters, in capitals, T for U.
        begin: Where its coding sequence begins, from 0.
        end: Where it ends, behind the stop codon.
    """

    text: str
    begin: int
    end: int


Window = tuple[int, str, int]
"""The number of an mRNA, the letters of a window in it, and its class."""


def read_mrnas(path: Path) -> list[Mrna]:
    """Return the first mRNA of each cluster of a FASTA file.

    Args:
        path: Headers say ``cds=317-1993``, from 1, the stop codon included, and ``cluster=C00001``.

    Raises:
        DataError: It cannot be read, or a header does not say where the coding sequence is.
    """
    found: dict[str, Mrna] = {}
    for chunk in read_chunks(path, ["sequence", "cds", "cluster"]):
        columns = (chunk.cells[name] for name in ("sequence", "cds", "cluster"))
        for row, (text, cds, cluster) in enumerate(zip(*columns, strict=True)):
            said = re.fullmatch(r"(\d+)-(\d+)", cds)
            begin, end = (int(said[1]) - 1, int(said[2])) if said else (-1, -1)
            if not 0 <= begin < end <= len(text):
                raise chunk.error(
                    row, "cds", repr(cds), f"two places from 1 to {len(text)}: 12-311"
                )
            found.setdefault(cluster, Mrna(text.upper().replace("U", "T"), begin, end))
    return list(found.values())


def starts(mrnas: Iterable[Mrna], rng: np.random.Generator) -> Iterator[Window]:
    """Yield the window around the start of each mRNA, 1, and that around another ATG of it, 0.

    Those whose window would leave the mRNA, or that have no other ATG, are passed over.
    """
    for number, mrna in enumerate(mrnas):
        last = len(mrna.text) - AFTER
        places = [match.start() for match in re.finditer("ATG", mrna.text)]
        others = [at for at in places if at != mrna.begin and BEFORE <= at <= last]
        if BEFORE <= mrna.begin <= last and others:
            for at, label in ((mrna.begin, 1), (others[rng.integers(len(others))], 0)):
                yield number, mrna.text[at - BEFORE : at + AFTER], label


def frames(mrnas: Iterable[Mrna], rng: np.random.Generator) -> Iterator[Window]:
    """Yield windows of each mRNA and how many letters stand before a codon there, 0 to 2.

    Codons are those of the coding sequence, counted on through untranslated regions.
    """
    for number, mrna in enumerate(mrnas):
        first = max(0, mrna.begin + CODING - LENGTH)
        last = min(mrna.end - CODING, len(mrna.text) - LENGTH)
        if first <= last and mrna.end - mrna.begin >= CODING:
            for at in rng.integers(first, last + 1, WINDOWS).tolist():
                yield number, mrna.text[at : at + LENGTH], (mrna.begin - at) % 3


def table_of(windows: Iterable[Window], classes: tuple[str, ...]) -> Table:
    """Return windows as a table, split by groups of mRNAs and of near-copies."""
    numbers, texts, labels = zip(*windows, strict=True)
    items = Sequences.of(texts, DNA)
    _, mrna = np.unique(numbers, return_inverse=True)
    n = len(items)
    near = mrna.max() + 1 + near_copies(items, one_in=1)
    links = np.arange(n), n + mrna, n + near
    one, other = np.concatenate([links[0], links[0]]), np.concatenate(links[1:])
    groups = joined(int(near.max()) + n + 1, one, other)[:n]
    table = Table(items, np.array(labels), classes)
    return split_by(table, np.unique(groups, return_inverse=True)[1])


class OrfInMrna(TableTask):
    """Windows of mRNAs."""

    category: ClassVar[str] = "known truth"
    ranking: ClassVar[Ranking]
    tables: ClassVar[Mapping[str, tuple[str, ...]]] = {"": ("human_mrna_with_cds", "orf-in-mrna")}
    default_epochs: ClassVar[int] = 30
    conversion: ClassVar[str] = (
        "a FASTA file of mRNAs is needed, human_mrna_with_cds, with headers such as "
        "'>NM_173083 cds=317-1993 cluster=C00001'; the task's own, gathered from CPAT 3.0.4, "
        "RNAlight and polyester, has 5,760 of them and SHA-256 "
        "34f1a460e5be33c6961d7b37336f0229567bfadffcd1dbca335acd699d26ee73"
    )
    reference: ClassVar[str] = (
        "Joiret et al., Frontiers in Artificial Intelligence 6 (2023), as future work; mRNAs of "
        "RefSeq and GENCODE as CPAT 3.0.4, RNAlight and polyester have them"
    )
    licence: ClassVar[str] = (
        "GPL-2 or later (CPAT), MIT (RNAlight), Artistic-2.0 (polyester); sequences of RefSeq and "
        "GENCODE"
    )

    @staticmethod
    @abstractmethod
    def windows(mrnas: Iterable[Mrna], rng: np.random.Generator) -> Iterator[Window]:
        """Yield the windows that are asked about."""

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return windows of the mRNAs in a FASTA file, with our split."""
        mrnas = read_mrnas(table_file(path, *self.tables[""]))
        rng = np.random.Generator(np.random.PCG64(SEED))
        return table_of(self.windows(mrnas, rng), self.target.names)


class OrfStart(OrfInMrna):
    """The start of the coding sequence, or another ATG of the same mRNA."""

    name: ClassVar[str] = "orf-start"
    title: ClassVar[str] = "Is this ATG of a human mRNA the start of its protein? 201 nt"
    input: ClassVar[Input] = Input.of_length(BEFORE + AFTER)
    target: ClassVar[Target] = Target(names=("other", "start"))
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", auroc="AUROC", accuracy="accuracy"
    )
    content: ClassVar[str] = "62412326684e095bfa8e3e74ce626165483a32fe4ec21144b507f09127fa278e"
    notes: ClassVar[tuple[str, ...]] = (
        "Where no stop codon follows in frame within the window, answer start: MCC 0.683 on test. "
        "Windows around 3,615 starts, and as many other ATGs of the same mRNAs.",
    )
    windows = staticmethod(starts)


class OrfFrame(OrfInMrna):
    """The reading frame of a window: the number of letters before the first whole codon."""

    name: ClassVar[str] = "orf-frame"
    title: ClassVar[str] = "Reading frame of a piece of a human mRNA, 150 nt"
    input: ClassVar[Input] = Input.of_length(LENGTH)
    target: ClassVar[Target] = Target(names=("0", "1", "2"))
    ranking: ClassVar[Ranking] = Ranking.by_mean("accuracy", accuracy="accuracy", mcc="MCC")
    content: ClassVar[str] = "d8d0148a8926bdbb5dd87e09ebabfbe36afbc5e2d4a20d9e526d443ca32cbceb"
    notes: ClassVar[tuple[str, ...]] = (
        "The frame whose longest run of codons without a stop is longest: accuracy 0.788 on test. "
        "Two windows of each of 4,767 mRNAs; from 75 letters on they are coding.",
    )
    windows = staticmethod(frames)
