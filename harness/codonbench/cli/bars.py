"""Progress bars, and the time left by the pace so far."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from codonbench.cli.console import messages, printable, say

if TYPE_CHECKING:
    from codonbench.execution.environment import OnStep, Step

_STEADY = 10.0  # seconds in which time left follows most of the way when the pace changes
_SOON = 2.0  # seconds without which no pace is told
_ENOUGH, _LONG = 0.05, 20.0  # share of the whole, or seconds, that a pace is to rest on
_PARTS = 1_000  # of a MiB, as the bar of an environment counts
FIRST_LINE, _LINES = 1.0, 30.0
"""Seconds to the first line of progress, and at most from one to the next; see `Lines`."""


class Lines:
    """When lines of progress are due, where there is no terminal: each after twice the wait before.

    Args:
        now: The clock as what is followed begins.
    """

    def __init__(self, now: float) -> None:
        self._printed, self._wait = now, FIRST_LINE

    def are_due(self, now: float) -> bool:
        """Return whether a line is to be printed; the next is due later then."""
        if now - self._printed < self._wait:
            return False
        self._printed, self._wait = now, min(2 * self._wait, _LINES)
        return True


class TimeLeft:
    """Seconds that a run still takes at most; does not jump.

    A run's end is predicted from its pace since it began here, or since its first step where that
    is a small one, which may have waited for a worker or a compiler. What is shown moves towards
    the prediction bit by bit, the faster the less is left, and goes down with the clock in between.

    Args:
        total: Pairs of the budget, or whatever is counted.
        seconds: The same in seconds, where there is such a budget.
        now: The clock as the run begins.
        small: Below how much a first step is a small one; by default a twentieth of the total.
    """

    def __init__(
        self, total: float, seconds: float | None, now: float, small: float | None = None
    ) -> None:
        self._total, self._small = total, small
        self._latest = None if seconds is None else now + seconds
        self._first: tuple[float, float] | None = None
        self._rest = total
        self._end: float | None = None
        self._last = now

    def update(self, pairs: float, now: float, total: float | None = None) -> None:
        """Take in that so many pairs have been presented, and of how many, where that changes."""
        self._total = self._total if total is None else total
        enough = _ENOUGH * self._total
        small = enough if self._small is None else self._small
        if self._first is None or (self._first[0] == 0 and pairs < small):
            self._first = pairs, now
        before, began = self._first
        made, took = pairs - before, now - began
        rests = made >= enough or took >= _LONG or self._latest is not None
        if made > 0 and took >= _SOON and rests:
            end = now + took * (self._total - pairs) / made
            if self._latest is not None:
                end = min(end, self._latest)
            # Where little is left the end comes before what is shown has moved there.
            left = (self._total - pairs) / self._rest if self._rest > 0 else 0.0
            share = 1 - min(left, 1) * math.exp((self._last - now) / _STEADY)
            self._end = end if self._end is None else self._end + (end - self._end) * share
        self._last, self._rest = now, self._total - pairs

    def at(self, now: float) -> float | None:
        """Return the seconds that are left; None as long as no pace is known."""
        return None if self._end is None else max(self._end - now, 0.0)


class TimeLeftColumn(ProgressColumn):
    """Time left; an upper limit where the run may stop before its budget."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return it, or nothing where it is not known."""
        left: TimeLeft = task.fields["left"]
        return Text(rest(left.at(time.monotonic()), early=task.fields["early"]), style="cyan")


def rest(seconds: float | None, *, early: bool) -> str:
    """Return ``0:02:10 left``, or nothing where that is not known."""
    if seconds is None:
        return ""
    return f"{'≤ ' if early else ''}{timedelta(seconds=round(seconds))} left"


@contextmanager
def bar_shown(*columns: ProgressColumn) -> Iterator[Callable[[str, int, int], None]]:
    """Draw a bar on standard error, where that is a terminal; yield what moves it.

    It takes what is done, how much of it, and of how much. The bar and the time left are of that.

    Args:
        columns: Shown before the time left.
    """
    console = messages()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        *columns,
        TimeLeftColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    ) as bar:
        shown = bar.add_task("", total=None, left=TimeLeft(0, None, 0.0), early=False)

        def move(what: str, done: int, of: int) -> None:
            now, task = time.monotonic(), bar.tasks[0]
            if task.description != what:
                left = TimeLeft(of, None, now)
                bar.reset(shown, description=what, total=of, left=left, early=False)
            task.fields["left"].update(done, now)
            bar.update(shown, completed=done)

        yield move


@contextmanager
def building_shown(owner: str) -> Iterator[OnStep]:
    """Draw a bar of downloads if standard error is a terminal; else print each step.

    Of a package that is on its way nothing is known but its size, so the time left is an upper
    limit, and there is none before one of several is here.
    """
    from codonbench.execution.executor import in_sentences

    console = messages()
    if not console.is_terminal:
        with in_sentences(say, owner) as show:
            yield show
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

        def show(step: Step) -> None:
            nonlocal began
            task, now = bar.tasks[0], time.monotonic()
            done, total = (round(_PARTS * each) for each in (step.done, step.total))
            if total != (task.total or 0):
                began = began or now
                task.fields["left"] = TimeLeft(total, None, began)
                task.fields["left"].update(0, began)
            task.fields["left"].update(done, now)
            words = printable(f"plugin {owner}: {step.words}")
            bar.update(shown, description=words, completed=done, total=total or None, visible=True)

        yield show
        if bar.tasks[0].visible:
            took = bar.tasks[0].elapsed or 0.0
            say(f"plugin {owner}: its environment is built, in {took:.0f} s", console=console)
