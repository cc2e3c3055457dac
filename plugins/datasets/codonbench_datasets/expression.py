"""The class of a sample from the expression of its genes: four tasks.

``golub``, ``khan`` and ``tcga-breast`` have few samples, far more features than samples, and the
published split into training and test samples. A validation split is cut from the training samples
by the seed, the same for every model of a seed. ``pbmc`` has 700 single cells and no published
split; a fifth of each class is for the test. All are too small to be judged by one split: they are
cross-validated over five folds, anew for each seed, unless ``--folds 0`` asks for that split.

The published tables of ``golub`` and ``tcga-breast`` have their rows sorted by class, in training
and test, so an item's position in its table reveals its class, and the audit is a FAIL for that
alone. No model here gets an item's position. The order of rows is kept as published.
"""

from __future__ import annotations

import csv
import io
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from codonbench import DataSource
from codonbench.contracts import Features, Input, Ranking, Target
from codonbench.data.table import Table, TableFormat, read_table
from codonbench.data.table_files import TableFiles
from codonbench.data.table_formats import columns_of
from codonbench.errors import DataError
from codonbench_datasets._own_split import split_by
from codonbench_datasets._table_task import TableTask, needed, table_file

GOLUB_COMMIT = "60f0d63c5eab1c10e532ca14ef48f63569c25911"
GOLUB = DataSource.of_folder(
    "golub",
    "training and test samples in a public copy of golubEsets, pinned to a commit",
    f"https://raw.githubusercontent.com/ramhiser/datamicroarray/{GOLUB_COMMIT}/data/golub-leukemia",
    {"golub-train.csv": None, "golub-test.csv": None},
)

TCGA_COMMIT = "d732983ad52fdd7fb2496a7ca8ac1bec501a63ab"
TCGA = DataSource.of_folder(
    "tcga-breast",
    "the R object breast.TCGA of mixOmics, pinned to a commit",
    f"https://raw.githubusercontent.com/mixOmicsTeam/mixOmics/{TCGA_COMMIT}/data",
    {"breast.TCGA.rda": None},
)


class ExpressionTask(TableTask):
    """Classes of samples, from one table of training samples and one of test samples.

    Class attributes:
        column: The column of classes in a local copy.
        stems: What the two tables of a local copy may be called, less ``_train`` and ``_test``.
    """

    column: ClassVar[str]
    stems: ClassVar[tuple[str, ...]]
    default_epochs: ClassVar[int] = 100
    folds: ClassVar[int] = 5
    category: ClassVar[str] = "expression"
    ranking: ClassVar[Ranking] = Ranking.by_mean(
        "mcc", mcc="MCC", balanced_accuracy="balanced accuracy"
    )

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return both tables, with the features of the test samples."""
        stems, joint = ((self.name,), "-") if downloaded else (self.stems, "_")
        files = {
            split: table_file(path, *(f"{stem}{joint}{split}" for stem in stems), split)
            for split in ("train", "test")
        }
        column = "labels" if downloaded else self.column
        features = tuple(name for name in columns_of(files["test"]) if name != column)
        form = TableFormat(features=features, targets=(column,), classes=self.target.names)
        return read_table(TableFiles(files), form)


class Golub(ExpressionTask):
    """Acute lymphoblastic or myeloid leukaemia."""

    name: ClassVar[str] = "golub"
    title: ClassVar[str] = "Acute leukaemia, lymphoblastic or myeloid, from 7,129 probes"
    input: ClassVar[Input] = Input.of_length(
        7129, kind="features", unit="sample", symbol="probe", alphabet=""
    )
    target: ClassVar[Target] = Target(names=("ALL", "AML"))
    column: ClassVar[str] = "label"
    stems: ClassVar[tuple[str, ...]] = ("golub",)
    content: ClassVar[str] = "4c493b4a8b5a7dd4e8adbceccb7bfe4e94c68342ca6b1dc126e31379f15c00c8"
    reference: ClassVar[str] = "Golub et al., Science 286 (1999) 531-537"
    licence: ClassVar[str] = "MIT (the public copy)"
    origin: ClassVar[DataSource] = GOLUB


ISLP = DataSource(
    name="khan",
    summary="the wheel of ISLP 0.6.0, which holds the published samples (17 MB)",
    url="https://pypi.org/project/ISLP/0.6.0/",
    package="ISLP==0.6.0",
    filename="islp-0.6.0-py3-none-any.whl",
    sha256="ca772cecca1747a2f84ee799a5503ddddbdf0e98f90c235494790c1d036c694b",
)


class Khan(ExpressionTask):
    """Four small round blue-cell tumours of childhood."""

    name: ClassVar[str] = "khan"
    title: ClassVar[str] = "Small round blue-cell tumour, four classes, from 2,308 genes"
    input: ClassVar[Input] = Input.of_length(
        2308, kind="features", unit="sample", symbol="gene", alphabet=""
    )
    target: ClassVar[Target] = Target(names=("1", "2", "3", "4"))
    column: ClassVar[str] = "label"
    stems: ClassVar[tuple[str, ...]] = ("khan_srbct", "khan")
    content: ClassVar[str] = "c2c745e57f0997f67fc405ebd12fee8dfe9174232eefb2b40521fa95cfbc3b1e"
    reference: ClassVar[str] = "Khan et al., Nature Medicine 7 (2001) 673-679"
    licence: ClassVar[str] = "BSD-2 (the package)"
    origin: ClassVar[DataSource] = ISLP

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return two tables, or what the package's wheel holds."""
        return from_wheel(path) if path.suffix == ".whl" else super().read(path, downloaded=False)


