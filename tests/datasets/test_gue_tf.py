"""GUE's transcription-factor tasks: from real files where they are, and the recipe for the rest."""

import gzip
import hashlib
import os
from pathlib import Path

import pytest

from codonbench.contracts import TaskOptions
from codonbench.data import download
from codonbench.data.table import TableFormat, read_table
from codonbench.errors import DataError, DownloadError, UnknownNameError
from codonbench_datasets import gue_tf as module
from codonbench_datasets.gue_tf import COMMIT, CONTENT, SHA256, gue_tf

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data"))
FOLDERS = DATA / "tasks" / "gue_tf"
SIZES = (32378, 30672, 19000, 27294, 19000)
real = pytest.mark.skipif(not FOLDERS.is_dir(), reason=f"no real data in {FOLDERS}")


@real
@pytest.mark.parametrize(("number", "train"), list(enumerate(SIZES)))
def test_real_files_are_read_whole_and_are_those_of_the_recipe(number, train, tmp_path):
    folder = FOLDERS / str(number)
    found = gue_tf(number).load(str(folder), TaskOptions(), cache=tmp_path)
    assert {name: len(rows) for name, rows in found.splits.items()} == {
        "train": train,
        "validation": 1000,
        "test": 1000,
    }
    assert (found.items.lengths == 101).all()
    assert found.items.letters.max() == 3
    assert found.targets[found.splits["test"]].mean() == pytest.approx(0.5, abs=0.01)
    assert found.spec.validation_size == found.spec.test_size == 1000
    assert found.spec.licence
    assert (found.source, found.checksum) == (f"gue-tf-{number}", CONTENT[number])
    sums = [
        hashlib.sha256(gzip.decompress((folder / f"{name}.csv.gz").read_bytes())).hexdigest()
        for name in ("train", "dev", "test")
    ]
    assert tuple(sums) == SHA256[number]


ROW = "ACGTN" * 20 + "A"


def files(**sizes):
    rows = {name: "".join(f"{ROW},{i % 2}\n" for i in range(n)) for name, n in sizes.items()}
    return {name: f"sequence,label\n{text}" for name, text in rows.items()}


@pytest.fixture
def server(monkeypatch, tmp_path_factory):
    """A server of three small files in place of the real one; returns what was asked of it."""
    contents = files(train=4, dev=2, test=2)
    asked = []

    def send(source, part, progress):
        asked.append(source.url)
        part.write_text(contents[Path(source.url).stem])

    monkeypatch.setattr(download, "_download", send)
    sums = [hashlib.sha256(text.encode()).hexdigest() for text in contents.values()]
    monkeypatch.setitem(SHA256, 0, tuple(sums))
    copy = tmp_path_factory.mktemp("copy")
    for name, text in contents.items():
        (copy / f"{name}.csv").write_text(text)
    content = read_table(copy, TableFormat(classes=("0", "1"))).checksum
    monkeypatch.setattr(module, "CONTENT", (content,))
    return asked


def test_the_download_is_three_files_of_one_commit(server, tmp_path):
    task = gue_tf(0)
    assert download.status(task.source("gue-tf-0"), tmp_path) == "absent"
    assert not download.verify(task.source("gue-tf-0"), tmp_path)[0]
    found = task.load("gue-tf-0", TaskOptions(), cache=tmp_path)
    assert found.items.text("ACGT")[0] == ROW
    assert found.source == "gue-tf-0"
    names = gue_tf(0).target.names
    assert [line for line in found.report if all(f"{name} " in line for name in names)]
    assert [url.rsplit("/", 1)[1] for url in server] == ["train.csv", "dev.csv", "test.csv"]
    assert all(f"/{COMMIT}/data/GUE/tf/0/" in url for url in server)
    assert download.status(task.source("gue-tf-0"), tmp_path) == "present, 0.0 MB"
    assert download.verify(task.source("gue-tf-0"), tmp_path)[0]
    task.load("gue-tf-0", TaskOptions(), cache=tmp_path, offline=True)
    assert len(server) == 3


def test_a_file_that_is_damaged_is_named_and_replaced(server, tmp_path):
    task = gue_tf(0)
    folder = download.fetch(task.source("gue-tf-0"), tmp_path)
    (folder / "dev.csv").write_text("sequence,label\n")
    sound, words = download.verify(task.source("gue-tf-0"), tmp_path)
    assert not sound
    assert "dev.csv: 'gue-tf-0' is damaged" in words
    with pytest.raises(DownloadError, match="'gue-tf-0' is damaged"):
        download.fetch(task.source("gue-tf-0"), tmp_path, offline=True)
    download.fetch(task.source("gue-tf-0"), tmp_path)
    assert download.verify(task.source("gue-tf-0"), tmp_path)[0]
    assert len(server) == 4


def test_a_file_of_other_content_is_not_kept(server, tmp_path, monkeypatch):
    monkeypatch.setitem(SHA256, 0, ("0" * 64,) * 3)
    with pytest.raises(DownloadError, match="SHA-256"):
        gue_tf(0).load("gue-tf-0", TaskOptions(), cache=tmp_path)
    assert not (tmp_path / "gue-tf-0" / "train.csv").exists()


def test_what_is_wrong_with_a_folder_is_named(tmp_path):
    task = gue_tf(1)
    with pytest.raises(UnknownNameError, match=r"gue-tf-2.*gue-tf-1"):
        task.source("gue-tf-2")
    with pytest.raises(DataError, match="nowhere"):
        task.load(str(tmp_path / "nowhere"), TaskOptions(), cache=tmp_path)
    for name, text in files(train=2, dev=2, test=2).items():
        (tmp_path / f"{name}.csv").write_text(text)
    (tmp_path / "test.csv").write_text(f"sequence,label\n{ROW},2\n")
    with pytest.raises(DataError, match=r"test\.csv, line 2, column 'label': got '2'"):
        task.load(str(tmp_path), TaskOptions(), cache=tmp_path)
