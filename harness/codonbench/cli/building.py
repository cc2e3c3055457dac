"""What is seen while the environment of a plugin is built."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from codonbench.cli.console import messages, printable, say
from codonbench.cli.time_left import TimeLeft, TimeLeftColumn

if TYPE_CHECKING:
    from codonbench.execution.environment import Step, Tell

_PARTS = 1_000
"""Of a MiB, as the bar counts."""


@contextmanager
def building_shown(owner: str) -> Iterator[Tell]:
    """Draw a bar of what is downloaded, where standard error is a terminal; else say each step.

    Of a package that is on its way nothing is known but its size, so the time left is an upper
    limit, and there is none before one of several is here.
    """
    from codonbench.execution.executor import in_sentences

    console = messages()
    if not console.is_terminal:
        with in_sentences(say, owner) as tell:
            yield tell
        return
    with Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TimeElapsedColumn(),
        TimeLeftColumn(),
        console=console,
        transient=True,
    ) as bar:
        shown = bar.add_task("", total=None, visible=False, left=TimeLeft(0, None, 0), early=True)
        began = 0.0

        def tell(step: Step) -> None:
            nonlocal began
            task, now = bar.tasks[0], time.monotonic()
            done, total = (round(_PARTS * each) for each in (step.done, step.total))
            if total != (task.total or 0):
                began = began or now
                task.fields["left"] = TimeLeft(total, None, began)
                task.fields["left"].hear(0, began)
            task.fields["left"].hear(done, now)
            words = printable(f"plugin {owner}: {step.words}")
            bar.update(shown, description=words, completed=done, total=total or None, visible=True)

        yield tell
        if bar.tasks[0].visible:
            took = bar.tasks[0].elapsed or 0.0
            say(f"plugin {owner}: its environment is built, in {took:.0f} s", console=console)
