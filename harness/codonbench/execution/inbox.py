"""What comes through a pipe from a process that nobody vouches for, taken in without waiting.

`multiprocessing.Connection.recv_bytes` waits until a message is whole, which whoever writes a
byte now and then can make last for ever. The frames are the same: a length, and so many bytes.
"""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection, wait

_LENGTH = struct.Struct("!i")
_AT_ONCE = 1 << 16  # bytes; room for as many is made each time, whatever has come


class Inbox:
    """The messages of one connection, which nobody else reads from.

    Args:
        connection: Where they come from.
        most: Bytes of the longest one that may come.
    """

    def __init__(self, connection: Connection, most: int) -> None:
        self._connection = connection
        self._most = most
        self._come = bytearray()

    def messages(self) -> Iterator[bytes]:
        """Yield the messages that are whole by now.

        Raises:
            EOFError: The other end is closed, and all that came whole has been yielded.
            OSError: The connection is broken.
            ValueError: What came is no message, or too long a one.
        """
        self._take_in()
        while (message := self._whole()) is not None:
            yield message

    def wait(self, seconds: float) -> bytes:
        """Return the next message.

        Raises:
            TimeoutError: It was not whole in time.
            EOFError, OSError, ValueError: As `messages` does.
        """
        deadline = time.monotonic() + seconds
        while (message := self._whole()) is None:
            if not wait([self._connection], max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"nothing whole within {seconds:g} s")
            self._take_in()
        return message

    def _take_in(self) -> None:
        if os.name == "nt":  # pipes there are read in another way
            message = self._connection.recv_bytes(self._most)
            self._come += _LENGTH.pack(len(message)) + message
            return
        with socket.socket(fileno=os.dup(self._connection.fileno())) as end:
            try:
                part = end.recv(_AT_ONCE, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
        if not part:
            raise EOFError
        self._come += part

    def _whole(self) -> bytes | None:
        """Take the first message out, if all of it is there."""
        if len(self._come) < _LENGTH.size:
            return None
        (length,) = _LENGTH.unpack_from(self._come)
        if not 0 <= length <= self._most:
            raise ValueError(f"a message of {length} bytes")
        end = _LENGTH.size + length
        if len(self._come) < end:
            return None
        message = bytes(memoryview(self._come)[_LENGTH.size : end])
        del self._come[:end]
        return message
