"""The table at the end of `bench run`: who it is ranked with, and how it fits a terminal."""

import re

MLP = ("--model", "mlp-64", "--seeds", "0-1")


def lines(answer):
    return [line.split() for line in answer.out.splitlines() if line.strip()]


def test_others_are_ranked_with_it_and_only_read(run, board):
    before = sorted(board.rglob("*"))
    answer = run("--model", "mlp-128", "--seeds", "0-1", "--against", board)
    models = [words[2] for words in lines(answer)[3:6]]
    assert models == ["mlp-128", "mlp-64", "untrained"]
    assert sorted(board.rglob("*")) == before


def test_the_run_just_made_speaks_for_its_row(run, board):
    answer = run("--model", "mlp-64", "--seeds", "7", "--against", board)
    (row,) = [words for words in lines(answer) if "mlp-64" in words]
    assert row[3] == "0/1"


def test_a_row_whose_parameters_nothing_counts_has_a_dash_there(run):
    answer = run("--model", "count-table", "--seeds", "0")
    (row,) = [words for words in lines(answer) if "count-table" in words]
    assert row[-1] == "-"


def test_runs_with_another_budget_are_not_ranked_with_it(bench, board):
    words = ("run", *MLP, "--pairs", "1000", "--results", "results", "--against", board)
    answer = bench(*words)
    assert "untrained" not in answer.out


def test_the_table_fits_the_terminal_and_no_number_is_cut(run, board, monkeypatch):
    for width in (60, 80, 120, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        answer = run(*MLP, "--against", board)
        table = [line for line in answer.out.splitlines() if not line.startswith("left out: ")]
        assert max(map(len, table)) <= width  # a pipe wraps no sentence
        (row,) = [words for words in lines(answer) if "mlp-64" in words]
        assert row[:4] == ["-", "-", "mlp-64", "0/2"]  # nobody got there, so nobody is ranked
        # Where there is no room for the budget, "never" says the same.
        text = " ".join(row)
        assert text.count("> 2,000") + text.count("never") >= 2
        assert ("> 2,000" in text) == (width >= 120)
        assert "…" not in answer.out


def test_what_a_narrow_terminal_leaves_out_is_what_matters_least(run, board, monkeypatch):
    tables = {}
    words = ("tier", "success", "decipher", "parameters", "[0-66 %]")
    for width in (46, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        table, _, left = " ".join(run(*MLP, "--against", board).out.split()).partition("left out: ")
        tables[width] = [word for word in words if word in table]
        assert ("parameters" in left, "intervals" in left) == (width < 200, width < 80)
    assert tables == {46: [*words[:2]], 80: [*words[:3], words[4]], 200: [*words]}


def test_the_narrowest_terminal_keeps_the_models_name_and_a_figure(run, board, monkeypatch):
    for width in (36, 40, 46):
        monkeypatch.setenv("COLUMNS", str(width))
        answer = run(*MLP, "--against", board)
        assert {"model", "excess"} <= set(answer.out.split())
        (row,) = [words for words in lines(answer) if "mlp-64" in words]
        assert row[-1] == "never"


LISTS = (("ls", "tasks"), ("ls", "models"), ("ls", "metrics"), ("data", "ls"))


def test_a_list_has_a_line_a_row_cut_where_it_must_and_whole_in_a_pipe(bench, monkeypatch):
    for words in LISTS:
        monkeypatch.delenv("COLUMNS", raising=False)
        whole = bench(*words).out.splitlines()
        assert "\N{HORIZONTAL ELLIPSIS}" not in "".join(whole)
        for width in (60, 80, 120):
            monkeypatch.setenv("COLUMNS", str(width))
            cut = bench(*words).out.splitlines()
            assert len(cut) == len(whole)
            assert max(map(len, cut)) <= width
            names, shown = ([line.split()[0] for line in lines[2:]] for lines in (whole, cut))
            assert names == shown


def test_a_list_loses_columns_in_the_order_that_help_states(bench, monkeypatch):
    headings = {}
    for width in (60, 90, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        headings[width] = bench("ls", "tasks").out.split("\n")[0].split()
    assert headings == {
        60: ["task", "title"],
        90: ["task", "version", "title"],
        200: ["task", "version", "data", "title"],
    }
    told = " ".join(bench("ls", "--help").out.replace("│", " ").split())
    assert "in this order: parameters, intervals" in told
    assert "figures from the last to the second, tiers, success" in told
    assert "leaves out the data of tasks, then versions" in told


def test_names_of_usual_length_are_not_folded_while_a_column_can_go(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    table = bench("ls", "rows", "--task", "gue-tf-2").out.partition("\n\n")[0]
    assert "length-composition" in table
    assert "parameters" not in table.partition("left out")[0]


def test_parameters_go_before_intervals_and_those_of_the_first_figure_last(bench, monkeypatch):
    found = {}
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        table = bench("ls", "rows", "--task", "gue-tf-2").out.partition("\n\n")[0]
        (cnn,) = (line for line in table.splitlines() if " cnn " in line)
        (left,) = re.findall("left out: (.*);", table) or [""]
        found[width] = cnn.count("["), left
    assert found == {60: (0, "intervals, parameters"), 80: (2, "parameters"), 200: (2, "")}


def test_a_rank_in_doubt_says_why(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    answer = bench("ls", "rows", "--task", "human-codon")
    words = [line.split()[0] for line in answer.out.splitlines() if line.strip()]
    doubted = {word for word in words if re.fullmatch(r"\d+\?", word)}
    assert doubted
    for rank in doubted:
        assert re.search(
            rf"^{re.escape(rank)} is in doubt: \S+: .*below the bound", answer.out, re.M
        )


def test_findings_have_room_for_their_words_and_lose_thresholds_first(bench, monkeypatch, tmp_path):
    rows = "".join(f"{'ACGT' * 5}{'AC'[i % 2] * (i % 7)},{i % 2}\n" for i in range(60))
    (tmp_path / "mine.csv").write_text("sequence,label\n" + rows)
    found = {}
    for width in (60, 80, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        answer = bench("audit-data", "mine.csv")
        (found[width],) = [line for line in answer.out.splitlines() if line.startswith("check ")]
        table = answer.out[answer.out.index("check ") :]
        assert max(map(len, table.splitlines())) <= width
    assert found[60].split() == ["check", "grade", "in", "words"]
    assert found[80].split() == ["check", "grade", "found", "in", "words"]
    assert "doubt from   leak from" in found[200]
