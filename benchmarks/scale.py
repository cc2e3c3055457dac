"""What 100,000 records cost who reads them, who adds to them, and who makes a board of them.

    python benchmarks/scale.py [--records 100000] [--board]
    python benchmarks/scale.py --plan

The folder holds the committed records and copies of them with seeds of their own, sealed anew,
until there are so many; it lies where temporary files do. What reads is a process of its own each
time: first without an index, then with the one that the first has left. What a driver does of each
run is timed in that folder: to look for its record, make room for it, store it. With ``--plan``
requests are planned instead, whose data are fetched already. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from codonbench.contracts.run_record import RunRecord, seals
from codonbench.contracts.run_spec import RunRequest
from codonbench.execution.prepare import prepare
from codonbench.plugins.discovery import load_registry
from codonbench.records.files import cache_folder
from codonbench.records.store import Store, read_record

COMMITTED = Path("leaderboard/results")
PLANNED = (("mlp-64", "human-codon"), ("cnn", "gue-tf-0"))

READ = """
import sys
from pathlib import Path
from codonbench.contracts.run_record import RunRecord
from codonbench.records.store import Store
found = list(Store(Path(sys.argv[1])).scan())
assert len(found) >= int(sys.argv[2]) and all(isinstance(item, RunRecord) for item in found)
"""

BOARD = """
import sys
from pathlib import Path
from codonbench.plugins.discovery import load_registry
from codonbench.ranking.board import build_board
from codonbench.records.store import Store
board = build_board(Store(Path(sys.argv[1])).scan(), load_registry().known_tasks)
rows = sum(len(table.rows) + len(table.references) for table in board.tables)
print(len(board.tables), "tables,", rows, "rows", file=sys.stderr)
"""


def fill(folder: Path, records: int) -> None:
    """Write so many records into a folder."""
    sources = [json.loads(path.read_bytes()) for path in sorted(COMMITTED.glob("*.json"))]
    written = 0
    for number in count():
        for content in sources:
            spec = content["run_spec" if "run_spec" in content else "plan"]
            content["seed"] = spec["seed"] = spec["seed"] % 1_000 + 1_000 * number
            content["run_id"] = seals(content)[0]
            content["checksum"] = seals(content)[1]
            name = f"{content['model']}-s{content['seed']}-{content['run_id']}.json"
            text = json.dumps(content, indent=1, sort_keys=True) + "\n"
            (folder / name).write_text(text, encoding="utf-8")
            written += 1
            if written == records:
                return


def timed(script: str, *words: str, **environment: str) -> tuple[float, float, float]:
    """Return seconds, seconds of a processor and GiB at most of a script."""
    begun = time.perf_counter()
    command = [sys.executable, "-c", script, *words]
    with subprocess.Popen(command, env=os.environ | environment) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"it ended with {process.returncode}")
    wall = time.perf_counter() - begun
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 2**20


def added(folder: Path, runs: int = 200) -> tuple[float, float]:
    """Return milliseconds, and of a processor, that a driver takes for a run beside making it."""
    path = next(iter(sorted(COMMITTED.glob("mlp-64-s*.json"))))
    record = read_record(path)
    assert isinstance(record, RunRecord)
    store = Store(folder)
    store.find("0" * 16, "a-s0-" + "0" * 16)  # which lists the folder
    wall, cpu = time.perf_counter(), time.process_time()
    for n in range(runs):
        spec = record.run_spec.model_copy(update={"seed": 10**8 + n})
        new = record.model_copy(
            update={"run_spec": spec, "seed": spec.seed, "run_id": spec.run_id}
        ).sealed()
        assert store.find(spec.run_id, spec.name) is None
        store.make_room(spec)
        store.save(new, None)
        store.tidy(new)
    return 1e3 * (time.perf_counter() - wall) / runs, 1e3 * (time.process_time() - cpu) / runs


def print_planning(times: int = 30) -> None:
    """Print what it takes to plan requests of ten seeds: the first, and the median of others."""
    registry = load_registry()
    print("| a request | the first, ms of a processor | each of the others |")
    print("|---|---:|---:|")
    for model, task in PLANNED:
        request, taken = RunRequest(model=model, task=task, seeds=range(10)), []
        for _ in range(times + 1):
            begun = time.process_time()
            prepare(request, registry, cache_folder())
            taken.append(1e3 * (time.process_time() - begun))
        others = statistics.median(taken[1:])
        print(f"| `{model}` on `{task}` | {taken[0]:.0f} | {others:.0f} |")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=100_000)
    parser.add_argument("--board", action="store_true", help="make a board of them, too")
    parser.add_argument("--plan", action="store_true", help="plan requests, and nothing else")
    asked = parser.parse_args()
    if asked.plan:
        print_planning()
        return
    load = os.getloadavg()[0]
    with TemporaryDirectory() as name:
        folder = Path(name, "results")
        folder.mkdir()
        fill(folder, asked.records)
        time.sleep(3)  # what was written a moment ago is not noted in an index
        words, cache = (str(folder), str(asked.records)), str(Path(name, "cache"))
        rows = [("read, no index yet", timed(READ, *words, CODONBENCH_CACHE=cache))]
        print(f"{rows[-1]}", file=sys.stderr, flush=True)
        rows.append(("read again", timed(READ, *words, CODONBENCH_CACHE=cache)))
        print(f"{rows[-1]}", file=sys.stderr, flush=True)
        wall, cpu = added(folder)
        print(f"{wall} {cpu}", file=sys.stderr, flush=True)
        if asked.board:
            rows.append(("read, and a board made", timed(BOARD, *words, CODONBENCH_CACHE=cache)))
    print(f"{asked.records:,} records, load {load:.1f} as it began and ", end="")
    print(f"{os.getloadavg()[0]:.1f} as it ended, {os.cpu_count()} cores:\n")
    print("| | s | s of a processor | GiB |")
    print("|---|---:|---:|---:|")
    for what, (seconds, processor, memory) in rows:
        print(f"| {what} | {seconds:.1f} | {processor:.1f} | {memory:.2f} |")
    print(f"\nTo look for a run's record, make room for it and store it: {wall:.1f} ms", end=", ")
    print(f"{cpu:.1f} ms of a processor.")


if __name__ == "__main__":
    main()
