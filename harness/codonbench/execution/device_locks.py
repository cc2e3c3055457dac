"""One device, one run: a GPU is used by one run at a time, cores by one where that is asked for.

Runs of one user see one another, or of all who set ``CODONBENCH_LOCKS`` to one folder. What is
not codonbench is not seen; it shows in the load and in the clocks.

A GPU is always taken alone: two runs on one slow each other down several times over. Cores are
taken alone with ``--exclusive`` only, since two small runs at once on a laptop are everyday work;
others are let in, and how many there were is recorded. Whoever takes cores alone waits for those
there are, and those who come later wait for them.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from codonbench.contracts.provenance import Circumstances, DeviceKind
from codonbench.errors import BusyError, StoreError
from codonbench.execution.machine import clock_mhz, gpu_uuid, load_average
from codonbench.records.unfinished import Holder, Ledger

Say = Callable[[str], None]

T = TypeVar("T")

LOOK_AGAIN = 0.5
"""Seconds between two looks at whether what is waited for is free."""


@dataclass(frozen=True)
class Terms:
    """On what terms a device, and runs that others are making, are taken.

    Attributes:
        alone: Share cores with no other run.
        wait: Wait for what another process has, rather than refuse to run.
    """

    alone: bool = False
    wait: bool = True


def locks_folder() -> Path:
    """Return where runs of this machine find one another.

    ``CODONBENCH_LOCKS`` where that is set, else in the user's cache, which several machines may
    share. Not in a folder for what runs now: logging out deletes that under a run left behind.
    """
    chosen = os.environ.get("CODONBENCH_LOCKS")
    if chosen:
        return Path(chosen)
    return user_cache_path("codonbench", appauthor=False) / "locks" / (platform.node() or "here")


@contextmanager
def occupied(device: DeviceKind, terms: Terms, say: Say) -> Iterator[Circumstances]:
    """Take the device for as long as the context lasts; give the circumstances as it begins.

    Args:
        device: The GPU that runs use, or the processors that this process may use.
        terms: Whether to share cores, and whether to wait.
        say: Told in a sentence who is waited for, or who else is there.

    Raises:
        BusyError: Another run has the device, and it is not to be waited for.
        StoreError: `locks_folder` cannot be written, and sharing was ruled out.
    """
    things, alone = _things(device), terms.alone or device == "cuda"
    with ExitStack() as stack:
        try:
            page = stack.enter_context(Ledger.opened(locks_folder()))
        except OSError as error:
            if terms.alone:
                raise StoreError(
                    f"locks folder {locks_folder()} cannot be written: {error.strerror}; "
                    "name another one in CODONBENCH_LOCKS"
                ) from error
            say(f"other runs go unseen: {locks_folder()} cannot be written: {error.strerror}")
            yield _circumstances(device, None, None)
            return

        def used(others: list[Holder]) -> str:
            what = "the GPU is" if device == "cuda" else "the processors are"
            return f"{what} used by {names(others)}"

        _, others = wait_until(lambda: page.take_all(things, alone=alone), used, terms, say)
        if others:
            say(f"{used(others)} too, which times suffer from")
        yield _circumstances(device, alone, len(others))


def wait_until(
    look: Callable[[], tuple[T, list[Holder]]],
    busy: Callable[[list[Holder]], str],
    terms: Terms,
    say: Say,
) -> tuple[T, list[Holder]]:
    """Look again and again until there is something to take; return it, and who else is there.

    Args:
        look: Returns what could be taken, nothing or False where others are in the way, and them.
        busy: Says in a sentence who is in the way.
        terms: Whether to wait.
        say: Told who is waited for.

    Raises:
        BusyError: Others are in the way, and are not to be waited for.
    """
    told: list[Holder] = []
    while True:
        taken, others = look()
        if taken:
            return taken, others
        if not terms.wait:
            raise BusyError(f"{busy(others)}; without --no-wait this is waited for")
        if others != told:
            say(f"{busy(others)}; waiting")
            told = others
        time.sleep(LOOK_AGAIN)


def _things(device: DeviceKind) -> list[str]:
    if device == "cuda":
        return [f"gpu {gpu_uuid() or 'of unknown identity'}"]
    known = hasattr(os, "sched_getaffinity")
    cores = sorted(os.sched_getaffinity(0)) if known else range(os.cpu_count() or 1)
    return [f"core {core}" for core in cores]


def _circumstances(device: DeviceKind, alone: bool | None, neighbours: int | None) -> Circumstances:
    clock = clock_mhz(device)
    return Circumstances(
        alone=alone,
        neighbours=neighbours,
        load_average=load_average(),
        clocks_mhz=() if clock is None else (clock,),
    )


def names(holders: list[Holder]) -> str:
    """Return ``process 4711 (since 17:20:05) and process 4712 (since 17:20:09)``."""
    return " and ".join(map(str, holders))
