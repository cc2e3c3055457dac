"""`bench run --data mine.csv`: from a table to a ranked row, and back to it without the table."""

import json
import random
import re
from functools import partial

import pytest

import codonbench
from codonbench.data import table_formats
from codonbench.errors import UsageError
from codonbench.ranking.board import BestRule


@pytest.fixture
def table(tmp_path):
    """Two classes of 60 sequences, one rich in G, in mine.csv."""
    rng = random.Random(0)
    lines = ["dna,kind"]
    for i in range(120):
        weights = (1, 1, 1 + 5 * (i % 2), 1)
        lines.append(f"{''.join(rng.choices('ACGT', weights, k=rng.randint(30, 40)))},{i % 2}")
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_table_is_run_ranked_and_repeated_though_its_file_is_gone(bench, table, tmp_path):
    words = ("--seeds", "0-1", "--data", "mine.csv", "--folds", "0")
    ran = bench("run", "--model", "majority", *words)
    assert ran.code == 0, ran.err
    for words in ("sequence=dna", "target=kind", "120 sequences", "0 60, 1 60", "20% for test"):
        assert words in ran.err
    assert "mine, cpu; means over seeds" in ran.out
    moved = table.rename(tmp_path / "moved.csv")
    board = bench("leaderboard", "--results", "runs")
    assert board.code == 0, board.err
    assert "mine" in (tmp_path / "runs" / "board" / "README.md").read_text()
    frame = codonbench.load_records("runs").to_frame()
    assert frame["task"].tolist() == ["mine", "mine"]
    (shown,) = codonbench.board("runs").tables
    assert (shown.task, shown.ranking.metric) == ("mine", "mcc")
    assert bench("validate", "runs").code == 0
    repeated = bench("verify", "majority-s0", "--data", str(moved), "--results", "runs")
    assert (repeated.code, "identical" in repeated.out) == (0, True), repeated.err


def test_a_run_shows_what_it_gains_over_the_best_rule_of_the_audit(bench, table, monkeypatch):
    words = ("--model", "cnn", "--data", "mine.csv", "--epochs", "1", "--set", "channels=8")
    words = (*words, "--folds", "0")
    monkeypatch.setenv("COLUMNS", "100")
    ran = bench("run", *words)
    assert ran.code == 0, ran.err
    head, _, row, beside, over = ran.out.splitlines()[2:7]
    assert head.split() == ["#", "tier", "model", "mcc", "gain", "parameters"]
    assert beside.split()[:2] == ["audit's", "rule"]
    assert float(beside.split()[2]) > 0.3  # one class is rich in G
    assert "the audit's rule (" in over
    (shown,) = codonbench.board("runs").tables
    assert shown.gain_over in over
    assert f"{shown.rows[0].gain.value:.3f}" in row
    monkeypatch.setenv("COLUMNS", "40")
    narrow = bench("run", *words).out.splitlines()[2:6]
    assert max(map(len, narrow)) <= 40
    assert "[" not in "".join(narrow)


def test_a_seed_other_than_that_of_the_audit_was_tested_on_other_items(bench, table):
    words = ("--model", "kmer-linear", "--data", "mine.csv", "--folds", "0")
    for seed, apart in (("0", False), ("3", True)):
        assert bench("run", *words, "--seeds", seed, "--results", seed).code == 0
        (shown,) = codonbench.board(seed).tables
        assert shown.audited_apart is apart


