"""Recipes, from a server on this machine: what a source looks like becomes the copy's content."""

import gzip
import io
import zipfile

import numpy as np
import pandas as pd
import pytest

from codonbench.contracts import TaskOptions
from codonbench.data import download
from codonbench.errors import DataError, DownloadError
from codonbench.plugins.discovery import load_registry
from codonbench_datasets._table_task import FOLDER_VARIABLE

TASKS = load_registry().known_tasks


def letters(n, seed=0):
    rng = np.random.default_rng(seed)
    return "".join(rng.choice(list("ACGT"), n))


def csv(header, *rows):
    return header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def fasta(*rows):
    """Return records in two lines each, in small letters but for one."""
    return "".join(f">{title}\n{text[:50].lower()}\n{text[50:]}\n" for title, text in rows)


def ecoli(names, labels, stem):
    items = [(label, letters(81, 10 * i + j)) for i, label in enumerate(labels) for j in range(6)]
    source = {
        f"{name}.txt": fasta(*((f"ECK{j}_x_[A|W|b\u3000c]_Weak", t) for j, (_, t) in rows))
        for name, label in zip(names, labels, strict=True)
        if (rows := list(enumerate(i for i in items if i[0] == label)))
    }
    return source, {f"{stem}.csv": csv("sequence,label", *((t, label) for label, t in items))}


def uci():
    rows = [(label, letters(60, i)) for i, label in enumerate(("EI", "IE", "N") * 6)]
    text = "".join(f"{label},  NAME-{i},     {text}\n" for i, (label, text) in enumerate(rows))
    return {"splice.data": text}, {"all.csv": csv("sequence,label", *((t, c) for c, t in rows))}


def ncrna():
    rows = [("tRNA", letters(40, 1)), ("IRES", letters(55, 2)), ("5S_rRNA", letters(60, 3))]
    source, copy = {}, {}
    for name, split in (("6320", "train"), ("validated_2600", "test")):
        text = fasta(*((f"RF{i} {c}", t.replace("T", "U")) for i, (c, t) in enumerate(rows)))
        source[f"dataset_Rfam_{name}_13classes.fasta"] = text
        copy[f"{split}.csv"] = csv("sequence,label", *((t, c) for c, t in rows))
    return source, copy


def mirna():
    rows = [(letters(20, i), letters(50, 9 + i), i % 2) for i in range(4)]
    source, copy = {}, {}
    for part, split in (("train", "train"), ("evaluation", "dev"), ("test", "test")):
        text = "".join(f"{gene}\t{rna}\t{label}\n" for rna, gene, label in rows)
        source[f"{part}_set_1_1_CLASH2013_paper.tsv"] = "gene\tmiRNA\tlabel\n" + text
        copy[f"{split}.csv"] = csv("mirna,gene,label", *rows)
    return source, copy


def mpra(length, header, own, names):
    values = (1.23456789, -0.000012345678)
    rows = [(letters(length, i), *values[: own.count(",")]) for i in range(3)]
    source, copy = {}, {}
    for part, split in names:
        text = "".join("id\t" + "\t".join(map(str, row)) + "\tmore\n" for row in rows)
        source[f"sample_{part}.txt"] = header + "\n" + text
        six = ((text, *(f"{v:.6g}" for v in rest)) for text, *rest in rows)
        copy[f"{split}.csv"] = csv(own, *six)
    return source, copy


