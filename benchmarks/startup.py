"""How long the command line takes to answer.

    python benchmarks/startup.py [apart]

Each command runs in a process of its own, nine times after one that is not counted; the table
gives the least and the median CPU time (user and system, as the kernel counts it) and the median
wall time. Neighbours slow a processor down, so that the least says most about the command.

With ``apart``: what it costs to train in a worker process, and in one in a sandbox, beside training
in the command's own process. The three take turns. Their CPU time is read from /proc while they
run, for what ends in a sandbox has nobody to count it.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
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


APART = {
    "`--workers 0`": ("--workers", "0"),
    "`--workers 1`": ("--workers", "1"),
    "`--workers 1 --sandbox`": ("--workers", "1", "--sandbox"),
}
LOOK = 0.02  # seconds between two looks at what a command and all below it have used


def below(process: int) -> Iterator[int]:
    """Yield a process and all that it and its descendants have started."""
    yield process
    for children in Path(f"/proc/{process}/task").glob("*/children"):
        with suppress(OSError):
            for child in children.read_text().split():
                yield from below(int(child))


def measure_all(words: tuple[str, ...]) -> tuple[float, float]:
    """Return CPU and wall seconds of one call, of all processes together."""
    command = [sys.executable, "-m", "codonbench.cli.main", *words]
    used: dict[int, int] = {}
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        void = subprocess.DEVNULL
        with subprocess.Popen(command, cwd=folder, stdout=void, stderr=void) as process:
            while process.poll() is None:
                for each in below(process.pid):
                    with suppress(OSError):
                        fields = Path(f"/proc/{each}/stat").read_text().rpartition(")")[2].split()
                        used[each] = int(fields[11]) + int(fields[12])
                time.sleep(LOOK)
        if process.returncode:
            sys.exit(f"{' '.join(words)} ended with exit code {process.returncode}")
        wall = time.perf_counter() - started
    return sum(used.values()) / os.sysconf("SC_CLK_TCK"), wall


def print_apart(rounds: int = 3) -> None:
    """Print what workers and a sandbox cost."""
    words = ("run", "-m", "mlp-64", "--seeds", "0-9", "--checkpoint-every", "0")
    runs = [{how: measure_all((*words, *APART[how])) for how in APART} for _ in range(rounds)]
    print(f"| `bench {' '.join(words)}` | least CPU s | CPU s | wall s |\n|---|---|---|---|")
    for how in APART:
        cpu, wall = zip(*(each[how] for each in runs), strict=True)
        figures = (min(cpu), statistics.median(cpu), statistics.median(wall))
        print(f"| {how} | {' | '.join(f'{f:.2f}' for f in figures)} |")


def main() -> None:
    if "apart" in sys.argv[1:]:
        print_apart()
        return
    print("| command | least CPU s | CPU s | wall s |\n|---|---|---|---|")
    for words in COMMANDS:
        measure(words)
        runs = [measure(words) for _ in range(RUNS)]
        cpu, wall = zip(*runs, strict=True)
        figures = (min(cpu), statistics.median(cpu), statistics.median(wall))
        print(f"| `bench {' '.join(words)}` | {' | '.join(f'{f:.2f}' for f in figures)} |")


if __name__ == "__main__":
    main()
