"""What makes a run repeat: arithmetic pinned down, chance under control, weights as one number.

And what would keep it from it: things that a module and its optimiser hold outside parameters,
buffers and state. Where these change as they learn, neither a captured step nor a checkpoint can
stand for them: a counter in an attribute, in what a function closes over, in a global or on a
class; a schedule that hangs on a hook; a generator of random numbers of their own.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import io
import os
import pickle
import platform
import random
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from codonbench.contracts.run_record import TorchFacts
from codonbench.plugins.beside import HELPERS
from codonbench.training.compiler import put_off_compiler
from codonbench.training.request import Chance, chance_of
from codonbench.training.state import TrainState

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h


def pin_arithmetic(threads: int) -> None:
    """Fix the number of threads and refuse algorithms whose result varies from run to run."""
    put_off_compiler()
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


Outside = dict[str, str | None]
"""A hash of each thing by its name; None for what cannot be looked into, such as a generator."""

_OF_MODULE = {"_parameters", "_buffers", "_modules", "training"}
_OF_OPTIMIZER = {"state", "param_groups", "defaults"}  # which its state_dict tells
_OF_TORCH = {  # notes of the optimisers to themselves: of a warning given, of a check made
    "_need_device_dtype_check_for_fused",
    "_opt_called",
    "_warned_capturable_if_run_uncaptured",
}
_KNOWN = sys.stdlib_module_names | {"codonbench", "numpy", "pydantic", "torch"}
"""Packages whose functions and classes keep nothing of a model's."""


def outside_state(state: TrainState) -> Outside:
    """Return a hash of each thing that module and optimiser hold beyond what a checkpoint keeps.

    Objects are followed as pickle follows them, but for their own ways of being pickled; functions
    into what they close over and the globals that they name, of their file and of the modules that
    came with it; classes into their attributes and methods.
    """
    own: list[object] = [state.module, state.optimizer, state.schedule]
    for module in state.module.modules():
        saved = {*module._buffers.keys()} - module._non_persistent_buffers_set
        own += [module, *module._parameters.values(), *(module._buffers[n] for n in saved)]
    kept = {id(thing) for thing in own if thing is not None}
    return {name: _digest(value, kept) for name, value in _held(state)}


def changed(before: Outside, after: Outside) -> list[str]:
    """Return the names of what is another thing now, or cannot be looked into."""
    names = dict.fromkeys([*before, *after])
    return [n for n in names if after.get(n) is None or before.get(n) != after[n]]


def _held(state: TrainState) -> Iterator[tuple[str, Any]]:
    """Yield what is held, by name, but for empty dicts: a module has a dozen of them for hooks."""
    things: list[tuple[str, Any, Any]] = []
    for prefix, module in state.module.named_modules():
        held = {n: v for n, v in vars(module).items() if n not in _OF_MODULE}
        held |= {n: module._buffers[n] for n in module._non_persistent_buffers_set}
        things.append((prefix, module, held))
    things += [(name, None, vars(p)) for name, p in state.module.named_parameters()]
    if state.optimizer is not None:
        told = _OF_OPTIMIZER | _OF_TORCH
        held = {n: v for n, v in vars(state.optimizer).items() if n not in told}
        things.append(("optimizer", state.optimizer, held))
    for prefix, thing, held in things:
        for name, value in held.items():
            if not isinstance(value, dict) or value:
                yield f"{prefix}.{name}".lstrip("."), value
        if not _is_known(type(thing)):
            yield type(thing).__name__, type(thing)


def _digest(value: object, kept: set[int]) -> str | None:
    buffer = io.BytesIO()
    try:
        _Pickler(buffer, kept).dump(value)
    except Exception:  # files, locks, generators, what lives in C++: each has its own complaint
        return None
    return hashlib.sha256(buffer.getbuffer()).hexdigest()