def satmut():
    """Two elements: of one a letter was changed nowhere, and one variant has too few barcodes."""
    columns = ("Chrom", "Pos", "Ref", "Alt", "Barcodes", "DNA", "RNA", "Coefficient", "pValue")
    columns += ("Element", "Release")
    one, other = letters(187, 1), letters(200, 2)
    lines, kept = [], []
    for name, text, begin in (("F9", one, 1000), ("ZRSh-13", other, 50)):
        for i, ref in enumerate(text):
            alt = "ACGT"["ACGT".index(ref) - 1]
            for release, shift in (("GRCh37", 7), ("GRCh38", 0)):
                if (name, i) == ("F9", 60):
                    continue
                barcodes = 9 if i == 3 else 12
                fields = ("X", begin + i + shift, ref, alt, barcodes, 1, 1, 0.1234567, 0.5)
                lines.append([*fields, name, release])
            if (name, i) != ("F9", 60):
                kept.append((name, i, ref, alt, f"{0.1234567:.6g}", barcodes))
        lines.append(["X", begin + 9, text[9], "-", 50, 1, 1, -1.0, 0.5, name, "GRCh38"])
    table = "\t".join(columns) + "\n" + "".join("\t".join(map(str, r)) + "\n" for r in lines)
    places = ("F9", one[:60] + "N" + one[61:]), ("ZRSh-13", other)
    return {"elements.tsv.gz": gzip.compress(table.encode())}, {
        "elements.csv": csv("element,sequence", *places),
        "variants.csv": csv("element,offset,ref,alt,effect,barcodes", *kept),
    }


def brca1():
    """Two exons on the strand of falling positions."""
    rows, places, kept = [], [], []
    for name, begin in (("X2", 41_276_036), ("X3", 41_267_740)):
        text = letters(100, begin)
        places.append((name, text))
        for i in reversed(range(100)):
            alt = "ACGT"["ACGT".index(text[i]) - 1]
            kind = ("FUNC", "INT", "LOF")[i % 3]
            rows.append(("BRCA1", 17, begin + i, text[i], alt, 0.5, kind))
            kept.append((name, i, text[i], alt, kind))
    names = ["gene", "chromosome", "position (hg19)", "reference", "alt"]
    frame = pd.DataFrame(rows, columns=[*names, "function.score.mean", "func.class"])
    sheet = io.BytesIO()
    frame.to_excel(sheet, index=False, startrow=2)
    return {"41586_2018_461_MOESM3_ESM.xlsx": sheet.getvalue()}, {
        "exons.csv": csv("exon,sequence", *places),
        "variants.csv": csv("exon,offset,ref,alt,class", *kept),
    }


