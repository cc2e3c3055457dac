"""Live progress of `bench run`: how far each seed has come, and a line of text once it is done.

All of it goes to standard error: a bar in a terminal, elsewhere a line after a second, and then
less and less often, at last every half minute.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Self, TextIO

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
)

from codonbench.cli.bars import Lines, TimeLeft, TimeLeftColumn, rest
from codonbench.cli.console import ending, messages, say
from codonbench.contracts.run_spec import MOST_PAIRS, RunRequest, RunSpec
from codonbench.data.splits import cut_in_words, folds_in_words
from codonbench.execution.executor import Follower, Listener
from codonbench.execution.prepare import Job
from codonbench.execution.run import Outcome, Train
from codonbench.protocols.folds import Folds
from codonbench.protocols.referee import OnSnapshot, Referee, Watch
from codonbench.protocols.supervised import Supervised
from codonbench.records.files import plain_json
from codonbench.records.unfinished import Checkpoints
from codonbench.training.request import TrainResult

_REFRESH = 0.1  # seconds between two times that a bar follows a run


class RunDisplay(Follower):
    """A context in which runs show what they are doing.

    Args:
        job: The job.
        lines: Where to print each record as a line of JSON; what is no news, introduction and
            finished seeds, is then left out. None for nowhere.
        live: Draw a bar, if standard error is a terminal.
        debug: Show what traceback has ended a run.
        introduced: Whether to print first what is run, on what.
    """

    def __init__(
        self,
        job: Job,
        *,
        lines: TextIO | None,
        live: bool,
        debug: bool = False,
        introduced: bool = True,
    ) -> None:
        self._job = job
        self._introduced = introduced
        self._console = messages()
        self._lines = lines
        self._debug = debug
        self._bars: dict[str, TaskID] = {}
        self._all = _AllRuns(job)
        self._all_bar: TaskID | None = None
        self._lines_of_text = live and not self._console.is_terminal and lines is None
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12 if self._console.width < 100 else 30),
            TextColumn(f"{{task.fields[pairs]:>10,}} {job.task.counted_in}"),
            TextColumn("{task.fields[words]}"),
            TimeLeftColumn(),
            console=self._console,
            disable=not (live and self._console.is_terminal),
            # Else rich would send what is printed to standard output after the bar.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self._lines is None and self._introduced:
            for line in _introduction(self._job):
                say(line, console=self._console)
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for run_id in list(self._bars):
            self._close_bar(run_id)
        self._progress.stop()

    def watch(self, run_spec: RunSpec) -> OnSnapshot:
        """Open a bar for a run; return what follows its evaluations."""
        self._close_bar(run_spec.run_id)
        seed, early = _which(run_spec), run_spec.stop != "budget"
        total = run_spec.budget_pairs if run_spec.budget_pairs < MOST_PAIRS else None
        began = time.monotonic()
        left = TimeLeft(run_spec.budget_pairs, run_spec.budget_seconds, began)
        self._all.update(run_spec.run_id, 0, began)
        self._show_all()
        bar = self._bars[run_spec.run_id] = self._progress.add_task(
            seed.rstrip(), total=total, pairs=0, words="", early=early, left=left
        )
        shown, lines = -_REFRESH, Lines(began)

        def follow(pairs: int, progress: Callable[[], str]) -> None:
            nonlocal shown
            now = time.monotonic()
            if now - shown < _REFRESH:
                return
            shown = now
            left.update(pairs, now)
            self._all.update(run_spec.run_id, pairs, now)
            self._show_all()
            words = "" if self._progress.disable else progress()
            self._progress.update(bar, completed=pairs, pairs=pairs, words=words)
            if self._lines_of_text and lines.are_due(now):
                words_left = rest(left.at(now), early=early)
                of = "" if total is None else f" of {total:,}"
                line = [f"{seed} {pairs:,}{of} {self._job.task.counted_in}", progress(), words_left]
                if self._all.some_wait and (all_left := rest(self._all.at(now), early=early)):
                    line.append(f"{all_left} for all {self._all.count}")
                say(", ".join(filter(None, line)), console=self._console)

        return follow

    def remark(self, sentence: str) -> None:
        """Say something above the bars."""
        say(sentence, style="yellow", console=self._console)

    def around(self, train: Train) -> Train:
        """Return `train`, which then also shows the traceback that ended a run, if requested."""
        if not self._debug:
            return train

        def train_and_show(
            job: Job, watch: Watch, checkpoints: Checkpoints | None
        ) -> Iterator[tuple[Referee, TrainResult]]:
            shown = ""
            for referee, result in train(job, watch, checkpoints):
                if result.details not in ("", shown):  # seeds trained together end together
                    shown = result.details
                    say(shown, console=self._console)
                yield referee, result

        return train_and_show

    def finished(self, outcome: Outcome) -> None:
        """Close a run's bar and say how it went, or that its record was there already."""
        self._close_bar(outcome.record.run_id)
        run_id, now = outcome.record.run_id, time.monotonic()
        self._all.ended(run_id, reused=outcome.reused, now=now)
        self._show_all()
        if self._lines is not None:
            print(plain_json(outcome.record.to_line()), file=self._lines, flush=True)
            if not outcome.reused and outcome.record.error is None:
                return
        text = f"{_which(outcome.record.run_spec)} {ending(outcome.record, self._job.task)}"
        if outcome.reused:
            text += " (already recorded; --force runs it again)"
        say(text, console=self._console)

    def _show_all(self) -> None:
        """Draw a bar of all runs below theirs, as long as some have not begun."""
        if not self._all.some_wait:
            if self._all_bar is not None:
                self._progress.remove_task(self._all_bar)
                self._all_bar = None
            return
        done, n = self._all.done, self._all.count
        if self._all_bar is None:
            self._all_bar = self._progress.add_task(
                f"all {n}",
                total=self._all.total,
                pairs=0,
                words="",
                early=self._all.early,
                left=self._all,
            )
        self._progress.update(self._all_bar, completed=done, pairs=done)

    def _close_bar(self, run_id: str) -> None:
        if run_id in self._bars:
            self._progress.remove_task(self._bars.pop(run_id))


