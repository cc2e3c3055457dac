"""Tables of one's own: what is guessed, what is said of them, and each way they are refused."""

import gzip
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from codonbench.contracts import Sequences, SequenceTuples
from codonbench.data import table_formats
from codonbench.data.compression import open_text
from codonbench.data.own_table import describe, files_of, is_table, open_table
from codonbench.data.table import Table, read_table
from codonbench.data.table_files import find_files
from codonbench.data.table_formats import fields
from codonbench.data.table_guess import Guess, TableOptions
from codonbench.data.table_report import duplicates, same_items
from codonbench.errors import ConfigError, DataError
from codonbench.plugins.discovery import load_registry

ROOT = Path(__file__).resolve().parents[2]
REAL = Path(os.environ.get("CODONBENCH_TEST_DATA", ROOT.parent / "shared" / "data")) / "tasks"
real = pytest.mark.skipif(not REAL.is_dir(), reason=f"no real data in {REAL}")

ROWS = "".join(f"{'ACGT' * 3}{'ACGT'[i % 4]}{'ACGT'[i // 4]}A,{i % 2}\n" for i in range(16))
TABLE = "sequence,label\n" + ROWS
DOTS = "fold,label\n" + "".join(f"((...))..{'.' * i},{i % 2}\n" for i in range(16))


@pytest.fixture(scope="module")
def registry():
    return load_registry()


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(text, name="mine.csv"):
        raw = text.encode() if isinstance(text, str) else text
        Path(name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
        return name

    return write


@pytest.fixture
def opened(write, registry):
    def opened(text, name="mine.csv", described="", **overrides):
        data = write(text, name) if text is not None else name
        return open_table(data, described, overrides, registry.metrics_of, registry.tasks)

    return opened


@pytest.mark.parametrize(
    ("columns", "rows", "folds"),
    [
        ("sequence,label", [f"{i % 2}" for i in range(999)], 5),
        ("sequence,label", [f"{i % 2}" for i in range(1_000)], 0),
        ("sequence,label", [f"{i < 4:d}" for i in range(100)], 0),  # a class has fewer than folds
        ("sequence,label,group", [f"{i % 2},{i % 4}" for i in range(100)], 0),  # so have groups
        ("sequence,label,group", [f"{i % 2},{i % 5}" for i in range(100)], 5),
        ("sequence,label,split", [f"{i % 2},{['train', 'test'][i > 80]}" for i in range(100)], 0),
        ("sequence,value", [f"{i / 7}" for i in range(100)], 5),
    ],
)
def test_few_items_without_splits_are_cross_validated(opened, columns, rows, folds):
    letters = ("".join("ACGT"[i >> 2 * k & 3] for k in range(6)) for i in range(len(rows)))
    text = "\n".join([columns, *(f"{s},{row}" for s, row in zip(letters, rows, strict=True))])
    task, _, _ = opened(text + "\n")
    assert task.folds == folds


def permuted(letters):
    return [letters[i:] + letters[:i] for i in range(len(letters))]


def guessed(data, **given):
    """The options of a table, its kind as all rows tell it."""
    files = find_files(data)
    found = Guess(files, TableOptions(**given))
    table = read_table(files, found.options.form(found.columns))
    return found.options.model_copy(update={"kind": table.kind})


# What is guessed


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        (
            "id,seq,Label",
            "a,ACGTACGT,{i}",
            {"sequence": ("seq",), "target": ("Label",), "id": "id"},
        ),
        ("x,promoter", "ACGTACGTAC,yes{i}", {"sequence": ("x",), "target": ("promoter",)}),
        ("level,dna", "{i}.5,ACGT", {"sequence": ("dna",), "kind": "quantities"}),
        ("a,b,sequence", "{i},0,ACGT", None),
        ("sequence,set,value", "ACGT,Train,{i}", {"split": "set", "target": ("value",)}),
        ("sequence,set,value", "ACGT,other,{i}", {"split": "", "target": ("value",)}),
        ("g0,g1,label", "1.5,{i},A{i}", {"sequence": (), "features": ("*",), "kind": "classes"}),
        ("sequence,label", "MKVLAAGICQWE,{i}", {"alphabet": "ACDEFGHIKLMNPQRSTVWY"}),
        ("sequence,label", "ACGUN,{i}", {"alphabet": "ACGU", "unknown": "NRYSWKMBDHV"}),
        ("sequence,label,cluster", "ACGT,{i},c", {"group": "cluster"}),
        ("protein,family", "MKVLAAGICQWE,f{i}", {"group": "", "target": ("family",)}),
        ("Sample,g0,class", "s{i},1.5,A{i}", {"id": "Sample", "features": ("*",)}),
    ],
)
def test_columns_are_known_by_name_or_content(write, header, row, expected):
    data = write(f"{header}\n" + "".join(row.format(i=i % 2) + "\n" for i in range(4)))
    if expected is None:
        with pytest.raises(DataError, match=r"mine\.csv, line 1: not clear which column is"):
            guessed(data)
        return
    found = guessed(data)
    assert {name: getattr(found, name) for name in expected} == expected


