"""Tables read: what they hold, and each way they can be wrong, named by file, line and column."""

import bz2
import gzip
import lzma
import os
import zlib
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from codonbench.contracts import UNKNOWN
from codonbench.data import table, table_formats
from codonbench.data.table import TableFormat, read_table
from codonbench.data.table_files import find_files
from codonbench.data.table_formats import read_chunks
from codonbench.errors import DataError

CLASSES = TableFormat()
QUANTITIES = TableFormat(targets=("level",), kind="quantities")


@pytest.fixture
def write(tmp_path):
    def write(text, name="data.csv"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        raw = text.encode() if isinstance(text, str) else text
        path.write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return path

    return write


def test_sequences_of_any_length_and_classes_in_order(write):
    found = read_table(write("label,sequence\nten,acGT\n9,AN\nten,U\n"), CLASSES)
    assert found.items.letters.tolist() == [0, 1, 2, 3, 0, UNKNOWN, 3]
    assert found.items.offsets.tolist() == [0, 4, 6, 7]
    assert found.items.text("ACGT") == ["ACGT", "AN", "T"]
    assert found.classes == ("9", "ten")
    assert found.targets.tolist() == [1, 0, 1]
    assert found.report() == (
        "3 sequences",
        "1 to 4 letters, median 2",
        "classes: 9 1, ten 2",
    )


def test_numbers_are_classes_in_the_order_of_their_values(write):
    found = read_table(write("sequence,label\nA,10\nC,9\nG,-1\n"), CLASSES)
    assert found.classes == ("-1", "9", "10")
    assert found.targets.tolist() == [2, 1, 0]


def test_rna_is_read_with_its_own_alphabet(write):
    found = read_table(write("sequence,label\nGAUT,0\nA,1\n"), TableFormat(alphabet="ACGU"))
    assert found.items.letters.tolist() == [2, 0, 3, 3, 0]


def test_quantities_may_be_missing(write):
    form = TableFormat(targets=("x", "y"), kind="quantities")
    found = read_table(write("x,sequence,y\n1.5,A,\n,C,-2e3\n"), form)
    np.testing.assert_array_equal(found.targets, np.float32([[1.5, np.nan], [np.nan, -2000]]))


def test_a_folder_has_one_file_a_split(write, tmp_path):
    write("sequence,label\nA,0\nC,1\n", "set/train.csv.gz")
    write("sequence\tlabel\nG\t1\n", "set/valid.tsv")
    write("sequence,label\r\nT,0\r\n\r\n", "set/test.csv")
    found = read_table(tmp_path / "set", CLASSES)
    splits = {name: rows.tolist() for name, rows in found.splits.items()}
    assert splits == {"train": [0, 1], "validation": [2], "test": [3]}
    assert found.items.text("ACGT") == list("ACGT")


def test_a_column_names_splits_groups_and_ids(write):
    form = TableFormat(split="part", group="family", id="name")
    text = "name,sequence,label,part,family\na,A,0,Test,f\nb,C,1,train,g\nc,G,1,dev,h\n"
    found = read_table(write(text), form)
    splits = {name: rows.tolist() for name, rows in found.splits.items()}
    assert splits == {"train": [1], "validation": [2], "test": [0]}
    assert found.groups.tolist() == [0, 1, 2]
    assert found.ids == ("a", "b", "c")


def test_byte_order_mark_quotes_and_semicolons_are_read(write):
    found = read_table(write(b'\xef\xbb\xbf"sequence";"label"\n"A";"x;y"\nC;z\n'), CLASSES)
    assert found.classes == ("x;y", "z")
    assert read_table(write("sep=;\nsequence;label\nA;x\n"), CLASSES).classes == ("x",)


@pytest.mark.parametrize(
    ("text", "form", "words"),
    [
        ("sequence,class\nA,0\n", CLASSES, ["data.csv", "line 1", "'label'", "class"]),
        ("ACGT,0\nAC,1\n", CLASSES, ["data.csv", "'sequence'", "ACGT", "header"]),
        ("sequence label\nA 0\n", CLASSES, ["data.csv", "'sequence'", "sequence label"]),
        ("sequence,sequence,label\n", CLASSES, ["more than one", "'sequence'"]),
        ("", CLASSES, ["data.csv", "empty"]),
        ("sequence,label\n", CLASSES, ["data.csv", "no rows"]),
        ("sequence,label\nA,0\n,1\n", CLASSES, ["data.csv", "line 3", "'sequence'", "empty"]),
        ("sequence,label\nA,0\nACJT,1\n", CLASSES, ["line 3", "'J'", "letter 3", "ACGT"]),
        ("sequence,label\nA,0\nAC\N{SNOWMAN},1\n", CLASSES, ["line 3", "'\N{SNOWMAN}'"]),
        ("sequence,label\nA,0\nC,\n", CLASSES, ["line 3", "'label'", "a class"]),
        ("sequence,label\nA,0\nC\n", CLASSES, ["line 3", "1 of 2 cells"]),
        ("sequence,label\nA,0,\nC,1,\n", CLASSES, ["data.csv", "line 2", "3 of 2 cells"]),
        ("# of 2026\n\nsequence,label\nA,0\n\nX,1\n", CLASSES, ["line 6", "'X'"]),
        ('label,sequence\n"a\nb",A\n"c\r\n\nd",C\ne,X\n', CLASSES, ["line 7", "'X'"]),
        ('sequence,label\nA,0\nC,"1\nG,0\n', CLASSES, ["line 3", "quote"]),
        (
            "sequence,label\nA,0\nC,2\n",
            TableFormat(classes=("0", "1")),
            ["line 3", "'label'", "'2'", "0, 1"],
        ),
        ("sequence,level\nA,1\nC,high\n", QUANTITIES, ["line 3", "'level'", "'high'", "number"]),
        ("sequence,level\nA,1\nC,inf\n", QUANTITIES, ["line 3", "'level'", "'inf'", "finite"]),
        (
            "sequence,label\nA,1\nC,0.5\n",
            TableFormat(kind="labels"),
            ["line 3", "'label'", "'0.5'", "0, 1"],
        ),
        (
            "sequence,label,split\nA,1,train\nC,0,holdout\n",
            TableFormat(split="split"),
            ["line 3", "'split'", "'holdout'", "train", "test"],
        ),
        (b"sequence,label\nA,0\nC,\xe9\n", CLASSES, ["data.csv, line 3", "0xe9", "UTF-8"]),
        ("sequence,label\nA,0\n".encode("utf-16"), CLASSES, ["data.csv, line 1", "UTF-16"]),
        (b"\x28\xb5\x2f\xfd packed", CLASSES, ["data.csv", "Zstandard", "unpack"]),
        (b"0" * 257 + b"ustar" + b"0" * 250, CLASSES, ["data.csv", "tar archive"]),
    ],
)
def test_what_is_wrong_is_named(write, text, form, words):
    with pytest.raises(DataError) as caught:
        read_table(write(text), form)
    assert [word for word in words if word not in str(caught.value)] == []


@pytest.mark.parametrize("name", ["long.csv", "long.fa"])
def test_a_line_without_end_is_one_sentence(tmp_path, monkeypatch, name):
    monkeypatch.setattr(table_formats, "_LONGEST_CELL", 1_000)
    (tmp_path / name).write_text(">sequence,label\n" + "A" * 2_000)
    with pytest.raises(DataError, match=rf"{name}: a line of 1,000 letters or more"):
        list(read_chunks(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cells.csv", "sequence,label" + "," * 99, "line 1: more than 99 cells in a row"),
        ("quoted.csv", "sequence,label\n" + '"A\n",,' * 60, "line 2: more than 99 cells in a row"),
        ("blank.csv", "sequence,label\n" + "\n" * 100, "more than 99 lines"),
        ("notes.fa", ">s1 0\nA\n" + ";\n" * 100, "more than 99 lines"),
        ("title.fa", ">s1 " + "a=1 " * 25, "line 1: a header of 103 letters; expected 99 at most"),
    ],
)
def test_a_table_without_end_is_one_sentence(tmp_path, monkeypatch, name, text, words):
    for most in ("_MOST_COLUMNS", "_MOST_LINES", "LONGEST_TITLE"):
        monkeypatch.setattr(table_formats, most, 99)
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"{name}.*{words}"):
        list(read_chunks(tmp_path / name))


