"""Tasks whose data are tables: from real files where they are, and the recipes for the rest."""

import math
import os
import sys
import zipfile
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from codonbench.contracts import Sequences, TaskOptions
from codonbench.data import download
from codonbench.errors import DataError, DownloadError
from codonbench.plugins.discovery import load_registry
from codonbench_datasets import contig_origin
from codonbench_datasets._own_split import joined, kmers, near_copies, sharing
from codonbench_datasets._table_task import FOLDER_VARIABLE
from codonbench_datasets.contig_origin import ORDER
from codonbench_datasets.enhancers import Enhancers
from codonbench_datasets.expression import Golub, Khan, TcgaBreast
from codonbench_datasets.mrna_regression import MrfpExpression
from codonbench_datasets.yeast_promoter import CEILING, YeastPromoter

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data"))
YEAST = DATA / "tasks" / "yeast_promoter_mpra"
EXPRESSION = DATA / "tasks" / "expression"
MRFP = DATA / "tasks" / "mrna_regression"


SPLITS = ("train", "validation", "test")


def load(task, data, cache):
    return task.load(str(data), TaskOptions(), cache=cache)


def sizes(found):
    return [len(found.splits[name]) for name in SPLITS]


@pytest.mark.skipif(not YEAST.is_dir(), reason=f"no real data in {YEAST}")
def test_no_group_of_yeast_promoters_crosses_splits(tmp_path):
    found = load(YeastPromoter(), YEAST, tmp_path)
    assert sizes(found) == [56822, 5995, 6423]
    groups = [set(found.groups[rows].tolist()) for rows in found.splits.values()]
    assert not groups[0] & groups[1]
    assert not groups[2] & (groups[0] | groups[1])
    assert (found.source, found.checksum) == ("yeast-promoter", YeastPromoter.content)
    assert "0.989" in found.spec.notes[0]
    letters = found.items.letters.reshape(-1, 80).astype(np.uint64)
    words = sum(letters[:, i : 61 + i] << np.uint64(2 * i) for i in range(20))
    words, word = np.unique(words, return_inverse=True)
    n = len(letters)
    own = joined(n + len(words), np.repeat(np.arange(n), 61), n + word.ravel())[:n]
    assert len(np.unique(own)) == 13_969
    assert len(np.unique(found.groups)) == 12_756
    assert len(np.unique(np.stack([own, found.groups]), axis=1).T) == 13_969  # each within one


def test_the_ceiling_is_what_two_noisy_copies_of_a_truth_allow():
    """The truth itself, held against the mean of two measurements that correlate at 0.957."""
    rng = np.random.default_rng(0)
    truth = rng.normal(size=400_000)
    noise = math.sqrt(1 / 0.957 - 1)
    replicates = truth + noise * rng.normal(size=(2, 400_000))
    assert np.corrcoef(*replicates)[0, 1] == pytest.approx(0.957, abs=1e-3)
    attained = np.corrcoef(truth, replicates.mean(axis=0))[0, 1]
    assert attained == pytest.approx(CEILING.value, abs=1e-3)


@pytest.mark.skipif(not MRFP.is_dir(), reason=f"no real data in {MRFP}")
def test_mrfp_has_the_published_split(tmp_path):
    found = load(MrfpExpression(), MRFP, tmp_path)
    assert sizes(found) == [1021, 219, 219]
    assert found.items.text("ACGT")[0].startswith("ATG")
    assert (found.source, found.checksum) == ("mrfp-expression", MrfpExpression.content)


@pytest.mark.skipif(not EXPRESSION.is_dir(), reason=f"no real data in {EXPRESSION}")
@pytest.mark.parametrize(
    ("task", "shape", "train", "test"),
    [
        (Golub(), (72, 7129), [27, 11], [20, 14]),
        (TcgaBreast(), (220, 384), [45, 30, 75], [21, 14, 35]),
    ],
)
def test_expression_has_the_published_split(task, shape, train, test, tmp_path):
    found = load(task, EXPRESSION, tmp_path)
    assert found.items.values.shape == shape
    counts = [np.bincount(found.targets[rows]).tolist() for rows in found.splits.values()]
    assert counts == [train, test]
    assert (found.source, found.checksum) == (task.name, task.content)