def from_wheel(path: Path) -> Table:
    """Return Khan's samples from ISLP's wheel, to the six digits of the published table."""
    values: list[list[float]] = []
    classes: list[int] = []
    splits = {}
    with zipfile.ZipFile(path) as wheel:
        for split in ("train", "test"):
            first = len(values)
            for name, keep in (("x", values), ("y", classes)):
                with wheel.open(f"ISLP/data/Khan_{name}{split}.csv") as file:
                    _, *rows = csv.reader(io.TextIOWrapper(file, encoding="ascii"))
                if keep is classes:
                    classes += (int(row[0]) - 1 for row in rows)
                else:
                    values += ([float(f"{float(cell):.6g}") for cell in row] for row in rows)
            splits[split] = np.arange(first, len(values))
    items = Features(np.array(values, dtype=np.float32))
    return Table(items, np.array(classes), Khan.target.names, splits)


SCANPY = DataSource(
    name="pbmc",
    summary="the wheel of scanpy 1.11.5, which holds the cells as HDF5",
    url="https://pypi.org/project/scanpy/1.11.5/",
    package="scanpy==1.11.5",
    filename="scanpy-1.11.5-py3-none-any.whl",
    sha256="fcd383ddcf7acbf7c0ca232c25ad51b00aec9f8d2f7c8954b8c6ee0962257166",
)
CELLS = (
    *("CD14+ Monocyte", "CD19+ B", "CD34+", "CD4+/CD25 T Reg", "CD4+/CD45RA+/CD25- Naive T"),
    *("CD4+/CD45RO+ Memory", "CD56+ NK", "CD8+ Cytotoxic T", "CD8+/CD45RA+ Naive Cytotoxic"),
    "Dendritic",
)


class Pbmc(ExpressionTask):
    """Ten kinds of blood cells, from single cells."""

    name: ClassVar[str] = "pbmc"
    title: ClassVar[str] = "Kind of a blood cell, ten classes, from 765 genes"
    input: ClassVar[Input] = Input.of_length(
        765, kind="features", unit="sample", symbol="gene", alphabet=""
    )
    target: ClassVar[Target] = Target(names=CELLS)
    column: ClassVar[str] = "label"
    content: ClassVar[str] = "9d739eb85aca68cad11cd0c5864a023f655f9af6d0d41283ab820a6db9f74c81"
    notes: ClassVar[tuple[str, ...]] = (
        "The split is ours: there is no published one. The classes were called from the same "
        "expression levels, by their authors' clustering.",
    )
    reference: ClassVar[str] = "Zheng et al., Nature Communications 8 (2017) 14049"
    licence: ClassVar[str] = "BSD-3 (the package)"
    origin: ClassVar[DataSource] = SCANPY

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return the table, or what the package's wheel holds, split by cells."""
        if path.suffix == ".whl":
            table = cells_from_wheel(path)
        else:
            file = table_file(path, "pbmc68k_reduced", "pbmc")
            features = tuple(name for name in columns_of(file) if name != self.column)
            form = TableFormat(features=features, targets=(self.column,), classes=CELLS)
            table = read_table(file, form)
        return replace(split_by(table, np.arange(len(table.items))), groups=None)


