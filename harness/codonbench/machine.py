"""Which machine a run was made on, and how arithmetic was pinned down there."""

from __future__ import annotations

import os
import platform
import subprocess
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from codonbench.contracts import Frozen
from codonbench.errors import ConfigError

DeviceKind = Literal["cpu", "cuda"]


class Machine(Frozen):
    """Hardware and software identity; no host name, no user, no path.

    Attributes:
        device: ``cpu`` or ``cuda``.
        device_name: The processor's or the GPU's own name.
        cpu_name, cpu_capability: The processor, and the vector instructions PyTorch uses on it.
        cpu_count: Processors this process may use.
        driver, cuda: Of the GPU; None on a CPU.
        system: Operating system and architecture.
        python, torch, numpy: Versions.
        threads: CPU threads of the run.
        deterministic: PyTorch was told to refuse non-deterministic algorithms.
        tf32: Whether matrix products may be rounded to TF32.
    """

    device: DeviceKind
    device_name: str
    cpu_name: str
    cpu_capability: str
    cpu_count: int
    driver: str | None
    cuda: str | None
    system: str
    python: str
    torch: str
    numpy: str
    threads: int
    deterministic: bool
    tf32: bool

    @property
    def kind(self) -> tuple[str, ...]:
        """What must agree for two runs of one plan to give identical weights."""
        return (
            self.device_name,
            self.cpu_name,
            self.cpu_capability,
            self.system,
            self.torch,
            str(self.threads),
        )


def choose_device(asked: str) -> DeviceKind:
    """Return the device to run on.

    Raises:
        ConfigError: ``cuda`` was asked for and there is none.
    """
    if asked == "cuda" or (asked == "auto" and torch.cuda.is_available()):
        if not torch.cuda.is_available():
            raise ConfigError("device 'cuda': PyTorch sees no CUDA device here; use --device cpu")
        return "cuda"
    return "cpu"


def pin_arithmetic(threads: int) -> None:
    """Fix the number of threads and refuse algorithms whose result varies from run to run."""
    # cuBLAS reads this when it is first used; without it PyTorch refuses its matrix products.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    # As torch.use_deterministic_algorithms(True), which imports the whole compiler besides.
    torch.set_deterministic_debug_mode("error")
    # Filling every uninitialised buffer costs time and guards against nothing used here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.benchmark = False
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def describe_machine(device: DeviceKind) -> Machine:
    """Return the identity of this machine as it is set up now."""
    cpu = _cpu_name()
    on_gpu = device == "cuda"
    return Machine(
        device=device,
        device_name=torch.cuda.get_device_name() if on_gpu else cpu,
        cpu_name=cpu,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        cpu_count=len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1,
        driver=_driver() if on_gpu else None,
        cuda=torch.version.cuda if on_gpu else None,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        threads=torch.get_num_threads(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        tf32=torch.backends.cuda.matmul.allow_tf32,
    )


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
    command = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.splitlines()[0].strip() if answer.stdout.strip() else None