def test_rows_without_end_are_one_sentence(write, monkeypatch):
    monkeypatch.setattr(table, "MOST_RECORDS", 100)
    with pytest.raises(DataError, match=r"data\.csv: more than 100 rows; give fewer of them"):
        read_table(write("sequence,label\n" + "A,0\n" * 101), CLASSES)


def test_lines_are_counted_across_chunks(write, monkeypatch):
    monkeypatch.setattr(table, "MOST_ROWS", 2)
    with pytest.raises(DataError, match="line 6, column 'sequence': got 'X' as letter 2"):
        read_table(write("sequence,label\nA,0\nC,1\nG,1\nT,0\nAX,1\n"), CLASSES)


@pytest.mark.parametrize(
    ("packer", "unpacker"),
    [
        (gzip, partial(zlib.decompressobj, wbits=31)),
        (bz2, bz2.BZ2Decompressor),
        (lzma, lzma.LZMADecompressor),
    ],
)
def test_packed_files_are_read_and_named_where_they_are_cut_short(write, packer, unpacker):
    letters = np.random.default_rng(0).choice([*"ACGT"], (4000, 300))  # more than a block of bzip2
    text = "sequence,label\n" + "".join(f"{''.join(row)},0\n" for row in letters)
    whole = packer.compress(text.encode())
    assert len(read_table(write(whole, "whole.csv"), CLASSES).items) == 4000
    cut = whole[: 3 * len(whole) // 4]
    line = unpacker().decompress(cut).count(b"\n") + 1
    assert 1 < line < 4000
    with pytest.raises(DataError, match=rf"cut\.csv' is damaged or cut short in line {line:,} "):
        read_table(write(cut, "cut.csv"), CLASSES)


def test_a_damaged_file_that_is_no_utf8_either_is_one_sentence(write):
    packed = gzip.compress("sequence,label\nACGT,ü".encode("latin-1"))
    with pytest.raises(DataError, match="is damaged or cut short"):
        read_table(write(packed[:-8] + bytes(8), "mine.csv"), CLASSES)


def test_blanks_around_cells_and_empty_rows_are_no_content(write):
    found = read_table(write("sequence , label\n ACGT , 0\n\n,\nA, 0 \n"), CLASSES)
    assert (found.items.text("ACGT"), found.classes) == (["ACGT", "A"], ("0",))


def test_a_folder_without_a_split_or_with_two_is_named(write, tmp_path):
    write("sequence,label\nA,0\n", "set/train.csv")
    with pytest.raises(DataError, match=r"no file of the test split.*found train\.csv"):
        read_table(tmp_path / "set", CLASSES)
    write("sequence,label\nA,0\n", "set/test.csv")
    write("sequence,label\nA,0\n", "set/dev.csv")
    write("sequence,label\nA,0\n", "set/val.csv")
    with pytest.raises(DataError, match=r"both 'dev\.csv' and 'val\.csv'"):
        read_table(tmp_path / "set", CLASSES)


def test_a_pipe_is_no_table(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(DataError, match=r"pipe\.csv' is not a regular file"):
        find_files("pipe.csv", tmp_path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"nothing\.csv"):
        read_table(tmp_path / "nothing.csv", CLASSES)


@settings(max_examples=25)
@given(st.lists(st.tuples(st.text("ACGTN", min_size=1), st.integers(0, 3)), min_size=1))
def test_what_was_written_is_read_back_whatever_the_chunks(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("rows") / "data.csv"
    path.write_text("sequence,label\n" + "".join(f"{s},{c}\n" for s, c in rows))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "MOST_ROWS", 3)
        found = read_table(path, CLASSES)
    whole = read_table(path, CLASSES)
    assert found.items.text("ACGT") == [s for s, _ in rows]
    assert [found.classes[c] for c in found.targets] == [str(c) for _, c in rows]
    assert found.checksum == whole.checksum


def test_the_checksum_is_of_content_not_of_files(write, tmp_path):
    plain = read_table(write("sequence,label\nACGT,0\nAC,1\n"), CLASSES)
    packed = read_table(write("label\tsequence\n0\tacgt\n1\tac\n", "other.tsv.gz"), CLASSES)
    assert plain.checksum == packed.checksum
    for text in ("ACGA,0\nAC,1", "ACG,0\nTAC,1", "ACGT,1\nAC,0", "ACGT,0\nAC,2"):
        other = read_table(write(f"sequence,label\n{text}\n"), CLASSES)
        assert other.checksum != plain.checksum
