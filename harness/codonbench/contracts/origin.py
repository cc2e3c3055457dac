"""Where a plugin comes from, as a record says it."""

from __future__ import annotations

import re

from codonbench.contracts.base import Frozen

_PLUGIN_FILE = re.compile(r"\w[\w.-]{0,99}\.py")


class Origin(Frozen):
    """Where a plugin comes from.

    Attributes:
        distribution: The installed distribution; empty where there is none.
        version: The distribution's version.
        module: The Python module that registered it.
        source_sha256: Of the source files that define its class and the bases it inherits
            from, in the order Python looks them up, each followed by the files beside it whose
            names begin with ``_`` and that it names.
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
