"""Which machine this is, as far as that can be told without PyTorch; the rest is asked for."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path

from codonbench.contracts.provenance import Circumstances, DeviceKind, Machine, TorchFacts
from codonbench.errors import ConfigError

_told: list[TorchFacts] = []  # what a worker has told of the GPU here


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def nvidia_is_visible() -> bool:
    """Return whether there may be a GPU here that PyTorch can use."""
    if any(Path("/dev").glob("nvidia*")):
        return True
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    return True


def choose_device(asked: str) -> DeviceKind:
    """Return the device to run on.

    Raises:
        ConfigError: ``cuda`` was asked for and there is none.
    """
    if asked == "cpu" or (asked == "auto" and not nvidia_is_visible()):
        return "cpu"
    if facts_here(gpu=True).gpu_name is not None:
        return "cuda"
    if asked == "cuda":
        raise ConfigError("device 'cuda': PyTorch sees no CUDA device here; use --device cpu")
    return "cpu"


def facts_here(*, gpu: bool = False) -> TorchFacts:
    """Return what PyTorch says here: in this process where it is loaded, else in a worker."""
    if "torch" in sys.modules:
        from codonbench.training.determinism import torch_facts

        return torch_facts(gpu)
    if not (_told and gpu):
        from codonbench.execution.worker_process import ask_for_facts

        note_facts(ask_for_facts())
    return _told[0]


def note_facts(facts: TorchFacts) -> None:
    """Hear what a worker that may use the GPU has told, so that none need be asked again."""
    _told[:] = [facts]


def describe_machine(
    device: DeviceKind,
    circumstances: Circumstances | None = None,
    facts: TorchFacts | None = None,
) -> Machine:
    """Return the identity of this machine.

    Args:
        device: What runs use.
        circumstances: Of a run.
        facts: Of the interpreter that trains; by default as PyTorch is set up here now.
    """
    cpu, on_gpu = _cpu_name(), device == "cuda"
    facts = facts or facts_here(gpu=on_gpu)
    return Machine(
        device=device,
        device_name=(facts.gpu_name or "unknown") if on_gpu else cpu,
        cpu_name=cpu,
        cpu_count=cores(),
        driver=_driver() if on_gpu else None,
        cuda=facts.cuda if on_gpu else None,
        system=f"{platform.system()} {platform.machine()}",
        gpu_id=_hashed(facts.gpu_uuid) if on_gpu else None,
        circumstances=circumstances,
        **facts.model_dump(exclude={"gpu_name", "gpu_uuid", "cuda"}),
    )


def load_average() -> float | None:
    """Return how many processes wanted a processor in the last minute, on average."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def clock_mhz(device: DeviceKind) -> int | None:
    """Return the present clock of the GPU, or the mean of the processors'; None if untold."""
    if device == "cuda":
        uuid = gpu_uuid()
        told = _nvidia_smi("clocks.sm", "-i", f"GPU-{uuid}") if uuid else None
        return int(told) if told and told.isdigit() else None
    try:
        clocks = re.findall(r"^cpu MHz\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text(), re.M)
    except OSError:
        return None
    return round(sum(map(float, clocks)) / len(clocks)) if clocks else None


def gpu_uuid() -> str | None:
    """Return the UUID of the GPU that runs use, without ``GPU-``; None if PyTorch cannot tell."""
    return facts_here(gpu=True).gpu_uuid


def _hashed(uuid: str | None) -> str | None:
    return None if uuid is None else hashlib.sha256(uuid.encode()).hexdigest()[:16]


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