def test_what_is_read_is_said_with_quotes_around_blanks(opened):
    rows = "".join(f"ACGTACGT{'ACGT'[i % 4]}{'ACGT'[i // 4]},{i}.5\n" for i in range(16))
    *_, dataset = opened(f"RNA sequence,Half-life (h)\n{rows}")
    assert "sequence='RNA sequence' target='Half-life (h)' kind=quantities" in dataset.report[0]


def test_the_kind_is_told_by_all_rows(write):
    few = "".join(f"ACGT,{i % 3}\n" for i in range(500))
    assert guessed(write(f"sequence,y\n{few}")).kind == "classes"
    assert guessed(write(f"sequence,y\n{few}ACGT,0.5\n")).kind == "quantities"
    assert guessed(write(f"sequence,y\n{few}ACGT,other\n")).kind == "classes"
    many = "".join(f"ACGT,{i}\n" for i in range(500))
    assert guessed(write(f"sequence,y\n{many}")).kind == "quantities"
    two = "sequence,a,b\nACGT,0,1\nACGA,1,\n"
    assert guessed(write(two), target="a,b").kind == "labels"
    assert guessed(write(two + "ACGC,2,1\n"), target="a,b").kind == "quantities"


def test_a_table_is_opened_once_for_its_first_rows_and_once_to_be_read(opened, monkeypatch):
    paths = []
    monkeypatch.setattr(
        table_formats, "open_text", lambda path: paths.append(path) or open_text(path)
    )
    *_, dataset = opened(TABLE)
    assert (len(paths), len(dataset.items)) == (2, 16)


def test_two_columns_of_sequences_are_one_item_where_they_are_named(opened):
    text = "mirna,site,label\n" + "".join(
        f"ACGTACGT,{'ACGT' * 3}{'A' * i},{i % 2}\n" for i in range(9)
    )
    with pytest.raises(DataError, match="sequence=mirna,site"):
        opened(text)
    *_, dataset = opened(text, sequence="mirna,site")
    assert isinstance(dataset.items, SequenceTuples)
    assert [part.unit for part in dataset.spec.input.parts] == ["mirna", "site"]


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("s1 label=a split=test", {"id": "s1", "label": "a", "split": "test"}),
        ("s1 a", {"id": "s1", "label": "a"}),
        ("s1|a", {"id": "s1", "label": "a"}),
        ("s1|a|training", {"id": "s1", "label": "a", "split": "training"}),
        ("s1 homo sapiens gene", {"id": "s1"}),
    ],
)
def test_headers_of_fasta_give_columns(title, expected):
    assert fields(title) == expected


# One table in every form


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "tsv", "fa", "fa.gz", "parquet", "labels"])
def test_a_table_is_the_same_in_every_form(opened, write, suffix):
    *_, plain = opened(TABLE)
    rows = [line.split(",") for line in ROWS.splitlines()]
    name = f"other.{suffix}"
    if suffix.startswith("fa"):
        text = "".join(f">s{i} {label}\n{s[:5]}\n{s[5:]}\n" for i, (s, label) in enumerate(rows))
    elif suffix == "labels":
        write("".join(f">s{i}\n{s}\n" for i, (s, _) in enumerate(rows)), "s.fasta")
        labels = [f"s{i},{label}" for i, (_, label) in enumerate(rows)]
        write("name,label\n" + "\n".join(reversed(labels)) + "\n", "labels.csv")
        text, name = None, "s.fasta,labels.csv"
    elif suffix == "parquet":
        frame = pd.DataFrame(rows, columns=["sequence", "label"])
        frame.astype({"label": int}).to_parquet(name)
        text = None
    else:
        text = TABLE.replace(",", "\t") if suffix == "tsv" else TABLE
    *_, found = opened(text, name, target="label")
    assert found.checksum == plain.checksum
    assert found.items.text("ACGT") == [s for s, _ in rows]


