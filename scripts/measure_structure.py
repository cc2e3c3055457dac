"""Measure how much code there is, and how much of it one benchmark run passes.

Usage: python scripts/measure_structure.py [--repo DIR] [--model lstm-64] [--seeds 0-9] [--pairs N]

Prints a Markdown table. A function counts as passed when any process of the run calls it, and a
file when one of its functions is; each counts once. Methods count, and what is called at import;
bodies of modules and classes, lambdas, comprehensions and functions within functions do not. A slow
machine passes up to ten functions more, those that write checkpoints, in the same files.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ("harness", "plugins/models", "plugins/datasets", "plugins/metrics")
CORE = "harness/codonbench"

LATER = {
    "harness/codonbench/cli": "audit_data cluster submit tune",
    "harness/codonbench/contracts": "tunable",
    "harness/codonbench/data": "own_table shuffling splits strands table "
    "table_files table_formats table_guess table_report",
    "harness/codonbench/execution": "cgroup cluster cluster_runs describe environment node parts",
    "harness/codonbench/explain": "attribution motifs pictures sequences",
    "harness/codonbench/leakage": "*",
    "harness/codonbench/protocols": "controls folds linear_probe sample_efficiency supervised "
    "trial zero_shot",
    "harness/codonbench/ranking": "by_item curves item_scores items overview pairwise published",
    "harness/codonbench/records": "again known recorded_outputs remote table",
    "harness/codonbench/report": "by_category data_audit item_facts pictures",
    "harness/codonbench/report/site": "by_item learning_curves",
    "harness/codonbench/testing": "estimators",
    "harness/codonbench/training": "fit probe zero_shot",
    "harness/codonbench/tuning": "*",
    "plugins/datasets/codonbench_datasets": "*",
    "plugins/metrics/codonbench_metrics": "_counts classification quantities",
    "plugins/models/codonbench_models": "*",
}
"""Of each folder the files that serve features which the first core lacked, and no other."""

FIRST = {
    "plugins/datasets/codonbench_datasets": "__init__ decipher",
    "plugins/models/codonbench_models": "__init__ _baselines _last_step baselines bound mlp "
    "presets recurrent",
}
"""Where all but these do."""

ONE_TASK = re.compile(r"\b(codon|amino|decipher|joiret|paper_|excess_pairs)", re.IGNORECASE)
"""What only one task's code should speak of."""

TRACER = '''\
"""Notes each function of ours at its first call, in one file per process."""
import os, sys, threading

seen = {{}}

def note(frame, event, arg):
    code = frame.f_code
    if event != "call" or id(code) in seen:
        return
    seen[id(code)] = code  # also keeps its id from being given to another
    is_function = code.co_flags & 3 == 3 and "<" not in code.co_qualname
    if is_function and code.co_filename.startswith({roots!r}):
        with open(f"{notes}/{{os.getpid()}}", "a", encoding="utf-8") as file:
            file.write(f"{{code.co_filename}}\\t{{code.co_qualname}}\\n")

threading.setprofile(note)
sys.setprofile(note)
'''
"""Python runs this as ``sitecustomize`` at the start of every process; forks inherit it.

Each line is written at once, so that a process that is killed has told what it passed.
"""


