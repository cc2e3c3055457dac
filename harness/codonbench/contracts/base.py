"""What every contract shares: frozen pydantic models and valid names."""

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
