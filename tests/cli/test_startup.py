"""`bench --help` answers at once: nothing heavy is imported for it."""

import resource
import subprocess
import sys

import pytest

from codonbench.cli.data import app as data_app
from codonbench.cli.main import app

SECONDS = 0.5
COMMANDS = [c.name for c in app.registered_commands]
HEAVY = {"torch", "numpy", "pandas", "scipy", "Bio", "pluggy", "pooch"}
HEAVY |= {"codonbench_models", "codonbench_datasets", "codonbench_metrics"}
LINES = [
    [],
    *([name] for name in COMMANDS),
    ["data"],
    *(["data", c.name or c.callback.__name__] for c in data_app.registered_commands),
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


def test_help_imports_neither_torch_nor_numpy_nor_pydantic_nor_a_plugin():
    assert not imported_by_help_of([[]]) & {*HEAVY, "pydantic"}


def test_help_of_any_command_imports_neither_torch_nor_a_plugin():
    assert {"run", "show", "leaderboard", "ls", "plugins"} <= set(COMMANDS)
    # Some versions of Typer read a command's options with pydantic.
    assert not imported_by_help_of(LINES) & HEAVY


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"]])
def test_help_takes_less_than_half_a_second_of_cpu(words):
    taken = []
    for _ in range(10):  # the quickest counts: neighbours slow a processor down
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [sys.executable, "-m", "codonbench.cli.main", *words]
        subprocess.run(command, capture_output=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        taken.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        if taken[-1] < SECONDS:
            break
    assert min(taken) < SECONDS
