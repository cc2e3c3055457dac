"""Where a plugin comes from: its distribution, and a hash of the code that defines it."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any

from codonbench.contracts.origin import Origin

_NOT_THE_PLUGINS = frozenset({"abc", "builtins", "codonbench", "typing"})


def describe_origin(
    cls: type, module: ModuleType, distribution: str, version: str
) -> tuple[Origin, str]:
    """Return where `cls`, registered by `module`, comes from, and the file that defines it."""
    files: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in _NOT_THE_PLUGINS:
            file = _source_file(base) or _hash_of_code(base)
            files |= dict.fromkeys((file, *_private_files(Path(file))))
    digest = hashlib.sha256()
    for file in files:
        digest.update(Path(file).read_bytes() if Path(file).is_file() else file.encode())
    origin = Origin(
        distribution=distribution,
        version=version,
        module=module.__name__,
        source_sha256=digest.hexdigest(),
    )
    return origin, next(iter(files), "")


def _source_file(cls: type) -> str:
    """Return the file that defines a class; nothing where it was typed, as into a notebook."""
    if cls.__module__ == "__main__":  # whose file need not be where this class was typed
        functions = (getattr(value, "__func__", value) for value in vars(cls).values())
        files = {f.__code__.co_filename for f in functions if isinstance(f, FunctionType)}
        return next((file for file in files if Path(file).is_file()), "")
    try:
        return inspect.getsourcefile(cls) or cls.__module__
    except (OSError, TypeError):
        return ""


def _hash_of_code(cls: type) -> str:
    """Return the SHA-256 of a typed class's code, and of what it names that was typed as well."""
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


def _private_files(file: Path) -> Iterator[str]:
    """Yield the files beside `file` that it names and whose names begin with ``_``."""
    beside = sorted(file.parent.glob("_[!_]*.py")) if file.is_file() else ()
    for private in beside:
        if re.search(rf"\b{re.escape(private.stem)}\b".encode(), file.read_bytes()):
            yield str(private)