def tcga():
    import rdata

    rng = np.random.default_rng(0)
    sets, copy = {}, {}
    for split, n in (("train", 6), ("test", 3)):
        blocks = {name: rng.normal(size=(n, k)) for name, k in (("mirna", 184), ("mrna", 200))}
        subtype = pd.Categorical(["Basal", "Her2", "LumA"] * (n // 3))
        sets[f"data.{split}"] = {**blocks, "subtype": subtype}
        both = np.concatenate([blocks["mrna"], blocks["mirna"]], axis=1)
        rows = [(c, *(f"{v:.6g}" for v in values)) for c, values in zip(subtype, both, strict=True)]
        copy[f"breast_tcga_{split}.csv"] = csv(
            ",".join(["subtype", *(f"g{i}" for i in range(384))]), *rows
        )
    content = io.BytesIO()
    rdata.write_rda(content, {"breast.TCGA": sets})
    return {"breast.TCGA.rda": content.getvalue()}, copy


SIGMAS = [f"sigma{n}" for n in (24, 28, 32, 38, 54, 70)]
DREAM = (("train", "train"), ("valid", "dev"), ("test", "test"))
FLY = (("train", "train"), ("val", "val"), ("test", "test"))
RECIPES = {
    "ecoli-promoter": lambda: ecoli(("positive2860", "negative2860"), "10", "benchmark"),
    "ecoli-sigma": lambda: ecoli([f"{s}promoter" for s in SIGMAS], SIGMAS, "sigma"),
    "uci-splice": uci,
    "ncrna-13": ncrna,
    "mirna-target": mirna,
    "lentimpra-sample": lambda: mpra(230, "seq_id\tseq\tmean_value\tfold", "sequence,value", DREAM),
    "deepstarr-sample": lambda: mpra(
        249,
        "ID\tSequence\tDev_log2_enrichment\tHk_log2_enrichment\tset",
        "sequence,dev,hk",
        FLY,
    ),
    "satmut-mpra": satmut,
    "brca1-sge": brca1,
    "tcga-breast": tcga,
}


@pytest.fixture
def served(server, tmp_path, monkeypatch):
    """Serve what a task's source looks like; return the task, whose content is that of the copy."""
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)

    def served(name):
        task, (source, copy) = TASKS[name], RECIPES[name]()
        (tmp_path / "copy").mkdir()
        for file, text in copy.items():
            (tmp_path / "copy" / file).write_text(text)
        contents = {k: v.encode() if isinstance(v, str) else v for k, v in source.items()}
        files = []
        for file in task.origin.files:
            path = file.url.partition("raw.githubusercontent.com")[2]
            server.put(path, contents.pop(path.rpartition("/")[2]))
            files.append(file.model_copy(update={"url": server.url + path}))
        assert not contents
        origin = task.origin.model_copy(update={"files": tuple(files)})
        monkeypatch.setattr(type(task), "origin", origin)
        monkeypatch.setattr(type(task), "sources", (origin,))
        content = task._read(tmp_path / "copy", downloaded=False).checksum
        monkeypatch.setattr(type(task), "content", content)
        return task

    return served


@pytest.mark.parametrize("name", list(RECIPES))
def test_what_is_fetched_is_what_a_copy_holds(name, served, server, tmp_path):
    task, cache = served(name), tmp_path / "cache"
    fetched = task.load(name, TaskOptions(), cache=cache)
    assert (fetched.source, fetched.checksum) == (name, task.content)
    asked = len(server.requests)
    assert asked == len(task.origin.files)
    again = task.load(name, TaskOptions(), cache=cache, offline=True)
    assert again.checksum == task.content
    assert len(server.requests) == asked
    sums = sorted(path.name for path in (cache / name).glob("*.sha256"))
    assert len(sums) == asked  # none is published, so that of first use is kept


@pytest.mark.parametrize("gone_wrong", ["gone", "changed", "cut short", "offline", "other data"])
def test_a_source_that_fails_is_a_sentence_and_leaves_nothing_half(
    gone_wrong, served, server, tmp_path
):
    task, cache = served("ecoli-promoter"), tmp_path / "cache"
    second = "/" + task.origin.files[1].url.split("/", 3)[3]
    content = server.pages[second][1]
    kind: type[Exception] = DownloadError
    if gone_wrong == "gone":
        server.put(second, b"", code=404)
        words = "failed: the server answered 404"
    elif gone_wrong == "cut short":
        server.put(second, content[:500], announced=len(content))
        words = "was cut short after .*; run it again"
    elif gone_wrong == "offline":
        words = "is not in the cache.*network access is switched off"
    elif gone_wrong == "changed":
        task.load(task.name, TaskOptions(), cache=cache)
        (cache / task.name / "negative2860.fa").unlink()
        server.put(second, content.replace(b"A", b"C"))
        words = "is damaged or has changed: its SHA-256 is"
    else:
        server.put(second, content.replace(b"A", b"C"))
        kind, words = (
            DataError,
            "are not the data of 'ecoli-promoter'; 'bench data fetch .* --force'",
        )
    with pytest.raises(kind, match=rf"\A[^\n]*{words}[^\n]*\Z"):
        task.load(task.name, TaskOptions(), cache=cache, offline=gone_wrong == "offline")
    there = {path.name for path in (cache / task.name).glob("*")}
    whole = {"positive2860.fa", "positive2860.fa.sha256"} if gone_wrong != "offline" else set()
    extra = {"changed": {"negative2860.fa.sha256"}}
    extra["other data"] = {"negative2860.fa", "negative2860.fa.sha256"}
    assert there == whole | extra.get(gone_wrong, set())


def test_a_page_that_is_no_table_says_how_to_download_it_again(served, server, tmp_path):
    task = served("uci-splice")
    page = "/" + task.origin.files[0].url.split("/", 3)[3]
    content = server.pages[page][1]
    server.put(page, b"<html>log in</html>")
    with pytest.raises(DataError, match=r"\A[^\n]*'bench data fetch uci-splice --force' [^\n]*\Z"):
        task.load(task.name, TaskOptions(), cache=tmp_path)
    server.put(page, content)
    download.fetch(task.origin, tmp_path, anew=True)
    assert task.load(task.name, TaskOptions(), cache=tmp_path, offline=True).source == task.name


SOURCES = {s.name: s for task in TASKS.values() for s in task.sources if not s.package}


@pytest.mark.parametrize("name", list(SOURCES))
def test_each_source_that_fails_is_a_sentence_and_leaves_nothing(name, server, tmp_path):
    url, files = f"{server.url}/it", SOURCES[name].files[:1]
    first = tuple(file.model_copy(update={"url": url}) for file in files)
    source = SOURCES[name].model_copy(update={"url": url, "files": first})
    for code, content, announced, words in (
        (404, b"", 0, "the server answered 404"),
        (200, b"abc", 9, "was cut short"),
        (200, b"", 0, "is empty|is damaged"),
    ):
        server.put("/it", content, code=code, announced=announced)
        with pytest.raises(DownloadError, match=rf"\A[^\n]*({words})[^\n]*\Z"):
            download.fetch(source, tmp_path, agreed=True)
        assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    with pytest.raises(DownloadError, match="network access is switched off"):
        download.fetch(source, tmp_path, offline=True)


def test_the_wheel_of_scanpy_is_read_as_it_lies(tmp_path, monkeypatch):
    import h5py

    from codonbench_datasets.expression import CELLS, Pbmc

    values = np.zeros((40, 765), dtype=np.float32)
    rng = np.random.default_rng(0)
    values[rng.random(values.shape) < 0.1] = 1.591
    classes = np.arange(40) % 4
    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        rows, columns = np.nonzero(values)
        raw = file.create_group("raw.X")
        raw["data"], raw["indices"] = values[rows, columns], columns.astype(np.int32)
        raw["indptr"] = np.searchsorted(rows, np.arange(41)).astype(np.int32)
        file["raw.var"] = np.zeros(765, dtype=[("index", "S4")])
        file["uns/bulk_labels_categories"] = np.array([CELLS[i].encode() for i in (3, 1, 0, 2)])
        labels = np.zeros(40, dtype=[("bulk_labels", "i1")])
        labels["bulk_labels"] = np.array([2, 1, 3, 0])[classes]
        file["obs"] = labels
    with zipfile.ZipFile(tmp_path / "scanpy.whl", "w") as wheel:
        wheel.writestr("scanpy/datasets/10x_pbmc68k_reduced.h5ad", content.getvalue())
    found = Pbmc().load(str(tmp_path / "scanpy.whl"), TaskOptions(), cache=tmp_path)
    assert (found.items.values == values).all()
    assert found.targets.tolist() == classes.tolist()


def test_a_package_that_is_lacking_is_named(tmp_path, monkeypatch):
    import sys

    from codonbench_datasets.expression import cells_from_wheel

    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"h5py is needed.*codonbench\[recipes\]"):
        cells_from_wheel(tmp_path / "scanpy.whl")


def test_each_task_of_tables_has_a_recipe_or_says_why_not():
    without = {
        name
        for name, task in TASKS.items()
        if getattr(task, "conversion", "") or (hasattr(task, "content") and not task.sources)
    }
    assert without == {"yeast-promoter", "orf-start", "orf-frame"}


def test_a_wheel_is_asked_of_pip_and_nobody_else(tmp_path, monkeypatch):
    asked = []

    def run(command, **_):
        asked.append(command)
        raise FileNotFoundError(2, "no pip here")

    monkeypatch.setattr(download.subprocess, "run", run)
    for name in ("khan", "pbmc", "contig-origin"):
        with pytest.raises(DownloadError, match="no pip here"):
            download.fetch(TASKS[name].origin, tmp_path)
    assert [command[-3] for command in asked] == ["ISLP==0.6.0", "scanpy==1.11.5", "tiara==1.0.2"]