@contextmanager
def followed(job: Job) -> Iterator[Watch]:
    """Show how far runs that are made again have come, and nothing else of them."""
    with RunDisplay(job, lines=None, live=True, introduced=False) as display:
        yield display.watch


class _AllRuns:
    """How far the runs of a job have come together, and when the last ends at their pace.

    A run that stops early has done its share; parts whose records are joined are not followed.
    """

    def __init__(self, job: Job) -> None:
        self._budgets = {spec.run_id: spec.budget_pairs for spec in job.run_specs}
        if (
            job.protocol.joins
            or len(self._budgets) == 1
            or max(self._budgets.values()) >= MOST_PAIRS
        ):
            self._budgets = {}
        self.early = job.run_specs[0].stop != "budget"
        self._done: dict[str, int] = {}
        self._left: TimeLeft | None = None

    @property
    def done(self) -> int:
        """Pairs of all runs, those that ended counted whole."""
        return sum(self._done.values())

    @property
    def total(self) -> int:
        """The same at the end of all, but for runs that were recorded before."""
        return sum(self._budgets.values())

    @property
    def count(self) -> int:
        """How many runs that is."""
        return len(self._budgets)

    @property
    def some_wait(self) -> bool:
        """Whether some have begun and some have not."""
        return 0 < len(self._done) < len(self._budgets)

    def update(self, run_id: str, pairs: int, now: float) -> None:
        """Take in how far a run has come."""
        if run_id in self._budgets:
            self._left = self._left or TimeLeft(self.total, None, now)
            self._done[run_id] = pairs
            self._left.update(self.done, now)

    def ended(self, run_id: str, *, reused: bool, now: float) -> None:
        """Take in that a run is over, or was before this command."""
        if reused and self._left is None:
            self._budgets.pop(run_id, None)
        else:
            self.update(run_id, self._budgets.get(run_id, 0), now)

    def at(self, now: float) -> float | None:
        """Return the seconds that are left, as `TimeLeft.at` does."""
        return None if self._left is None else self._left.at(now)