def test_no_rule_is_shown_where_the_audit_was_of_another_split(bench, table, tmp_path):
    words = ("--model", "cnn", "--data", "mine.csv", "--epochs", "1", "--set", "channels=8")
    for split in (("--folds", "0", "--seeds", "0-1"), ("--folds", "5")):
        ran = bench("run", *words, *split)
        assert ran.code == 0, ran.err
        assert ("no row zero" in ran.out, "rule" in ran.out) == (True, False)
    tables = codonbench.board("runs").tables
    assert len(tables) == 2
    for shown in tables:
        assert (shown.gain_over, shown.figures.n_clean, shown.best_rule) == ("", None, None)
        assert "; the audit was of another split than rows were tested on." in shown.notes[0]
    assert bench("leaderboard", "--results", "runs", "--site").code == 0
    board = tmp_path / "runs" / "board"
    page = " ".join((board / "README.md").read_text().split())
    assert page.count("the audit was of another split") == 2
    assert "rule" not in page
    scripts = "".join(path.read_text() for path in (board / "site").rglob("*.js"))
    audits = re.findall(r'"audit":"([^"]*)"', scripts)
    assert [line.split("; ")[-1] for line in audits] == [
        "the audit was of another split than rows were tested on"
    ] * 2
    rule = BestRule(check="k-mers", score="MCC", value=0.5, by_item=True)
    other = tables[0].model_copy(update={"task_options": {}, "best_rule": rule})  # no own table
    assert "rule cannot be row zero, since it was tested on other items" in other.gain_words


def test_the_rule_on_quantities_is_no_row_zero_and_the_terminal_says_why(bench, table, tmp_path):
    cells = [line.split(",") for line in table.read_text().splitlines()[1:]]
    rows = "".join(f"{s},{s.count('G') + i % 7 / 10}\n" for i, (s, _) in enumerate(cells))
    table.write_text("dna,value\n" + rows)
    words = ("run", "--data", "mine.csv", "--epochs", "1", "--folds", "0")
    bench(*words, "--model", "majority")  # which writes the audit, and has no correlation
    alone = bench(*words, "--model", "cnn", "--set", "channels=4")
    assert alone.code == 0, alone.err
    why = "the audit's rule cannot be row zero, since its outputs were not kept by item"
    assert f"no row zero: no reference row with this score was run; {why}" in alone.out
    beside = bench(*words, "--model", "length-composition").out
    over = f"over length-composition, the best reference row, on the same seeds and items; {why}"
    assert f"gain: {over}" in beside
    assert bench("leaderboard", "--results", "runs").code == 0
    page = " ".join((tmp_path / "runs" / "board" / "README.md").read_text().split())
    assert f"Gain: {over}." in page


def test_a_small_table_without_splits_is_cross_validated_unless_told_otherwise(bench, table):
    words = ("run", "--model", "cnn", "--set", "channels=4", "--epochs", "1", "--data", "mine.csv")
    alone = ("run", "--model", "majority", "--data", "mine.csv")
    assert "other tables" not in bench(*alone).out
    assert "other tables" not in bench(*alone, "--folds", "0").out  # nobody is ranked there
    folded = bench(*words)
    assert folded.code == 0, folded.err
    said = "cross-validated over 5 folds, drawn by each seed, by class, as suits few items"
    assert f"{said}; --folds 0: one run a seed, on a test split of 20%" in folded.err
    assert "mine, folds 5, cpu" in folded.out
    cut = bench(*words, "--folds", "0")
    assert "cut from train by each seed, by class: 20% for test, then 10%" in cut.err
    assert "cross-validated" not in cut.err
    assert (
        "mine has other tables, whose rows are not ranked with these: mine, folds 5, cpu "
        "(1 row); 'bench leaderboard' writes all\n"
    ) in cut.out


def test_a_run_over_folds_goes_by_its_name_and_says_which_modules_can_be_explained(bench, table):
    words = ("--set", "channels=4", "--epochs", "1", "--data", "mine.csv")
    assert bench("run", "--model", "cnn", *words).code == 0
    shown = bench("show", "cnn-s0")
    assert (shown.code, "fits" in shown.err) == (0, False), shown.err
    refused = bench("explain", "cnn-s0")
    assert "joins 5 runs, each of a module of its own; explain one of them: " in refused.err
    first = re.search(r"them: (\w+),", refused.err)[1]
    assert "fold 1" in bench("show", first).out


def test_tables_of_one_title_are_told_apart_by_what_differs_alone(bench, table):
    words = ("run", "--model", "majority", "--folds", "0", "--data")
    assert bench(*words, "mine.csv").code == 0
    assert bench("new", "task", "--from", "mine.csv").code == 0
    answer = bench(*words, "mine.toml")
    assert "\nmine, classes ['0', '1'], cpu; means over seeds\n" in answer.out
    assert {table.title for table in codonbench.board("runs").tables} == {
        "mine, cpu",
        "mine, classes ['0', '1'], cpu",
    }


