"""Live progress of `bench run`, a bar for each seed."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from codonbench.cli.console import messages
from codonbench.config import RunPlan
from codonbench.jobs import Outcome
from codonbench.planning import Job
from codonbench.probes import WINDOW_PAIRS
from codonbench.training import OnProbe

_REFRESH_PAIRS = 2_048  # probes come by the hundred; a bar need not follow each


class RunDisplay:
    """A context in which runs show what they are doing; silent where `quiet`."""

    def __init__(self, job: Job, *, quiet: bool) -> None:
        self._job = job
        self._spec = job.dataset.spec
        self._stops = np.asarray(self._spec.groups.get("stop", ()), dtype=np.int64)
        self._bars: dict[int, TaskID] = {}
        self._console = messages()
        self._quiet = quiet
        unit = f"{self._spec.unit}s"
        self._progress = Progress(
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[pairs]:>12,} pairs"),
            TextColumn(f"{{task.fields[right]:>3}}/{len(self._spec.probe_inputs)} {unit}"),
            TextColumn("{task.fields[stops]}"),
            TextColumn("{task.fields[state]}"),
            TimeRemainingColumn(compact=True),
            console=self._console,
            disable=quiet,
        )

    def __enter__(self) -> Self:
        if not self._quiet:
            dataset = self._job.dataset
            kind = "simulated" if dataset.simulated else "real"
            self._console.print(f"{self._spec.title}; data: {dataset.source} ({kind})")
            for line in dataset.report:
                self._console.print(f"  {line}", style="dim", markup=False)
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def watch(self, plan: RunPlan) -> OnProbe:
        """Open a bar for a run; return what follows its probes."""
        bar = self._progress.add_task(
            f"{plan.model} seed {plan.seed}",
            total=plan.budget_pairs,
            pairs=0,
            right=0,
            stops="",
            state="",
        )
        self._bars[plan.seed] = bar
        shown = -_REFRESH_PAIRS
        streak: int | None = None
        needed = len(self._spec.probe_inputs) * self._spec.target_accuracy

        def follow(pairs: int, right: npt.NDArray[np.bool_]) -> None:
            nonlocal shown, streak
            deciphered = right.sum() >= needed
            streak = (pairs if streak is None else streak) if deciphered else None
            if pairs - shown < _REFRESH_PAIRS:
                return
            shown = pairs
            ends_early = plan.stop == "confident" and streak is not None
            self._progress.update(
                bar,
                completed=pairs,
                # Once deciphered, what is left is the window it has to last for.
                total=max(pairs, streak + WINDOW_PAIRS)
                if ends_early and streak is not None
                else plan.budget_pairs,
                pairs=pairs,
                right=int(right.sum()),
                stops=self._stops_text(right),
                state="deciphered" if deciphered else "learning",
            )

        return follow

    def finished(self, outcome: Outcome) -> None:
        """Close a run's bar, or say that its record was there already."""
        record = outcome.record
        if outcome.reused:
            if not self._quiet:
                self._console.print(
                    f"{record.model} seed {record.seed}: already recorded as {record.run_id}; "
                    "--force runs it again"
                )
            return
        final = max(record.pairs, 1)
        self._progress.update(
            self._bars[record.seed],
            total=final,
            completed=final if record.status in ("done", "diverged") else None,
            pairs=record.pairs,
            state=record.status,
        )
        if record.error and not self._quiet:
            self._console.print(f"{record.model} seed {record.seed}: {record.error}", markup=False)

    def _stops_text(self, right: npt.NDArray[np.bool_]) -> str:
        if not len(self._stops):
            return ""
        return f"{int(right[self._stops].sum())}/{len(self._stops)} stops"
