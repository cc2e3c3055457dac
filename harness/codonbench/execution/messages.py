"""What a worker and its parent tell each other: validated facts, and arrays as bare bytes.

The worker speaks, and the parent answers where an answer is due: neither ever sends while the
other does. Nothing is unpickled in the parent: a plugin that writes to the pipe can lie about its
run, which an audit shows, but cannot make the parent run anything.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Annotated, Literal

import numpy as np
from pydantic import Field, TypeAdapter

from codonbench.contracts import Frozen
from codonbench.contracts.base import MAX_NUMBER, MOST_WORDS
from codonbench.contracts.run_record import Engine, Status
from codonbench.training.feed import Directions
from codonbench.training.result import MOST_DETAILS

Run = Annotated[int, Field(ge=0)]
"""Which of a worker's specs."""

_LENGTH = struct.Struct("<I")
_MOST = 1 << 18  # bytes of the facts; reading them takes many times as many
_DIRECTIONS = struct.Struct("<qI")


class Hello(Frozen):
    """The worker is there; its orders are to be sent."""

    kind: Literal["hello"] = "hello"


class Began(Frozen):
    """A run begins, or begins anew on another rung."""

    kind: Literal["began"] = "began"
    run: Run


class Ask(Frozen):
    """Some runs ask how to go on, to be answered with `pack_directions`.

    Where probes are shown, their logits, of shape (runs, P, C), follow as float32.
    """

    kind: Literal["ask"] = "ask"
    runs: tuple[Run, ...] = Field(min_length=1)
    positions: tuple[int, ...]
    shown: bool


class Kept(Frozen):
    """What a run needs to go on from here follows; see `keeping`."""

    kind: Literal["kept"] = "kept"
    run: Run
    position: int


class Ended(Frozen):
    """A run is over: what `lab.Lab` holds beside its probes, within what a record can hold."""

    kind: Literal["ended"] = "ended"
    run: Run
    status: Status
    error: str | None = Field(max_length=MOST_WORDS)
    details: str = Field(max_length=MOST_DETAILS)
    position: int
    probe_seconds: float
    engine: Engine
    parameters: int = Field(ge=0, lt=MAX_NUMBER)
    weights_sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$")


class Unusable(Frozen):
    """What was asked is at fault, not the worker."""

    kind: Literal["unusable"] = "unusable"
    error: str = Field(max_length=MOST_WORDS)


Message = Hello | Began | Ask | Kept | Ended | Unusable

_READ: TypeAdapter[Message] = TypeAdapter(Annotated[Message, Field(discriminator="kind")])


def pack(message: Message, rest: bytes = b"") -> bytes:
    """Return a message, and what follows it, as bytes."""
    head = message.model_dump_json().encode()
    return _LENGTH.pack(len(head)) + head + rest


def unpack(data: bytes) -> tuple[Message, bytes]:
    """Return a message and what follows it.

    Raises:
        ValueError: It is no message.
    """
    try:
        (length,) = _LENGTH.unpack_from(data)
    except struct.error as error:
        raise ValueError("a message is cut short") from error
    if length > _MOST:
        raise ValueError(f"a message with {length} bytes of facts")
    head, rest = data[_LENGTH.size : _LENGTH.size + length], data[_LENGTH.size + length :]
    return _READ.validate_json(head), rest


def pack_directions(answers: Sequence[Directions]) -> bytes:
    """Return the answer to an `Ask` as bytes."""
    parts = []
    for answer in answers:
        probe = -1 if answer.probe is None else answer.probe
        parts.append(_DIRECTIONS.pack(probe, len(answer.index)))
        parts += [column.astype("<i4").tobytes() for column in (answer.index, answer.labels)]
    return b"".join(parts)


def unpack_directions(data: bytes) -> list[Directions]:
    """Return what `pack_directions` packed."""
    answers, offset = [], 0
    while offset < len(data):
        probe, count = _DIRECTIONS.unpack_from(data, offset)
        offset += _DIRECTIONS.size
        columns = np.frombuffer(data, "<i4", 2 * count, offset).astype(np.int64)
        offset += 8 * count
        answers.append(Directions(None if probe < 0 else probe, *columns.reshape(2, count)))
    return answers