def passed(repo: Path, options: list[str]) -> set[tuple[str, str]]:
    """Return the functions that ``bench run`` calls in all its processes.

    Args:
        repo: A checkout; its code runs, on the packages of this interpreter.
        options: What follows ``bench run``.

    Returns:
        (file relative to `repo`, qualified name) of each function.

    Raises:
        SystemExit: The run failed, or ran other code than that of `repo`.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        notes, tracer = folder / "notes", folder / "tracer"
        for each in (notes, tracer, folder / "runs"):
            each.mkdir()
        roots = (f"{repo}/harness/", f"{repo}/plugins/")
        code = TRACER.format(roots=roots, notes=notes)
        (tracer / "sitecustomize.py").write_text(code, encoding="utf-8")
        paths = [str(tracer), *(str(repo / source) for source in SOURCES)]
        command = [sys.executable, "-c", "from codonbench.cli.main import main; main()", "run"]
        own = {
            "PYTHONPATH": os.pathsep.join(paths),
            "CODONBENCH_LOCKS": str(folder / "locks"),
            "CODONBENCH_CACHE": str(folder / "cache"),
        }
        run = subprocess.run(
            [*command, *options, "--results", str(folder / "runs")],
            cwd=folder,
            env=os.environ | own,  # so as to wait for no others, and read nothing they kept
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        if run.returncode:
            raise SystemExit(f"bench run of {repo} ended with {run.returncode}:\n{run.stdout}")
        calls = {tuple(line.split("\t")) for line in lines(notes.iterdir())}
    if not calls:
        raise SystemExit(
            f"bench run passed no file of {repo}: is its code imported from elsewhere?"
        )
    return {(str(Path(file).relative_to(repo)), function) for file, function in calls}


def files(repo: Path) -> list[Path]:
    """Return every source file and asset of the core and the plugins, by path."""
    found = [path for part in ("harness", "plugins") for path in sorted((repo / part).rglob("*"))]
    return [path for path in found if path.is_file() and path.parent.name != "__pycache__"]


def is_later(path: Path, repo: Path) -> bool:
    """Return whether a source file serves features that came after the first core, and no other."""
    folder = path.parent.relative_to(repo).as_posix()
    later, first = LATER.get(folder, "").split(), FIRST.get(folder, "").split()
    return path.stem in later or (later == ["*"] and path.stem not in first)


def lines(paths: Iterable[Path]) -> list[str]:
    """Return all lines of text files."""
    return [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]


def measures(repo: Path) -> dict[str, int]:
    """Return what is to be counted without running anything: a value by its description."""
    core = repo / CORE
    python = [path for path in files(repo) if path.suffix == ".py"]
    later = [path for path in python if is_later(path, repo)]
    assets = [path for path in files(repo) if path.suffix != ".py"]
    spoken = lines(path for path in python if path.is_relative_to(repo / "harness"))
    tied = [x for x in spoken if ONE_TASK.search(x) and "codonbench" not in x.lower()]
    return {
        "modules at the top of the core, with `__init__`": len(list(core.glob("*.py"))),
        "folders in the core with modules": len({path.parent for path in core.glob("*/*.py")}),
        "Python files of the core and the plugins": len(python),
        "lines of Python of the core and the plugins": len(lines(python)),
        "lines of these in files for what the first core had not": len(lines(later)),
        "lines of the rest, for what it had": len(lines(python)) - len(lines(later)),
        "lines of their other files": len(lines(assets)),
        "lines of the core that name codons or one task": len(tied),
    }


def main() -> None:
    """Read the arguments, measure, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repo", type=Path, default=ROOT, help="the checkout to measure")
    parser.add_argument("--model", default="lstm-64")
    parser.add_argument("--seeds", default="0-9")
    parser.add_argument("--pairs", help="a budget; to the stop rule by default")
    parser.add_argument("--list", action="store_true", help="also name the functions passed")
    arguments = parser.parse_args()
    repo = arguments.repo.resolve()
    options = ["--model", arguments.model, "--seeds", arguments.seeds]
    options += ["--pairs", arguments.pairs] if arguments.pairs else []
    calls = passed(repo, options)
    command = f"`bench run {' '.join(options)}`"
    rows = {
        f"files that {command} passes": len({file for file, _ in calls}),
        "of these, for what the first core had not": len(
            {file for file, _ in calls if is_later(repo / file, repo)}
        ),
        f"functions that {command} passes": len(calls),
    } | measures(repo)
    print("| what | count |\n|---|---:|")
    print("\n".join(f"| {what} | {count:,} |" for what, count in rows.items()))
    if arguments.list:
        print("\n" + "\n".join(f"{file}: {function}" for file, function in sorted(calls)))


if __name__ == "__main__":
    main()
