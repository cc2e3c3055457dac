"""A class that was typed, as into a notebook: no file tells what it does, so its code must."""

from __future__ import annotations

import hashlib
import re
from types import CodeType, FunctionType
from typing import Any


def hash_of_code(cls: type) -> str:
    """Return the SHA-256 of a class's code, and of what it names that was typed as well."""
    parts: dict[str, str] = {}

    def visit(name: str, thing: Any) -> None:
        thing = getattr(thing, "__func__", getattr(thing, "fget", thing))
        if isinstance(thing, int | float | str | tuple):
            parts[name] = repr(thing)
        if name in parts or getattr(thing, "__module__", None) != cls.__module__:
            return
        parts[name] = ""
        if isinstance(thing, type):
            for base in thing.__bases__:
                visit(base.__qualname__, base)
            for own, value in vars(thing).items():
                visit(f"{name}.{own}", value)
                if not own.startswith("__") and " at 0x" not in repr(value):
                    parts[f"{name}.{own}="] = repr(value)
        elif isinstance(thing, FunctionType):
            parts[name] = _text_of(thing.__code__) + repr(thing.__defaults__)
            for named in re.findall(r"\w+", parts[name]):
                visit(named, thing.__globals__.get(named))

    visit(cls.__qualname__, cls)
    return hashlib.sha256(repr(sorted(parts.items())).encode()).hexdigest()


def _text_of(code: CodeType) -> str:
    """Return what code does, without where it stands."""

    def text(constant: object) -> str:
        if isinstance(constant, CodeType):
            return _text_of(constant)
        return repr(sorted(map(repr, constant)) if isinstance(constant, frozenset) else constant)

    return repr((code.co_code.hex(), code.co_names, [text(each) for each in code.co_consts]))
