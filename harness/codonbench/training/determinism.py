"""What makes a run repeat: arithmetic pinned down, chance under control, weights as one number."""

from __future__ import annotations

import hashlib
import os
import platform
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from codonbench.contracts.provenance import TorchFacts
from codonbench.training.request import Chance, chance_of


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


@contextmanager
def seeded_globals(seed: int | Chance) -> Iterator[None]:
    """Seed Python's, NumPy's and PyTorch's global generators; restore them on leaving.

    So that a run's result depends neither on what ran before it nor on what it leaves behind.

    Args:
        seed: A seed, or where it lets the generators begin.
    """
    for_torch, for_python, for_numpy = chance_of(seed) if isinstance(seed, int) else seed
    python, numpy = random.getstate(), np.random.get_state()
    cuda = list(range(torch.cuda.device_count()))
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(for_torch)
        random.seed(for_python)
        np.random.seed(for_numpy)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)


def hash_weights(state: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of a state_dict.

    Over the sorted names and, for each, dtype, shape and little-endian bytes, so that neither
    the order of modules nor a file format enters.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = torch.as_tensor(state[name]).detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0)
        if np.little_endian or tensor.element_size() == 1:
            digest.update(raw.tobytes())
        else:
            digest.update(raw.reshape(-1, tensor.element_size())[:, ::-1].tobytes())
    return digest.hexdigest()
