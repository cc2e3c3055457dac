"""Live progress of `bench run`: a bar while a seed runs, a line of text once it has.

All of it goes to standard error. The bar is for terminals only; the lines are for everyone.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.text import Text

from codonbench.cli.console import messages, say
from codonbench.cli.phrases import outcome_text
from codonbench.contracts.run_spec import RunSpec
from codonbench.execution.in_process import Work
from codonbench.execution.prepare import Job
from codonbench.execution.run_all import Outcome
from codonbench.execution.run_one import Learn
from codonbench.protocols.referee import OnProbe, Watch
from codonbench.protocols.schedule import WINDOW_PAIRS
from codonbench.protocols.setup import Setting
from codonbench.records.printable import printable
from codonbench.training.result import Lab

_REFRESH_PAIRS = 2_048  # probes come by the hundred; a bar need not follow each


class RunDisplay:
    """A context in which runs show what they are doing.

    Args:
        job: What is run.
        brief: Leave out what is not news: introduction, finished seeds.
        live: Draw a bar, if standard error is a terminal.
    """

    def __init__(self, job: Job, *, brief: bool, live: bool) -> None:
        self._job = job
        self._spec = job.dataset.spec
        self._watched = job.task.watched or ""
        self._console = messages()
        self._brief = brief
        self._bars: dict[int, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=12 if self._console.width < 100 else 30),
            TextColumn("{task.fields[pairs]:>10,} pairs"),
            TextColumn("{task.fields[right]}"),
            _TimeLeft(),
            console=self._console,
            disable=not (live and self._console.is_terminal),
            # Else rich would send what is printed to standard output after the bar.
            redirect_stdout=False,
            redirect_stderr=False,
        )

    def __enter__(self) -> Self:
        if not self._brief:
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

    def watch(self, run_spec: RunSpec) -> OnProbe:
        """Open a bar for a run; return what follows its probes."""
        self._close_bar(run_spec.seed)
        bar = self._bars[run_spec.seed] = self._progress.add_task(
            f"seed {run_spec.seed}", total=run_spec.budget_pairs, pairs=0, right="", early=False
        )
        shown = -_REFRESH_PAIRS
        since: int | None = None
        needed = len(self._spec.probe_inputs) * self._spec.target_accuracy

        def follow(
            pairs: int, right: npt.NDArray[np.bool_], logits: npt.NDArray[np.float32]
        ) -> None:
            nonlocal shown, since
            enough = right.sum() >= needed
            since = (pairs if since is None else since) if enough else None
            if pairs - shown < _REFRESH_PAIRS:
                return
            shown = pairs
            # Once enough are right, what is left is the window that it has to last for.
            window_ends = None if since is None else since + WINDOW_PAIRS
            in_window = (
                run_spec.stop == "confident" and window_ends is not None and pairs < window_ends
            )
            self._progress.update(
                bar,
                completed=pairs,
                total=window_ends if in_window else run_spec.budget_pairs,
                pairs=pairs,
                right=self._right_text(right),
                early=run_spec.stop == "confident" and not in_window,
            )

        return follow

    def remark(self, sentence: str) -> None:
        """Say something above the bars."""
        say(sentence, style="yellow", console=self._console)

    def with_tracebacks(self, learn: Learn) -> Learn:
        """Return `learn`, which then also shows what traceback has ended a run."""

        def learn_and_show(work: Work, watch: Watch) -> Iterator[tuple[Setting, Lab]]:
            shown = ""
            for setting, lab in learn(work, watch):
                if lab.details not in ("", shown):  # seeds trained together end together
                    shown = lab.details
                    say("\n".join(map(printable, shown.splitlines())), console=self._console)
                yield setting, lab

        return learn_and_show

    def finished(self, outcome: Outcome) -> None:
        """Close a run's bar and say how it went, or that its record was there already."""
        self._close_bar(outcome.record.seed)
        if self._brief and not outcome.reused and outcome.record.error is None:
            return
        seed = f"seed {outcome.record.seed:<3}"
        say(f"{seed} {outcome_text(outcome, self._job.task)}", console=self._console)

    def _close_bar(self, seed: int) -> None:
        if seed in self._bars:
            self._progress.remove_task(self._bars.pop(seed))

    def _right_text(self, right: npt.NDArray[np.bool_]) -> str:
        text = f"{int(right.sum()):>2}/{len(right)} {self._spec.unit}s"
        members = list(self._spec.groups.get(self._watched, ()))
        if not members:
            return text
        return f"{text} {int(right[members].sum())}/{len(members)} {self._watched}"


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
    seeds = (
        f"{len(job.run_specs)} seeds, {budget} each"
        if len(job.run_specs) > 1
        else f"1 seed, {budget}"
    )
    return [
        f"{run_spec.model} on {run_spec.task}, data {dataset.source}{kind}, on {run_spec.device}",
        *(f"  {line}" for line in dataset.report),
        f"  {seeds}",
    ]
