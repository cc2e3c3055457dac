"""What contracts share: frozen pydantic models, valid names, and where a plugin comes from."""

import re
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, StringConstraints

Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
"""A name that is safe in a file name, a Markdown table and a shell: ``lstm-64``."""

MetricName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_]{0,63}$")]
"""A metric's name, usable as a key and a column: ``pairs_consumed``."""

Version = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+){0,2}([a-z0-9.+-]{0,16})$")]
"""A version such as ``1`` or ``1.2.0``."""

DeviceKind = Literal["cpu", "cuda"]
"""What a run's arithmetic is done on."""

MOST_WORDS = 4_000
"""Characters of a plugin's words that a record keeps; it may be 256 KiB in all."""

MAX_NUMBER = 2**63
"""What other readers of JSON still take for a number."""


class Frozen(BaseModel):
    """Base of every contract: immutable; a misspelt field, NaN or infinity is an error."""

    model_config = ConfigDict(
        defer_build=True, frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=()
    )


_PLUGIN_FILE = re.compile(r"\w[\w.-]{0,99}\.py")


class Origin(Frozen):
    """Where a plugin comes from.

    Attributes:
        distribution: The installed distribution; empty where there is none.
        version: The distribution's version.
        module: The Python module that registered it.
        source_sha256: Of the source files that define its class and the bases it inherits
            from, in the order Python looks them up, each followed by the files beside it whose
            names begin with ``_`` and that it names, by the modules beside a one-file plugin that
            it imports, and by the files that the class declares.
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