def test_files_are_splits_by_their_names(opened, write):
    write(TABLE, "set_train.csv")
    write(TABLE, "set.test.csv")
    task, _, dataset = opened(None, "set_train.csv,set.test.csv")
    assert task.name == "set"
    assert (dataset.spec.train_size, dataset.spec.test_size) == (16, 16)
    with pytest.raises(DataError, match="are the train split"):
        opened(None, "set_train.csv,set_train.csv")


def test_a_description_is_the_table_it_was_made_of(opened, write, tmp_path):
    *_, plain = opened(TABLE)
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    name, text = describe("mine.csv", {"epochs": "3"}, folder)
    path = folder / f"{name}.toml"
    path.write_text(text)
    task, options, found = opened(None, str(path))
    assert (task.name, found.checksum, found.spec.default_epochs) == ("mine", plain.checksum, 3)
    assert options.classes == ("0", "1")
    *_, again = opened(None, None, str(path))
    assert again.checksum == plain.checksum
    write(TABLE.replace("ACGT", "ACGA", 1))
    with pytest.raises(DataError, match="its description says"):
        opened(None, str(path))


@pytest.mark.parametrize(
    ("title", "is_one"),
    [("s label=a", True), ("s|a|train", True), ("s gene=a", False), ("s a", False), ("s|a", False)],
)
def test_fasta_is_a_table_where_its_header_names_a_label_or_a_split(write, title, is_one):
    assert is_table(write(f"; comment\n>{title}\nACGT\n", "m.fasta")) == is_one


@pytest.mark.parametrize(("text", "is_one"), [(TABLE, True), (">s1 a, b\nACGT\n", False)])
def test_a_file_called_otherwise_is_a_table_by_its_first_line(write, text, is_one):
    assert is_table(write(text, "mine.txt")) == is_one


def test_what_is_called_like_a_table_is_one(tmp_path):
    assert all(
        map(is_table, ["a.csv", "a.TSV.xz", "a.parquet", "a.toml", "a.fa,b.csv", str(tmp_path)])
    )
    assert not any(map(is_table, ["usage", "a.fa", "a.fa.gz", "a.txt"]))


# What is said of it


def test_equal_items_are_found_by_brute_force_too():
    rng = np.random.default_rng(0)
    texts = ["".join(rng.choice(list("ACGT"), rng.integers(1, 5))) for _ in range(300)]
    pair = str.maketrans("ACGT", "TGCA")
    exact, either = same_items(Sequences.of(texts, "ACGT"), "ACGT")
    for i in range(0, 300, 7):
        same = [text == texts[i] for text in texts]
        reverse = [text[::-1].translate(pair) == texts[i] for text in texts]
        assert (exact == exact[i]).tolist() == same
        assert (either == either[i]).tolist() == [
            a or b for a, b in zip(same, reverse, strict=True)
        ]


def test_equal_items_are_numbered_alike_in_every_process():
    items = Sequences.of(["GG", "AA", "CC", "TA", "TT", "AA"], "ACGT")
    same, _ = duplicates(Table(items, np.zeros(6, dtype=np.int64), ("a",)), "ACGT")
    assert same.tolist() == [0, 1, 0, 2, 1, 1]


def test_items_in_two_splits_are_counted_with_those_of_another_class():
    items = Sequences.of(["AACC", "GGTT", "AAAA", "AACC", "CCCC", "AAAA"], "ACGT")
    splits = {"train": np.array([0, 2]), "test": np.array([1, 3, 4, 5])}
    table = Table(items, np.array([0, 1, 1, 1, 0, 1]), ("a", "b"), splits)
    _, (sentence,) = duplicates(table, "ACGT")
    assert sentence == (
        "3 of 4 test items stand in train (1 as reverse complement), 2 with another class "
        "(first row 2, like row 1)"
    )


def test_labels_are_counted_and_quantities_have_a_range(opened):
    *_, labels = opened("sequence,a,b\nACGT,0,1\nACGA,1,NA\nACGC,1,1\n", target="a,b")
    assert {"a: 2 of 3", "b: 2 of 2", "1 of 6 targets are missing"} <= set(labels.report)
    *_, quantities = opened("sequence,y\nACGT,0.5\nACGA,1.5\nACGC,4\n")
    assert "y: 0.5 to 4, mean 2" in quantities.report