def test_the_public_copy_of_golub_names_its_columns_otherwise(tmp_path, monkeypatch):
    """As `write.csv` of R writes it: quoted names and classes, the class first."""
    monkeypatch.setattr(
        Golub, "input", Golub.input.model_copy(update={"max_length": 2, "min_length": 2})
    )
    rows = {"train": [("ALL", -214, -153), ("AML", 5, 142)], "test": [("AML", 10, 0)]}

    def send(source, part, progress):
        split = Path(source.url).stem.split("-")[1]
        lines = [f'"{label}",{a},{b}\n' for label, a, b in rows[split]]
        part.write_text('"labels","AFFX.BioB.5_at","A28102_at"\n' + "".join(lines))

    monkeypatch.setattr(download, "_download", send)
    (tmp_path / "copy").mkdir()
    for split, own in rows.items():
        lines = [f"{label},{a},{b}\n" for label, a, b in own]
        (tmp_path / "copy" / f"golub_{split}.csv").write_text("label,g0,g1\n" + "".join(lines))
    copied = Golub().read(tmp_path / "copy", downloaded=False)
    monkeypatch.setattr(Golub, "content", copied.checksum)
    fetched = load(Golub(), "golub", tmp_path / "cache")
    assert fetched.checksum == copied.checksum
    assert fetched.items.values.tolist() == [[-214, -153], [5, 142], [10, 0]]
    assert (fetched.spec.train_size, fetched.spec.validation_size, fetched.spec.test_size) == (
        2,
        0,
        1,
    )


INSTALLED = load_registry().tasks

REAL = {
    "enhancers": ("enhancers_liu2016", [2968, 0, 400]),
    "ecoli-promoter": ("ecoli_promoter", [4118, 458, 1144]),
    "ecoli-sigma": ("ecoli_promoter", [2058, 230, 572]),
    "gue-prom-core-all": ("gue_prom/prom_core_all", [47356, 5920, 5920]),
    "gue-prom-core-notata": ("gue_prom/prom_core_notata", [42452, 5307, 5307]),
    "gue-prom-core-tata": ("gue_prom/prom_core_tata", [4904, 613, 613]),
    "gue-prom-300-tata": ("gue_prom/prom_300_tata", [4904, 613, 613]),
    "gue-prom-300-all": ("gue_prom/prom_300_all", [0, 5920, 5920]),
    "gue-prom-300-notata": ("gue_prom/prom_300_notata", [0, 5307, 5307]),
    "cov-degradation": ("mrna_regression", [1600, 400, 400]),
    "tc-riboswitch": ("mrna_regression", [248, 53, 54]),
    "lentimpra-sample": ("lentimpra_sample", [1000, 1000, 1000]),
    "deepstarr-sample": ("deepstarr_sample", [1000, 1000, 1000]),
    "ncrna-13": ("ncrna_13class", [6320, 0, 2600]),
    "mirna-target": ("mirna_target_clash", [30784, 2000, 4000]),
    "uci-splice": ("uci_splice", [2296, 256, 638]),
    "khan": ("expression", [63, 0, 20]),
    "pbmc": ("expression", [496, 61, 143]),
    "methylation-4mc-c-equisetifolia": ("dna_methylation_idna_ms", [366, 0, 366]),
    "methylation-6ma-xoc-bls256": ("dna_methylation_idna_ms", [17216, 0, 17214]),
}
"""The folder of each task's data, and how many items its splits have."""


@pytest.mark.parametrize("name", list(REAL))
def test_real_files_are_those_of_the_recipe(name, tmp_path):
    folder, expected = REAL[name]
    if not (DATA / "tasks" / folder).is_dir():
        pytest.skip(f"no real data in {DATA / 'tasks' / folder}")
    task = INSTALLED[name].task
    found = load(task, DATA / "tasks" / folder, tmp_path)
    assert [len(found.splits.get(split, ())) for split in SPLITS] == expected
    assert (found.source, found.checksum) == (task.default_data, task.content)
    assert found.spec.licence
    assert found.spec.reference
    if found.groups is not None:
        groups = [set(found.groups[rows].tolist()) for rows in found.splits.values()]
        assert not any(one & other for one, other in combinations(groups, 2))