class ClusterDisplay(Listener):
    """A context in which runs on a cluster show what became of them: one bar, a line for each run.

    Args:
        requests: The requests.
        lines: As for `RunDisplay`.
    """

    def __init__(self, requests: Sequence[RunRequest], *, lines: TextIO | None) -> None:
        self._runs = [len(request.seeds) for request in requests]
        self._told: set[int] = set()
        self._lines = lines
        self._console = messages()
        began = time.monotonic()
        self._progress_lines = Lines(began)
        self._left = TimeLeft(sum(self._runs), None, began, small=1.0)
        self._left.update(0, began)
        self._reused, self._finished, self._under_way = 0, 0, 0.0
        self._progress = Progress(
            TextColumn("runs"),
            BarColumn(bar_width=30),
            MofNCompleteColumn(),
            TimeLeftColumn(),
            console=self._console,
            disable=not self._console.is_terminal,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._bar = self._progress.add_task("", total=sum(self._runs), left=self._left, early=False)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def planned(self, index: int, job: Job) -> None:
        """Print the task and number of runs of a request."""
        whole = len({run_spec.whole.run_id for run_spec in job.run_specs})
        runs = whole if job.protocol.joins else len(job.run_specs)
        self._runs[index] = runs + (0 if index not in self._told else self._runs[index])
        self._told.add(index)  # a second time for its random twin
        self._progress.update(self._bar, total=sum(self._runs))
        if self._lines is not None:
            return
        for line in _introduction(job):
            say(line, console=self._console)
        if job.run_specs[0].is_own_table:
            from codonbench.cli.audit_data import remark_on_data

            say(remark_on_data(job.dataset), console=self._console)

    def remark(self, sentence: str) -> None:
        """Say something above the bar."""
        say(sentence, style="yellow", console=self._console)

    def finished(self, job: Job, outcome: Outcome) -> None:
        """Say how a run went, and how long the others take at this pace."""
        record = outcome.record
        if self._lines is not None:
            print(plain_json(record.to_line()), file=self._lines, flush=True)
        if self._lines is None or record.error is not None:
            again = " (already recorded; --force runs it again)" if outcome.reused else ""
            named = f"{record.model} on {record.task}, {_which(record.run_spec).rstrip()}"
            say(f"{named}: {ending(record, job.task)}{again}", console=self._console)
        self._reused += outcome.reused
        self._finished += 1
        self._show()

    def moved(self, under_way: float) -> None:
        """Take in how many runs those under way are together; say so where there is no bar."""
        self._under_way = under_way
        shown, now = self._show(), time.monotonic()
        if self._console.is_terminal or self._lines is not None or not shown:
            return
        if self._progress_lines.are_due(now):
            done = self._finished + under_way
            say(f"{done:.1f} of {sum(self._runs)} runs, {shown}", console=self._console)

    def _show(self) -> str:
        """Move the bar; return how long the others take at this pace, in words."""
        done, now = self._finished + self._under_way, time.monotonic()
        self._left.update(done - self._reused, now, sum(self._runs) - self._reused)
        self._progress.update(self._bar, completed=done)
        return rest(self._left.at(now), early=False)


def _which(run_spec: RunSpec) -> str:
    """Return ``seed 3``, and which part of it where it is one, so wide that figures line up."""
    part = f", {run_spec.part}" if run_spec.part else ""
    return f"seed {run_spec.seed:<{0 if part else 3}}{part}"


def _introduction(job: Job) -> list[str]:
    """Return what is about to be run, on what."""
    run_spec, dataset = job.run_specs[0], job.dataset
    kind = " (simulated)" if dataset.simulated else ""
    n_most = run_spec.budget_pairs
    counted = [f"{n_most:,} {job.task.counted_in}"] if n_most < MOST_PAIRS else []
    timed = [] if run_spec.budget_seconds is None else [f"{run_spec.budget_seconds:g} s"]
    budget = f"{'' if run_spec.stop == 'budget' else 'at most '}{' and '.join(counted + timed)}"
    n, parts = len({spec.seed for spec in job.run_specs}), len(job.run_specs)
    seeds = f"{n} seeds, {budget} each" if parts > 1 else f"1 seed, {budget}"
    if parts > n:
        seeds = f"{n} seed{'s'[: n - 1]} in {parts // n} parts: {run_spec.protocol}, {budget} each"
    return [
        f"{run_spec.model} on {run_spec.task}, data {dataset.source}{kind}, on {run_spec.device}",
        *(f"  {line}" for line in (*dataset.report, *_division(job))),
        f"  {seeds}",
    ]


def _division(job: Job) -> list[str]:
    """Return how a seed divides the items, where they are not divided as they come."""
    dataset, options = job.dataset, job.run_specs[0].protocol_options
    if not isinstance(job.protocol, Supervised):
        return []
    if not isinstance(job.protocol, Folds):
        return [words] if (words := cut_in_words(dataset)) else []
    words = folds_in_words(dataset, options["folds"])
    if options["folds"] == job.task.folds:
        own = "the test split" if "test" in dataset.splits else "a test split of 20%"
        words += f", as suits few items; --folds 0: one run a seed, on {own}"
    return [words]
