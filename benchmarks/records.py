"""Time of commands that read a results folder, with the committed records and with 20,000.

    python benchmarks/records.py [--records 20000]

The folder holds the committed records: all, or those of a task without test items, which the others
are copies of. A copy has a seed of its own (`seeds`: rows become longer), or a version of its model
of its own (`rows`: tables get more rows of the committed ones' seeds), and is sealed anew, as any
other record. Each command is a process of its own; the second `bench leaderboard` finds the index
that the first has left in the cache. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from codonbench.contracts.run_record import seals

COMMITTED = Path("leaderboard/results")
TASK = "human-codon"


def copy(source: Path, folder: Path, number: int, kind: str) -> str:
    """Write a copy of a record; return its run_id."""
    content = json.loads(source.read_bytes())
    spec = content["run_spec" if "run_spec" in content else "plan"]
    if kind == "seeds":
        content["seed"] = spec["seed"] = spec["seed"] + 1_000 * number
    else:
        content["info"]["version"] = spec["model_version"] = f"{spec['model_version']}.{number}"
    content["run_id"], _ = seals(content)
    _, content["checksum"] = seals(content)
    name = f"{content['model']}-s{content['seed']}-{content['run_id']}"
    text = json.dumps(content, indent=1, sort_keys=True) + "\n"
    (folder / f"{name}.json").write_text(text, encoding="utf-8")
    return str(content["run_id"])


def fill(folder: Path, records: int, kind: str) -> str:
    """Fill a folder with one task's records and copies; return the run_id of the last one."""
    folder.mkdir()
    sources = [p for p in sorted(COMMITTED.glob("*.json")) if _task(p) == TASK]
    for source in sources:
        shutil.copy(source, folder)
    missing = records - len(sources)
    for number in count(1):
        for source in sources[:missing]:
            run_id = copy(source, folder, number, kind)
        missing -= len(sources)
        if missing <= 0:
            return run_id
    raise AssertionError


def _task(path: Path) -> str:
    return str(json.loads(path.read_bytes())["task"])


def timed(*words: str) -> tuple[float, float, float]:
    """Return seconds, seconds of CPU and GB at most of one command."""
    started = time.perf_counter()
    command = [sys.executable, "-m", "codonbench.cli.main", *words]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}")
    wall = time.perf_counter() - started
    return wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=20_000)
    asked = parser.parse_args()
    print("| records | copies | command | seconds | of CPU | GB at most |")
    print("|---|---|---|---:|---:|---:|")
    with TemporaryDirectory() as place:
        for kind in ("seeds", "rows", ""):
            folder, board = Path(place, kind or "all"), Path(place, f"board {kind}")
            if kind:
                run_id, records = (
                    fill(folder, asked.records, kind),
                    f"{asked.records:,} of one task",
                )
            else:
                shutil.copytree(COMMITTED, folder)
                sources = sorted(folder.glob("*.json"))
                run_id = json.loads(sources[-1].read_bytes())["run_id"]
                records = f"the {len(sources):,} committed"
            drawn = ("leaderboard", "--out", str(board))
            for words in (("show", run_id), drawn, *([drawn] * bool(kind))):
                wall, cpu, peak = timed(*words, "--results", str(folder))
                name = "show ID" if words[0] == "show" else words[0]
                row = f"{records} | {kind or '-'} | `bench {name}`"
                print(f"| {row} | {wall:.1f} | {cpu:.1f} | {peak:.2f} |", flush=True)


if __name__ == "__main__":
    main()
