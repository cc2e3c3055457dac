"""What trains nothing answers at once: nothing heavy is imported for it."""

import pkgutil
import resource
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from codonbench.cli.main import SUMMARIES, commands, load_command

SECONDS = 0.5
COMMANDS = list(commands())
HEAVY = {
    "torch",
    "numpy",
    "pandas",
    "scipy",
    "Bio",
    "pooch",
    "matplotlib",
    "captum",
    "ray",
    "fsspec",
    "optuna",
    "uv",
}
HEAVY |= {"codonbench_models", "codonbench_metrics"}
LINES = [
    [],
    *([name] for name in COMMANDS),
    *(["data", name] for name in ("fetch", "ls", "verify")),
]

IMPORTED_BY_HELP = """
import sys
from codonbench.cli.main import main
for words in {lines}:
    sys.argv = ["bench", *words, "--help"]
    try:
        main()
    except SystemExit as end:
        assert end.code == 0, words
print(*{{name.partition(".")[0] for name in sys.modules}})
"""


def imported_by_help_of(lines):
    script = IMPORTED_BY_HELP.format(lines=lines)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.splitlines()[-1].split())


def test_help_imports_neither_torch_nor_numpy_nor_pydantic_nor_a_model():
    assert not imported_by_help_of([[]]) & {*HEAVY, "pydantic"}


def test_help_of_any_command_imports_neither_torch_nor_a_model():
    assert {"run", "show", "leaderboard", "ls", "plugins", "plot"} <= set(COMMANDS)
    assert not imported_by_help_of(LINES) & (HEAVY - {"numpy"})  # the contracts speak of arrays


def test_the_list_of_commands_says_of_each_what_its_own_help_says():
    points = commands()
    for name, summary in SUMMARIES.items():
        assert load_command(points[name]).help.splitlines()[0] == summary


def test_paragraphs_of_help_are_left_to_the_terminal_to_wrap():
    points = commands()
    for name in SUMMARIES:
        paragraphs = load_command(points[name]).help.split("\n\n")
        assert not [text for text in paragraphs if "\n" in text], name


IMPORTED_BY = """
import sys
from codonbench.cli.main import main
for words in {lines}:
    sys.argv = ["bench", *words]
    try:
        main()
    except SystemExit as end:
        assert not end.code, words
print(*{{name.partition(".")[0] for name in sys.modules}})
"""
AT_ONCE = [["ls", "models"], ["ls", "tasks"], ["new", "model", "x"]]
RESULTS = Path(__file__).parents[2] / "leaderboard" / "results"
RECORD = min(RESULTS.glob("mlp-64-s*.json"))  # one without test outputs to score anew


def imported_by(lines, folder):
    """What is imported by some commands, one after another in one process."""
    script = IMPORTED_BY.format(lines=lines)
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=folder, check=True
    )
    return set(done.stdout.splitlines()[-1].split())


def test_what_lists_or_begins_a_plugin_imports_nothing_that_trains_or_draws(tmp_path):
    lines = [*AT_ONCE, ["ls", "metrics"], ["plugins"]]
    assert not imported_by(lines, tmp_path) & {"torch", "pandas", "scipy", "Bio", "pooch"}


def test_what_lists_plugins_imports_none_of_pydantics_own(tmp_path):
    installed = tmp_path / "other-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (installed / "entry_points.txt").write_text("[pydantic]\nother = seen_by_pydantic:plugin\n")
    (tmp_path / "seen_by_pydantic.py").write_text("plugin = None\n")
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n" + IMPORTED_BY
    done = subprocess.run(
        [sys.executable, "-c", script.format(lines=AT_ONCE[:1])], capture_output=True, text=True
    )
    assert "seen_by_pydantic" not in done.stdout.splitlines()[-1].split(), done.stderr


def test_what_reads_records_imports_no_torch_nor_statistics(tmp_path):
    (tmp_path / "few").mkdir()
    shutil.copy(RECORD, tmp_path / "few")
    lines = [
        ["show", RECORD.stem, "-r", str(RECORD.parent)],
        ["validate", str(RECORD)],
        ["leaderboard", "-r", "few", "--out", "board.md"],
    ]
    assert not imported_by(lines, tmp_path) & {"torch", "pandas", "scipy", "Bio", "pooch"}


IMPORTED_WITHOUT_TORCH = """
import importlib, sys
for name in {names}:
    importlib.import_module(name)
    assert "torch" not in sys.modules, f"{{name}} imports torch; expected inside build, or in _*.py"
"""
LATER = ("._", ".human_codon.plots.", ".human_codon.explanation")
"""Modules that build models, and figures that need a model built again: imported when called."""

PACKAGES = [
    *(f"codonbench.{folder}" for folder in ("contracts", "plugins", "records")),
    *(f"codonbench.{folder}" for folder in ("ranking", "scoring")),
    "codonbench_models",
    "codonbench_datasets",
    "codonbench_metrics",
]


def test_what_the_referee_and_the_board_are_made_of_imports_no_torch():
    names = []
    for package in PACKAGES:
        inner = pkgutil.walk_packages(import_module(package).__path__, f"{package}.")
        found = [m.name for m in inner if not any(part in f"{m.name}." for part in LATER)]
        assert found, package
        names += found
    script = IMPORTED_WITHOUT_TORCH.format(names=names)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("words", [["run", "--help"], AT_ONCE[0], AT_ONCE[-1]], ids=" ".join)
def test_what_trains_nothing_takes_less_than_half_a_second_of_cpu(words, tmp_path):
    """On a busy machine, where all takes longer, than nine imports of numpy; of torch it is 16."""
    taken = []
    for n in range(5):  # the quickest counts: neighbours slow a processor down
        folder = tmp_path / str(n)  # `new` writes into it
        folder.mkdir()
        limit = max(SECONDS, 9 * cpu_seconds(["-c", "import numpy"], folder))
        taken.append(cpu_seconds(["-m", "codonbench.cli.main", *words], folder) / limit)
        if taken[-1] < 1:
            break
    assert min(taken) < 1


def cpu_seconds(words, folder):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], capture_output=True, check=True, cwd=folder)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
