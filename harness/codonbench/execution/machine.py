"""Which machine this is, and which runs use it: a GPU has one at a time, cores one if requested.

What can be told of the machine without PyTorch is told here; a worker tells the rest.

Runs of one user see one another, or runs of all users who set ``CODONBENCH_LOCKS`` to one folder.
Other programs are not seen; they show in the load and in the clocks. A GPU is taken alone, since
two runs on one slow each other down several times over, unless runs on a cluster ask for a share of
it. Cores are taken alone with ``--exclusive`` only, since two small runs at once on a laptop are
everyday work; how many others there were is recorded. A run that takes cores alone waits for the
runs that use them, and runs that come later wait for it.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from codonbench.contracts.base import DeviceKind
from codonbench.contracts.run_record import Circumstances, Machine, TorchFacts
from codonbench.errors import BusyError, ConfigError, StoreError
from codonbench.records.unfinished import Holder, Ledger

Say = Callable[[str], None]

T = TypeVar("T")

LOOK_AGAIN = 0.5
"""Seconds between two looks at whether what is waited for is free."""

_torch_facts: list[TorchFacts] = []  # what a worker has told of the GPU here


def cores() -> int:
    """Return how many processors this process may use."""
    return len(_cores())


def _cores() -> set[int]:
    if hasattr(os, "sched_getaffinity"):
        return os.sched_getaffinity(0)
    return set(range(os.cpu_count() or 1))


def nvidia_is_visible() -> bool:
    """Return whether there may be a GPU here that PyTorch can use."""
    if any(Path("/dev").glob("nvidia*")):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(requested: str) -> DeviceKind:
    """Return the device to run on.

    Raises:
        ConfigError: ``cuda`` was asked for and there is none.
    """
    if requested == "cpu" or (requested == "auto" and not nvidia_is_visible()):
        return "cpu"
    if facts_here(gpu=True).gpu_name is not None:
        return "cuda"
    if requested == "cuda":
        raise ConfigError("device 'cuda': PyTorch sees no CUDA device here; use --device cpu")
    return "cpu"


def facts_here(*, gpu: bool) -> TorchFacts:
    """Return facts on PyTorch here; on a GPU as a worker reported them, if one did."""
    if _torch_facts and gpu and "torch" not in sys.modules:
        return _torch_facts[0]
    from codonbench.training.determinism import torch_facts

    return torch_facts(gpu)


def note_facts(facts: TorchFacts) -> None:
    """Store the facts of a worker that may use the GPU, so that PyTorch is not needed here."""
    _torch_facts[:] = [facts]


def describe_machine(
    device: DeviceKind,
    circumstances: Circumstances | None = None,
    facts: TorchFacts | None = None,
) -> Machine:
    """Return the identity of this machine.

    Args:
        device: Device of the runs.
        circumstances: Circumstances of a run.
        facts: Of the interpreter that trains; by default as PyTorch is set up here now.
    """
    cpu, on_gpu = _cpu_name(), device == "cuda"
    facts = facts or facts_here(gpu=on_gpu)
    uuid = facts.gpu_uuid if on_gpu else None
    return Machine(
        device=device,
        device_name=(facts.gpu_name or "unknown") if on_gpu else cpu,
        cpu_name=cpu,
        cpu_count=cores(),
        driver=_driver() if on_gpu else None,
        cuda=facts.cuda if on_gpu else None,
        system=f"{platform.system()} {platform.machine()}",
        gpu_id=None if uuid is None else hashlib.sha256(uuid.encode()).hexdigest()[:16],
        circumstances=circumstances,
        **facts.model_dump(exclude={"gpu_name", "gpu_uuid", "cuda"}),
    )


def clock_mhz(device: DeviceKind) -> int | None:
    """Return the present clock of the GPU, or the mean of the processors'; None if untold."""
    if device == "cuda":
        uuid = gpu_uuid()
        output = _nvidia_smi("clocks.sm", "-i", f"GPU-{uuid}") if uuid else None
        return int(output) if output and output.isdigit() else None
    try:
        clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return None
    return round(sum(map(float, clocks)) / len(clocks)) if clocks else None


def gpu_uuid() -> str | None:
    """Return the UUID of the GPU that runs use, without ``GPU-``; None if PyTorch cannot tell."""
    return facts_here(gpu=True).gpu_uuid


@lru_cache
def _cpu_name() -> str:
    """Return ``AMD EPYC (family 26, model 2)``: clouds sell many processors under one name."""
    facts: dict[str, str] = {}
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = line.partition(":")
            facts.setdefault(name.strip(), value.strip())
    except OSError:
        pass  # not Linux: what Python knows has to do
    name = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" not in facts:
        return name
    return f"{name} (family {facts['cpu family']}, model {facts.get('model', '?')})"


@lru_cache
def _driver() -> str | None:
    return _nvidia_smi("driver_version")


def _nvidia_smi(query: str, *options: str) -> str | None:
    """Return the first line of an answer of the driver's own tool; None where there is none."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", *options]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.splitlines()[0].strip() if answer.stdout.strip() else None


@dataclass(frozen=True)
class Terms:
    """On what terms a device, and runs that others are making, are taken.

    Attributes:
        alone: Share cores with no other run.
        wait: Wait for what another process has, rather than refuse to run.
        share_gpu: Share a GPU with others that do.
    """

    alone: bool = False
    wait: bool = True
    share_gpu: bool = False


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
        say: Called with a sentence on other processes, waited for or present.

    Raises:
        BusyError: Another run has the device, and it is not to be waited for.
        StoreError: `locks_folder` cannot be written, and sharing was ruled out.
    """
    things, alone = _things(device), terms.alone or (device == "cuda" and not terms.share_gpu)
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
        look: Returns what was taken, or a false value, and the processes that hold it.
        busy: Returns a sentence on the processes that hold it.
        terms: Whether to wait.
        say: Called with a sentence on the processes waited for.

    Raises:
        BusyError: Others are in the way, and are not to be waited for.
    """
    shown: list[Holder] = []
    while True:
        taken, others = look()
        if taken:
            return taken, others
        if not terms.wait:
            raise BusyError(f"{busy(others)}; without --no-wait this is waited for")
        if others != shown:
            say(f"{busy(others)}; waiting")
            shown = others
        time.sleep(LOOK_AGAIN)


def _things(device: DeviceKind) -> list[str]:
    if device == "cuda":
        return [f"gpu {gpu_uuid() or 'of unknown identity'}"]
    return [f"core {core}" for core in sorted(_cores())]


def _circumstances(device: DeviceKind, alone: bool | None, neighbours: int | None) -> Circumstances:
    load = round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None
    clock = clock_mhz(device)
    clocks = () if clock is None else (clock,)
    return Circumstances(alone=alone, neighbours=neighbours, load_average=load, clocks_mhz=clocks)


def names(holders: list[Holder]) -> str:
    """Return ``process 4711 (since 17:20:05) and process 4712 (since 17:20:09)``."""
    return " and ".join(map(str, holders))
