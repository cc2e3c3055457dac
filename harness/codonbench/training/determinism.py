"""How a process that trains is set up, so that runs repeat: arithmetic, generators, warnings.

PyTorch's compiler is imported where something is compiled and not before; see `defer_compiler`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import random
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any, TextIO

import numpy as np
import torch

from codonbench.contracts.run_record import TorchFacts
from codonbench.training.request import Chance, chance_of

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def pin_arithmetic(threads: int) -> None:
    """Fix the number of threads and refuse algorithms whose result varies from run to run."""
    defer_compiler()
    keep_freed_memory()
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


def keep_freed_memory() -> None:
    """Have the C library keep up to 256 MiB of what is freed, where it is glibc.

    It would give the tensors of each step back to the kernel, and get them for the next page by
    page, each filled with zeros first: a sixth of the time of a training step of `cnn`.
    """
    if sys.platform == "linux" and (mallopt := getattr(ctypes.CDLL(None), "mallopt", None)):
        mallopt(_M_TRIM_THRESHOLD, 256 << 20)
        mallopt(_M_MMAP_THRESHOLD, 32 << 20)  # the most that it takes


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
    """Return PyTorch's facts on this machine, with the present settings of arithmetic.

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
        seed: A seed, or the seeds that it gives the generators.
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

    Over the sorted names and, for each, dtype, shape and bytes, so that neither the order of
    modules nor a file format enters.
    """
    digest = hashlib.sha256()
    for name in sorted(state):
        tensor = torch.as_tensor(state[name]).detach().cpu().contiguous()
        digest.update(f"{name}\0{tensor.dtype}\0{tuple(tensor.shape)}\0".encode())
        raw = tensor.reshape(-1).view(torch.uint8).numpy() if tensor.numel() else np.empty(0)
        digest.update(raw.tobytes())
    return digest.hexdigest()


_LONGEST = 120  # characters of a warning that are said again with its count


@contextmanager
def each_warning_once() -> Iterator[None]:
    """Show a warning once, and at the end how many there were that differ from it by numbers alone.

    Of one line of one file and of one category. A learner that is fitted a hundred times may warn
    each time that it has not converged after so many steps.
    """
    before = warnings.showwarning
    seen: Counter[tuple[str, ...]] = Counter()

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        words = re.sub(r"\d[\d.,]*(e[+-]?\d+)?", "#", str(message))
        key = f"{filename}:{lineno}", category.__name__, words
        seen[key] += 1
        if seen[key] == 1:
            before(message, category, filename, lineno, file, line)

    warnings.showwarning = show
    try:
        yield
    finally:
        warnings.showwarning = before
        for (place, category, words), n in seen.items():
            if n > 1:
                first = words.strip().partition("\n")[0][:_LONGEST]
                print(f"{place}: {category}: {n - 1:,} more like it: {first}", file=sys.stderr)


COMPILER = "torch._dynamo"
SHAPES = "torch.fx.experimental.symbolic_shapes"


def defer_compiler() -> None:
    """Have PyTorch's compiler imported where something is compiled, and not before.

    An optimiser imports `torch._dynamo` as it is made and at each step, to tell the compiler what
    to leave alone, and `torch.func.vjp` asks whether two shapes are equal as if they could be
    unknown. Where nothing is compiled neither does anything, but the imports take three times as
    long as that of PyTorch itself, in each worker. So stand-ins answer; as soon as anything else
    is asked of one, the module itself takes its place.
    """
    answers: dict[str, dict[str, Any]] = {
        COMPILER: {
            "disable": _disable,
            "graph_break": lambda *_, **__: None,
            "compiled_autograd": SimpleNamespace(_disable=nullcontext),
        },
        SHAPES: {"sym_eq": _sym_eq, "expect_true": _expect_true},
    }
    for name, known in answers.items():
        if name in sys.modules or (spec := find_spec(name)) is None:
            continue
        sys.modules[name] = stand_in = _LazyModule(name)
        vars(stand_in).update({**known, "__spec__": spec, "__file__": spec.origin})
        if spec.submodule_search_locations is not None:
            stand_in.__path__ = spec.submodule_search_locations
            sys.meta_path.insert(0, _Submodules())
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, stand_in)


class _LazyModule(ModuleType):
    """A module with what PyTorch uses of it if nothing is compiled."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by code that goes through all modules, and uses none
            raise AttributeError(name)
        return getattr(_load(self.__name__), name)


def _load(name: str) -> Any:
    """Import a module in place of its substitute, if that is still there; return it."""
    if isinstance(sys.modules.get(name), _LazyModule):
        del sys.modules[name]
        if name == COMPILER:
            sys.meta_path[:] = [f for f in sys.meta_path if not isinstance(f, _Submodules)]
            while _left_alone:
                vars(_left_alone.pop()).pop(_DISABLED, None)
    return import_module(name)


_DISABLED = "__dynamo_disable"  # where `torch._disable_dynamo` keeps the answer of `disable`
_left_alone: list[Callable[..., Any]] = []


def _disable(function: Any = None, recursive: bool = True, **further: Any) -> Any:
    """Leave a function of PyTorch's own as it is, until there is a compiler to be told."""
    if further != {"wrapping": False} or not isinstance(sys.modules.get(COMPILER), _LazyModule):
        return _load(COMPILER).disable(function, recursive, **further)
    _left_alone.append(function)
    return function


def _sym_eq(one: Any, other: Any) -> Any:
    sizes = (*one, *other) if isinstance(one, tuple) and isinstance(other, tuple) else (None,)
    if all(type(size) is int for size in sizes):
        return one == other
    return _load(SHAPES).sym_eq(one, other)


def _expect_true(value: Any, *further: Any) -> Any:
    return value if value is True else _load(SHAPES).expect_true(value, *further)


class _Submodules(MetaPathFinder, Loader):
    """Imports the compiler before a part of it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec that gives the module as it was imported with the package."""
        if not fullname.startswith(f"{COMPILER}."):
            return None
        _load(COMPILER)
        self._spec = import_module(fullname).__spec__
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that is there."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it is."""
        module.__spec__ = self._spec
