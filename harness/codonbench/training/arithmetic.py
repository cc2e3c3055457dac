"""How arithmetic is pinned down where a run trains, and what PyTorch says of it."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from codonbench.contracts.machine import TorchFacts


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


def torch_facts(gpu: bool) -> TorchFacts:
    """Return what PyTorch says of this machine, as arithmetic is pinned down here now.

    Args:
        gpu: Whether to look for a GPU, which begins to use it.
    """
    gpu = gpu and torch.cuda.is_available()
    return TorchFacts(
        python=platform.python_version(),
        torch=torch.__version__,
        numpy=np.__version__,
        cpu_capability=torch.backends.cpu.get_cpu_capability(),
        threads=torch.get_num_threads(),
        deterministic=torch.are_deterministic_algorithms_enabled(),
        tf32=torch.backends.cuda.matmul.allow_tf32,
        gpu_name=torch.cuda.get_device_name() if gpu else None,
        gpu_uuid=_gpu_uuid() if gpu else None,
        cuda=torch.version.cuda if gpu else None,
    )


def _gpu_uuid() -> str | None:
    """Return the UUID of the GPU that runs use, without ``GPU-``; None if PyTorch cannot tell."""
    uuid = getattr(torch.cuda.get_device_properties(torch.cuda.current_device()), "uuid", None)
    return None if uuid is None else str(uuid).removeprefix("GPU-")
