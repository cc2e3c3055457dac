"""The audit of data: how often it is wrong about clean data, how long it takes, what real sets get.

python benchmarks/leakage.py clean [--sets N]
python benchmarks/leakage.py speed [--rows N] [--length N]
python benchmarks/leakage.py sets FOLDER [FOLDER ...]
"""

from __future__ import annotations

import argparse
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from codonbench.leakage.audit import Subject, audit
from codonbench.leakage.own_table import table_subject
from codonbench.leakage.verdict import DataAudit
from codonbench.plugins.discovery import load_registry

LETTERS = np.frombuffer(b"ACGT", dtype=np.uint8)


def sequences(rng: np.random.Generator, n: int, lengths: tuple[int, int], p: list[float]) -> list:
    """Return random sequences of random lengths, as text."""
    sizes = rng.integers(lengths[0], lengths[1] + 1, n)
    letters = LETTERS[rng.choice(4, sizes.sum(), p=p)].tobytes().decode()
    ends = np.cumsum(sizes)
    return [letters[end - size : end] for end, size in zip(ends, sizes, strict=True)]


def clean_set(seed: int, folder: Path) -> str:
    """Write a set without a leak; return the files of its splits.

    Of random size, length, classes (unequal ones, too) or quantities, and letters; in half of them
    a motif somewhere in the sequence tells one class, which is what a model should find.
    """
    rng = np.random.default_rng(seed)
    kinds = int(rng.integers(1, 6))  # 1: a quantity
    p = rng.dirichlet([20.0] * 4).tolist()
    shortest = int(rng.integers(30, 200))
    lengths = (shortest, shortest if rng.random() < 0.6 else 2 * shortest)
    share = rng.dirichlet([5.0] * kinds)
    motif = "".join(rng.choice(list("ACGT"), 7)) if rng.random() < 0.5 else ""
    sizes = {"train": int(rng.integers(150, 2_000)), "test": int(rng.integers(60, 800))}
    if rng.random() < 0.5:
        sizes["validation"] = int(rng.integers(60, 400))
    files = []
    for name, n in sizes.items():
        lines = ["sequence,label"]
        for text in sequences(rng, n, lengths, p):
            label = rng.choice(kinds, p=share)
            if motif and label == 0 and rng.random() < 0.8:
                at = int(rng.integers(0, len(text) - 7))
                text = text[:at] + motif + text[at + 7 :]
            lines.append(f"{text},{label if kinds > 1 else round(rng.normal(), 4)}")
        path = folder / f"{seed}_{name}.csv"
        path.write_text("\n".join(lines) + "\n")
        files.append(f"{name}={path}")
    return ",".join(files)


def clean(sets: int) -> None:
    """Audit clean sets, and count the verdicts."""
    registry = load_registry()
    found: Counter[str] = Counter()
    with TemporaryDirectory() as folder:
        for seed in range(sets):
            subject = table_subject(clean_set(seed, Path(folder)), {}, registry.metrics_of)
            result = audit(subject)
            found[result.verdict] += 1
            if result.verdict != "PASS":
                print(f"set {seed} ({result.train} + {result.test}): {result.line}", flush=True)
    said = ", ".join(f"{name} {n}" for name, n in sorted(found.items()))
    wrong = sets - found["PASS"]
    print(f"{sets} clean sets: {said}; {wrong / sets:.1%} warned of or worse")


def speed(rows: int, length: int) -> None:
    """Time the audit of a large set of whose test items a twentieth are near-copies."""
    registry = load_registry()
    rng = np.random.default_rng(0)
    with TemporaryDirectory() as folder:
        path = Path(folder, "large.csv")
        draw = random.Random(0)
        with path.open("w") as file:
            file.write("sequence,label,split\n")
            kept: list[str] = []
            for i, text in enumerate(sequences(rng, rows, (length, length), [0.25] * 4)):
                if i % 100 == 4 and kept:
                    near = list(draw.choice(kept))
                    for at in draw.sample(range(length), length // 10):
                        near[at] = draw.choice("ACGT")
                    text = "".join(near)
                if i % 50 == 0:
                    kept.append(text)
                split = "test" if i % 5 == 4 else "validation" if i % 10 == 3 else "train"
                file.write(f"{text},{draw.randrange(2)},{split}\n")
        began = time.perf_counter()
        subject = table_subject(str(path), {}, registry.metrics_of)
        read = time.perf_counter() - began
        before = resource.getrusage(resource.RUSAGE_SELF)
        result, marks = timed(subject)
        after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(
        f"{rows:,} x {length}: read in {read:.0f} s, audited in {sum(marks.values()):.0f} s "
        f"({cpu:.0f} s of CPU; {', '.join(f'{k} {v:.0f}' for k, v in marks.items())}), "
        f"{after.ru_maxrss / 1e6:.2f} GB at most: {result.line}"
    )


def timed(subject: Subject) -> tuple[DataAudit, dict[str, float]]:
    """Return an audit, and the seconds of each of its parts."""
    marks: dict[str, float] = {}
    last = [time.perf_counter(), "copies"]

    def progress(what: str, done: float) -> None:
        now = time.perf_counter()
        marks[str(last[1])] = marks.get(str(last[1]), 0.0) + now - float(last[0])
        last[:] = [now, what]

    result = audit(subject, progress)
    progress("end", 1)
    return result, marks


def sets(folders: list[str]) -> None:
    """Audit real sets; print a table of what is found."""
    registry = load_registry()
    print("| set | train | test | verdict | findings | best rule | k-mers | clean |")
    print("|---|---:|---:|---|---|---|---:|---:|")
    for folder in folders:
        found = audit(table_subject(folder, {}, registry.metrics_of))
        grave = [
            f"{each.check} {each.value:.3f}" + (" (leak)" if each.grade == "leak" else "")
            for each in found.findings
            if each.grade in ("leak", "doubt")
        ]
        rule = found.best_rule
        best = "" if rule is None else f"{rule.check} {rule.value:.3f}"
        counted = next((f"{f.value:.3f}" for f in found.findings if f.check == "k-mers"), "")
        name = "/".join(Path(folder).parts[-2:])
        print(
            f"| {name} | {found.train:,} | {found.test:,} | {found.verdict} | "
            f"{', '.join(grave)} | {best} | {counted} | {len(found.clean):,} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(required=True)

    def command(name: str, function: Callable[..., None], **options: dict) -> None:
        one = commands.add_parser(name)
        one.set_defaults(function=function)
        for option, settings in options.items():
            one.add_argument(option if "nargs" in settings else f"--{option}", **settings)

    command("clean", clean, sets={"type": int, "default": 200})
    command(
        "speed", speed, rows={"type": int, "default": 100_000}, length={"type": int, "default": 500}
    )
    command("sets", sets, folders={"nargs": "+"})
    asked = vars(parser.parse_args())
    asked.pop("function")(**asked)


if __name__ == "__main__":
    main()