def test_tables_of_one_title_are_told_apart_by_their_data_where_options_are_the_same(bench, table):
    for text in (
        table.read_text(),
        table.read_text().rpartition("\n")[0].rpartition("\n")[0] + "\n",
    ):
        table.write_text(text)
        assert bench("run", "--model", "majority", "--folds", "0", "--data", "mine.csv").code == 0
    tables = codonbench.board("runs").tables
    assert len({table.title for table in tables}) == 2
    assert {t.title for t in tables} == {f"mine, data {t.data_checksum[:8]}, cpu" for t in tables}


def test_two_tables_of_one_name_are_ranked_apart(bench, table):
    assert bench("run", "--model", "majority", "--data", "mine.csv").code == 0
    table.write_text(table.read_text().replace(",1\n", ",0.5\n").replace(",0\n", ",0.1\n"))
    assert bench("run", "--model", "majority", "--data", "mine.csv").code == 0
    ranked = {table.ranking.metric for table in codonbench.board("runs").tables}
    assert ranked == {"mcc", "pearson"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dna,kind\nACGT,0\n,1\nACGA,1\n", ["mine.csv, line 3", "'dna'"]),
        ("dna,kind\nACGT,0\nACGA,0\nACGC,0\n", ["mine.csv", "one class"]),
        (None, ["no file 'mine.csv'"]),
    ],
)
def test_what_cannot_be_used_ends_with_2_and_writes_nothing(bench, table, tmp_path, text, words):
    table.unlink() if text is None else table.write_text(text)
    ran = bench("run", "--model", "majority", "--data", "mine.csv")
    assert (ran.code, ran.out) == (2, "")
    assert [word for word in words if word not in ran.err] == []
    assert len(ran.err.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_a_models_setting_that_is_typed_as_an_option_is_told_how_to_be_one(bench, table):
    answer = bench("run", "--data", "mine.csv", "--model", "cnn", "--learning-rate", "0.01")
    assert answer.code == 2
    assert "model 'cnn' has such a setting: --set learning_rate=0.01" in answer.err


def test_a_model_of_one_length_is_refused_and_no_line_blamed(bench, table, tmp_path, trust):
    (tmp_path / "flat.py").write_text(
        "import codonbench\n"
        "from torch import nn\n\n\n"
        '@codonbench.model(encoding="symbol_onehot_flat")\n'
        "def flat(task):\n"
        "    return nn.Linear(task.length * len(task.alphabet), task.n_outputs)\n"
    )
    trust("flat.py")
    words = ("--model", "flat", "--plugin", "flat.py", "--data", "mine.csv")
    for command in ("run", "tune"):
        ran = bench(command, *words)
        assert ran.code == 2
        assert "onehot_flat" in ran.err
        assert "30 to 40 letters" in ran.err
        assert ran.err.splitlines()[-1].startswith("bench: encoding 'symbol_onehot_flat'")
        assert not (tmp_path / "runs").exists()
        assert not (tmp_path / "tuning").exists()
    checked = bench("check", *words, "--json")
    assert checked.code == 1
    (said,) = (f["words"] for f in json.loads(checked.out)["findings"] if f["id"] == "encoding")
    assert "30 to 40 letters" in said
    assert "line" not in said


def test_a_fault_in_a_librarys_layer_names_the_line_that_made_it_and_the_lengths(
    bench, table, tmp_path, trust
):
    (tmp_path / "fixed.py").write_text(
        "import codonbench\n"
        "from torch import nn\n\n\n"
        '@codonbench.model(encoding="symbol_onehot")\n'
        "def fixed(task):\n"
        "    layer = nn.Linear(task.length * len(task.alphabet) + 1, task.n_outputs)\n"
        "    return nn.Sequential(nn.Flatten(), layer)\n"
    )
    trust("fixed.py")
    words = ("--model", "fixed", "--plugin", "fixed.py", "--data", "mine.csv")
    ran = bench("run", *words)
    assert ran.code == 1
    assert "161x2) (made in fixed.py:8); sequences have 30 to 40 letters" in ran.err
    assert "(made in fixed.py:8)" in bench("check", *words).out


@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_line_that_the_memory_cannot_hold_is_named(bench, table, tmp_path, trust, workers):
    (tmp_path / "normalised.py").write_text(
        "import codonbench\n"
        "from torch import nn\n\n\n"
        "class Normalised(nn.Module):\n"
        "    def __init__(self, task):\n"
        "        super().__init__()\n"
        "        self.scan = nn.Conv1d(len(task.alphabet), 1024, 5)\n"
        "        self.norm = nn.BatchNorm1d(1024)\n"
        "        self.out = nn.Linear(1024, task.n_outputs)\n\n"
        "    def forward(self, x):\n"
        "        return self.out(self.norm(self.scan(x.transpose(1, 2))).amax(2))\n\n\n"
        '@codonbench.model(encoding="symbol_onehot")\n'
        "def normalised(task):\n"
        "    return Normalised(task)\n"
    )
    trust("normalised.py")
    with table.open("a") as file:
        file.write("ACGT" * 2_500_000 + ",1\n")
    words = ("--data", "mine.csv", "--set", "batch_size=1024", "--workers", workers)
    ran = bench("run", "--model", "normalised", "--plugin", "normalised.py", *words)
    assert (ran.code, ran.out) == (2, ""), ran.err
    said = ran.err.splitlines()[-1]
    assert said.startswith("bench: mine.csv, line 122, 10,000,000 letters: a batch of ")
    assert "set batch_size or accumulate" in said
    assert not (tmp_path / "runs").exists()


def test_the_audit_of_many_classes_warns_of_nothing(bench, table):
    rows = table.read_text().splitlines()[1:]
    lines = [f"{row.split(',')[0]},c{i % 60}" for i, row in enumerate(rows)]
    table.write_text("\n".join(["dna,kind", *lines]) + "\n")
    ran = bench("run", "--model", "majority", "--data", "mine.csv")
    assert ran.code == 0, ran.err
    assert "Warning" not in ran.err


def test_fasta_with_labels_is_a_table_and_without_is_told_how_to_be_one(bench, table, tmp_path):
    cells = [line.split(",") for line in table.read_text().splitlines()[1:]]
    (tmp_path / "a.fa").write_text("".join(f">s label={y}\n{s}\n" for s, y in cells))
    ran = bench("run", "--model", "majority", "--data", "a.fa")
    assert (ran.code, "target=label" in ran.err) == (0, True), ran.err
    (tmp_path / "b.fa").write_text("".join(f">s\n{s}\n" for s, _ in cells))
    ran = bench("run", "--model", "majority", "--data", "b.fa", "--results", "other")
    assert ran.code == 2
    assert "--task-set target=label" in ran.err
    assert not (tmp_path / "other").exists()


def test_a_pandas_table_is_data(table):
    import pandas as pd

    frame = pd.read_csv(table)
    (record,) = codonbench.run(
        "majority", data=frame, workers=0, task_options={"name": "framed", "target": "kind"}
    )
    (same,) = codonbench.run("majority", data=str(table), workers=0)
    assert (record.task, record.run_spec.data_checksum) == ("framed", same.run_spec.data_checksum)


def test_a_pandas_table_without_a_target_is_told_of_in_python():
    import pandas as pd

    frame = pd.DataFrame({"dna": ["ACGT", "ACGA"], "kind": ["a", "b"], "sort": ["a", "b"]})
    for ask in (
        partial(codonbench.run, "majority", data=frame),
        partial(codonbench.audit_data, frame),
    ):
        with pytest.raises(UsageError, match=r"task_options=\{'target': 'COLUMN'\}"):
            ask()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ({"kind": ["a", "", "b"]}, r"^the pandas table, row y, column 'kind': got an empty cell"),
        ({"kind": list("aab"), "dna": ["AC\nGT"] * 3}, r"^the pandas table, column 'dna': got "),
        (
            {"kind": list("aab"), "sort": list("aab")},
            r"^the pandas table: not clear which column is the target",
        ),
        (None, "data is a list"),
    ],
)
def test_what_is_no_pandas_table_that_can_be_used_is_named(cells, words):
    import pandas as pd

    frame = pd.DataFrame({"dna": ["ACGT", "ACGA", "ACGC"], **(cells or {})}, index=list("xyz"))
    with pytest.raises(UsageError, match=words):
        codonbench.run("majority", data=[frame] if cells is None else frame)