def cells_from_wheel(path: Path) -> Table:
    """Return the cells of scanpy's wheel: the raw layer, and what each cell is called."""
    h5py = needed("h5py")
    with zipfile.ZipFile(path) as wheel:
        content = wheel.read("scanpy/datasets/10x_pbmc68k_reduced.h5ad")
    with h5py.File(io.BytesIO(content)) as file:
        raw, rows = file["raw.X"], file["obs"].shape[0]
        values = np.zeros((rows, file["raw.var"].shape[0]), dtype=np.float32)
        row = np.repeat(np.arange(rows), np.diff(raw["indptr"][:]))
        values[row, raw["indices"][:]] = raw["data"][:]
        names = [name.decode() for name in file["uns/bulk_labels_categories"][:]]
        classes = np.array([CELLS.index(name) for name in names])[file["obs"]["bulk_labels"]]
    return Table(Features(values), classes, CELLS)


class TcgaBreast(ExpressionTask):
    """Three subtypes of breast cancer; the proteins, which no test sample has, are left out.

    The download is an R file, which the extra `rdata` reads; this was tested on files that R wrote
    from a local copy, of matrices and of data frames.
    """

    name: ClassVar[str] = "tcga-breast"
    title: ClassVar[str] = "Subtype of a breast cancer from 200 mRNAs and 184 miRNAs"
    input: ClassVar[Input] = Input.of_length(
        384, kind="features", unit="sample", symbol="gene", alphabet=""
    )
    target: ClassVar[Target] = Target(names=("Basal", "Her2", "LumA"))
    column: ClassVar[str] = "subtype"
    stems: ClassVar[tuple[str, ...]] = ("breast_tcga", "tcga-breast")
    content: ClassVar[str] = "69a29d4716126d5bf96643d4cd064b6812f2d6d2209d398ec8dd97ca8a6d5c61"
    reference: ClassVar[str] = "Rohart et al., PLoS Computational Biology 13 (2017) e1005752"
    licence: ClassVar[str] = "GPL-2 or later (the public copy); data of The Cancer Genome Atlas"
    origin: ClassVar[DataSource] = TCGA

    def read(self, path: Path, *, downloaded: bool) -> Table:
        """Return two tables, or what mixOmics' R object holds."""
        file = path / "breast.TCGA.rda" if path.is_dir() else path
        if file.suffix == ".rda" and file.is_file():
            return from_r(file)
        return super().read(path, downloaded=False)


def from_r(path: Path) -> Table:
    """Return the samples of breast.TCGA, to the six digits that a local copy has.

    The object is a list of ``data.train`` and ``data.test``, each a list of ``mrna`` and ``mirna``,
    with a row a sample and a column a gene, and of ``subtype``.

    Raises:
        DataError: R's files cannot be read here, or this is another object.
    """
    try:
        import rdata
    except ModuleNotFoundError as error:
        raise DataError(
            f"{path}: it is an R object; to read it, pip install 'codonbench[rdata]'"
        ) from error
    blocks: list[npt.NDArray[np.float64]] = []
    labels: list[int] = []
    splits = {}
    try:
        samples = rdata.read_rda(path)["breast.TCGA"]
        for split in ("train", "test"):
            own = samples[f"data.{split}"]
            parts = [np.asarray(own[kind], dtype=np.float64) for kind in ("mrna", "mirna")]
            first = len(labels)
            blocks.append(np.concatenate(parts, axis=1))
            labels += map(TcgaBreast.target.names.index, map(str, own["subtype"]))
            splits[split] = np.arange(first, len(labels))
        values = np.concatenate(blocks)
        if values.shape != (len(labels), TcgaBreast.input.max_length):
            raise ValueError(f"{len(labels)} subtypes and values of shape {values.shape}")
    except Exception as error:  # the reader has its own complaints, and so has each step
        raise DataError(
            f"{path}: damaged, or not the object breast.TCGA of mixOmics ({error}); get it anew"
        ) from error
    rounded = [[float(f"{value:.6g}") for value in row] for row in values]
    items = Features(np.array(rounded, dtype=np.float32))
    return Table(items, np.array(labels), TcgaBreast.target.names, splits)
