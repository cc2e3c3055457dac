"""Where a plugin comes from: its distribution, and a hash of the code that defines it."""

from __future__ import annotations

import ast
import hashlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

from codonbench.contracts import Frozen

_PLUGIN_FILE = re.compile(r"\w[\w.-]{0,99}\.py")
_NOT_THE_PLUGINS = frozenset({"abc", "builtins", "codonbench", "typing"})


class Origin(Frozen):
    """Where a plugin comes from.

    Attributes:
        distribution: The installed distribution; empty where there is none.
        version: The distribution's version.
        module: The Python module that registered it.
        source_sha256: Of the source files that define its class and the bases it inherits
            from, in the order Python looks them up, each followed by the files beside it whose
            names begin with ``_`` and that it imports.
    """

    distribution: str
    version: str
    module: str
    source_sha256: str

    @property
    def file(self) -> str:
        """The name of the single file it came from; empty where it was installed, or is odd."""
        is_file = not self.version and _PLUGIN_FILE.fullmatch(self.distribution)
        return self.distribution if is_file else ""


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
    for node in ast.walk(ast.parse(file.read_bytes())) if file.is_file() else ():
        if isinstance(node, ast.ImportFrom):
            for name in ((node.module or "").rpartition(".")[2], *(a.name for a in node.names)):
                beside = file.parent / f"{name}.py"
                if name.startswith("_") and not name.startswith("__") and beside.is_file():
                    yield str(beside)
