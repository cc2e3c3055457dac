"""Where a plugin comes from: its distribution, and a hash of the code that defines it."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator
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
    """Yield the files beside `file` that it names and whose names begin with ``_``."""
    beside = sorted(file.parent.glob("_[!_]*.py")) if file.is_file() else ()
    for private in beside:
        if re.search(rf"\b{re.escape(private.stem)}\b".encode(), file.read_bytes()):
            yield str(private)