def test_a_row_of_one_of_several_pandas_tables_is_named(tmp_path):
    import pandas as pd

    train, test = (pd.DataFrame({"dna": ["ACGT", "AC-A"], "kind": ["a", "b"]}) for _ in "ab")
    train["dna"] = ["ACGT", "ACGA"]
    with pytest.raises(UsageError, match=r"^pandas table 2, row 1, column 'dna': got '-'"):
        codonbench.audit_data(train, test)


def test_a_model_is_checked_on_a_table(bench, table):
    checked = bench("check", "--model", "majority", "--data", "mine.csv")
    assert checked.code == 0, checked.err
    assert "on mine, data mine.csv" in checked.out


def test_a_parquet_file_that_says_one_thing_a_thousand_times_is_refused(
    bench, tmp_path, monkeypatch
):
    """Of a kilobyte, it holds 500 MiB of text; not all of that is made to find out."""
    pa, pq = (pytest.importorskip(name) for name in ("pyarrow", "pyarrow.parquet"))
    monkeypatch.setattr(
        table_formats, "MOST_UNPACKED", 2**28
    )  # of 2 GiB a test takes half a minute
    word, n = "ACGT" * 65_536, 2_000
    sequences = pa.DictionaryArray.from_arrays(pa.array([0] * n, pa.int32()), pa.array([word]))
    table = pa.table({"sequence": sequences, "label": [0, 1] * (n // 2)})
    pq.write_table(table, tmp_path / "bomb.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "bomb.parquet").stat().st_size < 2_000
    zeros = pa.ListArray.from_arrays(pa.array([0, *[5_000_000] * 2], pa.int32()), [0] * 5_000_000)
    listed = pa.table({"sequence": ["A", "C"], "label": [0, 1], "more": zeros})
    pq.write_table(listed, tmp_path / "list.parquet", compression="zstd")
    for file in ("bomb.parquet", "list.parquet"):
        answer = bench("run", "--data", tmp_path / file, "--model", "majority")
        assert answer.code == 2
        assert "more than 0.25 GiB of text" in answer.err
    assert pa.default_memory_pool().max_memory() < 2**28


def test_replicates_of_a_quantity_give_the_tables_ceiling(bench, tmp_path):
    rng = random.Random(0)
    made = ("".join(rng.choices("ACGT", k=20)) for _ in range(60))
    lines = [f"{each},{each.count('G') / 20 + rng.gauss(0, 0.05):.4f}" for each in made]
    (tmp_path / "mine.csv").write_text("\n".join(["dna,level", *lines]) + "\n")
    words = ("run", "--model", "majority", "--data", "mine.csv", "--folds", "0", "--task-set")
    ran = bench(*words, "replicates=0.8,400")
    assert ran.code == 0, ran.err
    (line,) = [line.split() for line in ran.out.splitlines() if "ceiling" in line]
    assert line == ["ceiling", "0.943", "[0.930,", "0.953]"]  # sqrt(1.6 / 1.8); Fisher's z
    assert bench("validate", "runs").code == 0
    (shown,) = codonbench.board("runs").tables
    assert shown.ceiling is not None
    assert shown.ceiling.how == "of two replicates that correlate at 0.8"
    for odd in ("1.2,400", "0.8", "0.8,3", "a,b"):
        answer = bench(*words, f"replicates={odd}")
        assert answer.code == 2
        assert "replicates" in answer.err
    assert "expected r,n" in bench(*words, "replicates=0.8").err


def test_replicates_of_classes_are_refused(bench, table):
    words = ("run", "--model", "majority", "--data", "mine.csv", "--task-set")
    answer = bench(*words, "replicates=0.8,400")
    assert answer.code == 2
    assert "expected a table with one quantity as its target" in answer.err
