import bz2
import gzip
import io
import lzma
import os
from pathlib import Path

import numpy as np
import pytest
from Bio import SeqIO
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from codonbench.data import fasta
from codonbench.data.fasta import FastaRecords, read_fasta, read_table
from codonbench.errors import DataError

IUPAC = "ACGTURYSWKMBDHVN"


def texts(records: FastaRecords) -> list[str]:
    """Records as RNA text; letters that are no base become ``?``."""
    letters = np.frombuffer(b"UCAG?????", dtype=np.uint8)
    return [
        letters[records.bases[start : start + length]].tobytes().decode()
        for start, length in zip(records.starts, records.lengths, strict=True)
    ]


def naive(text: str) -> list[str]:
    """Records as RNA text, by the plainest loop there is."""
    found: list[str] = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line.startswith(">"):
            found.append("")
        elif found and not line.startswith(";"):
            kept = (c.upper().replace("T", "U") for c in line if c not in " \t")
            found[-1] += "".join(c if c in "UCAG" else "?" for c in kept)
    return found


def write(folder: Path, content: bytes | str, name: str = "x.fa") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("latin-1"))
    return path


@st.composite
def fasta_texts(draw: st.DrawFn) -> str:
    """FASTA text: any wrapping, case, line ends, blank lines, headers with odd letters."""
    newline = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    lines = [""] * draw(st.integers(0, 2))
    for _ in range(draw(st.integers(1, 6))):
        lines.append(">" + draw(st.text(alphabet="ab >|=\t:7é", max_size=8)))
        sequence = draw(st.text(alphabet="ACGTUacgtu", max_size=40))
        sequence += draw(st.sampled_from(["", "", "N", "n", "r", "-"])) * (len(sequence) > 20)
        width = draw(st.integers(1, 50))
        lines += [sequence[i : i + width] for i in range(0, len(sequence), width)]
        lines += [draw(st.sampled_from(["", " ", "\t", ";", "; > é"]))] * draw(st.integers(0, 2))
    return newline.join(lines) + draw(st.sampled_from(["", newline]))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(text=fasta_texts(), block=st.sampled_from([1, 2, 3, 7, 64, 1 << 20]), packed=st.booleans())
def test_reader_agrees_with_a_plain_loop_and_biopython(
    text: str, block: int, packed: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "_BLOCK", block)  # so that blocks end anywhere
    content = text.encode("utf-8")
    path = write(tmp_path, gzip.compress(content, 1) if packed else content)
    records = read_fasta(path)
    assert texts(records) == naive(text)
    assert records.unclear.tolist() == ["?" in record for record in naive(text)]

    unix = "\n".join(line for line in text.splitlines() if not line.startswith(";")).lstrip()
    theirs = [str(r.seq).upper() for r in SeqIO.parse(io.StringIO(unix), "fasta")]  # type: ignore[no-untyped-call]
    clean = ["".join(c if c in "ACGTU" else "?" for c in seq if c not in " \t") for seq in theirs]
    assert texts(records) == [seq.replace("T", "U") for seq in clean]


def test_a_small_file_by_hand(tmp_path: Path) -> None:
    records = read_fasta(write(tmp_path, ">a > b\r\nATG\r\nuaa\r\n\r\n>empty\r\n>c\r\nacn"))
    assert len(records) == 3
    assert records.lengths.tolist() == [6, 0, 3]
    assert texts(records) == ["AUGUAA", "", "AC?"]
    assert records.unclear.tolist() == [False, False, True]


def test_packing_is_told_by_content_and_not_by_name(tmp_path: Path) -> None:
    packed = write(tmp_path, gzip.compress(b">a\nATG\n"), "packed.fa")
    plain = write(tmp_path, b">a\nATG\n", "plain.fa.gz")
    joined = write(tmp_path, gzip.compress(b">a\nA") + gzip.compress(b"TG\n"), "members.gz")
    assert texts(read_fasta(packed)) == texts(read_fasta(plain)) == texts(read_fasta(joined))
    for packer in (bz2, lzma):
        other = write(tmp_path, packer.compress(b">a\nATG\n"), "other")
        assert texts(read_fasta(other)) == ["AUG"]


