"""`bench ls`, `bench --version`: what there is."""

import os

import pytest

import codonbench
from codonbench.cli import board_tables
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import official_tables
from codonbench.ranking.statistics import Mean

BROKEN = "raise RuntimeError('no licence found')\n"


def first_words(answer):
    return [line.split()[0] for line in answer.out.splitlines()[2:]]


@pytest.mark.parametrize("kind", ["models", "tasks", "metrics"])
def test_ls_lists_everything_that_is_registered(bench, kind):
    answer = bench("ls", kind)
    assert answer.code == 0
    assert answer.err == ""
    assert sorted(first_words(answer)) == sorted(getattr(load_registry(), kind))


def test_ls_lists_models_by_default_and_sets_the_reference_rows_apart(bench):
    answer = bench("ls")
    assert answer.out == bench("ls", "models").out
    names = first_words(answer)
    assert names.index("mlp") < names.index("mlp-64") < names.index("bound")
    assert "reference: " in next(line for line in answer.out.splitlines() if "bound" in line)


def test_other_commands_go_on_without_a_broken_plugin_and_say_so(bench, strangers, run):
    strangers(BROKEN)
    answer = bench("ls", "models")
    assert answer.code == 0
    assert "plugin strange_plugins of strange 1.0 did not load" in answer.err
    answer = run("--model", "untrained", "--json")
    assert answer.code == 0
    assert len(answer.records) == 1
    assert "did not load: RuntimeError: no licence found" in answer.err


def test_the_version_is_printed(bench):
    answer = bench("--version")
    assert (answer.code, answer.out) == (0, f"codonbench {codonbench.__version__}\n")


def test_a_reader_that_goes_away_is_no_error(process):
    reader, writer = os.pipe()
    os.close(reader)
    answer = process("ls", "models", stdout=writer)
    os.close(writer)
    assert (answer.code, answer.err) == (0, "")


def test_a_terminal_without_unicode_gets_plainer_tables(process):
    answer = process("ls", "models", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (answer.code, answer.err) == (0, "")
    assert "mlp-64" in answer.out


def test_a_strangers_models_are_listed_with_ours(bench, strangers):
    strangers()
    assert {"boom", "mlp"} <= set(first_words(bench("ls", "models")))


def test_official_rows_are_listed_without_a_results_folder(bench):
    answer = bench("ls", "rows", "--task", "gue-tf-0")
    assert (answer.code, answer.err) == (0, "")
    assert "gue-tf-0, cpu; means over seeds" in answer.out
    rows = {line.split()[2]: line.split() for line in answer.out.splitlines() if "." in line}
    assert rows["cnn"][:2] == ["1", "1"]
    assert rows["kmer-linear"][0] == "ref"
    plain, controlled = answer.out.split("control labels")
    assert "audit's rule" in plain
    assert "audit's rule" not in controlled  # it is of the labels as they are
    assert "human-codon on" not in answer.out
    assert "human-codon on" in bench("ls", "rows").out
    assert bench("ls", "rows", "--task", "gue-tf-9").code == 2


def test_a_task_without_official_rows_is_said_to_have_none(bench, monkeypatch):
    monkeypatch.setattr("codonbench.ranking.board.official_tables", lambda tasks: [])
    answer = bench("ls", "rows", "--task", "gue-tf-0")
    assert (answer.code, answer.out) == (0, "")
    assert answer.err == "the official board has no rows of task 'gue-tf-0'\n"


def test_whose_downloads_are_not_known_is_said_beside_those_that_are(bench, strangers):
    strangers(trusted=False)
    answer = bench("data", "fetch", "theirs")
    assert answer.code == 2
    assert "no download called 'theirs'; there are" in answer.err
    assert "; not loaded, as not trusted: --trust " in answer.err


def test_a_new_row_is_told_whether_it_is_behind_the_best_reference_row(capsys):
    registry = load_registry()
    (official,) = (
        table
        for table in official_tables({"gue-tf-0": registry.known_tasks["gue-tf-0"]})
        if not table.control
    )
    best = max(row.figure("mcc").value for row in official.references)
    for value, side in ((best - 0.01, "behind"), (best + 0.01, "ahead of")):
        first = official.rows[0]
        figure = Mean(value=value, low=value, high=value, n=len(first.seeds))
        own = first.model_copy(update={"model": "mine", "means": {"mcc": figure}})
        mine = official.model_copy(update={"rows": (own,), "references": ()})
        board_tables.print_standing(mine, official, {board_tables.key_of(mine, own)})
        said = " ".join(capsys.readouterr().out.split())
        assert "mine would be number 1 of " in said
        assert f"it is {side} the best reference row, kmer-gbm (0.665)" in said