def test_what_is_the_same_in_all_items_is_a_note_on_the_board(opened):
    *_, dataset = opened("sequence,a,b\nACGT,0.5,1\nACGA,0.5,2\nACGC,,4\n", target="a,b")
    assert dataset.spec.notes[0].startswith("a: the same in all items")


def test_equal_items_stay_in_one_split_where_it_is_cut(opened):
    *_, dataset = opened(TABLE + ROWS + ROWS)
    assert len(set(dataset.groups.tolist())) < len(dataset.items)
    assert any("32 of 48 items repeat another" in line for line in dataset.report)


def test_a_class_that_stands_in_test_alone_is_a_note_on_the_board(opened):
    text = "sequence,label,split\nACGT,0,train\nACGA,1,train\nACGC,2,test\nACGG,0,test\n"
    *_, dataset = opened(text)
    assert dataset.spec.notes == (
        "class '2' is in no training item, so none can be learned (first mine.csv, line 4)",
    )


def test_one_number_written_in_two_ways_is_a_note_on_the_board(opened):
    *_, dataset = opened("sequence,label\n" + "ACGT,1\nACGA,2\nACCA,1.0\n" * 4)
    assert dataset.spec.notes[-1] == (
        "classes '1' and '1.0' are one number written in two ways (first mine.csv, line 4), and "
        "count as two"
    )


def test_classes_that_differ_in_capital_letters_are_a_note_on_the_board(opened):
    *_, dataset = opened(TABLE.replace(",1\n", ",Yes\n", 3).replace(",1\n", ",yes\n"))
    assert dataset.spec.notes[-1].startswith("classes 'Yes' and 'yes' differ in capital letters")


def test_a_test_split_of_one_class_is_a_note_on_the_board(opened):
    rows = (
        ROWS.replace("0\n", "0,train\n").replace("1\n", "1,train\n", 5).replace("1\n", "1,test\n")
    )
    *_, dataset = opened("sequence,label,split\n" + rows)
    assert dataset.spec.notes[-1].startswith("all 3 test items are of one class, '1'")


def test_two_rows_of_one_id_are_two_items_and_both_are_named(opened):
    rows = [f"s{i % 15},{row}" for i, row in enumerate(ROWS.splitlines())]
    *_, dataset = opened("id,sequence,label\n" + "\n".join(rows) + "\n")
    assert dataset.spec.notes == (
        "1 of 16 ids repeat another (first mine.csv, line 17, 's0' as in mine.csv, line 2); each "
        "row is an item of its own",
    )
    assert len(dataset.items) == len(np.unique(dataset.groups)) == 16


def test_of_many_classes_the_first_are_shown(opened):
    rows = "".join(f"{'ACGT' * (i + 1)},c{i % 40}{'x' * 50}\n" for i in range(80))
    *_, dataset = opened("sequence,label\n" + rows)
    (line,) = (line for line in dataset.report if line.startswith("classes: "))
    assert line.startswith(f"classes: c0{'x' * 30} 2, c10{'x' * 29} 2, ")
    assert line.endswith(" and 16 more")


# How it is ranked


def test_the_kind_of_target_says_what_it_is_ranked_by(opened):
    assert opened(TABLE)[0].ranking.metric == "mcc"
    quantities = TABLE.replace(",1\n", ",0.25\n")
    assert opened(quantities)[0].ranking.metric == "pearson"
    task, options, _ = opened(quantities, metric="rmse")
    assert (task.ranking.metric, task.ranking.direction) == ("rmse", "lower")
    assert options.direction == "lower"
    with pytest.raises(ConfigError, match=r"no metric 'mcc' for quantities.*pearson"):
        opened(quantities, metric="mcc")


def test_a_name_that_is_taken_is_refused(opened, registry):
    taken = next(iter(registry.tasks))
    with pytest.raises(ConfigError, match=f"name=my-{taken}"):
        opened(TABLE, f"{taken}.csv")
    _, _, dataset = open_table(
        f"{taken}.csv", "", {"name": "mine"}, registry.metrics_of, registry.tasks
    )
    assert dataset.spec.name == "mine"


# What is refused