def test_a_byte_order_mark_is_no_letter(tmp_path: Path) -> None:
    assert texts(read_fasta(write(tmp_path, b"\xef\xbb\xbf>a\nAUG"))) == ["AUG"]


def test_every_iupac_letter_but_five_is_unclear(tmp_path: Path) -> None:
    for letter in IUPAC + IUPAC.lower():
        records = read_fasta(write(tmp_path, f">a\nACGTACGTACGT{letter}\n"))
        assert records.unclear.tolist() == [letter.upper() not in "ACGTU"]


PROTEIN = ">p\nMKVLAAGIVGLPFEQDE*\n>q\nMSTNPKPQRKTKRNTNRRPQDVKFPGG\n"
HALF = gzip.compress(os.urandom(9000).hex().encode())[:5000]
# Without a time: the cases have the same names in every process that collects them.
FLIPPED = bytearray(gzip.compress(b">a\n" + b"ATGACC" * 50, mtime=0))
FLIPPED[-6] ^= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (gzip.compress(b"", mtime=0), "is empty"),
        (b"ATGTAA\n", "does not begin with a '>' header line"),
        (b"; comment\nATG\n>a\nATG\n", "does not begin with a '>' header line"),
        (b"; nothing else\n", "does not begin with a '>' header line"),
        (b">a\n; comment\nAT;G\n", r"line 3 of .* holds ';'"),
        (b"\x28\xb5\x2f\xfd packed", "Zstandard"),
        (b"0" * 257 + b"ustar" + b"0" * 250, "tar archive"),
        (PROTEIN, "looks like protein"),
        (">p\nMKVMKV\n", "looks like protein"),
        (HALF, "damaged or cut short"),
        (bytes(FLIPPED), "damaged or cut short"),
        (b"\x1f\x8bjunk", "damaged or cut short"),
        (b"PK\x03\x04\x00\x00", "zip archive"),
        (">a\nATG\n".encode("utf-16"), "in plain text"),
        (b">a\nATG\nAT\x00G\n", r"line 3 of .* holds byte 0x00"),
        (b">a\r\nATG\r\n>b\r\n\r\nAT7G\r\n", r"line 5 of .* holds '7'"),
        (b">a\nATG>b\n", r"line 2 of .* holds '>'"),
        (b">a\nATG\xff\n", r"line 2 of .* holds byte 0xff"),
    ],
)
def test_unusable_files_get_one_clear_sentence(
    content: bytes | str, message: str, tmp_path: Path
) -> None:
    path = write(tmp_path, content)
    with pytest.raises(DataError, match=message) as caught:
        read_fasta(path)
    assert repr(str(path)) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_line_of_a_bad_letter_is_right_in_later_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fasta, "_BLOCK", 5)
    path = write(tmp_path, ">head\n" + "ACGT\n" * 20 + "AC!T\n")
    with pytest.raises(DataError, match=r"line 22 of .* holds '!'"):
        read_fasta(path)


def test_missing_file_folder_and_pipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"cannot read './no\.fa': No such file"):
        read_fasta("./no.fa")  # named as given
    with pytest.raises(DataError, match="is a folder"):
        read_fasta(".")
    os.mkfifo("pipe")
    with pytest.raises(DataError, match="is not a regular file"):
        read_fasta("pipe")


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, ">a\nATG\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"cannot read .*x\.fa': Permission denied"):
        read_fasta(path)


def test_one_odd_letter_spoils_its_record_and_not_the_file(tmp_path: Path) -> None:
    records = read_fasta(write(tmp_path, ">a\n" + "ACGT" * 20 + "E\n>b\nATG\n"))
    assert records.unclear.tolist() == [True, False]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_reads_like_a_fasta(newline: str, tmp_path: Path) -> None:
    rows = ["cdsID\tsequence", "NM_1\tAUGUAA", "NM_2\tAUGCCCUAA", ""]
    assert texts(read_table(write(tmp_path, newline.join(rows)))) == ["AUGUAA", "AUGCCCUAA"]


@pytest.mark.parametrize("content", ["cdsID\tsequence\n", ">a\nATG\n", "a b\nc d\n"])
def test_no_table_is_an_error(content: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a table"):
        read_table(write(tmp_path, content))