def made_fasta(texts):
    return "".join(f">{i}\n{text[:60].lower()}\n{text[60:]}\n" for i, text in enumerate(texts))


def test_the_enhancers_come_as_a_file_a_class_and_are_the_copy_s_rows(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), 200)) for _ in range(8)]
    files = {"enhancer.cv": texts[:2], "non.cv": texts[2:5], "enhancer.ind": texts[5:7]}
    files["non.ind"] = texts[7:]

    def send(source, part, progress):
        assert source.url.endswith(".txt")
        part.write_text(made_fasta(files[Path(source.url).stem]))

    monkeypatch.setattr(download, "_download", send)
    rows = [f"{text},{i < 2 or 5 <= i < 7:d}\n" for i, text in enumerate(texts)]
    for split, some in (("train", rows[:5]), ("test", rows[5:])):
        (tmp_path / f"{split}.csv").write_text("sequence,label\n" + "".join(some))
    monkeypatch.setattr(Enhancers, "content", load(Enhancers(), tmp_path, tmp_path).checksum)
    fetched = load(Enhancers(), "enhancers", tmp_path / "cache")
    assert (fetched.source, fetched.targets.tolist()) == ("enhancers", [1, 1, 0, 0, 0, 1, 1, 0])


def test_rows_that_the_source_sorts_by_class_are_mixed_alike_each_time(tmp_path):
    rng = np.random.default_rng(0)
    rows = [f"{''.join(rng.choice(list('ACGT'), 200))},{i < 20:d}\n" for i in range(40)]
    for split in ("train", "test"):
        (tmp_path / f"{split}.csv").write_text("sequence,label\n" + "".join(rows))
    found, again = (load(Enhancers(), tmp_path, tmp_path) for _ in range(2))
    order = found.splits["test"]
    assert sorted(order.tolist()) == list(range(40, 80))
    assert order.tolist() == again.splits["test"].tolist()
    assert 5 < found.targets[order][:20].sum() < 15


def test_a_set_of_methylation_comes_with_numbers_and_is_the_copy_s_rows(tmp_path, monkeypatch):
    texts = ["ACGTA" * 8 + letter for letter in "ACGT"]

    def send(source, part, progress):
        assert "/DNA_MS/tsv/6mA/6mA_Xoc%20BLS256/" in source.url
        rows = [f"{i}\t{i % 2}\t{text}\n" for i, text in enumerate(texts)]
        part.write_text("index\tlabel\ttext\n" + "".join(rows))

    monkeypatch.setattr(download, "_download", send)
    rows = "".join(f"{text},{i % 2}\n" for i, text in enumerate(texts))
    for split in ("train", "test"):
        (tmp_path / f"6mA_Xoc_BLS256.{split}.csv").write_text("sequence,label\n" + rows)
    task = INSTALLED["methylation-6ma-xoc-bls256"].task
    monkeypatch.setattr(type(task), "content", load(task, tmp_path, tmp_path).checksum)
    assert load(task, task.name, tmp_path / "cache").source == task.name


def test_an_object_of_r_is_read_as_it_lies(tmp_path, monkeypatch):
    rdata = pytest.importorskip("rdata", reason="needs the extra 'rdata'")
    rng = np.random.default_rng(0)
    own = {}
    for split, subtypes in (("train", ["LumA", "Basal", "Her2", "Basal"]), ("test", ["Her2"])):
        blocks = {"mirna": 184, "mrna": 200, "protein": 3}
        values = {name: rng.normal(size=(len(subtypes), n)) for name, n in blocks.items()}
        own[f"data.{split}"] = values | {"subtype": np.array(subtypes)}
        mrna, mirna = values["mrna"], values["mirna"]
        rows = [
            ",".join([label, *(f"{value:.6g}" for value in (*mrna[i], *mirna[i]))])
            for i, label in enumerate(subtypes)
        ]
        head = ",".join(["subtype", *map("g{}".format, range(384))])
        (tmp_path / f"tcga-breast_{split}.csv").write_text("\n".join([head, *rows]))

    def send(source, part, progress):
        assert source.url.endswith("/data/breast.TCGA.rda")
        rdata.write_rda(part, {"breast.TCGA": own}, compression="xz")

    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    monkeypatch.setattr(download, "_download", send)
    monkeypatch.setattr(TcgaBreast, "content", load(TcgaBreast(), tmp_path, tmp_path).checksum)
    cache = tmp_path / "cache"
    assert load(TcgaBreast(), "tcga-breast", cache).checksum == TcgaBreast.content
    (file,) = cache.rglob("*.rda")
    other = tmp_path / "other.rda"
    other.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"other\.rda: damaged, or not the object breast\.TCGA"):
        load(TcgaBreast(), other, tmp_path)
    rdata.write_rda(other, {"breast.TCGA": own["data.train"]})
    with pytest.raises(DataError, match=r"other\.rda: damaged, or not the object breast\.TCGA"):
        load(TcgaBreast(), other, tmp_path)
    monkeypatch.setitem(sys.modules, "rdata", None)
    with pytest.raises(DataError, match=r"pip install 'codonbench\[rdata\]'"):
        load(TcgaBreast(), "tcga-breast", cache)


