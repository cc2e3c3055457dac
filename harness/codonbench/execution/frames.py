"""Length-framed messages over pipes: a header, and bytes that it describes.

A frame is the header's length, the body's length, and both. The parent reads without waiting and
writes no longer than it has to: nobody vouches for what is at the other end.
"""

from __future__ import annotations

import os
import selectors
import struct
import time
from collections.abc import Iterator

_LENGTHS = struct.Struct("<IQ")
_AT_ONCE = 1 << 16  # bytes; room for as many is made each time, whatever has come
_BYTES_A_SECOND = 1e7  # that whoever is sent something takes in at least

Frame = tuple[bytes, memoryview]
"""A header and a body."""

MOST_HEADER = 1 << 18
"""Bytes of a header; reading it takes many times as many."""

MOST = 1 << 30
"""Bytes of a frame."""


def pack(header: bytes, body: bytes = b"") -> bytes:
    """Return a frame as bytes."""
    return _LENGTHS.pack(len(header), len(body)) + header + body


class Inbox:
    """The frames that come through a pipe from a process that nobody vouches for.

    Args:
        fd: The pipe, which is not waited for and which nobody else reads from.
        most_header, most: Bytes of the longest header and the longest frame that may come.
    """

    def __init__(self, fd: int, most_header: int = MOST_HEADER, most: int = MOST) -> None:
        self.fd = fd
        self._most_header = most_header
        self._most = most
        self._come = bytearray()

    def frames(self) -> Iterator[Frame]:
        """Yield the frames that are whole by now.

        Raises:
            EOFError: The other end is closed, and all that came whole has been yielded.
            OSError: The pipe is broken.
            ValueError: What came is no frame, or too long a one.
        """
        self._take_in()
        while (frame := self._whole()) is not None:
            yield frame

    def wait(self, seconds: float) -> Frame:
        """Return the next frame.

        Raises:
            TimeoutError: It was not whole in time.
            EOFError, OSError, ValueError: As `frames` does.
        """
        deadline = time.monotonic() + seconds
        while (frame := self._whole()) is None:
            if not _ready(self.fd, selectors.EVENT_READ, deadline - time.monotonic()):
                raise TimeoutError(f"nothing whole within {seconds:g} s")
            self._take_in()
        return frame

    def is_silent(self) -> bool:
        """Return whether there is nothing to be read, not even the end."""
        return not _ready(self.fd, selectors.EVENT_READ, 0)

    def _take_in(self) -> None:
        try:
            part = os.read(self.fd, _AT_ONCE)
        except BlockingIOError:
            return
        if not part:
            raise EOFError
        self._come += part

    def _whole(self) -> Frame | None:
        """Take the first frame out, if all of it is there."""
        if len(self._come) < _LENGTHS.size:
            return None
        header, body = _LENGTHS.unpack_from(self._come)
        if header > self._most_header or header + body > self._most:
            raise ValueError(f"a message of {header} bytes, and {body} bytes of arrays")
        start, end = _LENGTHS.size + header, _LENGTHS.size + header + body
        if len(self._come) < end:
            return None
        taken = bytes(memoryview(self._come)[_LENGTHS.size : end])
        del self._come[:end]
        return taken[: start - _LENGTHS.size], memoryview(taken)[start - _LENGTHS.size :]


def send(fd: int, data: bytes, patience: float) -> None:
    """Send bytes through a pipe that is not waited for.

    Args:
        fd: The pipe.
        data: What to send.
        patience: Seconds, beside those that so many bytes take.

    Raises:
        OSError: They were not taken in time, or the other end is closed.
    """
    rest = memoryview(data)
    deadline = time.monotonic() + patience + len(data) / _BYTES_A_SECOND
    while rest:
        if not _ready(fd, selectors.EVENT_WRITE, deadline - time.monotonic()):
            raise TimeoutError(f"{len(rest)} bytes were not taken off our hands")
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            continue


def send_all(fd: int, data: bytes) -> None:
    """Send bytes through a pipe, however long it takes."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


def receive(fd: int) -> Frame:
    """Wait for a frame and return it; for who trusts the other end.

    Raises:
        EOFError: The other end is closed.
    """
    header, body = _LENGTHS.unpack(_read(fd, _LENGTHS.size))
    return bytes(_read(fd, header)), memoryview(_read(fd, body))


def _read(fd: int, size: int) -> bytearray:
    data = bytearray(size)
    view, come = memoryview(data), 0
    while come < size:
        count = os.readv(fd, [view[come:]])
        if not count:
            raise EOFError
        come += count
    return data


def _ready(fd: int, event: int, seconds: float) -> bool:
    """Return whether a file is ready to be read or written within some seconds."""
    with selectors.DefaultSelector() as selector:
        selector.register(fd, event)
        return bool(selector.select(max(0.0, seconds)))
