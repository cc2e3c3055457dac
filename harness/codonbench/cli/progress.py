"""Live progress of `bench run`: a bar while a seed runs, a line of text once it has.

All of it goes to standard error. The bar is for terminals only; the lines are for everyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import Self, TextIO

from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from codonbench.api import Follower
from codonbench.cli.console import ending, messages, say
from codonbench.contracts.run_spec import RunSpec
from codonbench.execution.prepare import Job
from codonbench.execution.run import Outcome, Train
from codonbench.protocols.referee import OnSnapshot, Referee, Watch
from codonbench.records.files import printable
from codonbench.records.unfinished import Checkpoints
from codonbench.training.request import TrainResult

_REFRESH_PAIRS = 2_048  # evaluations come by the hundred; a bar need not follow each


class RunDisplay(Follower):
    """A context in which runs show what they are doing.

    Args:
        job: What is run.
        lines: Where to print each record as a line of JSON; what is no news, introduction and
            finished seeds, is then left out. None for nowhere.
        live: Draw a bar, if standard error is a terminal.
        debug: Show what traceback has ended a run.
    """

    def __init__(self, job: Job, *, lines: TextIO | None, live: bool, debug: bool = False) -> None:
        self._job = job
        self._console = messages()
        self._lines = lines
        self._debug = debug
        self._bars: dict[int, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12 if self._console.width < 100 else 30),
            TextColumn("{task.fields[pairs]:>10,} pairs"),
            TextColumn("{task.fields[words]}"),
            _TimeLeft(),
            console=self._console,
            disable=not (live and self._console.is_terminal),
            # Else rich would send what is printed to standard output after the bar.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if self._lines is None:
            for line in _introduction(self._job):
                say(line, console=self._console)
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trajectory: TracebackType | None,
    ) -> None:
        for seed in list(self._bars):
            self._close_bar(seed)
        self._progress.stop()

    def watch(self, run_spec: RunSpec) -> OnSnapshot:
        """Open a bar for a run; return what follows its evaluations."""
        self._close_bar(run_spec.seed)
        bar = self._bars[run_spec.seed] = self._progress.add_task(
            f"seed {run_spec.seed}",
            total=run_spec.budget_pairs,
            pairs=0,
            words="",
            early=run_spec.stop != "budget",
        )
        shown = -_REFRESH_PAIRS

        def follow(pairs: int, progress: str) -> None:
            nonlocal shown
            if pairs - shown >= _REFRESH_PAIRS:
                shown = pairs
                self._progress.update(bar, completed=pairs, pairs=pairs, words=progress)

        return follow

    def remark(self, sentence: str) -> None:
        """Say something above the bars."""
        say(sentence, style="yellow", console=self._console)

    def around(self, train: Train) -> Train:
        """Return `train`, which then also shows what traceback has ended a run, where asked to."""
        if not self._debug:
            return train

        def train_and_show(
            job: Job, watch: Watch, checkpoints: Checkpoints | None
        ) -> Iterator[tuple[Referee, TrainResult]]:
            shown = ""
            for referee, result in train(job, watch, checkpoints):
                if result.details not in ("", shown):  # seeds trained together end together
                    shown = result.details
                    say("\n".join(map(printable, shown.splitlines())), console=self._console)
                yield referee, result

        return train_and_show

    def finished(self, outcome: Outcome) -> None:
        """Close a run's bar and say how it went, or that its record was there already."""
        self._close_bar(outcome.record.seed)
        if self._lines is not None:
            print(outcome.record.to_line(), file=self._lines, flush=True)
            if not outcome.reused and outcome.record.error is None:
                return
        text = f"seed {outcome.record.seed:<3} {ending(outcome.record, self._job.task)}"
        if outcome.reused:
            text += " (already recorded; --force runs it again)"
        say(text, console=self._console)

    def _close_bar(self, seed: int) -> None:
        if seed in self._bars:
            self._progress.remove_task(self._bars.pop(seed))


class _TimeLeft(ProgressColumn):
    """Time left; an upper limit where the run may stop before its budget."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        seconds = task.time_remaining
        if seconds is None:
            return Text("")
        limit = "≤ " if task.fields["early"] else ""
        return Text(f"{limit}{timedelta(seconds=round(seconds))} left", style="cyan")


def _introduction(job: Job) -> list[str]:
    """Return what is about to be run, on what."""
    run_spec, dataset = job.run_specs[0], job.dataset
    kind = " (simulated)" if dataset.simulated else ""
    budget = f"{'' if run_spec.stop == 'budget' else 'at most '}{run_spec.budget_pairs:,} pairs"
    n = len(job.run_specs)
    seeds = f"{n} seeds, {budget} each" if n > 1 else f"1 seed, {budget}"
    return [
        f"{run_spec.model} on {run_spec.task}, data {dataset.source}{kind}, on {run_spec.device}",
        *(f"  {line}" for line in dataset.report),
        f"  {seeds}",
    ]