def test_the_wheel_of_a_package_is_read_as_it_lies(tmp_path, monkeypatch):
    features = Khan.input.model_copy(update={"max_length": 2, "min_length": 2})
    monkeypatch.setattr(Khan, "input", features)
    with zipfile.ZipFile(tmp_path / "islp.whl", "w") as wheel:
        for split, rows in (("train", ["0.77334371,2", "1,3"]), ("test", ["4,5"])):
            wheel.writestr(f"ISLP/data/Khan_x{split}.csv", "\n".join(['"V1","V2"', *rows]))
            labels = ["2", "4"][: len(rows)]
            wheel.writestr(f"ISLP/data/Khan_y{split}.csv", "\n".join(['"x"', *labels]))
    found = load(Khan(), tmp_path / "islp.whl", tmp_path)
    assert found.items.values.tolist() == [[pytest.approx(0.773344), 2], [1, 3], [4, 5]]
    assert found.targets.tolist() == [1, 3, 1]
    contigs = {"eukarya": "A" * 4, "bacteria": "C" * 4, "archaea": "GG\nGG", "plast": "T" * 4}
    with zipfile.ZipFile(tmp_path / "tiara.whl", "w") as wheel:
        for label in ORDER:
            organism = f"G. {'abcde'[ORDER.index(label)]}"
            text = f">{label} 1 {organism} genome\n{contigs.get(label, 'ACGT')}\n"
            wheel.writestr(f"tiara/test/test_data/{label}_fr.fasta", text)
    table = contig_origin.from_wheel(tmp_path / "tiara.whl")
    assert table.origins["organism"].tolist() == [0, 1, 2, 3, 4]
    assert table.items.text("ACGT") == ["AAAA", "CCCC", "GGGG", "ACGT", "TTTT"]
    assert table.targets.tolist() == [2, 1, 0, 3, 4]


def test_near_copies_of_long_sequences_are_one_group():
    rng = np.random.default_rng(0)
    first, second, other = ("".join(rng.choice(list("ACGT"), 3000)) for _ in range(3))
    changed = list(first)
    for i in range(0, 3000, 100):
        changed[i] = "A"
    back = "".join(changed).translate(str.maketrans("ACGT", "TGCA"))[::-1]
    half = second[:1500] + other[:1500]
    items = Sequences.of([first, second, back, half], "ACGT")
    groups = near_copies(items, one_in=4).tolist()
    assert [groups.index(group) for group in groups] == [0, 1, 0, 1]


@pytest.mark.parametrize("k", [1, 2, 5, 20, 32])
def test_k_mers_are_those_of_a_loop(k):
    letters = np.random.default_rng(0).integers(0, 4, 60).astype(np.uint8)
    items = Sequences(letters, np.array([0, 25, 60]))
    expected = []
    for item, (start, end) in enumerate(((0, 25), (25, 60))):
        for i in range(start, end - k + 1):
            word = letters[i : i + k].tolist()
            back = [3 - letter for letter in reversed(word)]
            number = min(int("".join(map(str, each)), 4) for each in (word, back))
            expected.append((item, number))
    assert list(zip(*(part.tolist() for part in kmers(items, k)), strict=True)) == expected