class _Pickler(pickle.Pickler):
    """Writes what is to be hashed, and never read."""

    def __init__(self, buffer: io.BytesIO, kept: set[int]) -> None:
        super().__init__(buffer)
        self._kept = kept

    def persistent_id(self, obj: Any) -> Any:
        """Write what a checkpoint keeps as a mere mark, and tensors as their numbers."""
        if id(obj) in self._kept:
            return "kept"
        if isinstance(obj, ModuleType):
            return obj.__name__
        if isinstance(obj, torch.Tensor):
            raw = obj.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            return str(obj.dtype), tuple(obj.shape), raw.numpy().tobytes()
        return None

    def reducer_override(self, obj: Any) -> Any:
        """Follow functions and classes, which pickle would write as a name."""
        if isinstance(obj, weakref.ref):
            return _Mark, ("weak",), (obj(),)
        if isinstance(obj, staticmethod | classmethod):
            return _Mark, ("method",), (obj.__func__,)
        if isinstance(obj, property):
            return _Mark, ("property",), (obj.fget, obj.fset, obj.fdel)
        if isinstance(obj, FunctionType):
            named = {} if _is_known(obj) else _globals_of(obj)
            own = ([*_closed_over(obj)], obj.__defaults__, obj.__kwdefaults__, vars(obj), named)
            return _Mark, (obj.__qualname__,), own
        if isinstance(obj, type) and not _is_known(obj):
            held = {n: v for n, v in vars(obj).items() if n[:2] != "__" or callable(v)}
            held.pop("_abc_impl", None)
            return _Mark, (obj.__qualname__,), (obj.__bases__, held)
        if isinstance(obj, functools._lru_cache_wrapper):
            return _Mark, ("cache",), (obj.__wrapped__, obj.cache_info().currsize)
        if _is_pickled_its_own_way(type(obj)):
            return _Mark, ("state",), (type(obj), object.__getstate__(obj))
        return NotImplemented


class _Mark:
    """Stands for what makes an object anew."""


def _is_known(obj: FunctionType | type) -> bool:
    return _package(obj.__module__) in _KNOWN


def _closed_over(function: FunctionType) -> Iterator[Any]:
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # it is empty
            yield cell.cell_contents


def _is_pickled_its_own_way(cls: type) -> bool:
    """Return whether a class of a plugin says what is kept of it, and so may leave a count out."""
    own = [vars(base) for base in cls.__mro__ if not _is_known(base)]
    return any(n in held for held in own for n in ("__reduce__", "__reduce_ex__", "__getstate__"))


_PLAIN = (int, float, str, list, dict, set, np.ndarray, torch.Tensor, type(os.environ))


def _globals_of(function: FunctionType) -> dict[str, Any]:
    """Return the globals that a function names: data, and what comes with it."""
    held, names = function.__globals__, dict.fromkeys(_names_in(function.__code__))
    wanted = [n for n in (held if "globals" in names else names) if n[:2] != "__"]
    return _named(held, wanted, _package(function.__module__), set())


def _named(
    held: Mapping[str, Any], names: Sequence[str], package: str, seen: set[str]
) -> dict[str, Any]:
    """Return what is named of a module's globals, and of the modules among them.

    Args:
        held: The globals.
        names: Of globals and attributes.
        package: What comes with it is followed, as modules beside one-file plugins are.
        seen: Modules that are followed already.
    """
    found: dict[str, Any] = {}
    for name in [name for name in names if name in held]:
        value = held[name]
        if isinstance(value, ModuleType):
            if value.__name__ in seen:
                continue
            seen.add(value.__name__)
            if _package(value.__name__) in {package, *HELPERS.paths}:
                found[name] = _named(vars(value), names, package, seen)
            else:  # of others nothing but what a function may well have put there
                inner = {n: vars(value).get(n) for n in names}
                found[name] = {n: v for n, v in inner.items() if isinstance(v, _PLAIN)}
        elif not isinstance(value, FunctionType | type) or (
            _package(value.__module__) in {package, *HELPERS.paths}
        ):
            found[name] = value
    return found


def _package(module: str | None) -> str:
    return (module or "").partition(".")[0]


def _names_in(code: CodeType) -> list[str]:
    inner = [part for part in code.co_consts if isinstance(part, CodeType)]
    return [*code.co_names, *(name for part in inner for name in _names_in(part))]
