"""What a module and its optimiser hold outside parameters, buffers and their states.

Where that changes in training, neither a captured step nor a checkpoint can stand for them: a
counter in an attribute, in a global, on a class or in what a function closes over; a schedule that
hangs on a hook; a random generator of the module's own.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import pickle
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import CodeType, FunctionType, ModuleType
from typing import Any

import numpy as np
import torch

from codonbench.plugins.beside import HELPERS
from codonbench.training.state import TrainState

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
        built_in = _OF_OPTIMIZER | _OF_TORCH
        held = {n: v for n, v in vars(state.optimizer).items() if n not in built_in}
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
    """Return whether a class of a plugin defines how it is pickled, and so may omit a count."""
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
        package: Its modules are followed, as are modules beside one-file plugins.
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
