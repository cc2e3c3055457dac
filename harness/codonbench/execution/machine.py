"""Which machine a run was made on, and how arithmetic was pinned down there."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from codonbench.contracts import Frozen
from codonbench.errors import ConfigError

DeviceKind = Literal["cpu", "cuda"]


class Circumstances(Frozen):
    """What may have touched a run's times, and nothing else of it.

    Attributes:
        alone: Whether the run had its GPU or its cores to itself, as far as other runs of
            codonbench go; None where that could not be made sure of.
        neighbours: How many other runs of codonbench used them when it began.
        load_average: Processes that wanted a processor in the minute before it began.
        clocks_mhz: Of the GPU, or the mean of the processors, as it began and as it ended.
    """

    alone: bool | None = None
    neighbours: int | None = None
    load_average: float | None = None
    clocks_mhz: tuple[int, ...] = ()


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
        gpu_id: 16 hexadecimal digits of the SHA-256 of the GPU's UUID, which tells one GPU from
            another of its kind and gives no serial number away; None on a CPU.
        circumstances: Of this run; None in records from before they were noted.
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
    gpu_id: str | None = None
    circumstances: Circumstances | None = None

    @property
    def kind(self) -> tuple[str, ...]:
        """What must agree for two runs of one spec to give identical weights."""
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


@contextmanager
def subnormals_as_zero() -> Iterator[None]:
    """Take numbers too small to be normal (below 1.2e-38) for 0, in this thread.

    Once a loss has all but vanished so have its gradients, and some processors spend 200 times as
    long on those as on others. Undone on leaving: other libraries count on such numbers.
    """
    before = not float(np.float32(1e-40) * np.float32(1))
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(before)


def describe_machine(device: DeviceKind, circumstances: Circumstances | None = None) -> Machine:
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
        gpu_id=_hashed(gpu_uuid()) if on_gpu else None,
        circumstances=circumstances,
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
    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    return None if uuid is None else str(uuid).removeprefix("GPU-")


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
