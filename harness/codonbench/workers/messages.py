"""What a worker tells its parent: validated facts, and arrays as bare bytes.

Nothing is unpickled in the parent: a plugin that writes to the pipe can lie about its run, which
an audit shows, but cannot make the parent run anything.
"""

from __future__ import annotations

import struct
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field, TypeAdapter

from codonbench.contracts import Frozen
from codonbench.records import Engine, Status

Logits = npt.NDArray[np.float32]

Run = Annotated[int, Field(ge=0)]
"""Which of a worker's plans."""

_LENGTH = struct.Struct("<I")


class Began(Frozen):
    """A run begins, or begins anew on another rung: what was said of it before is void."""

    kind: Literal["began"] = "began"
    run: Run


class Seen(Frozen):
    """Probes of a run; their logits (n, P, C) follow as float32.

    Attributes:
        pairs: Position of each probe.
        shape: ``(n, P, C)``.
    """

    kind: Literal["seen"] = "seen"
    run: Run
    pairs: tuple[int, ...]
    shape: tuple[int, int, int]


class Ended(Frozen):
    """A run is over: what `lab.Lab` holds beside its probes."""

    kind: Literal["ended"] = "ended"
    run: Run
    status: Status
    error: str | None
    position: int
    frame_pairs: tuple[int, ...]
    frame_inputs: tuple[tuple[int, ...], ...]
    build_seconds: float
    train_seconds: float
    probe_seconds: float
    engine: Engine
    parameters: int
    weights_sha256: str | None


class Unusable(Frozen):
    """What was asked is at fault, not the worker."""

    kind: Literal["unusable"] = "unusable"
    error: str


Message = Began | Seen | Ended | Unusable

_READ: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def pack(message: Message, logits: Logits | None = None) -> bytes:
    """Return a message, and the logits that go with it, as bytes."""
    head = message.model_dump_json().encode()
    tail = b"" if logits is None else logits.astype("<f4").tobytes()
    return _LENGTH.pack(len(head)) + head + tail


def unpack(data: bytes) -> tuple[Message, Logits]:
    """Return a message and its logits; (0, 0, 0) of them where it has none.

    Raises:
        ValueError: It is no message.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
        head, tail = data[_LENGTH.size : _LENGTH.size + length], data[_LENGTH.size + length :]
        message = _READ.validate_json(head)
        shape = message.shape if isinstance(message, Seen) else (0, 0, 0)
        return message, np.frombuffer(tail, dtype="<f4").reshape(shape).astype(np.float32)
    except struct.error as error:
        raise ValueError("a message is cut short") from error
