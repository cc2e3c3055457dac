import gzip
import hashlib
import io
import os
import shutil
import socket
import subprocess
import time
import zipfile
from pathlib import Path

import pytest

from codonbench import DataSource
from codonbench.data import download
from codonbench.data.download import fetch, git_blob, status, verify
from codonbench.errors import DownloadError
from serving import Server

TABLE = b"cdsID\tsequence\nNM_1\tAUGCCCUAA\nNM_2\tAUGUGA\n" * 5000
FASTA = gzip.compress(b">ENST1 cds\nATGCCCTAA\n>ENST2 cds\nATGTGA\n" * 5000, mtime=0)


def blob_of(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def table_source(server: Server, **changes: str) -> DataSource:
    """Like the paper's ORFs: known by its git blob."""
    fields = {"url": f"{server.url}/orfs.txt", "git_blob": blob_of(TABLE), **changes}
    return DataSource(name="orfs", summary="-", filename="orfs.txt", **fields)  # type: ignore[arg-type]


def fasta_source(server: Server) -> DataSource:
    """Like Ensembl's: no checksum is known beforehand."""
    return DataSource(name="cds", summary="-", url=f"{server.url}/cds.gz", filename="cds.fa.gz")


def listing(cache: Path) -> list[str]:
    return sorted(path.name for path in cache.iterdir()) if cache.exists() else []


def test_a_good_file_is_stored_and_not_fetched_twice(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", TABLE)
    source, cache = table_source(server), tmp_path / "new" / "cache"
    assert status(source, cache) == "absent"
    calls: list[tuple[int, int | None]] = []
    path = fetch(source, cache, progress=lambda got, total: calls.append((got, total)))
    assert path.read_bytes() == TABLE
    assert calls[0][0] > 0
    assert calls[-1] == (len(TABLE), len(TABLE))
    assert all(total == len(TABLE) and 0 < got <= len(TABLE) for got, total in calls)
    assert status(source, cache) == "present, 0.2 MB"
    assert verify(source, cache) == (True, f"'orfs' is intact (git blob {blob_of(TABLE)})")
    assert fetch(source, cache, offline=True) == path
    assert server.requests == ["/orfs.txt"]
    assert listing(cache) == ["orfs.txt"]


def test_a_file_of_unannounced_length_is_stored(server: Server, tmp_path: Path) -> None:
    server.put("/cds.gz", FASTA, announced=None)
    calls: list[tuple[int, int | None]] = []
    fetch(fasta_source(server), tmp_path, progress=lambda got, total: calls.append((got, total)))
    assert {total for _, total in calls} == {None}
    assert verify(fasta_source(server), tmp_path)[0]


def test_a_published_sha256_is_held(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", TABLE)
    right = hashlib.sha256(TABLE).hexdigest()
    source = DataSource(
        name="orfs", summary="-", url=f"{server.url}/orfs.txt", filename="o", sha256=right
    )
    fetch(source, tmp_path)
    assert verify(source, tmp_path) == (True, f"'orfs' is intact (SHA-256 {right})")
    wrong = DataSource(name="x", summary="-", url=source.url, filename="x", sha256="0" * 64)
    with pytest.raises(DownloadError, match=f"its SHA-256 is {right}, not 0000"):
        fetch(wrong, tmp_path)
    assert listing(tmp_path) == ["o"]


def test_a_corrupted_file_is_refused(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", TABLE[:-5] + b"XXXX\n")
    with pytest.raises(DownloadError, match=r"sent for 'orfs' is damaged: its git blob id"):
        fetch(table_source(server), tmp_path)
    assert listing(tmp_path) == []


def test_a_corrupted_gzip_of_unknown_sum_is_refused(server: Server, tmp_path: Path) -> None:
    for content in (FASTA[:-9] + b"\0" * 9, FASTA[: len(FASTA) // 2], b"<html>busy</html>", b""):
        server.put("/cds.gz", content)
        with pytest.raises(DownloadError, match=r"damaged or incomplete|is empty"):
            fetch(fasta_source(server), tmp_path)
        assert listing(tmp_path) == []


@pytest.mark.parametrize("path", ["/orfs.txt", "/cds.gz"])
def test_a_download_cut_short_is_refused_and_can_be_repeated(
    path: str, server: Server, tmp_path: Path
) -> None:
    content = TABLE if path == "/orfs.txt" else FASTA
    source = table_source(server) if path == "/orfs.txt" else fasta_source(server)
    server.put(path, content[: len(content) // 2], announced=len(content))
    with pytest.raises(DownloadError, match=r"was cut short after [\d,]+ bytes; run it again"):
        fetch(source, tmp_path)
    assert listing(tmp_path) == []
    server.put(path, content)
    assert fetch(source, tmp_path).read_bytes() == content


def test_a_missing_page_is_reported(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        fetch(table_source(server), tmp_path)
    assert listing(tmp_path) == []


def test_a_redirection_is_followed_to_its_end(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", b"/moved.txt", code=302)
    with pytest.raises(DownloadError, match="the server answered 404 Not Found"):
        fetch(table_source(server), tmp_path)
    server.put("/moved.txt", b"/orfs.txt", code=302)
    with pytest.raises(DownloadError, match="the server answered 302 Found"):
        fetch(table_source(server), tmp_path)
    assert listing(tmp_path) == []
    server.put("/moved.txt", TABLE)
    assert fetch(table_source(server), tmp_path).read_bytes() == TABLE


@pytest.mark.parametrize("sent", [0, 200_000])
def test_a_server_that_falls_silent_is_given_up(
    sent: int, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "_SILENCE", 0.1)
    server.pause = 60
    server.put("/orfs.txt", TABLE[:sent], announced=len(TABLE))
    with pytest.raises(DownloadError, match=r"the server sent nothing for 0\.1 s; run it again"):
        fetch(table_source(server), tmp_path)
    assert listing(tmp_path) == []


def test_no_server_is_reported(server: Server, tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/orfs.txt"
        with pytest.raises(DownloadError, match="cannot be reached; check the network"):
            fetch(table_source(server, url=url), tmp_path)
    assert listing(tmp_path) == []


def test_offline_never_asks_and_says_what_to_do(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", TABLE)
    source = table_source(server)
    with pytest.raises(DownloadError, match="'bench data fetch orfs' once without --offline"):
        fetch(source, tmp_path, offline=True)
    (tmp_path / "orfs.txt").write_bytes(b"damaged")
    with pytest.raises(DownloadError, match=r"is damaged.*network access is switched off"):
        fetch(source, tmp_path, offline=True)
    assert server.requests == []


def test_damage_on_disk_is_found_and_mended(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", TABLE)
    server.put("/cds.gz", FASTA)
    for source in (table_source(server), fasta_source(server)):
        assert verify(source, tmp_path)[0] is False
        path = fetch(source, tmp_path)
        whole = path.read_bytes()
        path.write_bytes(whole[:50] + b"?" + whole[51:])
        ok, sentence = verify(source, tmp_path)
        assert not ok
        assert "is damaged" in sentence
        assert f"'bench data fetch {source.name}' replaces it" in sentence
        assert fetch(source, tmp_path).read_bytes() == whole
        assert verify(source, tmp_path)[0]


def test_the_sum_seen_first_is_written_down_and_held(server: Server, tmp_path: Path) -> None:
    server.put("/cds.gz", FASTA)
    source = fasta_source(server)
    path = fetch(source, tmp_path)
    sha256 = hashlib.sha256(FASTA).hexdigest()
    assert listing(tmp_path) == ["cds.fa.gz", "cds.fa.gz.sha256"]
    assert (tmp_path / "cds.fa.gz.sha256").read_text() == f"{sha256}  cds.fa.gz\n"
    assert sha256 in verify(source, tmp_path)[1]

    path.unlink()
    server.put("/cds.gz", gzip.compress(b">other\nATGTAA\n"))
    with pytest.raises(DownloadError, match=f"has changed.*not {sha256}, seen on first download"):
        fetch(source, tmp_path)
    assert listing(tmp_path) == ["cds.fa.gz.sha256"]


def test_a_source_that_has_changed_is_taken_where_somebody_says_so(
    server: Server, tmp_path: Path
) -> None:
    server.put("/cds.gz", FASTA)
    path = fetch(fasta_source(server), tmp_path)
    other = gzip.compress(b">ENST1 cds\nATGTAA\n", mtime=0)
    server.put("/cds.gz", other)
    assert fetch(fasta_source(server), tmp_path).read_bytes() == FASTA
    path.unlink()
    with pytest.raises(DownloadError, match="'bench data fetch cds --force' takes it all the same"):
        fetch(fasta_source(server), tmp_path)
    assert fetch(fasta_source(server), tmp_path, anew=True).read_bytes() == other
    assert verify(fasta_source(server), tmp_path)[0]
    assert fetch(fasta_source(server), tmp_path, offline=True) == path


def test_a_file_put_there_by_hand_is_taken_and_held(server: Server, tmp_path: Path) -> None:
    source = fasta_source(server)
    (tmp_path / "cds.fa.gz").write_bytes(FASTA)
    assert "no checksum of it is known yet" in verify(source, tmp_path)[1]
    fetch(source, tmp_path)
    assert server.requests == []
    assert hashlib.sha256(FASTA).hexdigest() in verify(source, tmp_path)[1]


def test_a_cache_that_cannot_be_written_is_one_sentence(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DownloadError, match="cannot keep 'orfs' in the cache folder"):
        fetch(table_source(server), tmp_path / "file")


def test_leftovers_of_killed_downloads_are_swept(server: Server, tmp_path: Path) -> None:
    server.put("/orfs.txt", TABLE)
    old, fresh = tmp_path / "orfs.txt.part-old", tmp_path / "orfs.txt.part-fresh"
    for folder in (old, fresh):
        folder.mkdir()
        (folder / "orfs.txt").write_bytes(b"half")
    yesterday = time.time() - 90_000
    os.utime(old, (yesterday, yesterday))
    fetch(table_source(server), tmp_path)
    assert listing(tmp_path) == ["orfs.txt", "orfs.txt.part-fresh"]


def test_git_blob_is_gits_own(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"hello\n")
    assert git_blob(path) == "ce013625030ba8dba906f756967f9e9ca394464a"  # from git's book
    if git := shutil.which("git"):
        path.write_bytes(TABLE)
        theirs = subprocess.run([git, "hash-object", path], capture_output=True, text=True)
        assert git_blob(path) == theirs.stdout.strip()


def wheel(name: str) -> bytes:
    """Return a wheel that pip takes, with nothing in it."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        info = f"{name}-1.0.dist-info"
        file.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        file.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        file.writestr(f"{info}/RECORD", "")
    return content.getvalue()


@pytest.fixture
def index(server: Server, monkeypatch: pytest.MonkeyPatch) -> Server:
    """An index of packages, and pip told of no other."""
    settings = {
        "INDEX_URL": f"{server.url}/simple/",
        "CONFIG_FILE": os.devnull,
        "NO_CACHE_DIR": "1",
    }
    for name, value in (settings | {"RETRIES": "0"}).items():
        monkeypatch.setenv(f"PIP_{name}", value)
    for name in ("EXTRA_INDEX_URL", "FIND_LINKS", "CONSTRAINT", "NO_INDEX"):
        monkeypatch.delenv(f"PIP_{name}", raising=False)
    return server


def package_source(content: bytes, package: str = "toy==1.0") -> DataSource:
    return DataSource(
        name="toys",
        summary="-",
        url="https://example.org/toy",
        filename="toy-1.0-py3-none-any.whl",
        package=package,
        sha256=hashlib.sha256(content).hexdigest(),
    )


def test_pip_gets_the_wheel_of_a_package_and_what_it_got_is_checked(
    index: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("pip.py").write_text("raise SystemExit('not the one that is installed')")
    content = wheel("toy")
    name = "toy-1.0-py3-none-any.whl"
    index.put("/simple/toy/", f'<a href="/files/{name}">{name}</a>'.encode())
    index.put(f"/files/{name}", content)
    path = fetch(package_source(content), tmp_path)
    assert path.read_bytes() == content
    Path("pip.py").unlink()
    asked = len(index.requests)
    assert fetch(package_source(content), tmp_path, offline=True) == path
    assert len(index.requests) == asked
    path.unlink()
    with pytest.raises(
        DownloadError, match=r"pip could not download toy==2.0 for 'toys': No match"
    ):
        fetch(package_source(content, "toy==2.0"), tmp_path)
    index.put(f"/files/{name}", content[:50], announced=len(content))
    with pytest.raises(DownloadError, match=r"pip could not download|damaged or has changed"):
        fetch(package_source(content), tmp_path)
    with pytest.raises(DownloadError, match="network access is switched off"):
        fetch(package_source(content), tmp_path, offline=True)
    assert listing(tmp_path) == []
