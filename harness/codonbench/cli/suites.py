"""`bench run --suite`: many requests one after another, and what became of each."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import typer
from rich.console import Console
from rich.text import Text

from codonbench.cli.console import new_table, say
from codonbench.contracts.base import MOST_WORDS
from codonbench.contracts.run_spec import RunOptions, RunRequest, canonical_json
from codonbench.errors import BenchError, StoreError
from codonbench.execution.suites import FIELDS, Suite, find_suite, read_suite
from codonbench.records.files import printable

if TYPE_CHECKING:
    from codonbench.execution.executor import Executor
    from codonbench.execution.run import Outcome

RunOne = Callable[[RunRequest], "Iterator[Outcome]"]


@dataclass
class SuiteEntry:
    """What became of one request of a suite.

    Attributes:
        request: The request.
        outcomes: Outcomes of the seeds that left a record.
        problem: Why there are no more; empty where all went well.
        error: What it says it of, where that was ours.
    """

    request: RunRequest
    outcomes: list[Outcome] = field(default_factory=list)
    problem: str = ""
    error: BenchError | None = None

    @property
    def why(self) -> str:
        """The first thing that went wrong, or nothing."""
        records = [outcome.record for outcome in self.outcomes]
        errors = (record.error for record in records if record.status == "error")
        cut = (record.status for record in records if record.status in _CUT_SHORT)
        return next(errors, None) or self.problem or next(cut, "")

    def counts(self) -> Counter[str]:
        """Return how many seeds are done, reused and failed; those that never began failed."""
        found = Counter(
            "failed"
            if outcome.record.status in ("error", *_CUT_SHORT)
            else ("reused" if outcome.reused else "done")
            for outcome in self.outcomes
        )
        rows = len({canonical_json(outcome.record.overrides) for outcome in self.outcomes})
        found["failed"] += len(self.request.seeds) * max(rows, 1) - len(self.outcomes)
        return found


_CUT_SHORT = ("timeout", "interrupted")


def chosen_suite(ctx: typer.Context, name: str, request: RunRequest) -> Suite:
    """Return a suite with what was typed on the command line in place of its defaults.

    Raises:
        UsageError: There is no such suite, or its file is wrong.
    """
    sources = {field: ctx.get_parameter_source(field) for field in FIELDS if field != "model"}
    typed = {
        field: getattr(request, field)
        for field, source in sources.items()
        if source is not None and source.name == "COMMANDLINE"
    }
    typed["task_overrides"] = request.task_overrides  # by --task-set or by their own names
    # Not a suite's to say; the first is from the environment, too.
    typed |= {"offline": request.offline, "force": request.force}
    return read_suite(find_suite(name), typed)


def run_suite(suite: Suite, run_one: RunOne) -> list[SuiteEntry]:
    """Run a suite's requests in turn; go on after a failure, stop after Ctrl-C.

    Raises:
        StoreError: Records cannot be written: nothing that follows could be kept either.
    """
    entries: list[SuiteEntry] = []
    began = time.monotonic()
    for i, request in enumerate(suite.requests, 1):
        left = _left(entries, suite.requests[i - 1 :], time.monotonic() - began)
        say(f"\n{suite.name} {i} of {len(suite.requests)}: {_label(request)}{left}")
        entry = SuiteEntry(request)
        entries.append(entry)
        try:
            for outcome in run_one(request):
                entry.outcomes.append(outcome)
        except (StoreError, BrokenPipeError):  # what follows could not be stored or read
            raise
        except BenchError as error:
            entry.problem = str(error)
        except (Exception, SystemExit) as error:  # a plugin may do anything; the rest goes on
            entry.problem = f"{type(error).__name__}: {error}"
        if entry.problem:
            say(f"failed: {entry.problem}", style="red")
        if entry.outcomes and entry.outcomes[-1].record.status == "interrupted":
            break
    return entries


def _left(entries: Sequence[SuiteEntry], requests: Sequence[RunRequest], seconds: float) -> str:
    """Return in words how long other requests take, at the pace of those so far; none without."""
    made = [entry for entry in entries if any(not outcome.reused for outcome in entry.outcomes)]
    if not made:
        return ""
    pace = seconds / sum(len(entry.request.seeds) for entry in made)
    rest = sum(len(request.seeds) for request in requests)
    return f", about {timedelta(seconds=round(pace * rest))} left"


def run_at_once(
    requests: Sequence[RunRequest], executor: Executor, options: RunOptions, lines: TextIO | None
) -> list[SuiteEntry]:
    """Make the runs of some requests side by side, on the cluster that options name.

    Args:
        requests: Of a suite, or one.
        executor: Plans them.
        options: Run options.
        lines: As for `ClusterDisplay`.

    Raises:
        StoreError: Records cannot be written.
    """
    from codonbench.cli.progress import ClusterDisplay
    from codonbench.execution.cluster_runs import run_on

    entries = [SuiteEntry(request) for request in requests]
    with ClusterDisplay(requests, lines=lines) as display:
        for index, outcome in run_on(executor, options, requests, display):
            if isinstance(outcome, BenchError):
                entries[index].problem, entries[index].error = str(outcome), outcome
                say(f"{_label(requests[index])} failed: {outcome}", style="red")
            else:
                entries[index].outcomes.append(outcome)
    return entries


def print_summary(suite: Suite, entries: Sequence[SuiteEntry], console: Console) -> None:
    """Print a line for each request, and a total; what was not reached is counted apart."""
    table = new_table()
    table.add_column(suite.name, overflow="fold")
    for header in ("done", "reused", "failed"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    total: Counter[str] = Counter()
    for entry in entries:
        counts = entry.counts()
        total += counts
        label, why = (printable(text, MOST_WORDS) for text in (_label(entry.request), entry.why))
        table.add_row(Text(label), *_cells(counts), Text(why))
    table.add_section()
    missed = len(suite.requests) - len(entries)
    table.add_row("all", *_cells(total), f"{missed} more not begun" if missed else "")
    console.print()
    console.print(table)


def _cells(counts: Counter[str]) -> list[str]:
    return [str(counts[kind]) for kind in ("done", "reused", "failed")]


def _label(request: RunRequest) -> str:
    """Return ``rnn-64, optimizer=sgd, on my_orfs.fa`` or ``cnn, on gue-tf-0``."""
    settings = {**request.overrides, **request.task_overrides}
    parts = [request.model, *(f"{name}={value}" for name, value in settings.items())]
    if request.task is not None:
        parts.append(f"on {request.task}")
    if request.data is not None:
        parts.append(f"on {Path(request.data).name}")
    return ", ".join(parts)