def test_promoters_that_share_a_stretch_on_either_strand_are_one_group():
    stretch = "ACGGTCATTGCAACCGTATG"
    back = stretch.translate(str.maketrans("ACGT", "TGCA"))[::-1]
    texts = [
        stretch + "A" * 18,
        "C" * 18 + back,
        stretch[1:] + "TC" * 9,
        "N".join([stretch[:18]] * 2),
    ]
    assert sharing(Sequences.of(texts, "ACGT"), 20).tolist() == [0, 0, 1, 2]
    assert sharing(Sequences.of(texts, "ACGT"), 19).tolist() == [0, 0, 0, 1]


SEQUENCE = "ATG" + "ACGT" * 168 + "TGA"
ROWS = [("train", 10.164760474265888), ("train", 8.7), ("val", 9.25), ("test", 7.5)]


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """A small table in place of the real one, as a local copy has it; known as the content."""
    folder = tmp_path / "copies" / "mrfp-expression"
    folder.mkdir(parents=True)
    lines = [f"{SEQUENCE},{value:.6g},{split}\n" for split, value in ROWS]
    (folder / "mrfp_expression.csv").write_text("sequence,value,split\n" + "".join(lines))
    content = MrfpExpression().read(folder, downloaded=False).checksum
    monkeypatch.setattr(MrfpExpression, "content", content)
    return folder


def test_the_download_gives_what_a_local_copy_gives(copy, tmp_path, monkeypatch):
    """The public file writes RNA, names its columns otherwise, and has more digits."""
    rna = SEQUENCE.replace("T", "U")
    lines = [f"{rna},{value!r},mRFP Expression,{split}\n" for split, value in ROWS]
    text = "Sequence,Value,Dataset,Split\n" + "".join(lines)
    asked = []

    def send(source, part, progress):
        asked.append(source.url)
        part.write_text(text)

    monkeypatch.setattr(download, "_download", send)
    task = MrfpExpression()
    with pytest.raises(DownloadError, match=r"non-commercial use only; 'bench data fetch mrfp-exp"):
        load(task, "mrfp-expression", tmp_path / "cache")
    assert not asked
    assert not (tmp_path / "cache").exists()
    download.fetch(task.origin, tmp_path / "cache", agreed=True)
    fetched = load(task, "mrfp-expression", tmp_path / "cache")
    assert asked[0].endswith("/fine-tune/mRFP_Expression.csv")
    assert fetched.checksum == load(task, copy, tmp_path).checksum
    monkeypatch.setattr(MrfpExpression, "content", "0" * 64)
    with pytest.raises(DataError, match="not the data of 'mrfp-expression'"):
        load(task, "mrfp-expression", tmp_path / "cache")


def test_a_folder_of_copies_is_used_before_any_download(copy, tmp_path, monkeypatch):
    monkeypatch.setenv(FOLDER_VARIABLE, str(copy.parent))
    found = load(MrfpExpression(), "mrfp-expression", tmp_path / "cache")
    assert found.source == "mrfp-expression"
    assert not (tmp_path / "cache").exists()


def test_other_data_are_read_but_do_not_pass_for_the_task_s_own(copy, tmp_path):
    (copy / "mrfp_expression.csv").write_text(
        f"sequence,value,split\n{SEQUENCE},1,train\n{SEQUENCE},2,val\n{SEQUENCE},3,test\n"
    )
    found = load(MrfpExpression(), copy, tmp_path)
    assert (found.source, found.spec.notes) == ("folder", ())


def test_other_data_without_a_test_split_are_refused(copy, tmp_path):
    rows = f"{SEQUENCE},1,train\n{SEQUENCE},2,val\n"
    (copy / "mrfp_expression.csv").write_text("sequence,value,split\n" + rows)
    with pytest.raises(DataError, match=r"mrfp-expression: no row is in the test split.*--task"):
        load(MrfpExpression(), copy, tmp_path)


def test_what_must_be_converted_first_is_said(tmp_path, monkeypatch):
    monkeypatch.delenv(FOLDER_VARIABLE, raising=False)
    with pytest.raises(DataError, match=r"columns sequence .* expression, group and split"):
        load(YeastPromoter(), "yeast-promoter", tmp_path)
    with pytest.raises(DataError, match=r"no all\.csv or yeast-promoter\.csv"):
        load(YeastPromoter(), tmp_path, tmp_path)
