"""FASTA files, plain and gzip: damaged, cut short, of other encodings, or no FASTA at all."""

import gzip
import io
import os
import tracemalloc

import numpy as np
import pytest
from hypothesis import strategies as st

from codonbench.data import compression, fasta
from codonbench.data.fasta import read_fasta, read_table
from codonbench.data.table_formats import read_chunks
from codonbench.errors import DataError
from codonbench_datasets.human_codon.orfs import curate, genetic_code

BASES = "UCAG"
LINE_ENDS = st.sampled_from(("\n", "\r\n", "\r"))

ORFS = st.builds(
    lambda middle, stop: "ATG" + "".join(middle) + stop,
    st.one_of(
        st.lists(st.sampled_from(("GCC", "AAA", "cgt", "GUU")), max_size=30),
        st.lists(st.sampled_from(("GCC", "TTN", "TAG", "T", "MKV", "-")), max_size=30),
    ),
    st.sampled_from(("TAA", "TGA", "UAG", "")),
)


@st.composite
def texts(draw):
    """FASTA as people write it: any line end, wrapped or not, headers of any characters."""
    end, width = draw(LINE_ENDS), draw(st.sampled_from((3, 60, 10**6)))
    lines = []
    for orf in draw(st.lists(ORFS, max_size=5)):
        lines.append(">" + draw(st.text(max_size=12)))
        lines += [orf[i : i + width] for i in range(0, len(orf), width)]
    encoding = draw(st.sampled_from(("utf-8", "utf-8", "utf-8", "utf-16", "utf-8-sig", "utf-7")))
    return end.join(lines).encode(encoding, errors="replace")


def packed(whole):
    return whole.map(lambda content: gzip.compress(content, mtime=0))


@pytest.fixture
def files(damaged):
    """The content of files: FASTA as it should be, and worse."""
    whole = texts()
    return st.one_of(
        whole,
        damaged(whole),
        damaged(packed(whole)),
        packed(damaged(whole)),
        packed(packed(whole)),
        st.builds(bytes.__add__, packed(whole), st.binary(max_size=20)),
        st.binary(max_size=300),
        st.builds(
            bytes.__mul__,
            st.sampled_from((b">", b"A", b"\n", b"\r", b"\x00", b">a\n")),
            st.integers(0, 100_000),
        ),
    )


@pytest.fixture(params=[5, 1 << 20], ids=["small blocks", "real blocks"])
def _blocks(request, monkeypatch):
    """Read in blocks so small that everything falls on a border, too."""
    monkeypatch.setattr(fasta, "_BLOCK", request.param)


@pytest.mark.usefixtures("_blocks")
def test_any_file_is_read_and_curated_or_refused(fuzz, files, tmp_path):
    path = tmp_path / "drawn.fa"

    def read(content):
        path.write_bytes(content)
        records = read_fasta(path)
        assert len(records) == len(records.lengths) == len(records.unclear) >= 1
        assert (records.lengths >= 0).all()
        assert records.starts[-1] + records.lengths[-1] == len(records.bases)
        orfs = curate(records, genetic_code(1), str(path))
        assert len(orfs) + sum(orfs.dropped.values()) == len(records)

    fuzz("FASTA, plain and gzip", files, read, (DataError,), examples=150)


def test_any_table_is_read_or_refused(fuzz, files, tmp_path):
    path = tmp_path / "drawn.tsv"
    rows = st.lists(st.tuples(st.text("ab>é", max_size=8), ORFS), min_size=1, max_size=6).map(
        lambda rows: b"id\tseq\n" + "\n".join(map("\t".join, rows)).encode()
    )

    def read(content):
        path.write_bytes(content)
        read_table(path)

    fuzz("tables of sequences", rows | files, read, (DataError,), examples=60)


SEQUENCES = st.lists(st.text(alphabet=BASES, max_size=200), min_size=1, max_size=8)


def test_what_is_written_reads_back_equal(fuzz, tmp_path):
    path = tmp_path / "drawn.fa"

    def holds(drawn):
        sequences, width, end, zipped, dna = drawn
        lines = []
        for i, sequence in enumerate(sequences):
            written = sequence.replace("U", "T") if dna else sequence.lower()
            cuts = range(0, len(written), width)
            lines += [f">s{i}", *(written[j : j + width] for j in cuts)]
        content = (end.join(lines) + end).encode()
        path.write_bytes(gzip.compress(content) if zipped else content)
        found = read_fasta(path)
        letters = np.frombuffer(BASES.encode(), dtype=np.uint8)[np.minimum(found.bases, 3)]
        again = [
            letters[start : start + length].tobytes().decode()
            for start, length in zip(found.starts, found.lengths, strict=True)
        ]
        assert again == sequences
        assert not found.unclear.any()

    drawn = st.tuples(
        SEQUENCES, st.sampled_from((1, 7, 60)), LINE_ENDS, st.booleans(), st.booleans()
    )
    fuzz("FASTA, there and back", drawn, holds, (), examples=60)


@pytest.mark.parametrize("read", [read_fasta, lambda path: [*read_chunks(path)]])
@pytest.mark.parametrize("name", ["bomb.fa.gz", "bomb.csv.gz"])
def test_a_gzip_bomb_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch, name, read):
    """A thousand times its size once unpacked; the limit is lowered, so that the test is quick."""
    bomb = tmp_path / name
    unpacked = io.BytesIO()
    with gzip.GzipFile(fileobj=unpacked, mode="wb", mtime=0) as file:
        file.write(b">a\n")
        for _ in range(64):
            file.write(b"A" * (1 << 20))
    bomb.write_bytes(unpacked.getvalue())
    assert bomb.stat().st_size < 1 << 17
    monkeypatch.setattr(compression, "MOST_UNPACKED", 16 << 20)
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match=r"holds more than .* once unpacked"):
            read(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 64 << 20


def test_records_without_end_are_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(fasta, "MOST_RECORDS", 100)
    (file := tmp_path / "many.fa").write_text(">a\nA\n" * 101)
    with pytest.raises(DataError, match="holds more than 100 sequences; cut it in parts"):
        read_fasta(file)


def test_any_data_file_ends_bench_run_in_words(fuzz, files, bench, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CODONBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CODONBENCH_WORKERS", "0")

    def run(drawn):
        content, name = drawn
        path = tmp_path / os.fsdecode(name)
        path.write_bytes(content)
        code, said = bench("run", "--model", "bound", "--pairs", "64", "--data", path)
        assert code in (0, 1, 2, 3)
        assert "Traceback" not in said

    names = st.sampled_from((b"drawn.fa", b"drawn.fa.gz", b"dr\xffwn.fa", b"a\nb.fa", b"=.fa"))
    fuzz("bench run --data", st.tuples(files, names), run, (), examples=10)
