"""How long the command line takes to answer.

    python benchmarks/startup.py

Each command runs in a process of its own, nine times after one that is not counted; the table
gives the least and the median CPU time (user and system, as the kernel counts it) and the median
wall time. Neighbours slow a processor down, so that the least says most about the command.
"""

from __future__ import annotations

import resource
import statistics
import subprocess
import sys
import time
from tempfile import TemporaryDirectory

COMMANDS = (
    ("--help",),
    ("run", "--help"),
    ("--version",),
    ("ls", "models"),
    ("ls", "tasks"),
    ("new", "model", "x"),
    ("plugins",),
)
RUNS = 9


def measure(words: tuple[str, ...]) -> tuple[float, float]:
    """Return CPU and wall seconds of one call."""
    command = [sys.executable, "-m", "codonbench.cli.main", *words]
    with TemporaryDirectory() as folder:  # `bench new` writes into it
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True, cwd=folder)
        wall, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall


def main() -> None:
    print("| command | least CPU s | CPU s | wall s |\n|---|---|---|---|")
    for words in COMMANDS:
        measure(words)
        runs = [measure(words) for _ in range(RUNS)]
        cpu, wall = zip(*runs, strict=True)
        figures = (min(cpu), statistics.median(cpu), statistics.median(wall))
        print(f"| `bench {' '.join(words)}` | {' | '.join(f'{f:.2f}' for f in figures)} |")


if __name__ == "__main__":
    main()
