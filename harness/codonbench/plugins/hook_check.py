"""Are a module's hooks hooks: marked, known, and with arguments that they can be given?

pluggy asks the same, later, and in its own words; of a hook without a mark it sees nothing.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from types import FunctionType, ModuleType

from codonbench.errors import PluginError
from codonbench.plugins import hookspecs

_MARK, _SPEC = "codonbench_impl", "codonbench_spec"


def hooks() -> dict[str, tuple[str, ...]]:
    """Return the hooks there are, and the arguments that each can be given."""
    return {
        name: tuple(inspect.signature(value).parameters)
        for name, value in vars(hookspecs).items()
        if hasattr(value, _SPEC)
    }


def check_hooks(module: ModuleType) -> None:
    """Check every function of `module` that is, or should be, the implementation of a hook.

    Raises:
        PluginError: One lacks its mark, has a name of no hook, or asks for what it will not get.
    """
    known = hooks()
    for name, function in vars(module).items():
        if not isinstance(function, FunctionType):
            continue
        where = f"line {function.__code__.co_firstlineno}: {name}{inspect.signature(function)}"
        marked = hasattr(function, _MARK)
        if name in known and not marked and function.__module__ == module.__name__:
            raise PluginError(
                f"{where} lacks its mark, so it would never be called; write @hookimpl above it "
                "(from codonbench import hookimpl)"
            )
        if not marked:
            continue
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            guess = f"did you mean {close[0]!r}? " if close else ""
            raise PluginError(
                f"{where}: unknown hook {name!r}; {guess}the hooks are {', '.join(known)}"
            )
        for wanted in _demands(function):
            if wanted not in known[name]:
                raise PluginError(
                    f"{where}: no argument {wanted!r}; "
                    f"expected def {name}({', '.join(known[name])})"
                )


def _demands(function: FunctionType) -> Iterator[str]:
    """Yield the arguments that a function cannot do without."""
    for parameter in inspect.signature(function).parameters.values():
        variable = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and not variable:
            yield parameter.name
