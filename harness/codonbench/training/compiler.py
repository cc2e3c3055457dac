"""PyTorch's compiler, imported where something is compiled and not before.

An optimiser imports `torch._dynamo` as it is made and at each step, to tell the compiler what to
leave alone, and `torch.func.vjp` asks whether two shapes are equal as if they could be unknown.
Where nothing is compiled neither does anything, but the imports take three times as long as that of
PyTorch itself, in each worker. So stand-ins answer; as soon as anything else is asked of one, the
module itself takes its place.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType, SimpleNamespace
from typing import Any

COMPILER = "torch._dynamo"
SHAPES = "torch.fx.experimental.symbolic_shapes"


def put_off_compiler() -> None:
    """Have these modules imported when they are used, unless they are imported already."""
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
        sys.modules[name] = stand_in = _StandIn(name)
        vars(stand_in).update({**known, "__spec__": spec, "__file__": spec.origin})
        if spec.submodule_search_locations is not None:
            stand_in.__path__ = spec.submodule_search_locations
            sys.meta_path.insert(0, _Submodules())
        parent, _, child = name.rpartition(".")
        setattr(sys.modules[parent], child, stand_in)


class _StandIn(ModuleType):
    """What PyTorch asks of a module where nothing is compiled."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # who looks at all modules there are uses none of them
            raise AttributeError(name)
        return getattr(_arrived(self.__name__), name)


def _arrived(name: str) -> Any:
    """Import a module in place of its stand-in, if that is still there; return it."""
    if isinstance(sys.modules.get(name), _StandIn):
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
    if further != {"wrapping": False} or not isinstance(sys.modules.get(COMPILER), _StandIn):
        return _arrived(COMPILER).disable(function, recursive, **further)
    _left_alone.append(function)
    return function


def _sym_eq(one: Any, other: Any) -> Any:
    sizes = (*one, *other) if isinstance(one, tuple) and isinstance(other, tuple) else (None,)
    if all(type(size) is int for size in sizes):
        return one == other
    return _arrived(SHAPES).sym_eq(one, other)


def _expect_true(value: Any, *further: Any) -> Any:
    return value if value is True else _arrived(SHAPES).expect_true(value, *further)


class _Submodules(MetaPathFinder, Loader):
    """Imports the compiler before a part of it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return a spec that gives the module as it was imported with the package."""
        if not fullname.startswith(f"{COMPILER}."):
            return None
        _arrived(COMPILER)
        self._spec = import_module(fullname).__spec__
        return ModuleSpec(fullname, self)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Return the module that is there."""
        return sys.modules[spec.name]

    def exec_module(self, module: ModuleType) -> None:
        """Leave it as it is."""
        module.__spec__ = self._spec