@pytest.mark.parametrize(
    ("text", "overrides", "words"),
    [
        (TABLE, {"target": "class"}, ["line 1: no column 'class'", "sequence, label"]),
        (TABLE, {"group": "a,b"}, ["line 1: no column 'a,b'", "group takes one column"]),
        (
            "sequence,label,group,group\nACGT,0,a,b\n",
            {},
            ["line 1", "more than one column 'group'"],
        ),
        (
            "sequence,a,b\nACGT,x,y\n",
            {"target": "a,b", "kind": "classes"},
            ["2 columns of classes"],
        ),
        (ROWS.replace(",", ",0."), {}, ["line 1", "no header", "sequence,label"]),
        ("ACGTACGTACGT,0\nACGTACGTACGT,1\n", {}, ["line 1", "no header"]),
        ("ACGT,0,0\nACGA,1,1\n", {}, ["line 1", "no header"]),
        (
            TABLE.replace(",", "|"),
            {},
            ["line 1: no column of sequences", "sequence|label", "comma"],
        ),
        ("", {}, ["empty"]),
        ("sequence,label\n", {}, ["no rows"]),
        ("sequence,label\nACGT,0\n", {}, ["1 row;", "at least 3"]),
        ("sequence,label\nACGT,0\nACGA,0\nACGG,0\n", {}, ["3 rows", "one class, '0'"]),
        (
            "sequence,label,split\nACGT,0,train\nACGA,0,train\nACGG,1,test\n",
            {},
            ["2 rows of the train split", "one class, '0'"],
        ),
        (
            "sequence,a,b\nACGT,0.5,\nACGA,1.5,\nACGG,2.5,\n",
            {"target": "a,b", "kind": "quantities"},
            ["column 'b'", "no value"],
        ),
        (
            "sequence,value\nACGT,a\nACGA,b\nACGG,c\n",
            {},
            ["line 2, column 'value'", "each of 3 rows is of a class of its own", "decimal point"],
        ),
        (
            "sequence,label\n" + "".join(f"ACGT,c{i % 12_000}\n" for i in range(24_000)),
            {},
            ["24,000 rows", "12,000 classes", "1 GiB"],
        ),
        ("sequence;value\nACGT;2\nACGA;0,5\nACGG;2\n", {}, ["line 3, column 'value'", "'0,5'"]),
        ("sequence;value\nACGT;\nACGA;0,5\nACGG;2\n", {}, ["line 3, column 'value'", "'0,5'"]),
        ("sequence,value\nACGT,5%\nACGA,5%\nACGG,7%\n", {}, ["line 2", "'5%'", "kind=classes"]),
        (
            "sequence,label,split\n" + ROWS.replace("\n", ",A\n"),
            {},
            ["line 2, column 'split'", "'A'", "train", "--task-set split="],
        ),
        (TABLE.replace("", "\0")[1:], {}, ["line 1: bytes of 0"]),
        (
            "sequence,label,weight\n" + ROWS.replace("\n", ",0\n"),
            {},
            ["line 2, column 'weight'", "all 16 rows to train on are 0"],
        ),
        (TABLE + "ACG-,1\n", {}, ["line 18", "'-' as letter 4", "ACGT or N"]),
        (TABLE + "ACGN,1\n", {"ambiguous": "refuse"}, ["line 18", "'N' as letter 4"]),
        (TABLE + ",1\n", {}, ["line 18", "'sequence'", "empty"]),
        (
            "gene,utr,half\n" + ("MYC,ACGUACGUAC,1.5\n" * 19) + "MYC,ACGU-CGUAC,1\n",
            {"target": "half"},
            ["line 21, column 'utr'", "'-' as letter 5"],
        ),
        (
            "gene,utr,half\n" + ("MYC,ACGUACGUAC,1.5\n" * 19) + "MYC,,1\n",
            {"target": "half"},
            ["line 21, column 'utr'", "an empty cell"],
        ),
        (TABLE + "ACGT,\n", {}, ["line 18", "'label'", "a class"]),
        ("sequence,value\nACGT,\nACGA,NA\n", {}, ["line 2", "'value'", "no row has a value"]),
        (TABLE + "ACGT,NA\n", {}, ["line 18", "'NA'", "a class"]),
        ("ACGT" * 50_000 + ",1\n" + ROWS, {}, ["line 1", "no header"]),
        ("sequence,label\n" + "ACGT,0\nACGT,1\n" * 3, {}, ["1 group", "equal items"]),
        (TABLE + "ACGT,high\n", {"kind": "quantities"}, ["line 18", "'high'", "number"]),
        ("sequence,label\nMKV7L,0\n", {}, ["line 2", "'7'", "alphabet="]),
        (TABLE + "ACGE,1\n", {}, ["line 18", "'E' as letter 4"]),
        (TABLE + 'ACGT,"1\n', {}, ["line 18", "not closed"]),
        ("sequence,a,b\nACGT,0,1\nACGA,1,x\n", {"target": "a,b"}, ["line 3", "'b'", "'x'"]),
        (
            "sequence,label,split,group\nACGT,0,train,a\nACGA,1,test,b\nACGC,0,test,a\nAAAA,1,train,c\n",
            {},
            ["line 4", "group 'a' is in test here", "line 2"],
        ),
        (
            "g0,g1,label\n1,2,a\n3,x,b\n5,6,a\n",
            {"features": "g0,g1"},
            ["line 3", "'x'", "a finite number"],
        ),
        ("g0,label\n1,a\n,b\n", {"features": "*"}, ["line 3", "'g0'", "nothing"]),
        (DOTS, {}, ["line 2", "'fold'", "--task-set sequence=fold --task-set alphabet=LETTERS"]),
        (
            "who,g0,class\nTCGA-A1,1,a\nTCGA-A2,2,b\nTCGA-A3,2,b\n",
            {},
            ["line 2", "'TCGA-A1'", "a number", "--task-set id=who"],
        ),
        ("g0,label\n1,a\nnan,b\n", {"features": "*"}, ["line 3", "'nan'", "finite"]),
    ],
)
def test_what_cannot_be_used_is_named_by_file_and_line(opened, text, overrides, words):
    with pytest.raises(DataError) as caught:
        opened(text, **overrides)
    assert [word for word in ["mine.csv", *words] if word not in str(caught.value)] == []
    assert "\n" not in str(caught.value)


