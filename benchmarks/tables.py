"""Time to read and describe a table of a million sequences, and the memory it takes.

python benchmarks/tables.py [--rows N] [--folder DIR]
"""

from __future__ import annotations

import argparse
import gzip
import multiprocessing
import resource
import shutil
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from codonbench.data.own_table import open_table
from codonbench.data.table import TableFormat, read_table
from codonbench.plugins.discovery import load_registry

LENGTH = 300
_BLOCK = 10_000


def write(path: Path, rows: int) -> None:
    """Write a table of random sequences with two classes."""
    rng = np.random.default_rng(0)
    letters = np.frombuffer(b"ACGT", dtype=np.uint8)
    with path.open("wb") as file:
        file.write(b"sequence,label\n")
        for _ in range(0, rows, _BLOCK):
            block = np.empty((_BLOCK, LENGTH + 3), dtype=np.uint8)
            block[:, :LENGTH] = letters[rng.integers(0, 4, (_BLOCK, LENGTH))]
            block[:, LENGTH] = ord(",")
            block[:, LENGTH + 1] = ord("0") + rng.integers(0, 2, _BLOCK)
            block[:, LENGTH + 2] = ord("\n")
            file.write(block.tobytes())


def read(path: Path, *, guessed: bool) -> None:
    """Read a table as a plugin does, or as `bench run --data` does: guessed and described."""
    if guessed:
        registry = load_registry()
        open_table(str(path), "", {}, registry.metrics_of, registry.tasks)
    else:
        read_table(path, TableFormat())


def measured(path: Path, guessed: bool) -> tuple[float, float, float]:
    """Return wall seconds, CPU seconds and peak memory (GB) of reading, in a fresh process."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    context = multiprocessing.get_context("spawn")
    worker = context.Process(target=_measure, args=(path, guessed, there))
    worker.start()
    found: tuple[float, float, float] = here.recv()
    worker.join()
    return found


def _measure(path: Path, guessed: bool, answer: multiprocessing.connection.Connection) -> None:
    wall, cpu = time.perf_counter(), time.process_time()
    read(path, guessed=guessed)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    answer.send((time.perf_counter() - wall, time.process_time() - cpu, peak))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where the tables are written; a new one")
    asked = parser.parse_args()
    with TemporaryDirectory(dir=asked.folder) as folder:
        plain = Path(folder, "mine.csv")
        write(plain, asked.rows)
        packed = plain.with_suffix(".csv.gz")
        with plain.open("rb") as source, gzip.open(packed, "wb", compresslevel=1) as target:
            shutil.copyfileobj(source, target)
        print(f"{asked.rows:,} sequences of {LENGTH} letters; medians of three\n")
        print("| file | read | seconds | of CPU | GB at most |")
        print("|---|---|---:|---:|---:|")
        for path in (plain, packed):
            for guessed, words in ((False, "`read_table`"), (True, "as `bench run --data` does")):
                found = np.median([measured(path, guessed) for _ in range(3)], axis=0)
                wall, cpu, peak = found.tolist()
                print(f"| {path.name} | {words} | {wall:.1f} | {cpu:.1f} | {peak:.2f} |")


if __name__ == "__main__":
    main()
