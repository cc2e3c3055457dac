"""Where a plugin comes from: its distribution, and a hash of the code that defines it."""

from __future__ import annotations

import hashlib
import inspect
import re
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
            from, in the order Python looks them up.
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
            files[inspect.getsourcefile(base) or base.__module__] = None
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
