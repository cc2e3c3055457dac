"""Where a plugin comes from: its distribution, and a hash of the code that defines it."""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType

from codonbench.contracts.origin import Origin

_NOT_THE_PLUGINS = frozenset({"abc", "builtins", "codonbench", "typing"})


def describe_origin(
    cls: type, module: ModuleType, distribution: str, version: str
) -> tuple[Origin, str]:
    """Return where `cls`, registered by `module`, comes from, and the file that defines it."""
    files: dict[str, None] = {}
    for base in cls.__mro__:
        if base.__module__.partition(".")[0] not in _NOT_THE_PLUGINS:
            file = inspect.getsourcefile(base) or base.__module__
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


def _private_files(file: Path) -> Iterator[str]:
    """Yield the files beside `file` that it imports and whose names begin with ``_``."""
    if not file.is_file():
        return
    source = file.read_bytes()
    # To read the tree takes a hundred times as long as to look for a name.
    beside = [path for path in file.parent.glob("_[!_]*.py") if path.stem.encode() in source]
    for name in _imported(source) if beside else ():
        yield from (str(path) for path in beside if path.stem == name)


@lru_cache(maxsize=64)
def _imported(source: bytes) -> tuple[str, ...]:
    """Return the last name of each module that is imported from, and the names imported."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom):
            found += [(node.module or "").rpartition(".")[2], *(a.name for a in node.names)]
    return tuple(found)
