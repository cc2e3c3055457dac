"""The table at the end of `bench run`: who it is ranked with, and how it fits a terminal."""

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


def test_runs_with_another_budget_are_not_ranked_with_it(bench, board):
    words = ("run", *MLP, "--pairs", "1000", "--results", "results", "--against", board)
    answer = bench(*words)
    assert "untrained" not in answer.out


def test_the_table_fits_the_terminal_and_no_number_is_cut(run, board, monkeypatch):
    for width in (60, 80, 120, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        answer = run(*MLP, "--against", board)
        assert max(len(line) for line in answer.out.splitlines()) <= width
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
        table = " ".join(run(*MLP, "--against", board).out.split())
        tables[width] = [word for word in words if word in table]
    assert tables == {46: [*words[:2]], 80: [*words[:3]], 200: [*words]}


def test_the_narrowest_terminal_keeps_the_models_name_and_a_figure(run, board, monkeypatch):
    for width in (36, 40, 46):
        monkeypatch.setenv("COLUMNS", str(width))
        answer = run(*MLP, "--against", board)
        assert {"model", "excess"} <= set(answer.out.split())
        (row,) = [words for words in lines(answer) if "mlp-64" in words]
        assert row[-1] == "never"