def test_sequences_of_letters_of_ones_own_are_found_by_their_letters(opened):
    _, _, dataset = opened(DOTS, alphabet="(.)")
    assert dataset.items.text("(.)")[0] == "((...)).."


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("m.fa", "ACGT\n>s1 0\nACGT\n", ["line 1", "'>' header"]),
        ("m.fa", ">s1 0\nACGT\n>s2\nACGA\n", ["line 3", "'label'", "a class"]),
        ("m.fa", ">s1 0\nACGT\n>s2 1\n>s3 1\nAC\n", ["line 3", "'sequence'", "empty"]),
        ("m.fa", ">s1 0\nACGT\n\n>s2 1\nA\nC7\n", ["line 4", "'7' as letter 3"]),
        ("m.fa", ">s1 0\nACGT\n; a comment\nAX\n", ["line 1", "'X' as letter 6"]),
        ("m.parquet", b"PAR1 no", ["not Parquet"]),
        ("m.csv", b"PAR1 yes", ["a Parquet file", ".parquet"]),
        ("m.csv", b"PK\x03\x04" + b"\0" * 26 + b"[Content_Types].xml", ["Excel", "as CSV"]),
        ("m.xls", b"\xd0\xcf\x11\xe0\xa1\xb1", ["Excel", "as CSV"]),
        ("m.csv.gz", None, ["damaged or cut short"]),
    ],
)
def test_files_of_other_forms_are_refused_by_line(opened, write, name, text, words):
    if text is None:
        whole = Path(write(TABLE * 50, name)).read_bytes()
        Path(name).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError) as caught:
        opened(text, name, **({"target": "label"} if name == "m.fa" else {}))
    assert [word for word in [name, *words] if word not in str(caught.value)] == []


PEPTIDES = "".join(f"{s},{i % 2}\n" for i, s in enumerate(permuted("ACDEFGHIKLMNPQRSTVWY")))
EXPRESSION = "".join(f"{i},{2 * i},{7 + i % 5},{'ab'[i % 2]}\n" for i in range(1, 20))


@pytest.mark.parametrize(
    ("header", "rows"),
    [
        ("x,y", ROWS),
        ("seq,what", ROWS.replace("ACGT" * 3, "")),
        ("peptide,y", PEPTIDES),
        ("g0,g1,g2,what", EXPRESSION),
    ],
)
def test_a_table_without_a_header_is_refused_and_with_one_is_read_whole(opened, header, rows):
    with pytest.raises(DataError, match=r"mine\.csv, line 1: no header, but"):
        opened(rows)
    *_, dataset = opened(f"{header}\n{rows}")
    assert len(dataset.items) == rows.count("\n")
    assert "header" not in dataset.report[0]


