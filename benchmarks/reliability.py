"""What the tests of reliability count: kills, misdeeds, writers at once, exploits, fuzzed inputs.

    python benchmarks/reliability.py [pytest options, such as -k fuzz]

Runs the tests that note figures (pytest's ``record_property``), slow ones among them, which takes
some minutes, and prints what they noted as a page of Markdown; exits with pytest's code, and
prints which tests failed where any did. Each figure is what a test counted while it passed: it
would have failed on the first run lost, exploit that went unseen, or input that ended in a
traceback.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from codonbench.execution.machine import describe_machine

ROOT = Path(__file__).resolve().parent.parent

TESTS = (
    "tests/kills",
    "tests/fuzz",
    "tests/exploits",
    "tests/execution/test_pool.py",
    "tests/records/test_store.py",
    "tests/cli/test_at_once.py",
)


class Case(NamedTuple):
    """One test: its name, how it ended, and what it noted, in order."""

    name: str
    outcome: str
    noted: list[tuple[str, str]]

    def of(self, name: str) -> str | None:
        """Return the first figure of that name."""
        return dict(reversed(self.noted)).get(name)


def run(options: Sequence[str], report: Path) -> int:
    """Run the tests; return pytest's exit code."""
    words = ["-q", "--junitxml", str(report), "-o", "junit_family=xunit1", *TESTS, *options]
    command = [sys.executable, "-m", "pytest", *words]
    anew = {**os.environ, "CODONBENCH_FUZZ_ANEW": "1"}  # inputs that no run before has drawn
    return subprocess.run(command, cwd=ROOT, env=anew, stdout=sys.stderr, check=False).returncode


def cases(report: Path) -> Iterator[Case]:
    """Yield the tests of a report in JUnit's format."""
    for element in ElementTree.parse(report).iter("testcase"):
        kinds = [kind for kind in ("failure", "error", "skipped") if element.find(kind) is not None]
        noted = [(p.get("name", ""), p.get("value", "")) for p in element.iter("property")]
        name = f"{element.get('classname')}::{element.get('name')}"
        yield Case(name, kinds[0] if kinds else "passed", noted)


def print_table(headers: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a Markdown table, or nothing where it has no rows."""
    lines = [f"| {' | '.join(map(str, row))} |" for row in rows]
    if lines:
        print(f"\n| {' | '.join(headers)} |\n{'|---' * len(headers)}|")
        print("\n".join(lines))


def print_fuzzed(found: Sequence[Case]) -> None:
    """Print how many inputs each reader was given; a test notes its readers one after another."""
    inputs, refused = Counter[str](), Counter[str]()
    for case in found:
        reader = ""
        for name, value in case.noted:
            if name == "fuzzed":
                reader = value
            elif name == "inputs":
                inputs[reader] += int(value)
            elif name == "inputs refused":
                refused[reader] += int(value)
    rows = [(reader, f"{n:,}", f"{refused[reader]:,}") for reader, n in sorted(inputs.items())]
    if rows:
        rows.append(("in all", f"{inputs.total():,}", f"{refused.total():,}"))
    print_table(("fuzzed", "inputs", "of them refused in words"), rows)


MODES = {"process": "by default", "sandbox": "with --sandbox"}
"""How far a run is kept apart, as its record says, and how that is asked for."""


def print_exploits(found: Sequence[Case]) -> None:
    """Print what became of each exploit in each mode."""
    tried: dict[str, dict[str, str]] = {}
    for case in found:
        if exploit := case.of("exploit"):
            tried.setdefault(exploit, {})[case.of("mode") or ""] = case.of("outcome") or ""
    rows = [(name, *(came.get(mode, "") for mode in MODES)) for name, came in sorted(tried.items())]
    print_table(("exploit", *MODES.values()), rows)
    if tried:
        outcomes = Counter(outcome for came in tried.values() for outcome in came.values())
        said = ", ".join(f"{outcome} {n}" for outcome, n in sorted(outcomes.items()))
        print(f"\nExploits tried: {len(tried)}, in both modes {outcomes.total()} ({said}).")


APART = {"fuzzed", "inputs", "inputs refused", "exploit", "mode", "outcome"}
"""What has tables of its own; any other name is a figure, added up over the tests that note it."""


def print_figures(found: Sequence[Case]) -> None:
    """Print the other figures."""
    sums = Counter[str]()
    for case in found:
        for name, value in case.noted:
            if name not in APART:
                sums[name] += int(value)
    print_table(("figure", "count"), ((name, f"{n:,}") for name, n in sums.items()))


def main() -> None:
    options = sys.argv[1:]
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        code = run(options, report)
        if not report.exists():  # it was ended before its end
            sys.exit(code or 1)
        found = list(cases(report))
    passed = [case for case in found if case.outcome == "passed" and case.noted]
    here = describe_machine("cpu")
    print("# Reliability, in figures\n")
    print(f"What `{shlex.join(('python', 'benchmarks/reliability.py', *options))}` printed on")
    print(f"{datetime.now(UTC).date()} on ", end="")
    print(f"{here.cpu_count} cores of {here.cpu_name}, {here.system}, Python {here.python},")
    print(f"torch {here.torch}; load {os.getloadavg()[0]:.1f} at the end, ", end="")
    print(f"{time.perf_counter() - started:.0f} seconds, {len(passed)} tests.")
    print_figures(passed)
    print_fuzzed(passed)
    print_exploits(passed)
    for case in found:
        if case.outcome in ("failure", "error"):
            print(f"\nFailed: {case.name}")
    sys.exit(code)


if __name__ == "__main__":
    main()
