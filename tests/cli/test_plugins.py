"""`bench plugins`, and the switches that say which plugins a command loads."""

import json
import os
from importlib.metadata import version

import pytest

BROKEN = "\nraise RuntimeError('no licence found')\n"
FATAL = "import os\nos._exit(7)\n"


def document(answer):
    return json.loads(answer.out)


# What is shown


def test_every_plugin_is_shown_with_its_kind_its_version_its_distribution_and_its_file(bench):
    answer = bench("plugins")
    assert (answer.code, answer.err) == (0, "")
    rows = [line.split() for line in answer.out.splitlines()]
    assert ["human-codon", "task", "1", "task.py"] in rows
    assert ["mlp", "+", "10", "presets", "model", "1", "mlp.py"] in rows
    assert ["pairs_consumed", "metric", "1", "deciphering.py"] in rows
    headings = [line for line in answer.out.splitlines() if line.startswith("codonbench ")]
    folders = ("datasets", f"datasets{os.sep}human_codon", "metrics", "models")
    for heading, folder in zip(headings, folders, strict=True):
        assert heading.startswith(f"codonbench {version('codonbench')}, in {os.sep}")
        assert heading.endswith(f"codonbench_{folder}")


def test_the_table_fits_eighty_columns_and_nothing_is_cut(bench, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = bench("plugins").out.splitlines()
    tables = [line for line in lines if ", in " not in line]
    assert max(map(len, tables)) <= 80
    assert "…" not in "".join(lines)


def test_json_is_one_document_that_holds_the_presets_too(bench, toys):
    answer = bench("plugins", "--json")
    assert (answer.code, answer.err) == (0, "")
    shown = document(answer)
    assert {p["name"] for p in shown["plugins"] if p["kind"] == "model"} == set(
        toys.installed.models
    )
    (row,) = [p for p in shown["plugins"] if p["name"] == "mlp-64"]
    assert row["preset_of"] == "mlp"
    assert row["file"].endswith("mlp.py")
    assert (row["distribution"], row["distribution_version"]) == (
        "codonbench",
        version("codonbench"),
    )
    assert (shown["failures"], shown["clashes"], shown["switched_off"]) == ([], [], [])


def test_a_strangers_plugins_are_shown_under_his_name_and_their_chatter_is_no_result(
    bench, strangers
):
    folder = strangers()
    answer = bench("plugins")
    assert f"strange 1.0, in {folder}" in answer.out
    assert ["boom", "model", "1", "strange_plugins.py"] in [
        line.split() for line in answer.out.splitlines()
    ]
    assert answer.err == "loading\n"
    assert {p["name"] for p in document(bench("plugins", "--json"))["plugins"]} >= {"boom"}


def test_a_broken_plugin_is_shown_below_with_file_line_error_and_next_step(bench, strangers):
    folder = strangers(BROKEN)
    answer = bench("plugins")
    assert answer.code == 1
    assert "mlp.py" in answer.out
    assert answer.out.splitlines()[-4:] == [
        "did not load: strange_plugins of strange 1.0",
        f"  {folder / 'strange_plugins.py'}:2",
        "  RuntimeError: no licence found",
        "  mend it, or switch it off with -p no:strange",
    ]
    assert "Traceback" not in answer.out
    assert "Traceback" in bench("plugins", "--debug").out


def test_a_broken_plugin_in_json(bench, strangers):
    folder = strangers(BROKEN)
    answer = bench("plugins", "--json")
    assert (answer.code, answer.err) == (1, "")
    (failure,) = document(answer)["failures"]
    assert failure.pop("traceback").startswith("Traceback (most recent call last)")
    assert failure == {
        "point": "strange",
        "module": "strange_plugins",
        "distribution": "strange",
        "distribution_version": "1.0",
        "file": str(folder / "strange_plugins.py"),
        "line": 2,
        "error": "RuntimeError: no licence found",
        "hint": "mend it, or switch it off with -p no:strange",
    }


def test_a_broken_file_is_shown_like_a_broken_distribution(bench, tmp_path):
    (tmp_path / "bad.py").write_text("1 / 0\n")
    for words in (("--plugin", "bad.py"), ("--plugins-dir", ".")):
        answer = bench("plugins", *words)
        assert answer.code == 1
        assert f"  {tmp_path / 'bad.py'}:1\n  ZeroDivisionError: division by zero" in answer.out


def test_a_name_given_twice_is_shown_and_not_raised(bench, strangers):
    strangers(
        "from codonbench import hookimpl\n"
        "from codonbench_models.mlp import Mlp\n\n"
        "@hookimpl\n"
        "def register_models(register):\n"
        "    register(Mlp)\n"
    )
    answer = bench("plugins")
    assert answer.code == 1
    assert answer.out.count("name given twice: model 'mlp") == 11  # with its ten presets
    assert len(document(bench("plugins", "--json"))["clashes"]) == 11


# The switches


@pytest.mark.parametrize(
    "words",
    [
        ["-p", "no:strange", "ls", "models"],
        ["ls", "-p", "no:strange", "models"],
        ["ls", "models", "-p", "no:strange_plugins"],
        ["ls", "models", "-pno:strange"],
    ],
    ids=" ".join,
)
def test_a_switch_may_stand_anywhere_on_the_line(bench, strangers, words):
    strangers()
    answer = bench(*words)
    assert (answer.code, answer.err) == (0, "")
    assert "boom" not in answer.out
    assert "boom" in bench("ls", "models").out  # it does not outlast its line


def test_switches_add_up(bench, strangers):
    strangers()
    off = ("-p", "no:strange", "-p", "no:codonbench_models.mlp")
    assert len(document(bench("plugins", "--json", *off))["switched_off"]) == 2


@pytest.mark.parametrize("switch", ["strange", "no:", "yes:strange", ""])
def test_a_switch_that_is_none_is_refused(bench, switch):
    answer = bench("ls", "-p", switch)
    assert answer.code == 2
    assert answer.err == (f"bench: -p {switch!r}: expected no:NAME, which switches a plugin off\n")


def test_a_switch_without_a_name_is_refused(bench):
    answer = bench("ls", "-p")
    assert answer.code == 2
    assert answer.err.startswith("bench: -p '': expected no:NAME")


def test_a_switch_that_fits_nothing_is_remarked_on(bench):
    answer = bench("ls", "models", "-p", "no:strnge")
    assert answer.code == 0
    assert answer.err == "-p no:strnge fits no plugin; 'bench plugins' shows what there is\n"


def test_an_unknown_name_says_what_is_switched_off(bench, strangers):
    strangers()
    answer = bench("run", "--model", "boom", "-p", "no:strange")
    assert answer.code == 2
    assert "switched off: strange_plugins of strange (-p no:strange)" in answer.err


@pytest.mark.parametrize(
    ("listed", "loaded"), [("", False), ("strange", True), ("other", False), (None, True)]
)
def test_the_variable_chooses_among_strangers_and_leaves_our_own(
    bench, strangers, monkeypatch, listed, loaded
):
    strangers()
    if listed is not None:
        monkeypatch.setenv("CODONBENCH_PLUGINS", listed)
    names = {p["name"] for p in document(bench("plugins", "--json"))["plugins"]}
    assert ("boom" in names) == loaded
    assert {"human-codon", "mlp-64", "pairs_consumed"} <= names


def test_a_file_is_loaded_whatever_the_variable_says(bench, monkeypatch, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import codonbench, torch\n"
        "@codonbench.model(encoding='codon_onehot')\n"
        "def mine(task): return torch.nn.Linear(task.n_inputs, task.n_classes)\n"
    )
    monkeypatch.setenv("CODONBENCH_PLUGINS", "")
    assert "mine" in bench("ls", "models", "--plugin", "mine.py").out


def test_the_help_explains_the_switches(bench):
    flat = " ".join(bench("--help").out.split())
    assert "CODONBENCH_PLUGINS says which plugins to load beside the built-in ones" in flat
    assert "no:NAME" in flat


# A plugin that ends the process as it is imported


def test_a_fatal_plugin_is_fatal_to_what_loads_it_and_can_be_switched_off(process, strangers):
    strangers(FATAL)
    assert process("ls", "models").code == 7
    assert process("ls", "models", "-p", "no:strange").code == 0
    assert process("ls", "tasks", env={**os.environ, "CODONBENCH_PLUGINS": ""}).code == 0


@pytest.mark.parametrize(
    "words",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        # Whose rows are ranked and said in their tasks' words: with the culprit switched off.
        ["show", "--results", "board", "mlp-64-s0", "-p", "no:strange"],
        ["leaderboard", "--results", "board", "--out", ".", "-p", "no:strange"],
    ],
    ids=" ".join,
)
def test_recovery_commands_load_no_fatal_plugin(process, strangers, board, tmp_path, words):
    strangers(FATAL)
    (tmp_path / "board").symlink_to(board)
    answer = process(*words)
    assert answer.code == 0, answer.err