def test_a_first_line_that_may_be_either_is_said_to_be_taken_for_the_header(opened):
    rows = "".join(f"{'ACGT' * (3 + i)},{'yes' if i % 2 else 'no'}\n" for i in range(9))
    *_, dataset = opened("ACGTACGT,maybe\n" + rows)
    assert "line 1 as header: ACGTACGT, maybe" in dataset.report[0]


@pytest.mark.parametrize(
    "damage", [lambda b, i: b[:i] + b[i + 100 :], lambda b, i: b[:i] + b"no" + b[i + 2 :]]
)
def test_damage_in_the_midst_of_parquet_is_named_as_such(opened, damage):
    frame = pd.DataFrame({"sequence": [f"{i:012b}" for i in range(3_000)], "label": [0, 1] * 1_500})
    frame.to_parquet("mine.parquet")
    whole = Path("mine.parquet").read_bytes()
    Path("mine.parquet").write_bytes(damage(whole, len(whole) // 2))
    with pytest.raises(DataError, match=r"mine\.parquet: damaged.*; get it anew"):
        opened(None, "mine.parquet", alphabet="01")


def test_a_class_of_one_item_is_told_of_with_its_line(opened):
    *_, dataset = opened(TABLE + "ACGTACGTACGTACG,x\n")
    assert any("'x'" in line and "mine.csv, line 18" in line for line in dataset.report)


def test_columns_of_parquet_that_are_no_numbers_are_named(opened):
    frame = pd.DataFrame({"g": list("xyz"), "h": [[1], [2], [3]], "label": list("aba")})
    frame[["g", "label"]].to_parquet("g.parquet")
    with pytest.raises(
        DataError, match=r"g\.parquet, row 1, column 'g': got 'x'; expected a finite number"
    ):
        opened(None, "g.parquet", target="label", features="g")
    frame[["h", "label"]].to_parquet("h.parquet")
    with pytest.raises(DataError, match=r"h\.parquet, column 'h': got list"):
        opened(None, "h.parquet", target="label", sequence="h", alphabet="123")


def test_a_column_of_lists_is_left_out_where_nothing_is_made_of_it(opened, write):
    write(TABLE, "mine.csv")
    pd.read_csv("mine.csv").assign(exons=[[1]] * 16).to_parquet("mine.parquet")
    *_, dataset = opened(None, "mine.parquet")
    assert "not read: exons" in dataset.report[0]
    assert dataset.checksum == opened(None)[2].checksum


def test_a_name_without_a_label_is_refused(opened, write):
    write(">s1\nACGT\n>s2\nACGA\n", "m.fa")
    write("id,label\ns1,0\n", "labels.csv")
    with pytest.raises(DataError, match=r"m\.fa, line 3, column 'id': got 's2'"):
        opened(None, "m.fa,labels.csv")
    write("s1,0\ns2,1\n", "labels.csv")
    with pytest.raises(DataError, match=r"labels\.csv, line 1: no header, but s1, 0"):
        opened(None, "m.fa,labels.csv")


def test_rows_of_labels_that_name_no_sequence_are_counted_before_a_run(opened, write):
    fasta = "".join(f">s{i}\n{row.split(',')[0]}\n" for i, row in enumerate(ROWS.splitlines()))
    labels = "".join(f"s{i},{i % 2}\n" for i in range(18))
    write(fasta, "m.fa")
    write("id,label\n" + labels, "labels.csv")
    *_, dataset = opened(None, "m.fa,labels.csv")
    said = "2 of 18 rows of labels.csv name no sequence (first line 18, 's16')"
    assert said in dataset.report
    assert said not in dataset.spec.notes


def test_a_line_of_a_million_letters_is_read_and_said(opened):
    *_, dataset = opened(TABLE + "ACGT" * 250_000 + ",1\n")
    assert dataset.spec.input.max_length == 1_000_000
    assert "1,000,000 letters" in dataset.spec.notes[-1]


# Real tables


KHAN = "expression/khan_srbct_train.csv.gz,expression/khan_srbct_test.csv.gz"


@real
@pytest.mark.parametrize(
    ("data", "given", "kind", "sizes", "note"),
    [
        ("enhancers_liu2016", {}, "classes", (2968, 0, 400), "100 of 400 test items stand"),
        ("ncrna_13class", {}, "classes", (6320, 0, 2600), "347 of 2,600 test items stand"),
        ("mrna_regression/mrfp_expression.csv.gz", {}, "quantities", (1021, 219, 219), "2 of 219"),
        ("mrna_regression/mlos_flu.csv.gz", {}, "quantities", (167, 0, 0), ""),
        (KHAN, {}, "classes", (63, 0, 20), ""),
        ("expression/pbmc68k_reduced.csv.gz", {}, "classes", (700, 0, 0), ""),
        ("deepstarr_sample", {"target": "dev,hk"}, "quantities", (1000, 1000, 1000), ""),
        ("uci_splice/all.csv.gz", {}, "classes", (3190, 0, 0), "items repeat another"),
        ("mirna_target_clash", {"sequence": "mirna,gene"}, "classes", (30784, 2000, 4000), ""),
    ],
)
def test_real_tables_are_understood(data, given, kind, sizes, note, registry):
    paths = ",".join(str(REAL / part) for part in data.split(","))
    _, options, dataset = open_table(paths, "", given, registry.metrics_of, registry.tasks)
    spec = dataset.spec
    assert (spec.target.kind, options.kind) == (kind, kind)
    assert (len(dataset.splits["train"]), spec.validation_size, spec.test_size) == sizes
    assert any(note in line for line in spec.notes or ("",))


def test_a_cell_among_fractions_that_is_no_number_is_named_and_makes_no_classes(opened):
    rows = ROWS.replace(",0\n", ",0.25\n").replace(",1\n", ",0.5\n", 5)
    with pytest.raises(DataError, match=r"mine.csv, line 18, column 'label': got 'abc'"):
        opened("sequence,label\n" + rows.replace(",1\n", ",0.75\n") + "ACGTACGTACGTGGG,abc\n")


def test_a_misspelt_split_is_named_and_the_column_still_is_one(opened):
    rows = ROWS.replace("\n", ",train\n", 10).replace("1\n", "1,test\n").replace("0\n", "0,trian\n")
    with pytest.raises(DataError, match=r"line 12, column 'split': got 'trian'"):
        opened("sequence,label,split\n" + rows)


# Weights


WEIGHTED = "sequence,label,weight\n" + "".join(
    f"{row},{i / 4}\n" for i, row in enumerate(ROWS.splitlines())
)


def test_a_column_of_weights_is_carried_and_a_table_without_one_is_as_before(opened):
    _, options, dataset = opened(WEIGHTED)
    assert options.weight == "weight"
    assert dataset.weights.tolist() == [i / 4 for i in range(16)]
    assert "weights in training: 0 to 3.75" in "\n".join(dataset.report)
    _, none, plain = opened(WEIGHTED, weight="")
    assert "weight" not in none.model_dump(mode="json")
    assert plain.weights is None
    assert plain.checksum == opened(TABLE)[2].checksum != dataset.checksum


@pytest.mark.parametrize("cell", ["-1", "heavy", "nan", ""])
def test_a_weight_that_is_none_is_named_with_its_line(opened, cell):
    with pytest.raises(DataError, match=r"line 3.*weight.*number from 0 up"):
        opened(WEIGHTED.replace(",0.25\n", f",{cell}\n"))


@pytest.mark.parametrize(
    ("data", "task", "expected"),
    [
        ("train.csv,test.csv", None, ["train.csv", "test.csv"]),
        ("test=b.csv,train=a.csv", None, ["a.csv", "b.csv"]),
        (".", None, ["train.csv", "test.csv"]),
        ("a.fa,b.csv", None, ["a.fa", "b.csv"]),
        ("t.toml", None, ["a.csv"]),
        (None, "t.toml", ["a.csv"]),
        (None, "gue-tf-0", []),
        ("nowhere.csv", None, []),
    ],
)
def test_the_files_of_a_table_are_those_that_a_sandbox_hides(write, data, task, expected):
    for name in ("train.csv", "test.csv", "a.csv", "b.csv"):
        Path(name).write_text(TABLE)
    Path("a.fa").write_text(">a\nACGT\n")
    Path("t.toml").write_text('data = "a.csv"\n')
    assert sorted(map(str, files_of(data, task))) == sorted(expected)
